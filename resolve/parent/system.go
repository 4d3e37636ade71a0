// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/xrash/smetrics"

	"inlay/layers"
	"inlay/resolve/plan"
)

// A User is a line of /etc/passwd.
type User struct {
	Name string `json:"name"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Home string `json:"home"`
}

// A Group is a line of /etc/group.
type Group struct {
	Name    string   `json:"name"`
	GID     int      `json:"gid"`
	Members []string `json:"members,omitempty"`
}

// osRelease reads os-release(5).
func osRelease(view *layers.View) map[string]string {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		if b, ok := view.Kept(name); ok {
			return assignments(string(b))
		}
	}
	return nil
}

// assignments reads lines of KEY=VALUE or KEY="VALUE".
func assignments(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			m[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return m
}

// accounts reads passwd(5) and group(5). Lines that say nothing are left out.
func accounts(view *layers.View) (users []User, groups []Group) {
	for _, f := range colons(view, "etc/passwd") {
		uid, ok := number(f[2])
		gid, ok2 := number(f[3])
		if ok && ok2 {
			users = append(users, User{Name: f[0], UID: uid, GID: gid, Home: f[5]})
		}
	}
	for _, f := range colons(view, "etc/group") {
		if gid, ok := number(f[2]); ok {
			members := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
			groups = append(groups, Group{Name: f[0], GID: gid, Members: members})
		}
	}
	return users, groups
}

// colons returns the fields of each line, at least six of them.
func colons(view *layers.View, name string) (lines [][]string) {
	b, _ := view.Kept(name)
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if fields[0] != "" && !strings.HasPrefix(fields[0], "#") {
			lines = append(lines, append(fields, make([]string, 6)...))
		}
	}
	return lines
}

// maxID is the highest user or group id that container engines accept.
const maxID = 1<<31 - 1

// number reads a user or group id.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n <= maxID
}

// Account returns the ids that container engines give a process for the user
// "name", "name:group", "1000" or "1000:1000". As there, a number needs no
// entry in /etc/passwd: its group is 0 then. A name without an entry is a
// [*UserError].
func (inv *Inventory) Account(user string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(user, ":")
	if name != "" {
		if uid, gid, err = inv.user(user, name); err != nil {
			return 0, 0, err
		}
	}
	if group != "" {
		if gid, err = inv.group(user, group); err != nil {
			return 0, 0, err
		}
	}
	return uid, gid, nil
}

func (inv *Inventory) user(given, name string) (uid, gid int, err error) {
	id, numeric := number(name)
	for _, u := range inv.Users {
		if u.Name == name || numeric && u.UID == id {
			return u.UID, u.GID, nil
		}
	}
	if numeric {
		return id, 0, nil
	}
	names := make([]string, len(inv.Users))
	for i, u := range inv.Users {
		names[i] = u.Name
	}
	return 0, 0, inv.noAccount(given, name, "/etc/passwd", names)
}

func (inv *Inventory) group(given, name string) (gid int, err error) {
	id, numeric := number(name)
	for _, g := range inv.Groups {
		if g.Name == name || numeric && g.GID == id {
			return g.GID, nil
		}
	}
	if numeric {
		return id, nil
	}
	names := make([]string, len(inv.Groups))
	for i, g := range inv.Groups {
		names[i] = g.Name
	}
	return 0, inv.noAccount(given, name, "/etc/group", names)
}

func (inv *Inventory) noAccount(given, name, file string, names []string) error {
	problem := fmt.Sprintf("there is no %s in its %s", name, file)
	if strings.Trim(name, "0123456789") == "" {
		problem = fmt.Sprintf("%s is more than the highest id, %d", name, maxID)
	}
	return &UserError{User: given, Parent: inv.Name, Problem: problem, Near: near(name, names)}
}

// near returns at most three of the names that differ from name in few letters.
func near(name string, names []string) []string {
	limit := max(1, len(name)/3)
	var found []string
	for _, n := range names {
		if distance(name, n) <= limit || len(name) > 2 && strings.Contains(n, name) {
			found = append(found, n)
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	return found[:min(len(found), 3)]
}

// distance is the number of letters to insert, delete or replace (Levenshtein).
func distance(a, b string) int { return smetrics.WagnerFischer(a, b, 1, 1, 1) }

// UserError reports a user or group that the parent doesn't have.
type UserError struct {
	User    string // as the user wrote it
	Parent  string // as the user wrote it
	Problem string
	Near    []string // names like it that the parent has, nearest first
}

func (e *UserError) Error() string {
	return fmt.Sprintf("user %q of parent image %q: %s", e.User, e.Parent, e.Problem)
}

// Hint suggests names like it, or numbers.
func (e *UserError) Hint() string {
	const numbers = "numbers need no entry in the image: `user: 1000:1000`"
	if len(e.Near) == 0 {
		return numbers
	}
	return "did you mean " + strings.Join(e.Near, " or ") + "? " + numbers
}

// directories lists the links to directories, and the directories that are not
// simply root's with mode 0755. Left out is what engines mount over, and the
// Nix store, which is all links and never written.
func directories(view *layers.View) (links []plan.Link, dirs []plan.Dir) {
	skipped := []string{"proc", "sys", "dev", "nix/store"}
	_ = fs.WalkDir(view, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || slices.Contains(skipped, name):
			return fs.SkipDir
		case d.Type() == fs.ModeSymlink:
			real, err := view.Resolve(name)
			if info, err2 := view.Stat(name); err == nil && err2 == nil && info.IsDir() {
				links = append(links, plan.Link{Path: path.Join("/", name), Target: path.Join("/", real)})
			}
		case d.IsDir():
			if dir, plain := directory(d, name); !plain {
				dirs = append(dirs, dir)
			}
		}
		return nil
	})
	slices.SortFunc(links, func(a, b plan.Link) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(dirs, func(a, b plan.Dir) int { return strings.Compare(a.Path, b.Path) })
	return links, dirs
}

// directory describes d, and says whether it is as a layer makes one anyway.
func directory(d fs.DirEntry, name string) (dir plan.Dir, plain bool) {
	info, err := d.Info()
	if err != nil {
		return dir, true
	}
	e, _ := info.Sys().(layers.Entry)
	dir = plan.Dir{Path: path.Join("/", name), Mode: e.Mode &^ fs.ModeType, UID: e.UID, GID: e.GID}
	return dir, dir.Mode == 0o755 && dir.UID == 0 && dir.GID == 0
}

// Resolve returns where the absolute path p leads once the links to directories
// on it are followed, the last element too.
func (inv *Inventory) Resolve(p string) string {
	return plan.Base{Links: inv.Links}.Resolve(p)
}

// Base returns what a step that writes to the given paths, or anywhere below
// them, reads of the parent: the links on the way and below, and the unusual
// directories above and below. The paths are absolute.
func (inv *Inventory) Base(paths ...string) plan.Base {
	links, dirs := map[int]bool{}, map[int]bool{}
	seen := map[string]bool{}
	for len(paths) > 0 {
		p := path.Clean(paths[0])
		paths = paths[1:]
		real := inv.Resolve(p)
		if seen[p] {
			continue
		}
		seen[p] = true
		for i, l := range inv.Links {
			switch {
			case within(p, l.Path):
				links[i] = true
				paths = append(paths, path.Join(l.Target, strings.TrimPrefix(p, l.Path)))
			case within(l.Path, real):
				links[i] = true
				paths = append(paths, l.Target)
			}
		}
		for i, d := range inv.Dirs {
			if within(real, d.Path) || within(d.Path, real) {
				dirs[i] = true
			}
		}
	}
	return plan.Base{Links: pick(inv.Links, links), Dirs: pick(inv.Dirs, dirs)}
}

// within says whether p is dir or below it.
func within(p, dir string) bool {
	rest, ok := strings.CutPrefix(p, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// pick returns the chosen elements of list, in its order.
func pick[T any](list []T, chosen map[int]bool) (picked []T) {
	for i, v := range list {
		if chosen[i] {
			picked = append(picked, v)
		}
	}
	return picked
}
