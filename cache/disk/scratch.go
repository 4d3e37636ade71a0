// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// scratchPrefix begins the names of the directories that Scratch makes.
const scratchPrefix = "scratch-"

// Scratch makes an empty directory below another, for its owner alone, and
// returns its absolute path. It lives until remove is called; if the process is
// killed before, SweepScratch removes it.
func Scratch(ctx context.Context, under string) (dir string, remove func(), err error) {
	under, err = filepath.Abs(under)
	if err != nil {
		return "", nil, err
	}
	name := scratchPrefix + strings.ToLower(rand.Text())
	lock := filepath.Join(under, LockPrefix+name)
	unlock, err := Lock(ctx, lock, false) // before there is a directory to sweep
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(under, name)
	remove = func() {
		_ = RemoveAll(dir) // if not now, then by SweepScratch
		_ = os.Remove(lock)
		unlock()
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		remove()
		return "", nil, dirError(under, err)
	}
	return dir, remove, nil
}

// SweepScratch removes the directories below under that Scratch made for
// processes that were killed, with remove, and returns how many bytes of files
// that freed. It is safe while others use Scratch.
func SweepScratch(under string, remove func(dir string) error) (freed int64, err error) {
	entries, err := readDir(under)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), scratchPrefix) {
			freed += sweepScratch(under, e.Name(), remove)
		}
	}
	swept, err := Sweep(under) // locks without a directory
	return freed + swept, err
}

// sweepScratch removes a directory unless its owner lives. Where it can't tell,
// it leaves it.
func sweepScratch(under, name string, remove func(dir string) error) (freed int64) {
	lock := filepath.Join(under, LockPrefix+name)
	l := flock.New(lock, flock.SetPermissions(0o644))
	defer func() { _ = l.Close() }()
	if locked, err := l.TryLock(); err != nil || !locked || !inPlace(l) {
		return 0
	}
	dir := filepath.Join(under, name)
	freed = SizeOf(dir)
	if remove(dir) != nil {
		freed = 0
	}
	_ = os.Remove(lock)
	return freed
}

// SizeOf returns the bytes of the files below dir, as far as they can be seen.
func SizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}
