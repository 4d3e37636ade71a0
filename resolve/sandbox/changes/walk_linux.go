// SPDX-License-Identifier: Apache-2.0

package changes

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"inlay/layers"
)

// A Writer takes the changes: every directory before what it holds.
type Writer interface {
	Add(e layers.Entry, body io.Reader) error
	Link(e layers.Entry, target string) error
	Remove(path string) error
}

// A Comparison is a tree and what it was made of.
type Comparison struct {
	Lower Stack
	Upper string // directory of the changes, or of the whole tree if Copy
	Copy  bool
	// Fuse tells that fuse-overlayfs made the marks of the changes: see [Stack].
	// A command may have made files of such names elsewhere.
	Fuse bool
	// Made are paths that were made for mounts: they are no changes unless
	// something was done to them.
	Made  []string
	Epoch int64 // latest time of a file, in seconds since 1970
}

// Write writes what is changed. Sockets, pipes and devices are left out.
func (c Comparison) Write(w Writer) error {
	before, err := c.Lower.top(true)
	if err != nil {
		return err
	}
	now := Stack{c.Upper}
	if !c.Copy {
		now = append(now, c.Lower...)
	}
	after, err := now.top(c.Fuse)
	if err != nil {
		return err
	}
	k := &walker{c: c, w: w, first: map[inode]string{}, made: map[string]bool{}}
	for _, p := range c.Made {
		k.made[p] = true
	}
	return k.dir(".", after, before)
}

type inode struct{ dev, ino uint64 }

type walker struct {
	c       Comparison
	w       Writer
	first   map[inode]string // name under which a file was written
	made    map[string]bool
	pending []layers.Entry // directories above that were not written yet
}

// dir writes what differs below a directory.
func (k *walker) dir(rel string, after, before *node) error {
	if !k.touched(after) {
		return nil
	}
	was, err := before.children()
	if err != nil {
		return err
	}
	is, err := after.children()
	if err != nil {
		return err
	}
	names := maps.Clone(was)
	if names == nil {
		names = map[string]*node{}
	}
	maps.Copy(names, is)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		p := path.Join(rel, name)
		if err := k.entry(p, is[name], was[name]); err != nil {
			return err
		}
	}
	return nil
}

// touched reports whether anything below a directory can differ: in an overlay,
// whether the directory is one of those above the layers.
func (k *walker) touched(dir *node) bool {
	return k.c.Copy || len(dir.dirs) > 0 && under(dir.dirs[0], k.c.Upper)
}

func under(p, dir string) bool {
	return p == dir || len(p) > len(dir) && p[:len(dir)] == dir && p[len(dir)] == '/'
}

func (k *walker) entry(p string, is, was *node) error {
	switch {
	case is == nil || special(is):
		if was == nil || special(was) {
			return nil
		}
		return k.remove(p)
	case k.c.Copy || under(is.path, k.c.Upper):
		return k.compare(p, is, was)
	default:
		return nil
	}
}

func special(n *node) bool {
	return n.kind() != unix.S_IFREG && n.kind() != unix.S_IFDIR && n.kind() != unix.S_IFLNK
}

func (k *walker) compare(p string, is, was *node) error {
	if was != nil && special(was) {
		was = nil
	}
	differs, err := differ(is, was)
	if err != nil {
		return err
	}
	if was == nil && k.made[p] && (is.isDir() || is.Size == 0) {
		differs = false
	}
	if is.isDir() {
		return k.subdir(p, is, was, differs)
	}
	if differs {
		return k.file(p, is)
	}
	return nil
}

// subdir writes a directory, if it or anything in it differs, and what differs
// in it.
func (k *walker) subdir(p string, is, was *node, differs bool) error {
	depth := len(k.pending)
	k.pending = append(k.pending, k.describe(p, is))
	if differs {
		if err := k.flush(); err != nil {
			return err
		}
	}
	if was != nil && !was.isDir() {
		was = nil
	}
	err := k.dir(p, is, was)
	if len(k.pending) > depth {
		k.pending = k.pending[:depth]
	}
	return err
}

// differ reports whether what is there is not what was.
func differ(is, was *node) (bool, error) {
	switch {
	case was == nil, is.kind() != was.kind():
		return true, nil
	case is.kind() == unix.S_IFLNK:
		if is.Uid != was.Uid || is.Gid != was.Gid {
			return true, nil
		}
		a, err := os.Readlink(is.path)
		if err != nil {
			return false, err
		}
		b, err := os.Readlink(was.path)
		return a != b, err
	case is.Mode != was.Mode, is.Uid != was.Uid, is.Gid != was.Gid:
		return true, nil
	case is.isDir():
		return false, nil
	case is.Size != was.Size, is.capability() != was.capability():
		return true, nil
	default:
		same, err := sameContent(is.path, was.path)
		return !same, err
	}
}

func sameContent(a, b string) (bool, error) {
	x, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer x.Close() //nolint:errcheck // only read
	y, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer y.Close() //nolint:errcheck // only read
	const piece = 128 << 10
	p, q := make([]byte, piece), make([]byte, piece)
	for {
		n, err := io.ReadFull(x, p)
		m, _ := io.ReadFull(y, q) // a file that ends early differs
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return true, nil
		case err != nil:
			return false, err
		}
	}
}

// flush writes the directories above that were not written yet: a layer says of
// each what it is.
func (k *walker) flush() error {
	for _, e := range k.pending {
		if err := k.w.Add(e, nil); err != nil {
			return err
		}
	}
	k.pending = nil
	return nil
}

func (k *walker) remove(p string) error {
	if err := k.flush(); err != nil {
		return err
	}
	return k.w.Remove(p)
}

func (k *walker) file(p string, n *node) error {
	if err := k.flush(); err != nil {
		return err
	}
	e := k.describe(p, n)
	if n.kind() == unix.S_IFLNK {
		target, err := os.Readlink(n.path)
		if err != nil {
			return err
		}
		e.Link = target
		return k.w.Add(e, nil)
	}
	if n.Nlink > 1 {
		id := inode{n.Dev, n.Ino}
		if first := k.first[id]; first != "" {
			return k.w.Link(e, first)
		}
		k.first[id] = p
	}
	f, err := os.Open(n.path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	e.Size, e.Capability = n.Size, n.capability()
	return k.w.Add(e, f)
}

// describe is what a layer says of a file. Times after Epoch are those of the
// command, and not the same the next time: they are the layer's.
func (k *walker) describe(p string, n *node) layers.Entry {
	e := layers.Entry{Path: p, Mode: layers.FileMode(n.Mode), UID: int(n.Uid), GID: int(n.Gid)}
	switch n.kind() {
	case unix.S_IFDIR:
		e.Mode |= fs.ModeDir
	case unix.S_IFLNK:
		e.Mode = fs.ModeSymlink | fs.ModePerm
	}
	if t := n.Mtim.Sec; t > 0 && t < k.c.Epoch {
		e.Time = t
	}
	return e
}
