// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// poll is how often a held lock is tried again.
const poll = 20 * time.Millisecond

// Lock takes the lock on path, shared or exclusive, among goroutines and
// processes alike, making the file and its directory if need be, and waits for
// those who hold it. The kernel drops the lock when the process ends, however
// it ends. It guards files: to the race detector it is no synchronisation of
// memory.
//
// Whoever holds the lock exclusively may remove the file, as the last thing
// before unlocking: with the file goes the lock.
//
// The error is the context's, or a *DirError where there can be no lock.
func Lock(ctx context.Context, path string, shared bool) (unlock func(), err error) {
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	for {
		l := flock.New(path, flock.SetPermissions(0o644))
		try := l.TryLockContext
		if shared {
			try = l.TryRLockContext
		}
		if _, err := try(ctx, poll); ctx.Err() != nil {
			_ = l.Close()
			return nil, fmt.Errorf("waiting for the lock %s: %w", path, ctx.Err())
		} else if err != nil {
			return nil, dirError(dir, err)
		}
		if inPlace(l) {
			return func() { _ = l.Close() }, nil
		}
		_ = l.Close() // another removed the file: this is the lock of nothing
	}
}

// Only takes the lock of a name in dir, among goroutines and processes alike, and
// removes its file when it is given back. The errors are those of Lock.
func Only(ctx context.Context, dir, name string) (unlock func(), err error) {
	path := filepath.Join(dir, LockPrefix+name)
	release, err := Lock(ctx, path, false)
	if err != nil {
		return nil, err
	}
	return func() {
		_ = os.Remove(path) // if not now, then by Sweep
		release()
	}, nil
}

// inPlace reports whether the locked file is the one that its path names.
func inPlace(l *flock.Flock) bool {
	locked, err := l.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(l.Path())
	return err == nil && os.SameFile(locked, named)
}
