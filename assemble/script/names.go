// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Owner returns the numbers of "user:group", each by name or number; -1 where
// nothing is said.
func (c *Call) Owner(spec string) (uid, gid int, err error) {
	user, group, _ := strings.Cut(spec, ":")
	if user == spec {
		user, group, _ = strings.Cut(spec, ".")
	}
	if uid, err = c.account("/etc/passwd", user); err != nil {
		return 0, 0, err
	}
	gid, err = c.account("/etc/group", group)
	return uid, gid, err
}

func (c *Call) account(file, name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	line, err := c.entry(file, name)
	if err != nil {
		return 0, err
	}
	if line != nil {
		return strconv.Atoi(line[2])
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	return 0, fmt.Errorf("%q is unknown in %s", name, file)
}

// entry returns the fields of the line of a name, or nil.
func (c *Call) entry(file, name string) ([]string, error) {
	b, err := c.Tree.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) >= 3 && f[0] == name {
			return f, err
		}
	}
	return nil, err
}

// nameOf returns the name of an account's number.
func (c *Call) nameOf(file string, n int) string {
	b, _ := c.Tree.ReadFile(file) // then it has no name
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(line, ":"); len(f) >= 3 && f[2] == strconv.Itoa(n) {
			return f[0]
		}
	}
	return "UNKNOWN"
}

func getent(_ context.Context, c *Call) error {
	_, rest, err := c.Flags("")
	if err != nil {
		return err
	}
	if len(rest) < 1 || !slices.Contains([]string{"passwd", "group", "shadow", "gshadow"}, rest[0]) {
		return c.Usage()
	}
	b, err := c.Tree.ReadFile("/etc/" + rest[0])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(rest) == 1 {
		_, err = c.Out.Write(b)
		return err
	}
	numbered := !strings.HasSuffix(rest[0], "shadow")
	status := error(nil)
	for _, name := range rest[1:] {
		line, found := lineOf(b, name, numbered)
		if !found {
			status = Exit(2)
			continue
		}
		fmt.Fprintln(c.Out, line)
	}
	return status
}

// lineOf returns the line of a name, or of a number if lines have one.
func lineOf(b []byte, name string, numbered bool) (string, bool) {
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		f := strings.Split(line, ":")
		if f[0] == name || numbered && len(f) > 2 && f[2] == name {
			return line, true
		}
	}
	return "", false
}

func id(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("ungG", "user:u", "name:n", "group:g")
	if err != nil {
		return err
	}
	if len(rest) == 1 && len(set) == 0 {
		return c.isUser(rest[0])
	}
	if len(rest) > 1 || has(set, "G") || has(set, "u") == has(set, "g") {
		return c.Usage()
	}
	out, name := "0", "root"
	if len(rest) == 1 {
		f, err := c.entry("/etc/passwd", rest[0])
		if err != nil {
			return err
		}
		if len(f) < 4 {
			fmt.Fprintf(c.Err, "id: %s: no such user\n", rest[0])
			return Exit(1)
		}
		out, name = f[2], f[0]
		if has(set, "g") {
			n, _ := strconv.Atoi(f[3]) // then it has no name
			out, name = f[3], c.nameOf("/etc/group", n)
		}
	}
	if has(set, "n") {
		out = name
	}
	fmt.Fprintln(c.Out, out)
	return nil
}

// isUser is id for scripts that only ask whether a user is there.
func (c *Call) isUser(name string) error {
	f, err := c.entry("/etc/passwd", name)
	if err != nil || f == nil {
		return Exit(1)
	}
	fmt.Fprintf(c.Out, "uid=%s(%s)\n", f[2], f[0])
	return nil
}
