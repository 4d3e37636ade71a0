// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"inlay/assemble/script"
)

// sysusers is systemd-sysusers(8) for named files: lines "u", "g" and "m" with a
// number or "-".
func (s *System) sysusers(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("", "replace=")
	if err != nil {
		return err
	}
	if len(rest) == 0 || set["replace"] != "" {
		return c.Usage()
	}
	a, err := s.accounts(c.Tree)
	if err != nil {
		return c.Fail(err)
	}
	for _, name := range rest {
		conf, err := c.Tree.ReadFile(sysusersFile(c, name))
		if err != nil {
			return c.Fail(err)
		}
		for line := range strings.Lines(string(conf)) {
			if err := a.sysuser(line); err != nil {
				return c.Fail(err)
			}
		}
	}
	if err := a.write(); err != nil {
		return c.Fail(err)
	}
	return nil
}

func sysusersFile(c *script.Call, name string) string {
	if strings.Contains(name, "/") {
		return c.Abs(name)
	}
	for _, d := range []string{"/etc/sysusers.d", "/run/sysusers.d", "/usr/lib/sysusers.d"} {
		if p := path.Join(d, name); c.Tree.Exists(p) {
			return p
		}
	}
	return path.Join("/usr/lib/sysusers.d", name)
}

// sysuser does what one line says.
func (a *accounts) sysuser(line string) error {
	words, ok := quoted(line)
	if len(words) == 0 {
		return nil
	}
	unknown := &script.UnsupportedError{Needs: "systemd-sysusers with the line " + strconv.Quote(strings.TrimSpace(line))}
	if !ok || len(words) < 2 || !isAccountName(words[1]) {
		return unknown
	}
	field := func(i int) string {
		if i < len(words) && words[i] != "-" {
			return words[i]
		}
		return ""
	}
	switch words[0] {
	case "g":
		return a.sysgroup(words[1], field(2), unknown)
	case "u", "u!":
		return a.sysuserLine(words[1], [4]string{field(2), field(3), field(4), field(5)}, unknown)
	case "m":
		return a.join(words[1], field(2))
	}
	return unknown
}

func (a *accounts) sysgroup(name, id string, unknown error) error {
	if a.groups.row(name) != nil {
		return nil
	}
	gid, err := free(false, a.groups, a.users)
	if id != "" {
		if gid, err = strconv.Atoi(id); err != nil || a.groups.taken(gid) {
			return unknown
		}
	}
	a.groups.rows = append(a.groups.rows, []string{name, "x", strconv.Itoa(gid), ""})
	a.gshadows.rows = append(a.gshadows.rows, []string{name, "!*", "", ""})
	return err
}

// sysuserLine makes a user: fields are id, comment, home and shell.
func (a *accounts) sysuserLine(name string, fields [4]string, unknown error) error {
	if a.users.row(name) != nil {
		return nil
	}
	id, group, both := strings.Cut(fields[0], ":")
	u := user{name: name, gecos: fields[1], home: fields[2], shell: fields[3], password: "!*"}
	if u.home == "" {
		u.home = "/"
	}
	if u.shell == "" {
		u.shell = "/usr/sbin/nologin"
	}
	var err error
	if id == "" || id == "-" {
		u.uid, err = free(false, a.users, a.groups)
	} else {
		u.uid, err = strconv.Atoi(id)
	}
	if err != nil || a.users.taken(u.uid) {
		return unknown
	}
	switch gid, ok := a.groups.id(name); {
	case both:
		n, known := a.groups.id(group)
		if !known {
			return unknown
		}
		u.gid = n
	case ok:
		u.gid = gid
	default:
		u.gid = u.uid
		if a.groups.taken(u.gid) {
			return unknown
		}
		a.groups.rows = append(a.groups.rows, []string{name, "x", strconv.Itoa(u.gid), ""})
		a.gshadows.rows = append(a.gshadows.rows, []string{name, "!*", "", ""})
	}
	a.addUser(u)
	return nil
}

// quoted splits a line into words, of which some are in double quotes.
func quoted(line string) (words []string, ok bool) {
	line = strings.TrimSpace(line)
	for line != "" && line[0] != '#' {
		if line[0] == '"' {
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				return nil, false
			}
			words, line = append(words, line[1:end+1]), strings.TrimLeft(line[end+2:], " \t")
			continue
		}
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			i = len(line)
		}
		words, line = append(words, line[:i]), strings.TrimLeft(line[i:], " \t")
	}
	return words, !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "%") })
}
