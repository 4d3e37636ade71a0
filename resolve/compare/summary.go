// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// A Group is what differs in a directory and all below it, or in the files that
// stand directly in it.
type Group struct {
	Path                    string // of the directory, or of one file
	Added, Removed, Changed int
	Bytes                   int64 // that B has more there
}

func (g *Group) count() int { return g.Added + g.Removed + g.Changed }

// Summary puts files together by directory, in at most that many groups but at
// least as many as there are directories right below the root: where most
// differs it goes deepest. The groups are sorted by path.
func Summary(files []File, groups int) []Group {
	root := newBranch("/")
	for _, f := range files {
		root.add(f)
	}
	front := root.open()
	for {
		slices.SortFunc(front, func(a, b *branch) int {
			return cmp.Or(cmp.Compare(b.count(), a.count()), strings.Compare(a.Path, b.Path))
		})
		i := slices.IndexFunc(front, func(b *branch) bool { return b.opens() && len(front)-1+len(b.open()) <= groups })
		if i < 0 {
			break
		}
		in := front[i].open()
		front = append(slices.Delete(front, i, i+1), in...)
	}
	out := make([]Group, len(front))
	for i, b := range front {
		out[i] = b.Group
	}
	slices.SortFunc(out, func(a, b Group) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// A branch is a directory of the tree of what differs.
type branch struct {
	Group
	whole bool // both images have nothing but this of it: there is no need to look in
	own   []Group
	below map[string]*branch
}

func newBranch(dir string) *branch {
	return &branch{Group: Group{Path: dir}, below: map[string]*branch{}}
}

// add counts f in all directories on its way.
func (b *branch) add(f File) {
	one := Group{Path: f.Path}
	switch {
	case f.A == nil:
		one.Added, one.Bytes = 1, f.B.Size
	case f.B == nil:
		one.Removed, one.Bytes = 1, -f.A.Size
	default:
		one.Changed, one.Bytes = 1, f.B.Size-f.A.Size
	}
	isDir := (f.A == nil || f.A.Type == "directory") && (f.B == nil || f.B.Type == "directory")
	dir := f.Path
	if !isDir {
		dir = path.Dir(f.Path)
	}
	b.sum(one)
	for elem := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if elem == "" {
			continue
		}
		if b.below[elem] == nil {
			b.below[elem] = newBranch(path.Join(b.Path, elem))
		}
		b = b.below[elem]
		b.sum(one)
	}
	if isDir {
		b.whole = b.whole || f.A == nil || f.B == nil
	}
	if !isDir || f.A != nil && f.B != nil {
		b.own = append(b.own, one)
	}
}

func (b *branch) sum(g Group) {
	b.Added += g.Added
	b.Removed += g.Removed
	b.Changed += g.Changed
	b.Bytes += g.Bytes
}

func (b *branch) opens() bool { return !b.whole && len(b.below) > 0 }

// open returns what b consists of: the directories in it, and the files that
// stand in it, as one if there are several.
func (b *branch) open() []*branch {
	var out []*branch
	for _, sub := range b.below {
		out = append(out, sub)
	}
	if len(b.own) == 0 {
		return out
	}
	own := &branch{Group: Group{Path: strings.TrimSuffix(b.Path, "/") + "/*"}}
	for _, g := range b.own {
		own.sum(g)
	}
	if len(b.own) == 1 {
		own.Path = b.own[0].Path
	}
	return append(out, own)
}
