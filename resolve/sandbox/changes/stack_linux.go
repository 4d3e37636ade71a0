// SPDX-License-Identifier: Apache-2.0

// Package changes finds what differs between a tree and the layers that it was
// made of, whether it is an overlay over them or a copy: what it finds is the same.
// The layers are directories as overlayfs takes them, with its marks.
package changes

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"inlay/layers"
)

// A Stack is the directories of layers, the topmost first.
//
// Where the directories lie on an overlay themselves, files .wh.NAME are marks in
// place of devices. fuse-overlayfs has those too, and an attribute of its own.
type Stack []string

// A node is what a stack shows at a path.
type node struct {
	path string // of the topmost file
	unix.Stat_t
	marks bool     // there are marks that are not the kernel's
	dirs  []string // if it is a directory, those that make it up, the topmost first
}

func (n *node) kind() uint32 { return n.Mode & unix.S_IFMT }
func (n *node) isDir() bool  { return n.kind() == unix.S_IFDIR }

// top is the directory that the stack as a whole shows.
func (s Stack) top(marks bool) (*node, error) {
	n := &node{marks: marks, Stat_t: unix.Stat_t{Mode: unix.S_IFDIR | 0o755}}
	for i, dir := range s {
		if i == 0 {
			if err := n.stat(dir); err != nil {
				return nil, err
			}
		}
		n.dirs = append(n.dirs, dir)
		if n.opaque(dir) {
			break
		}
	}
	return n, nil
}

func (n *node) stat(p string) error {
	n.path = p
	if err := unix.Lstat(p, &n.Stat_t); err != nil {
		return &os.PathError{Op: "lstat", Path: p, Err: err}
	}
	return nil
}

// opaque reports whether a directory, a part of the node, hides what layers below
// have in it.
func (n *node) opaque(dir string) bool {
	if yes(dir, "user.overlay.opaque") {
		return true
	}
	if !n.marks {
		return false
	}
	_, err := os.Lstat(path.Join(dir, layers.WhiteoutOpaque))
	return err == nil || yes(dir, "user.fuseoverlayfs.opaque")
}

func yes(p, attribute string) bool {
	var v [2]byte
	n, err := unix.Lgetxattr(p, attribute, v[:])
	return err == nil && n == 1 && v[0] == 'y'
}

// whiteout reports whether a file is the mark that there is none.
func (n *node) whiteout() bool { return n.kind() == unix.S_IFCHR && n.Rdev == 0 }

// children returns what a directory holds, by name. A nil node holds nothing.
func (n *node) children() (map[string]*node, error) {
	if n == nil || !n.isDir() {
		return nil, nil
	}
	all := map[string]*node{}
	closed := map[string]bool{} // layers below can't add to these
	for _, dir := range n.dirs {
		names, err := readDir(dir)
		if err != nil {
			return nil, err
		}
		if err := n.mergeAll(all, closed, dir, names); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// mergeAll adds what one layer has in a directory.
func (n *node) mergeAll(all map[string]*node, closed map[string]bool, dir string, names []string) (err error) {
	var hidden []string
	for _, name := range names {
		if below, ok := strings.CutPrefix(name, layers.WhiteoutPrefix); ok && n.marks {
			hidden = append(hidden, below)
			continue
		}
		if closed[name] {
			continue
		}
		if closed[name], err = n.merge(all, path.Join(dir, name), name); err != nil {
			return err
		}
	}
	for _, name := range hidden { // from layers below, and not from this one
		closed[name] = true
	}
	return nil
}

// merge adds what one layer has at p, and reports whether that hides what is
// below.
func (n *node) merge(all map[string]*node, p, name string) (bool, error) {
	here := &node{marks: n.marks}
	if err := here.stat(p); err != nil {
		return false, err
	}
	above := all[name]
	switch {
	case here.whiteout():
		return true, nil
	case !here.isDir() && above == nil:
		all[name] = here
		return true, nil
	case !here.isDir():
		return true, nil // a directory above took its place
	case above == nil:
		all[name], above = here, here
	}
	above.dirs = append(above.dirs, p)
	return n.opaque(p), nil
}

func readDir(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return f.Readdirnames(-1)
}

// Copy makes the directory to hold what the stack shows, with its owners, modes,
// times and capabilities. Devices and the like are left out.
func (s Stack) Copy(to string) error {
	top, err := s.top(true)
	if err != nil {
		return err
	}
	return copyInto(top, to, 0)
}

// Copy copies a file or a directory as Stack.Copy does, for owners whose numbers
// are higher by shift.
func Copy(from, to string, shift int) error {
	n := &node{}
	if err := n.stat(from); err != nil {
		return err
	}
	if n.isDir() {
		n.dirs = []string{from}
	}
	return n.copy(to, shift)
}

func copyInto(dir *node, to string, shift int) error {
	children, err := dir.children()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(children)) {
		if err := children[name].copy(path.Join(to, name), shift); err != nil {
			return err
		}
	}
	return dir.attributes(to, shift)
}

// copy makes a file of the node at p.
func (n *node) copy(p string, shift int) error {
	switch n.kind() {
	case unix.S_IFDIR:
		if err := os.Mkdir(p, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		return copyInto(n, p, shift)
	case unix.S_IFLNK:
		target, err := os.Readlink(n.path)
		if err != nil {
			return err
		}
		_ = os.Remove(p) // left by a copy that was cut short
		if err := os.Symlink(target, p); err != nil {
			return err
		}
		return n.attributes(p, shift)
	case unix.S_IFREG:
		if err := n.content(p); err != nil {
			return err
		}
		return n.attributes(p, shift)
	default:
		return nil
	}
}

func (n *node) content(p string) error {
	in, err := os.Open(n.path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.OpenFile(p, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()                           //nolint:errcheck // nothing depends on it
	if _, err := io.Copy(out, in); err != nil { // shares the blocks where the file system can
		return err
	}
	return out.Close()
}

// attributes gives the file at p those of the node.
func (n *node) attributes(p string, shift int) error {
	// Where there is one id, all belongs to it already.
	if err := unix.Lchown(p, int(n.Uid)+shift, int(n.Gid)+shift); err != nil && !errors.Is(err, unix.EINVAL) {
		return &os.PathError{Op: "lchown", Path: p, Err: err}
	}
	if n.kind() == unix.S_IFLNK {
		return nil
	}
	if err := unix.Chmod(p, n.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: p, Err: err}
	}
	if capability := n.capability(); capability != "" {
		if err := unix.Lsetxattr(p, capabilityName, []byte(capability), 0); err != nil {
			return fmt.Errorf("giving %s capabilities: %w", p, err)
		}
	}
	times := []unix.Timespec{n.Atim, n.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, p, times, unix.AT_SYMLINK_NOFOLLOW)
}

const capabilityName = "security.capability"

// capability returns what capabilities a program has.
func (n *node) capability() string {
	if n.kind() != unix.S_IFREG {
		return ""
	}
	var v [64]byte
	size, err := unix.Lgetxattr(n.path, capabilityName, v[:])
	if err != nil {
		return ""
	}
	return string(v[:size])
}
