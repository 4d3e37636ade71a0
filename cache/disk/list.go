// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"inlay/layers/pattern"
)

// LockPrefix begins the names of lock files that Sweep removes when nobody
// holds them.
const LockPrefix = ".lock-"

// List returns the committed files of dir, sorted by name: none where there is
// no such directory. A file's ModTime says when it was committed or last
// touched.
func List(dir string) ([]fs.FileInfo, error) {
	return list(dir, func(e fs.DirEntry) bool { return e.Type().IsRegular() })
}

// list returns what is wanted of dir, hidden names excepted.
func list(dir string, wanted func(fs.DirEntry) bool) ([]fs.FileInfo, error) {
	entries, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	var all []fs.FileInfo
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !wanted(e) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

// Touch sets the modification time of the file at path to the present, which
// is how the least recently used files are found, and reports whether there is such
// a file. That it failed otherwise, on a read-only disk for example, is of no
// importance.
func Touch(path string) bool { return !errors.Is(unix.Utimes(path, nil), fs.ErrNotExist) }

// Sum returns the sha256 of what r holds, in hex. It ends early with ctx.
func Sum(ctx context.Context, r io.Reader) (string, error) {
	h := sha256.New()
	buf := make([]byte, 128<<10)
	for {
		n, err := r.Read(buf)
		_, _ = h.Write(buf[:n]) // a hash takes everything
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return "", err
		}
	}
}

// Sweep removes what killed processes left in dir, temporary files and lock
// files that nobody holds, and returns how many bytes that freed. It is safe
// while others write in dir.
func Sweep(dir string) (freed int64, err error) {
	entries, err := readDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if isLeftover(e.Name()) && e.Type().IsRegular() {
			freed += sweep(filepath.Join(dir, e.Name()))
		}
	}
	return freed, nil
}

// SweepShared is Sweep for a directory that isn't this program's own: it
// removes only files of the very names that Create gives.
func SweepShared(dir string) {
	entries, err := readDir(dir)
	if err != nil {
		return // the writer will tell
	}
	for _, e := range entries {
		if created().MatchString(e.Name()) && e.Type().IsRegular() {
			sweep(filepath.Join(dir, e.Name()))
		}
	}
}

// created matches the names that Create gives: the prefix and rand.Text.
var created = pattern.New(`^` + regexp.QuoteMeta(tempPrefix) + `[A-Z2-7]{26}$`)

// isLeftover reports whether name is one that Sweep looks at.
func isLeftover(name string) bool {
	return strings.HasPrefix(name, tempPrefix) || strings.HasPrefix(name, LockPrefix)
}

// Enter marks this process as one that works in dir until leave is called. Where
// it finds marks of others that were killed, it calls sweep, as what they left may
// be anywhere; the marks go if that succeeds.
func Enter(dir string, sweep func() error) (leave func(), err error) {
	mine, err := Create(dir)
	if err != nil {
		return nil, err
	}
	entries, err := readDir(dir)
	if err != nil {
		mine.Abort()
		return nil, err
	}
	var dead []*flock.Flock
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) || e.Name() == filepath.Base(mine.Name()) {
			continue
		}
		if l := claim(filepath.Join(dir, e.Name())); l != nil {
			dead = append(dead, l)
		}
	}
	swept := len(dead) == 0 || sweep() == nil
	for _, l := range dead {
		if swept {
			_ = os.Remove(l.Path())
		}
		_ = l.Close()
	}
	return mine.Abort, nil
}

// claim locks a file that nobody holds, and returns nil if it can't.
func claim(path string) *flock.Flock {
	l := flock.New(path, flock.SetFlag(os.O_RDWR))
	if locked, err := l.TryLock(); err != nil || !locked || !inPlace(l) {
		_ = l.Close()
		return nil
	}
	return l
}

// sweep removes the file at path unless somebody holds its lock. Where it
// can't tell, it leaves the file.
func sweep(path string) (freed int64) {
	l := claim(path)
	if l == nil {
		return 0
	}
	defer func() { _ = l.Close() }()
	info, err := l.Stat()
	if err != nil || os.Remove(path) != nil {
		return 0
	}
	return info.Size()
}

func readDir(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}
