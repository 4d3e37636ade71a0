// SPDX-License-Identifier: Apache-2.0

// Package disk keeps immutable files in a directory that several processes
// share. A file appears under its name whole and synced, or not at all, even if
// its writer is killed; whether a small value is whole a checksum tells instead.
// What a killed writer leaves behind is told from what a living one is writing by
// a lock that the kernel drops with the process.
package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"
)

// tempPrefix begins the name of a file that is being written.
const tempPrefix = ".tmp-"

// maxTries bounds how often Create starts again. Losing to Sweep even twice
// takes luck; a file system that can't tell files apart loses always.
const maxTries = 10

// A Pending file is written under a temporary name until Commit. Its writes
// return a *DirError where the directory is full or can't be written.
type Pending struct {
	*os.File
	dir  string
	held *flock.Flock // keeps Sweep away while the writer lives
	done bool
}

// Create starts a file in dir, which it makes if need be. The file will be
// readable for all and the directories searchable for all, less what the umask
// takes away. Where dir can't be written the error is a *DirError.
func Create(dir string) (*Pending, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		f, err := os.OpenFile(filepath.Join(dir, tempPrefix+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrNotExist) && try < maxTries {
			// Another removed the directory, which was empty.
			if err := makeDir(dir); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, dirError(dir, err)
		}
		held := flock.New(f.Name(), flock.SetFlag(os.O_RDWR))
		if claimed(held) || try == maxTries {
			return &Pending{File: f, dir: dir, held: held}, nil
		}
		// Sweep came between the two calls and took the file for a leftover.
		_ = held.Close()
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
}

// claimed locks a new file and reports whether it is still there. On a file
// system without locks it is: Sweep can't lock it either and leaves it alone.
func claimed(held *flock.Flock) bool {
	locked, err := held.TryLock()
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return locked && inPlace(held)
}

// Write writes to the file.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	return n, p.wrap(err)
}

// WriteString writes to the file.
func (p *Pending) WriteString(s string) (int, error) {
	n, err := p.File.WriteString(s)
	return n, p.wrap(err)
}

// ReadFrom writes what r holds to the file.
func (p *Pending) ReadFrom(r io.Reader) (int64, error) {
	n, err := p.File.ReadFrom(r)
	return n, p.wrap(err)
}

// wrap names the directory in errors of this file; others, those of a reader
// that is copied, pass as they are.
func (p *Pending) wrap(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Path == p.Name() {
		return dirError(p.dir, err)
	}
	return err
}

// Commit makes the file visible as name, a plain file name, in its directory,
// replacing a file of that name, and returns its path. On disk the content
// comes before the name, so neither a killed process nor a power cut leaves a
// name with half the content.
func (p *Pending) Commit(name string) (path string, err error) {
	if err := p.Sync(); err != nil {
		return "", dirError(p.dir, err)
	}
	if path, err = p.show(name); err != nil {
		return "", err
	}
	if err := syncDir(p.dir); err != nil {
		return "", dirError(p.dir, err)
	}
	return path, nil
}

// show is Commit without waiting for the disk: after a power cut the name may be
// missing, or of a file cut short.
func (p *Pending) show(name string) (path string, err error) {
	if !filepath.IsLocal(name) || name == "." || filepath.Base(name) != name || isLeftover(name) {
		return "", fmt.Errorf("%q can't be the name of a file in %s", name, p.dir)
	}
	path = filepath.Join(p.dir, name)
	if err := p.Close(); err != nil {
		return "", dirError(p.dir, err)
	}
	if err := os.Rename(p.Name(), path); err != nil {
		return "", dirError(p.dir, err)
	}
	p.done = true
	_ = p.held.Close() // the name it locked is gone
	return path, nil
}

// Abort drops the file. It does nothing after Commit, so it can be deferred.
func (p *Pending) Abort() {
	if p.done {
		return
	}
	p.done = true
	_ = p.Close()
	_ = os.Remove(p.Name()) // if not now, then by Sweep
	_ = p.held.Close()
}

// syncDir makes the names in dir last. File systems that have no such thing
// say so with EINVAL or ENOTSUP.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return dirError(dir, err)
	}
	return nil
}

// A DirError reports a directory that can't be written: it is read-only, full,
// takes no file that large, or is on a file system without locks.
type DirError struct {
	Dir string
	Err error // what the system said
}

// dirError wraps err, without the temporary name in it, which says nothing to
// the reader and is gone when it is read.
func dirError(dir string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return &DirError{Dir: dir, Err: err}
}

func (e *DirError) Error() string { return fmt.Sprintf("writing in %s: %v", e.Dir, e.Err) }

// Unwrap returns what the system said.
func (e *DirError) Unwrap() error { return e.Err }

// Hint says how to get a directory that can be written.
func (e *DirError) Hint() string {
	switch {
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		return "free space on its disk, for example with: inlay cache prune"
	case errors.Is(e.Err, syscall.EFBIG):
		return "allow larger files (ulimit -f), or use a directory on a file system that takes them, for the cache with --cache-dir DIR"
	case errors.Is(e.Err, syscall.ENOLCK), errors.Is(e.Err, syscall.ENOTSUP), errors.Is(e.Err, syscall.ENOSYS):
		return "its file system has no locks: use a directory on a local disk, for the cache with --cache-dir DIR"
	default:
		return "make it writable or use another directory, for the cache with --cache-dir DIR"
	}
}
