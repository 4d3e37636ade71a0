// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"inlay/assemble/script"
)

// groupadd is groupadd(8).
func (s *System) groupadd(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("rfg:", "system:r", "force:f", "gid=:g")
	if err != nil {
		return err
	}
	_, system := set["r"]
	if len(rest) != 1 || !isAccountName(rest[0]) || !system && set["g"] == "" {
		return c.Usage()
	}
	a, err := s.accounts(c.Tree)
	if err != nil {
		return c.Fail(err)
	}
	if a.groups.row(rest[0]) != nil {
		if _, force := set["f"]; force {
			return nil
		}
		return script.Exit(9)
	}
	gid := 0
	if set["g"] != "" {
		gid, err = a.number(set["g"], a.groups)
	} else {
		gid, err = free(false, a.groups)
	}
	if err == nil {
		a.addGroup(rest[0], gid)
		err = a.write()
	}
	if err != nil {
		return c.Fail(err)
	}
	return nil
}

// useradd is useradd(8) for system accounts.
func (s *System) useradd(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("rMNUg:d:s:c:u:", "system:r", "no-create-home:M", "no-user-group:N", "user-group:U", "gid=:g",
		"home-dir=:d", "home=:d", "shell=:s", "comment=:c", "uid=:u")
	if err != nil {
		return err
	}
	_, system := set["r"]
	_, alone := set["N"]
	if len(rest) != 1 || !isAccountName(rest[0]) || !system || alone && set["g"] == "" {
		return c.Usage()
	}
	a, err := s.accounts(c.Tree)
	if err != nil {
		return c.Fail(err)
	}
	name := rest[0]
	if a.users.row(name) != nil {
		return script.Exit(9)
	}
	u := user{name: name, gecos: set["c"], home: set["d"], shell: set["s"], password: "!"}
	if u.home == "" {
		u.home = "/home/" + name
	}
	if u.shell == "" {
		u.shell = "/bin/sh"
	}
	if u.uid, u.gid, err = a.userIDs(set, name); err == nil {
		a.addUser(u)
		err = a.write()
	}
	if err != nil {
		return c.Fail(err)
	}
	return nil
}

func (a *accounts) userIDs(set map[string]string, name string) (uid, gid int, err error) {
	if set["u"] != "" {
		uid, err = a.number(set["u"], a.users)
	} else if set["g"] != "" {
		uid, err = free(false, a.users)
	} else {
		uid, err = free(false, a.users, a.groups)
	}
	if err != nil {
		return 0, 0, err
	}
	if g := set["g"]; g != "" {
		if n, ok := a.groups.id(g); ok {
			return uid, n, nil
		}
		gid, err = strconv.Atoi(g)
		return uid, gid, err
	}
	if a.groups.row(name) != nil {
		return 0, 0, fmt.Errorf("the group %s is there already", name)
	}
	a.addGroup(name, uid)
	return uid, uid, nil
}

// groupmod renames a group.
func (s *System) groupmod(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("n:", "new-name=:n")
	if err != nil {
		return err
	}
	if len(rest) != 1 || !isAccountName(set["n"]) {
		return c.Usage()
	}
	a, err := s.accounts(c.Tree)
	if err != nil {
		return c.Fail(err)
	}
	r := a.groups.row(rest[0])
	if r == nil || a.groups.row(set["n"]) != nil {
		return c.Fail(fmt.Errorf("group %q can't be renamed", rest[0]))
	}
	r[0] = set["n"]
	if r := a.gshadows.row(rest[0]); r != nil {
		r[0] = set["n"]
	}
	if err := a.write(); err != nil {
		return c.Fail(err)
	}
	return nil
}

// usermod changes single fields of a user, and adds it to groups.
func (s *System) usermod(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("aG:d:s:c:L", "append:a", "groups=:G", "home=:d", "shell=:s", "comment=:c")
	if err != nil {
		return err
	}
	_, add := set["a"]
	_, lock := set["L"]
	if len(rest) != 1 || lock || set["G"] != "" && !add {
		return c.Usage()
	}
	a, err := s.accounts(c.Tree)
	if err != nil {
		return c.Fail(err)
	}
	r := a.users.row(rest[0])
	if len(r) < 7 {
		return script.Exit(6)
	}
	for flag, field := range map[string]int{"c": 4, "d": 5, "s": 6} {
		if v, ok := set[flag]; ok {
			r[field] = v
		}
	}
	for g := range strings.SplitSeq(set["G"], ",") {
		if g != "" && err == nil {
			err = a.join(rest[0], g)
		}
	}
	if err == nil {
		err = a.write()
	}
	if err != nil {
		return c.Fail(err)
	}
	return nil
}
