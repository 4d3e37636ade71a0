// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"inlay/assemble/overlay"
	"inlay/assemble/script"
)

// The ids of system accounts (adduser.conf(5), login.defs(5)).
const (
	firstSystem = 100
	lastSystem  = 999
	nogroup     = 65534
)

// A table is one of the account files.
type table struct {
	file string
	rows [][]string
}

func readTable(tree *overlay.Tree, file string) (*table, error) {
	b, err := text(tree, file)
	if err != nil {
		return nil, err
	}
	t := &table{file: file}
	for line := range strings.Lines(b) {
		t.rows = append(t.rows, strings.Split(strings.TrimSuffix(line, "\n"), ":"))
	}
	return t, nil
}

func (t *table) write(tree *overlay.Tree) error {
	var b strings.Builder
	for _, r := range t.rows {
		b.WriteString(strings.Join(r, ":") + "\n")
	}
	return tree.WriteFile(t.file, []byte(b.String()), 0o644)
}

func (t *table) row(name string) []string {
	for _, r := range t.rows {
		if r[0] == name {
			return r
		}
	}
	return nil
}

// id returns the number of a name.
func (t *table) id(name string) (int, bool) {
	r := t.row(name)
	if len(r) < 3 {
		return 0, false
	}
	n, err := strconv.Atoi(r[2])
	return n, err == nil
}

func (t *table) taken(id int) bool {
	return slices.ContainsFunc(t.rows, func(r []string) bool { return len(r) > 2 && r[2] == strconv.Itoa(id) })
}

// accounts are the files of users and groups.
type accounts struct {
	tree                            *overlay.Tree
	users, groups, shadow, gshadows *table
	day                             int64
}

