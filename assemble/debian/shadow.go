// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"io/fs"
	"strconv"

	"inlay/assemble/script"
)

// shadowconfig is shadowconfig(8), for turning shadow passwords on: it moves the
// passwords into files that only root reads.
func (s *System) shadowconfig(_ context.Context, c *script.Call) error {
	if len(c.Args) != 2 || c.Args[1] != "on" {
		return c.Usage()
	}
	a, err := s.accounts(c.Tree)
	if err != nil {
		return c.Fail(err)
	}
	for _, r := range a.users.rows {
		if len(r) == 7 && a.shadow.row(r[0]) == nil {
			a.shadow.rows = append(a.shadow.rows, []string{r[0], r[1], strconv.FormatInt(a.day, 10), "0", "99999", "7", "", "", ""})
			r[1] = "x"
		}
	}
	for _, r := range a.groups.rows {
		if len(r) == 4 && a.gshadows.row(r[0]) == nil {
			a.gshadows.rows = append(a.gshadows.rows, []string{r[0], r[1], "", r[3]})
			r[1] = "x"
		}
	}
	shadow, _ := a.groups.id("shadow") // root's own without such a group
	err = errors.Join(a.users.write(c.Tree), a.groups.write(c.Tree), a.shadow.write(c.Tree), a.gshadows.write(c.Tree))
	for file, gid := range map[string]int{a.users.file: 0, a.groups.file: 0, a.shadow.file: shadow, a.gshadows.file: shadow} {
		mode := fs.FileMode(0o644)
		if file == a.shadow.file || file == a.gshadows.file {
			mode = 0o640
		}
		if err == nil {
			err = errors.Join(c.Tree.Chown(file, 0, gid, true), c.Tree.Chmod(file, mode))
		}
	}
	if err != nil {
		return c.Fail(err)
	}
	return nil
}
