// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// maxLinks bounds the symbolic links followed for one name, as Linux does.
const maxLinks = 40

var (
	errLoop    = errors.New("too many levels of symbolic links")
	errNotLink = errors.New("not a symbolic link")
	errNotDir  = errors.New("not a directory")
	errNotKept = errors.New("its content was not kept when the layer was scanned")
)

// A View is the tree that stacked layers make. It is a file system as of
// package io/fs: names are relative to the image's root, links are followed
// inside the image and never lead out of it. Names need not be UTF-8. A file opens if its content was
// kept, and holds what was kept. The Sys method of a file's information returns
// its [Entry]. A View is not changed by reading it.
type View struct {
	root *node
}

// A node is a name in the tree.
type node struct {
	name     string
	entry    *record          // shared by hard links
	layer    int              // that it comes from
	origin   int              // the layer of entry: below layer for some hard links
	children map[string]*node // of a directory, nil if it is empty
}

func newDir(name string) *node {
	return &node{name: name, entry: &record{Entry: Entry{Path: name, Mode: fs.ModeDir | 0o755}}}
}

func (n *node) isDir() bool  { return n.entry.Mode.IsDir() }
func (n *node) isLink() bool { return n.entry.Mode.Type() == fs.ModeSymlink }

func (n *node) set(child *node) {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	n.children[child.name] = child
}

// Stack puts layers on top of each other, lowest first, as the OCI image
// specification says: a whiteout hides what is below its layer, an entry takes
// the place of one of the same name, and only a directory on a directory keeps
// what that one holds. A hard link to nothing is an [*EntryError]: no engine
// unpacks such a layer.
func Stack(ixs ...*Index) (*View, error) {
	v := &View{root: newDir(".")}
	for i, ix := range ixs {
		for j := range ix.records {
			v.hide(&ix.records[j])
		}
		in := stacker{view: v, layer: i, dir: v.root, dirName: "."}
		for j := range ix.records {
			if err := in.add(&ix.records[j]); err != nil {
				return nil, fmt.Errorf("layer %d of %d: %w", i+1, len(ixs), err)
			}
		}
	}
	return v, nil
}

// hide applies r if it is a mark.
func (v *View) hide(r *record) {
	switch r.kind {
	case Opaque:
		if at, err := v.walk(r.Path, true); err == nil {
			last(at).children = nil
		}
	case Whiteout:
		if at, err := v.walk(path.Dir(r.Path), true); err == nil {
			delete(last(at).children, path.Base(r.Path))
		}
	}
}

// A stacker adds the entries of one layer. It remembers the directory of the
// last one: the next is mostly in the same.
type stacker struct {
	view    *View
	layer   int
	dir     *node
	dirName string
}

// add adds r if it is an entry.
func (s *stacker) add(r *record) error {
	n := &node{name: path.Base(r.Path), entry: r, layer: s.layer, origin: s.layer}
	switch r.kind {
	case Whiteout, Opaque:
		return nil
	case HardLink:
		at, err := s.view.walk(r.Link, false)
		if err != nil || last(at).isDir() {
			return &EntryError{Name: shorten(r.Path), Problem: fmt.Sprintf("is a hard link to %q, which is no file below it", shorten(r.Link)), read: true}
		}
		n.entry, n.origin = last(at).entry, last(at).origin
	}
	if r.Path == "." {
		s.view.root.entry = r
		return nil
	}
	if name := path.Dir(r.Path); name != s.dirName {
		s.dir, s.dirName = s.view.mkdir(name), name
	}
	if old := s.dir.children[n.name]; old != nil && old.isDir() && n.isDir() {
		n.children = old.children
	}
	s.dir.set(n)
	return nil
}

// mkdir returns the directory name. Links to directories are followed; what is
// missing or no directory becomes one.
func (v *View) mkdir(name string) *node {
	if at, err := v.walk(name, true); err == nil && last(at).isDir() {
		return last(at)
	}
	if name == "." {
		return v.root
	}
	n := newDir(path.Base(name))
	v.mkdir(path.Dir(name)).set(n)
	return n
}

// walk returns the nodes from the root to name, with all links resolved. A link
// that is the last element is followed only if follow is set.
func (v *View) walk(name string, follow bool) ([]*node, error) {
	at, links := append(make([]*node, 0, 16), v.root), 0
	for rest := name; rest != ""; {
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		n := last(at)
		switch {
		case elem == "" || elem == ".":
			continue
		case !n.isDir():
			return nil, fs.ErrNotExist
		case elem == "..":
			at = at[:max(len(at)-1, 1)]
			continue
		}
		child := n.children[elem]
		switch {
		case child == nil:
			return nil, fs.ErrNotExist
		case !child.isLink() || rest == "" && !follow:
			at = append(at, child)
			continue
		}
		if links++; links > maxLinks {
			return nil, errLoop
		}
		if strings.HasPrefix(child.entry.Link, "/") {
			at = at[:1]
		}
		rest = child.entry.Link + "/" + rest
	}
	return at, nil
}

