// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxLinks bounds the links followed on one path, as Linux does.
const maxLinks = 40

// Resolve returns where the absolute path p lands once the links of b are
// followed. The last element is followed too.
func (b Base) Resolve(p string) string { return b.walk(p, func(Link) {}) }

// walk is Resolve that tells of each link it follows.
func (b Base) walk(p string, followed func(Link)) string {
	p = path.Join("/", p)
	for range maxLinks {
		l, rest, ok := b.link(p)
		if !ok {
			break
		}
		followed(l)
		p = path.Join(l.Target, rest)
	}
	return p
}

// link returns the shortest prefix of p that is a link, and what follows it.
func (b Base) link(p string) (l Link, rest string, ok bool) {
	for _, l := range b.Links { // sorted: a prefix stands before what it is a prefix of
		if rest, ok := strings.CutPrefix(p, l.Path); ok && (rest == "" || rest[0] == '/') {
			return l, rest, path.Join(l.Target, rest) != p
		}
	}
	return Link{}, "", false
}

// Place returns where a file of the absolute path p lands: the links on the
// way are followed, the last element is replaced if it is one.
func (b Base) Place(p string) string {
	dir, name := path.Split(path.Clean(p))
	return path.Join(b.Resolve(dir), name)
}

// For returns what of b decides about files below trees, wherever there, and in
// the directories dirs: the links on the way, and what the directories on the
// way and, of trees, those below them are.
func (b Base) For(trees, dirs []string) Base {
	links, ways := make(map[Link]bool), make(map[string]bool)
	roots := b.roots(trees, links, ways)
	for _, d := range dirs {
		b.way(d, links, ways)
	}
	var out Base
	for _, l := range b.Links {
		if links[l] || below(l.Path, roots) {
			out.Links = append(out.Links, l)
		}
	}
	for _, d := range b.Dirs {
		if ways[d.Path] || below(d.Path, roots) {
			out.Dirs = append(out.Dirs, d)
		}
	}
	return out
}

// roots returns where trees are, and the trees that links below them lead to.
func (b Base) roots(trees []string, links map[Link]bool, ways map[string]bool) []string {
	var roots []string
	for _, t := range trees {
		roots = append(roots, b.way(t, links, ways))
	}
	for i := 0; i < len(roots); i++ {
		for _, l := range b.Links {
			if below(l.Path, roots[i:i+1]) && !slices.Contains(roots, l.Target) {
				roots = append(roots, b.way(l.Target, links, ways))
			}
		}
	}
	return roots
}

// way resolves p, and collects the links followed and the directories on the
// way to where it lands, itself included.
func (b Base) way(p string, links map[Link]bool, ways map[string]bool) string {
	p = b.walk(p, func(l Link) { links[l] = true })
	for d := p; !ways[d]; d = path.Dir(d) {
		ways[d] = true
	}
	return p
}

// below reports whether p lies below one of roots.
func below(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return strings.HasPrefix(p, strings.TrimSuffix(r, "/")+"/") })
}

// Dir returns what the directory p is: as the parent has it, or root's with
// mode 0755.
func (b Base) Dir(p string) Dir {
	for _, d := range b.Dirs {
		if d.Path == p {
			return d
		}
	}
	return Dir{Path: p, Mode: fs.FileMode(0o755)}
}
