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
	if err == nil {
		a.shade()
		err = a.writeShaded()
	}
	if err != nil {
		return c.Fail(err)
	}
	return nil
}

// changed is the day of the last change of a password as shadow(5) has it. It is
// empty on the first day: a 0 there asks everybody for a new password.
func (a *accounts) changed() string {
	if a.day == 0 {
		return ""
	}
	return strconv.FormatInt(a.day, 10)
}

// shade moves the passwords of users and groups.
func (a *accounts) shade() {
	for _, r := range a.users.rows {
		if len(r) == 7 && a.shadow.row(r[0]) == nil {
			a.shadow.rows = append(a.shadow.rows, []string{r[0], r[1], a.changed(), "0", "99999", "7", "", "", ""})
			r[1] = "x"
		}
	}
	for _, r := range a.groups.rows {
		if len(r) == 4 && a.gshadows.row(r[0]) == nil {
			a.gshadows.rows = append(a.gshadows.rows, []string{r[0], r[1], "", r[3]})
			r[1] = "x"
		}
	}
}

// writeShaded writes all four files with the owners that they have then.
func (a *accounts) writeShaded() error {
	shadow, _ := a.groups.id("shadow") // root's own without such a group
	for _, t := range []struct {
		*table
		gid  int
		mode fs.FileMode
	}{{a.users, 0, 0o644}, {a.groups, 0, 0o644}, {a.shadow, shadow, 0o640}, {a.gshadows, shadow, 0o640}} {
		if err := t.write(a.tree); err != nil {
			return err
		}
		if err := errors.Join(a.tree.Chown(t.file, 0, t.gid, true), a.tree.Chmod(t.file, t.mode)); err != nil {
			return err
		}
	}
	return nil
}