func (s *System) accounts(tree *overlay.Tree) (*accounts, error) {
	a := &accounts{tree: tree, day: s.Day}
	var err error
	for _, t := range []struct {
		to   **table
		file string
	}{{&a.users, "/etc/passwd"}, {&a.groups, "/etc/group"}, {&a.shadow, "/etc/shadow"}, {&a.gshadows, "/etc/gshadow"}} {
		if *t.to, err = readTable(tree, t.file); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// write writes the files. The shadow files are there or are not used.
func (a *accounts) write() error {
	err := errors.Join(a.users.write(a.tree), a.groups.write(a.tree))
	for _, t := range []*table{a.shadow, a.gshadows} {
		if err == nil && a.tree.Exists(t.file) {
			err = t.write(a.tree)
		}
	}
	return err
}

func (a *accounts) addGroup(name string, gid int) {
	a.groups.rows = append(a.groups.rows, []string{name, "x", strconv.Itoa(gid), ""})
	a.gshadows.rows = append(a.gshadows.rows, []string{name, "!", "", ""})
}

// A user is a new account.
type user struct {
	name, gecos, home, shell, password string
	uid, gid                           int
}

func (a *accounts) addUser(u user) {
	a.users.rows = append(a.users.rows, []string{u.name, "x", strconv.Itoa(u.uid), strconv.Itoa(u.gid), u.gecos, u.home, u.shell})
	a.shadow.rows = append(a.shadow.rows, []string{u.name, u.password, a.changed(), "", "", "", "", "", ""})
}

// free returns an id that is in none of the tables: the first from 100 up as
// adduser takes it, or the last below 1000 as useradd does.
func free(up bool, tables ...*table) (int, error) {
	for i := range lastSystem - firstSystem + 1 {
		id := lastSystem - i
		if up {
			id = firstSystem + i
		}
		if !slices.ContainsFunc(tables, func(t *table) bool { return t.taken(id) }) {
			return id, nil
		}
	}
	return 0, errors.New("no id of a system account is free")
}

func isAccountName(s string) bool {
	return s != "" && !strings.ContainsAny(s, ": \t\n/,\\") && s[0] != '-' && len(s) <= 32
}

// adduser is adduser(8) and addgroup(8) for system accounts, and for adding a
// user to a group.
func (s *System) adduser(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("q", "system", "group", "quiet:q", "home=", "no-create-home", "shell=", "gecos=", "comment=",
		"ingroup=", "gid=", "uid=", "disabled-password", "disabled-login", "force-badname", "allow-bad-names", "allow-badname")
	if err != nil {
		return err
	}
	a, err := s.accounts(c.Tree)
	if err != nil {
		return c.Fail(err)
	}
	_, system := set["system"]
	_, group := set["group"]
	switch {
	case len(rest) == 2 && len(set) <= 1 && !system:
		err = a.join(rest[0], rest[1])
	case len(rest) != 1 || !system || !isAccountName(rest[0]):
		return c.Usage()
	case path.Base(c.Args[0]) == "addgroup":
		err = a.systemGroup(rest[0], set)
	default:
		err = a.systemUser(c, rest[0], set, group)
	}
	if err == nil {
		err = a.write()
	}
	if err != nil {
		return c.Fail(err)
	}
	return nil
}

// join adds a user to a group.
func (a *accounts) join(name, group string) error {
	r, shadow := a.groups.row(group), a.gshadows.row(group)
	if len(r) < 4 || a.users.row(name) == nil {
		return fmt.Errorf("there is no user %q or no group %q", name, group)
	}
	for _, r := range [][]string{r, shadow} {
		if len(r) < 4 {
			continue
		}
		members := strings.FieldsFunc(r[3], func(c rune) bool { return c == ',' })
		if !slices.Contains(members, name) {
			r[3] = strings.Join(append(members, name), ",")
		}
	}
	return nil
}

func (a *accounts) systemGroup(name string, set map[string]string) error {
	if a.groups.row(name) != nil {
		return nil
	}
	gid, err := a.number(set["gid"], a.groups)
	if err == nil {
		a.addGroup(name, gid)
	}
	return err
}

// number is the one asked for, or the first that is free.
func (a *accounts) number(asked string, in *table) (int, error) {
	if asked == "" {
		return free(true, in)
	}
	n, err := strconv.Atoi(asked)
	if err == nil && in.taken(n) {
		err = fmt.Errorf("the id %d is taken", n)
	}
	return n, err
}

// groupOf returns the group of a new user: one that is there, its own if that is
// wanted, or that of nobody.
func (a *accounts) groupOf(name string, set map[string]string, own bool) (int, error) {
	switch in := set["ingroup"]; {
	case in != "":
		gid, ok := a.groups.id(in)
		if !ok {
			return 0, fmt.Errorf("there is no group %q", in)
		}
		return gid, nil
	case set["gid"] != "":
		return strconv.Atoi(set["gid"])
	case !own:
		return nogroup, nil
	case a.groups.row(name) != nil:
		return 0, &script.UnsupportedError{Needs: "adduser --group of a group that is there"}
	}
	gid, err := a.number(set["uid"], a.groups) // which need not be the user's
	if err == nil {
		a.addGroup(name, gid)
	}
	return gid, err
}

func (a *accounts) systemUser(c *script.Call, name string, set map[string]string, group bool) error {
	if a.users.row(name) != nil {
		return nil
	}
	u := user{name: name, home: "/nonexistent", shell: "/usr/sbin/nologin", password: "!", gecos: set["gecos"] + set["comment"]}
	if s := set["shell"]; s != "" {
		u.shell = s
	}
	var err error
	if u.uid, err = a.number(set["uid"], a.users); err != nil {
		return err
	}
	if u.gid, err = a.groupOf(name, set, group); err != nil {
		return err
	}
	_, noHome := set["no-create-home"]
	if h := set["home"]; h != "" {
		u.home = h
	}
	a.addUser(u)
	if noHome || u.home == "/nonexistent" || c.Tree.Exists(u.home) {
		return nil
	}
	if err := c.Tree.MkdirAll(path.Dir(u.home), 0o755); err != nil {
		return err
	}
	return c.Tree.Mkdir(u.home, overlay.File{Mode: 0o755, UID: u.uid, GID: u.gid})
}
