// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"io/fs"
	"path"
	"strings"
)

// A spot is a place in the tree that a name leads to, whether something is
// there or not.
type spot struct {
	dir  *node // nil for the root
	base string
	node *node  // nil: nothing is there
	path string // with all links resolved; "." is the root
}

// find returns the spot of name. A link that is the last element is followed
// only if follow is set, even to where nothing is yet.
func (t *Tree) find(op, name string, follow bool) (spot, error) {
	w := walk{tree: t, rest: name, follow: follow, dirs: []*node{t.root}}
	s, err := w.end(name)
	if err != nil {
		return spot{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return s, nil
}

// A walk goes along a name, element by element.
type walk struct {
	tree   *Tree
	rest   string // what is to go yet
	follow bool   // the last element too, if it is a link
	links  int    // that were followed
	// dirs are the directories on the way from the root, and names what they are
	// called, without the root's.
	dirs  []*node
	names []string
}

// end returns the spot where the walk ends.
func (w *walk) end(name string) (spot, error) {
	switch {
	case name == "":
		return spot{}, fs.ErrNotExist
	case strings.Contains(name, "\x00"):
		return spot{}, fs.ErrInvalid
	}
	for {
		var elem string
		elem, w.rest, _ = strings.Cut(strings.TrimLeft(w.rest, "/"), "/")
		w.rest = strings.TrimLeft(w.rest, "/")
		switch elem {
		case "":
			return spotOf(w.dirs, w.names), nil
		case ".":
		case "..":
			w.dirs, w.names = w.dirs[:max(len(w.dirs)-1, 1)], w.names[:max(len(w.names)-1, 0)]
		default:
			if s, last, err := w.enter(elem); last || err != nil {
				return s, err
			}
		}
	}
}

// enter goes to one element of the directory where the walk is. It says
// whether that was the last, and then what spot it is.
func (w *walk) enter(elem string) (s spot, last bool, err error) {
	dir := w.dirs[len(w.dirs)-1]
	if !dir.isDir() {
		return spot{}, false, ErrNotDir
	}
	if err := w.tree.load(dir); err != nil {
		return spot{}, false, err
	}
	child, last := dir.children[elem], w.rest == ""
	switch {
	case child == nil && !last:
		return spot{}, false, fs.ErrNotExist
	case child != nil && child.isLink() && (!last || w.follow):
		return spot{}, false, w.turn(child.Link)
	case last:
		return spot{dir, elem, child, path.Join(path.Join(w.names...), elem)}, true, nil
	}
	w.dirs, w.names = append(w.dirs, child), append(w.names, elem)
	return spot{}, false, nil
}

// turn goes on along a link.
func (w *walk) turn(link string) error {
	if w.links++; w.links > maxLinks {
		return ErrLoop
	}
	if strings.HasPrefix(link, "/") {
		w.dirs, w.names = w.dirs[:1], w.names[:0]
	}
	w.rest = link + "/" + w.rest
	return nil
}

// spotOf returns the spot of a directory that is there.
func spotOf(dirs []*node, names []string) spot {
	last := dirs[len(dirs)-1]
	if len(names) == 0 {
		return spot{node: last, path: "."}
	}
	return spot{dirs[len(dirs)-2], names[len(names)-1], last, path.Join(names...)}
}
