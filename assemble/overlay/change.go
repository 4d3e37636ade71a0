// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// vacant returns the spot of name, at which nothing is.
func (t *Tree) vacant(op, name string) (spot, error) {
	s, err := t.find(op, name, false)
	if err == nil && s.node != nil {
		err = &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	}
	return s, err
}

// Put replaces what is at name, unless that is a directory that holds
// something. The content of a regular file is that of body, Size bytes. Its
// directory must be there. Files are written to the layer in the order in which
// they were put there.
func (t *Tree) Put(name string, f File, body io.ReaderAt) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.find("put", name, false)
	if err == nil && s.dir == nil {
		err = &fs.PathError{Op: "put", Path: name, Err: ErrIsDir}
	}
	if err == nil && s.node != nil {
		err = t.disposable("put", name, s.node)
	}
	if err != nil {
		return err
	}
	t.placed++
	t.set(s.dir, s.base, &node{File: f, body: body, loaded: true, order: t.placed})
	return nil
}

// disposable tells why n can't go: it is a directory that holds something.
func (t *Tree) disposable(op, name string, n *node) error {
	if !n.isDir() {
		return nil
	}
	if err := t.load(n); err != nil {
		return err
	}
	if len(n.children) > 0 {
		return &fs.PathError{Op: op, Path: name, Err: ErrNotEmpty}
	}
	return nil
}

// WriteFile makes b the content of the file that name leads to. If it is not
// there it becomes root's, with the permissions perm. The tree keeps b: nobody may
// change it from then on.
func (t *Tree) WriteFile(name string, b []byte, perm fs.FileMode) error {
	return t.WriteBody(name, bytes.NewReader(b), int64(len(b)), perm)
}

// WriteBody is WriteFile for a content of size bytes, which the tree reads when it
// needs it.
func (t *Tree) WriteBody(name string, body io.ReaderAt, size int64, perm fs.FileMode) error {
	if size > maxFile {
		return &fs.PathError{Op: "write", Path: name, Err: fmt.Errorf("it would have more than %d bytes", maxFile)}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.find("write", name, true)
	if err != nil {
		return err
	}
	switch {
	case s.node == nil:
		t.set(s.dir, s.base, &node{File: File{Mode: perm, Size: size}, body: body})
		return nil
	case s.node.isDir():
		return &fs.PathError{Op: "write", Path: name, Err: ErrIsDir}
	case !s.node.Mode.IsRegular():
		return &fs.PathError{Op: "write", Path: name, Err: ErrNotFile}
	}
	t.change(s.node, func() {
		s.node.Size, s.node.body, s.node.Time, s.node.order = size, body, 0, 0
	})
	return nil
}

// A growing content is written to at its end.
type growing struct{ b []byte }

func (g *growing) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(g.b).ReadAt(p, at) }

// Append writes b to the end of the regular file that name leads to.
func (t *Tree) Append(name string, b []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.there("write", name, true)
	switch {
	case err != nil:
		return err
	case !s.node.Mode.IsRegular():
		return &fs.PathError{Op: "write", Path: name, Err: ErrNotFile}
	case s.node.Size+int64(len(b)) > maxFile:
		return &fs.PathError{Op: "write", Path: name, Err: fmt.Errorf("it would have more than %d bytes", maxFile)}
	}
	old, ok := s.node.body.(*growing)
	if !ok || int64(len(old.b)) != s.node.Size {
		body, err := t.body(s.node)
		if err != nil {
			return err
		}
		old = &growing{make([]byte, s.node.Size)}
		if _, err := io.ReadFull(body, old.b); err != nil {
			return err
		}
	}
	t.change(s.node, func() {
		s.node.body = &growing{append(old.b, b...)}
		s.node.Size, s.node.Time, s.node.order = s.node.Size+int64(len(b)), 0, 0
	})
	return nil
}

// Mkdir makes a directory.
func (t *Tree) Mkdir(name string, f File) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mkdir(name, f)
}

func (t *Tree) mkdir(name string, f File) error {
	s, err := t.vacant("mkdir", name)
	if err != nil {
		return err
	}
	f.Mode |= fs.ModeDir
	t.set(s.dir, s.base, &node{File: f, loaded: true})
	return nil
}

