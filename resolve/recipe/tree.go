// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"inlay/resolve/dockerfile"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
)

type fsys = fs.FS

// A tree is what an image holds: what was looked at, and the directories that
// were added since.
type tree struct {
	inv   *parent.Inventory
	view  fs.FS
	added map[string]bool // absolute
}

// with returns t with more directories.
func (t *tree) with(dirs []plan.Dir) *tree {
	out := &tree{inv: t.inv, view: t.view, added: map[string]bool{}}
	for p := range t.added {
		out.added[p] = true
	}
	inv := *t.inv
	inv.Dirs = slices.Clone(inv.Dirs)
	for _, d := range dirs {
		out.added[d.Path] = true
		inv.Dirs = slices.DeleteFunc(inv.Dirs, func(old plan.Dir) bool { return old.Path == d.Path })
		if d.Mode != usual || d.UID != 0 || d.GID != 0 {
			inv.Dirs = append(inv.Dirs, d)
		}
	}
	slices.SortFunc(inv.Dirs, func(a, b plan.Dir) int { return cmp.Compare(a.Path, b.Path) })
	out.inv = &inv
	return out
}

// usual is the mode of directories.
const usual fs.FileMode = 0o755

// kind says what is at an absolute path, links followed.
func (t *tree) kind(p string) (dir, there bool) {
	p = t.inv.Resolve(p)
	if p == "/" || t.added[p] {
		return true, true
	}
	info, err := fs.Stat(t.view, strings.TrimPrefix(p, "/"))
	return err == nil && info.IsDir(), err == nil
}

// missing returns the deepest directory on the way to dir that is there, and
// those that are not, the highest first. bad is what is there and is no directory.
func (t *tree) missing(dir string) (there string, missing []string, bad string) {
	dir = t.inv.Resolve(dir)
	for there = dir; ; there = path.Dir(there) {
		isDir, exists := t.kind(there)
		switch {
		case isDir:
			slices.Reverse(missing)
			return there, missing, ""
		case exists:
			return "", nil, there
		}
		missing = append(missing, there)
	}
}

// owner returns the ids of a user as Docker gives files to: a number without a
// group is that of its group too.
func (b *builder) owner(t *tree, op dockerfile.Op, who string) (uid, gid int, err error) {
	if who == "" {
		return 0, 0, nil
	}
	name, _, grouped := strings.Cut(who, ":")
	uid, gid, err = t.inv.Account(who)
	if err != nil {
		return 0, 0, b.fault(op, fmt.Sprintf("there is no user or group %s in the image", who), "make it above with RUN useradd, or give numbers: 1000:1000")
	}
	if _, bad := strconv.Atoi(name); bad == nil && !grouped {
		gid = uid
	}
	return uid, gid, nil
}

func (b *builder) fault(op dockerfile.Op, problem, fix string) *dockerfile.Error {
	word, _, _ := strings.Cut(op.Text, " ")
	return &dockerfile.Error{File: b.File.Name, Line: op.Line, Instruction: word, Problem: problem, Fix: fix}
}
