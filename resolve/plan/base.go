// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"io/fs"
	"path"
	"strings"
)

// maxLinks bounds the links followed on one path, as Linux does.
const maxLinks = 40

// Resolve returns where the absolute path p lands once the links of b are
// followed. The last element is followed too.
func (b Base) Resolve(p string) string {
	p = path.Join("/", p)
	for range maxLinks {
		next := b.follow(p)
		if next == p {
			break
		}
		p = next
	}
	return p
}

// Place returns where a file of the absolute path p lands: the links on the
// way are followed, the last element is replaced if it is one.
func (b Base) Place(p string) string {
	dir, name := path.Split(path.Clean(p))
	return path.Join(b.Resolve(dir), name)
}

// follow replaces the shortest prefix of p that is a link.
func (b Base) follow(p string) string {
	for _, l := range b.Links { // sorted: a prefix stands before what it is a prefix of
		if rest, ok := strings.CutPrefix(p, l.Path); ok && (rest == "" || rest[0] == '/') {
			return path.Join(l.Target, rest)
		}
	}
	return p
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