// MkdirAll makes the directory name and those on the way that are missing, all
// root's with the permissions perm.
func (t *Tree) MkdirAll(name string, perm fs.FileMode) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := ""
	for elem := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		done += "/" + elem
		s, err := t.find("mkdir", done, true)
		switch {
		case err != nil:
			return err
		case s.node == nil:
			err = t.mkdir(s.path, File{Mode: perm})
		case !s.node.isDir():
			err = &fs.PathError{Op: "mkdir", Path: done, Err: ErrNotDir}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Symlink makes a link to target, as it stands there.
func (t *Tree) Symlink(target, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.vacant("symlink", name)
	if err != nil {
		return err
	}
	t.set(s.dir, s.base, &node{File: File{Mode: fs.ModeSymlink | 0o777, Link: target}})
	return nil
}

// Link makes name another name of the file old, which is no directory.
func (t *Tree) Link(old, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	from, err := t.there("link", old, false)
	if err == nil && from.node.isDir() {
		err = &fs.PathError{Op: "link", Path: old, Err: ErrIsDir}
	}
	if err != nil {
		return err
	}
	s, err := t.vacant("link", name)
	if err != nil {
		return err
	}
	t.set(s.dir, s.base, from.node)
	return nil
}

// Rename moves what is at old to name. As rename(2) it replaces a file there,
// or an empty directory by a directory.
func (t *Tree) Rename(old, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	from, err := t.there("rename", old, false)
	if err != nil {
		return err
	}
	to, err := t.find("rename", name, false)
	switch {
	case err != nil:
		return err
	case from.dir == nil || to.dir == nil || strings.HasPrefix(to.path+"/", from.path+"/"):
		return &fs.PathError{Op: "rename", Path: name, Err: fs.ErrInvalid}
	case to.node != nil && to.node.isDir() && !from.node.isDir():
		return &fs.PathError{Op: "rename", Path: name, Err: ErrIsDir}
	case to.node != nil && from.node.isDir() && !to.node.isDir():
		return &fs.PathError{Op: "rename", Path: name, Err: ErrNotDir}
	case to.node != nil:
		if err := t.disposable("rename", name, to.node); err != nil {
			return err
		}
	}
	t.set(from.dir, from.base, nil)
	t.set(to.dir, to.base, from.node)
	return nil
}

// Remove removes what is at name, unless that is a directory that holds
// something.
func (t *Tree) Remove(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.there("remove", name, false)
	if err == nil && s.dir == nil {
		err = &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	if err == nil {
		err = t.disposable("remove", name, s.node)
	}
	if err != nil {
		return err
	}
	t.set(s.dir, s.base, nil)
	return nil
}

// RemoveAll removes what is at name, and all that it holds. That nothing is
// there is no error.
func (t *Tree) RemoveAll(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.find("remove", name, false)
	switch {
	case err != nil || s.node == nil:
		return nil // where there is no way to it nothing is there
	case s.dir == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	t.set(s.dir, s.base, nil)
	return nil
}

// Chmod sets the permission, setuid, setgid and sticky bits of what name leads
// to.
func (t *Tree) Chmod(name string, mode fs.FileMode) error {
	return t.edit("chmod", name, true, func(f *File) { f.Mode = f.Mode.Type() | mode&^fs.ModeType })
}

// Chown sets the owner of what name leads to, or of name itself. Numbers below
// 0 leave what is there. As chown(2) it drops the setuid and setgid bits of
// files, and capabilities.
func (t *Tree) Chown(name string, uid, gid int, follow bool) error {
	return t.edit("chown", name, follow, func(f *File) {
		if uid >= 0 {
			f.UID = uid
		}
		if gid >= 0 {
			f.GID = gid
		}
		if f.Mode.IsRegular() {
			f.Capability = ""
			f.Mode &^= fs.ModeSetuid
			if f.Mode&0o010 != 0 {
				f.Mode &^= fs.ModeSetgid
			}
		}
	})
}

// SetCapability sets the attribute security.capability of a regular file.
func (t *Tree) SetCapability(name, value string) error {
	return t.edit("setcap", name, true, func(f *File) { f.Capability = value })
}

func (t *Tree) edit(op, name string, follow bool, f func(*File)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.there(op, name, follow)
	if err != nil {
		return err
	}
	if s.node.Mode.IsRegular() { // a layer repeats the content of what it changes
		if _, err := t.body(s.node); err != nil {
			return err
		}
	}
	t.change(s.node, func() { f(&s.node.File) })
	return nil
}
