// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
)

// A Dir is a directory opened as a build context. Its files are those below
// the directory and no others: neither a symbolic link nor somebody who moves
// files around meanwhile leads out of it. Use it for reading the files again
// when they go into a layer.
type Dir struct {
	root  *os.Root
	files fs.FS // of root

	mu   sync.Mutex
	last *os.Root // the directory at path, which the last file was opened in
	path string
}

// Open opens the directory with the given name, which may be a symbolic link
// to one. A name that can't be opened as a directory is a *ContextError.
func Open(name string) (*Dir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		if info, e := os.Stat(name); e == nil && !info.IsDir() {
			err = syscall.ENOTDIR // which OpenRoot says only in words
		}
		return nil, &ContextError{Dir: name, Err: err}
	}
	return &Dir{root: root, files: root.FS()}, nil
}

// Close closes the directory. Files that are open stay open.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil {
		_ = d.last.Close()
	}
	return d.root.Close()
}

// Open opens a file or directory. It doesn't wait for a writer if that is a
// named pipe. What a directory lists knows its FileInfo and asks for nothing
// more.
func (d *Dir) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if r, err := d.within(path.Dir(name)); err == nil {
		if f, err := r.OpenFile(path.Base(name), os.O_RDONLY|nonblock, 0); err == nil {
			return f, nil
		}
		// A link may lead to another directory, and a second goroutine have closed r.
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// within returns the directory with that path. Files are mostly read one
// directory after the other: the last one is kept, so that its parents need not
// be opened for each file.
func (d *Dir) within(dir string) (*os.Root, error) {
	if dir == "." {
		return d.root, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil && d.path == dir {
		return d.last, nil
	}
	r, err := d.root.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if d.last != nil {
		_ = d.last.Close()
	}
	d.last, d.path = r, dir
	return r, nil
}

// ReadLink returns the target of a symbolic link as it stands there.
func (d *Dir) ReadLink(name string) (string, error) { return fs.ReadLink(d.files, name) }

// Lstat describes a file, or a symbolic link itself.
func (d *Dir) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(d.files, name) }
