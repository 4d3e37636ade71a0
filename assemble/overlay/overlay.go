// SPDX-License-Identifier: Apache-2.0

// Package overlay is a tree that can be written, over the tree of an image
// that can't. It follows links inside the tree and never out of it, knows what
// became of every name, takes back what a transaction did, and writes what
// differs as a layer: equal changes give an equal layer, and a file that was
// changed and changed back is in none.
//
// Several goroutines may use a [Tree]: each call is one step.
package overlay

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
	"sync"

	"inlay/layers"
)

// Bounds of a tree: of the links followed for one name, as Linux has it, and of
// the bytes of a file that is read or written whole.
const (
	maxLinks = 40
	maxFile  = 32 << 20
)

// Errors that fs has no name for, in a *fs.PathError.
var (
	ErrLoop     = errors.New("too many levels of symbolic links")
	ErrNotDir   = errors.New("not a directory")
	ErrIsDir    = errors.New("is a directory")
	ErrNotEmpty = errors.New("directory not empty")
	ErrNotFile  = errors.New("not a regular file")
)

// A NotKeptError reports a file of the image whose content is not at hand.
// What it holds must not be guessed.
type NotKeptError struct{ Path string }

func (e *NotKeptError) Error() string {
	return fmt.Sprintf("the content of the parent's /%s is not at hand", e.Path)
}

// A File is what is at a name, but for the content.
type File struct {
	Mode       fs.FileMode // type, permission, setuid, setgid and sticky bits
	UID, GID   int
	Time       int64  // in seconds since 1970; 0: that of the layer
	Size       int64  // bytes of a regular file
	Link       string // target of a symbolic link
	Capability string // value of security.capability
}

// A node is a file with its content. Hard links share it.
type node struct {
	File
	body     io.ReaderAt      // of a regular file; nil: the image's
	children map[string]*node // of a directory that was looked into
	loaded   bool             // children holds what base does, and changes

	base  string // path in the image, or ""
	dirty bool   // it is no longer what base is
	order int    // in which Place put it there, or 0
}

func (n *node) isDir() bool  { return n.Mode.IsDir() }
func (n *node) isLink() bool { return n.Mode.Type() == fs.ModeSymlink }

// A Tree is an image's tree and what was changed of it.
type Tree struct {
	mu     sync.Mutex
	view   *layers.View // nil: there is nothing below
	root   *node
	placed int
	undo   []func() // of the transaction, in reverse order
	begun  bool
}

// New returns the tree of view, unchanged. Nil stands for an empty image.
func New(view *layers.View) *Tree {
	root := &node{File: File{Mode: fs.ModeDir | 0o755}, loaded: view == nil}
	if view != nil {
		root.base = "."
	}
	return &Tree{view: view, root: root}
}

// Begin starts a transaction: until it ends, all changes can be taken back.
// There is one at a time.
func (t *Tree) Begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.undo, t.begun = nil, true
}

// Commit ends a transaction and keeps what it did.
func (t *Tree) Commit() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.undo, t.begun = nil, false
}

// Rollback ends a transaction and takes back what it did.
func (t *Tree) Rollback() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range slices.Backward(t.undo) {
		f()
	}
	t.undo, t.begun = nil, false
}

// set changes what a directory has at a name; nil removes it.
func (t *Tree) set(dir *node, name string, n *node) {
	old := dir.children[name]
	put := func(n *node) {
		switch {
		case n == nil:
			delete(dir.children, name)
		case dir.children == nil:
			dir.children = map[string]*node{name: n}
		default:
			dir.children[name] = n
		}
	}
	if t.begun {
		t.undo = append(t.undo, func() { put(old) })
	}
	put(n)
}

// change lets f change n.
func (t *Tree) change(n *node, f func()) {
	if t.begun {
		old := *n
		t.undo = append(t.undo, func() { *n = old })
	}
	n.dirty = true
	f()
}

// load makes n's children those of the image.
func (t *Tree) load(n *node) error {
	if n.loaded {
		return nil
	}
	n.children, n.loaded = make(map[string]*node), true
	if n.base == "" {
		return nil
	}
	list, err := t.view.ReadDir(n.base)
	if err != nil {
		return err
	}
	for _, d := range list {
		info, err := d.Info()
		if err != nil {
			return err
		}
		e, ok := info.Sys().(layers.Entry)
		if !ok {
			return fmt.Errorf("the image's %s is unknown", d.Name())
		}
		n.children[d.Name()] = &node{base: path.Join(n.base, d.Name()), File: File{
			Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size, Link: e.Link,
		}}
	}
	return nil
}

// there is find of what must be there.
func (t *Tree) there(op, name string, follow bool) (spot, error) {
	s, err := t.find(op, name, follow)
	if err == nil && s.node == nil {
		err = &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return s, err
}

// Stat returns what name leads to, Lstat what is at name even if it is a link.
func (t *Tree) Stat(name string) (File, error) { return t.stat("stat", name, true) }

// Lstat is Stat that doesn't follow name itself.
func (t *Tree) Lstat(name string) (File, error) { return t.stat("lstat", name, false) }

func (t *Tree) stat(op, name string, follow bool) (File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.there(op, name, follow)
	if err != nil {
		return File{}, err
	}
	return s.node.File, nil
}

// Exists reports whether something is at name, be it a link to nowhere.
func (t *Tree) Exists(name string) bool {
	_, err := t.Lstat(name)
	return err == nil
}

// Resolve returns where name leads once every link is followed, relative to
// the root, whether something is there or not. Its directory must be.
func (t *Tree) Resolve(name string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.find("resolve", name, true)
	return s.path, err
}

// Place returns where name is: the links on the way are followed, one at name
// itself is not.
func (t *Tree) Place(name string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.find("resolve", name, false)
	return s.path, err
}

// Same reports whether a and b lead to one file.
func (t *Tree) Same(a, b string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, err1 := t.there("stat", a, true)
	other, err2 := t.there("stat", b, true)
	return err1 == nil && err2 == nil && at.node == other.node
}

// ReadDir returns the names in the directory that name leads to, sorted.
func (t *Tree) ReadDir(name string) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.there("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !s.node.isDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: ErrNotDir}
	}
	if err := t.load(s.node); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.node.children)), nil
}

// Body returns the content of the regular file that name leads to. If it is the
// image's and not at hand, the error is a *NotKeptError.
func (t *Tree) Body(name string) (*io.SectionReader, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.there("open", name, true)
	if err != nil {
		return nil, err
	}
	if !s.node.Mode.IsRegular() {
		err := ErrNotFile
		if s.node.isDir() {
			err = ErrIsDir
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return t.body(s.node)
}

func (t *Tree) body(n *node) (*io.SectionReader, error) {
	if n.body != nil {
		return io.NewSectionReader(n.body, 0, n.Size), nil
	}
	if n.base == "" || n.Size == 0 {
		return io.NewSectionReader(bytes.NewReader(nil), 0, 0), nil
	}
	b, kept := t.view.Kept(n.base)
	if !kept || int64(len(b)) != n.Size {
		return nil, &NotKeptError{n.base}
	}
	return io.NewSectionReader(bytes.NewReader(b), 0, n.Size), nil
}

// ReadFile returns the content of the regular file that name leads to.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	body, err := t.Body(name)
	if err != nil {
		return nil, err
	}
	if body.Size() > maxFile {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it has more than %d bytes", maxFile)}
	}
	b := make([]byte, body.Size())
	if _, err := io.ReadFull(body, b); err != nil {
		return nil, fmt.Errorf("reading /%s: %w", strings.TrimPrefix(name, "/"), err)
	}
	return b, nil
}
