// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"inlay/layers"
)

// A change is one name of which the layer says something.
type change struct {
	path    string
	node    *node
	removed bool
}

// A Writer takes the entries of a layer; *layers.Writer is one.
type Writer interface {
	Add(e layers.Entry, body io.Reader) error
	Splice(e layers.Entry, s layers.Deflated) error
	Link(e layers.Entry, target string) error
	Remove(path string) error
}

// A Deflated content is kept as a deflate stream: a layer can take that over.
// The results are those of deb.Body's method.
type Deflated interface {
	Deflated() (stream io.ReadCloser, size int64, crc uint32, ok bool)
}

// Write writes to w what the tree has that the image has not, and removes what
// it has no longer: first directories, with all those on the way to what
// changed, as they are; then what is removed; then files, those that were put
// there in that order, after the others by path; of all these first the ones that
// are compressed by w, together.
//
// Below are trees over the same image that become layers below this one. Files
// that are the same in them are left out.
func (t *Tree) Write(ctx context.Context, w Writer, below ...*Tree) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	changes, err := t.changes()
	if err == nil {
		changes, err = t.above(changes, below)
	}
	if err != nil {
		return err
	}
	names := make(map[*node]string)
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.writeChange(w, c, names); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tree) writeChange(w Writer, c change, names map[*node]string) error {
	if c.removed {
		return w.Remove(c.path)
	}
	f := c.node.File
	e := layers.Entry{
		Path: c.path, Mode: f.Mode, UID: f.UID, GID: f.GID, Link: f.Link, Size: f.Size, Time: f.Time, Capability: f.Capability,
	}
	if !f.Mode.IsRegular() {
		return w.Add(e, nil)
	}
	if first, ok := names[c.node]; ok {
		return w.Link(e, first)
	}
	names[c.node] = c.path
	if done, err := splice(w, e, c.node); done || err != nil {
		return err
	}
	body, err := t.body(c.node)
	if err != nil {
		return fmt.Errorf("writing /%s: %w", c.path, err)
	}
	return w.Add(e, body)
}

// isOwn reports whether n is a stream of its own in a layer.
func (n *node) isOwn() bool {
	_, ok := n.body.(Deflated)
	return ok && n.Size >= layers.MinSplice
}

// splice writes n if its content is a deflate stream.
func splice(w Writer, e layers.Entry, n *node) (bool, error) {
	if !n.isOwn() {
		return false, nil
	}
	stream, size, crc, ok := n.body.(Deflated).Deflated()
	if !ok {
		return false, nil
	}
	defer stream.Close() //nolint:errcheck // only read
	return true, w.Splice(e, layers.Deflated{Stream: stream, Size: size, CRC32: crc})
}

// Changes returns the paths of which a layer of the tree says something, sorted;
// those that are removed end in " -".
func (t *Tree) Changes() ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changes, err := t.changes()
	if err != nil {
		return nil, err
	}
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = c.path
		if c.removed {
			out[i] += " -"
		}
	}
	slices.Sort(out)
	return out, nil
}

func (t *Tree) changes() ([]change, error) {
	var all []change
	if _, err := t.collect(".", t.root, &all); err != nil {
		return nil, err
	}
	inOrder(all)
	return all, nil
}

// inOrder sorts changes as Write writes them.
func inOrder(all []change) {
	rank := func(c change) int {
		switch {
		case c.removed:
			return 1
		case c.node.isDir():
			return 0
		case c.node.isOwn():
			return 3
		default:
			return 2
		}
	}
	order := func(c change) int {
		if c.removed || c.node.isDir() {
			return 0
		}
		return c.node.order
	}
	slices.SortFunc(all, func(a, b change) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(order(a), order(b)), strings.Compare(a.path, b.path))
	})
}

// collect appends what changed below the directory dir, and says whether
// anything did.
func (t *Tree) collect(dir string, n *node, all *[]change) (bool, error) {
	if !n.loaded {
		if n.base == dir {
			return false, nil
		}
		if err := t.load(n); err != nil { // it was moved here as a whole
			return false, err
		}
	}
	before := len(*all)
	below, err := t.below(dir)
	if err != nil {
		return false, err
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		delete(below, name)
		if err := t.collectOne(path.Join(dir, name), n.children[name], all); err != nil {
			return false, err
		}
	}
	for name := range below {
		*all = append(*all, change{path: path.Join(dir, name), removed: true})
	}
	return len(*all) > before, nil
}

// collectOne is collect for n at p, whatever that is.
func (t *Tree) collectOne(p string, n *node, all *[]change) error {
	changed, err := t.differs(p, n)
	if err != nil {
		return err
	}
	if n.isDir() {
		inside, err := t.collect(p, n, all)
		if err != nil {
			return err
		}
		changed = changed || inside
	}
	if changed {
		*all = append(*all, change{path: p, node: n})
	}
	return nil
}

// below returns the names that the image has in dir, if that is a directory
// there.
func (t *Tree) below(dir string) (map[string]bool, error) {
	names := map[string]bool{}
	if t.view == nil {
		return names, nil
	}
	info, err := t.view.Lstat(dir)
	if err != nil || !info.IsDir() || realPath(info) != dir {
		return names, nil //nolint:nilerr // nothing is there
	}
	list, err := t.view.ReadDir(dir)
	for _, d := range list {
		names[d.Name()] = true
	}
	return names, err
}

func realPath(info fs.FileInfo) string {
	e, _ := info.Sys().(layers.Entry)
	return path.Clean(e.Path)
}

// differs reports whether n is something else than the image has at p.
func (t *Tree) differs(p string, n *node) (bool, error) {
	if n.base == p && !n.dirty {
		return false, nil
	}
	if n.base == p && t.view != nil {
		return t.edited(p, n)
	}
	return true, nil
}

// edited reports whether n, which was changed, is still changed.
func (t *Tree) edited(p string, n *node) (bool, error) {
	info, err := t.view.Lstat(p)
	if err != nil {
		return false, err
	}
	e, _ := info.Sys().(layers.Entry)
	if (File{Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size, Link: e.Link}) != n.File {
		return true, nil
	}
	if n.body == nil || !n.Mode.IsRegular() {
		return false, nil
	}
	old, kept := t.view.Kept(p)
	if !kept || int64(len(old)) != n.Size {
		return true, nil
	}
	now := make([]byte, n.Size)
	if _, err := io.ReadFull(io.NewSectionReader(n.body, 0, n.Size), now); err != nil {
		return false, err
	}
	return !bytes.Equal(old, now), nil
}