func last(at []*node) *node { return at[len(at)-1] }

// validPath is fs.ValidPath for names of any bytes: those of a layer need not be
// UTF-8.
func validPath(name string) bool { return fs.ValidPath(strings.ToValidUTF8(name, "?")) }

// find returns the node of a name given from outside, and its real name.
func (v *View) find(op, name string, follow bool) (*node, string, error) {
	if !validPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	at, err := v.walk(name, follow)
	if err != nil {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	names := make([]string, len(at))
	for i, n := range at {
		names[i] = n.name
	}
	return last(at), path.Join(names...), nil
}

// Resolve returns where name leads once every link on it is followed.
func (v *View) Resolve(name string) (string, error) {
	_, real, err := v.find("resolve", name, true)
	return real, err
}

// Layer returns which of the stacked layers, from 0, the entry of name comes
// from: the highest that has one. Links are not followed at the end.
func (v *View) Layer(name string) (int, error) {
	n, _, err := v.find("layer", name, false)
	if err != nil {
		return 0, err
	}
	return n.layer, nil
}

// Origin returns the entry that holds the content of name, and which of the
// stacked layers, from 0, it is in. Of a hard link both are the target's. Links
// are not followed at the end.
func (v *View) Origin(name string) (Entry, int, error) {
	n, _, err := v.find("origin", name, false)
	if err != nil {
		return Entry{}, 0, err
	}
	return n.entry.Entry, n.origin, nil
}

// Kept returns what was kept of the file that name leads to, and whether
// anything was. The caller must not change it.
func (v *View) Kept(name string) ([]byte, bool) {
	n, _, err := v.find("read", name, true)
	if err != nil || n.entry.kept == nil {
		return nil, false
	}
	return n.entry.kept, true
}

// Stat implements [fs.StatFS].
func (v *View) Stat(name string) (fs.FileInfo, error) {
	n, real, err := v.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return &file{view: v, node: n, name: path.Base(name), path: real}, nil
}

// Lstat returns the information of name itself, even if it is a link.
func (v *View) Lstat(name string) (fs.FileInfo, error) {
	n, real, err := v.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return &file{view: v, node: n, name: path.Base(name), path: real}, nil
}

// ReadLink returns the target of the link name, as it was written.
func (v *View) ReadLink(name string) (string, error) {
	n, _, err := v.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if !n.isLink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: errNotLink}
	}
	return n.entry.Link, nil
}

// ReadDir lists the directory that name leads to, sorted by name.
func (v *View) ReadDir(name string) ([]fs.DirEntry, error) {
	n, real, err := v.find("readdir", name, true)
	if err == nil && !n.isDir() {
		err = &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	if err != nil {
		return nil, err
	}
	list := make([]fs.DirEntry, 0, len(n.children))
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		list = append(list, &file{view: v, node: n.children[name], name: name, path: path.Join(real, name)})
	}
	return list, nil
}

// Open implements [fs.FS].
func (v *View) Open(name string) (fs.File, error) {
	n, real, err := v.find("open", name, true)
	if err != nil {
		return nil, err
	}
	f := &file{view: v, node: n, name: path.Base(name), path: real}
	switch {
	case n.isDir():
		return &openDir{file: f}, nil
	case n.entry.kept == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotKept}
	default:
		return &openFile{file: f, Reader: bytes.NewReader(n.entry.kept)}, nil
	}
}

// A file is the information of one name, and the name's entry in its directory.
type file struct {
	view *View
	node *node
	name string // as asked for: the base of the name of a link that was followed
	path string
}

func (f *file) Name() string               { return f.name }
func (f *file) Size() int64                { return f.node.entry.Size }
func (f *file) Mode() fs.FileMode          { return f.node.entry.Mode }
func (f *file) Type() fs.FileMode          { return f.node.entry.Mode.Type() }
func (f *file) ModTime() time.Time         { return time.Time{} }
func (f *file) IsDir() bool                { return f.node.isDir() }
func (f *file) Info() (fs.FileInfo, error) { return f, nil }
func (f *file) Stat() (fs.FileInfo, error) { return f, nil }
func (f *file) Close() error               { return nil }
func (f *file) String() string             { return fs.FormatFileInfo(f) }

// Sys returns the file's [Entry], whose path has all links resolved.
func (f *file) Sys() any {
	e := f.node.entry.Entry
	e.Path = f.path
	return e
}

// An openFile reads what was kept of a file.
type openFile struct {
	*file
	*bytes.Reader
}

func (f *openFile) Size() int64 { return f.file.Size() }

// An openDir lists a directory from where it was left.
type openDir struct {
	*file
	done int
}

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a directory")}
}

// ReadDir implements [fs.ReadDirFile].
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	list, err := d.view.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	list = list[d.done:]
	if n > 0 {
		if len(list) == 0 {
			return nil, io.EOF
		}
		list = list[:min(n, len(list))]
	}
	d.done += len(list)
	return list, nil
}
