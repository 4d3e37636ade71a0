// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"inlay/cache"
	"inlay/cache/disk"
	"inlay/layers/hint"
)

// lowSpace is what is little room for a cache: wheels of machine learning alone
// take gigabytes.
const lowSpace = 5 << 30

// Cache checks that the cache in root can be written and locked, and that
// programs in it run, as uv must.
func (m Machine) Cache(root string) Check {
	return Check{"cache", func(ctx context.Context) []Finding {
		dir, err := cache.Open(root)
		if err != nil {
			return broken(err, "name another with --cache-dir DIR")
		}
		release, err := dir.Use(ctx)
		if err != nil {
			return broken(err, "name one on a file system with locks, with --cache-dir DIR")
		}
		defer release()
		scratch, remove, err := disk.Scratch(ctx, dir.Scratch())
		if err != nil {
			return broken(err, "name another with --cache-dir DIR")
		}
		defer remove()
		if err := m.tryOut(ctx, scratch); err != nil {
			return broken(fmt.Errorf("%s: %w", root, err), "name one where programs may run, with --cache-dir DIR")
		}
		usage, err := dir.Usage()
		if err != nil {
			return broken(err, "remove what is damaged with `inlay cache prune --all`")
		}
		return room(root, usage)
	}}
}

// room says how much the cache holds and how much more it can.
func room(root string, usage []cache.Usage) []Finding {
	var bytes int64
	for _, u := range usage {
		bytes += u.Bytes
	}
	holds := fmt.Sprintf("%s holds %s", root, humanize.Bytes(uint64(bytes)))
	free, err := freeSpace(root)
	switch {
	case err != nil:
		return One(OK, holds, "")
	case free < lowSpace:
		return One(Note, fmt.Sprintf("%s, with room for %s more", holds, humanize.Bytes(free)), "make room with `inlay cache prune`, or name another with --cache-dir DIR")
	default:
		return One(OK, fmt.Sprintf("%s, with room for %s more", holds, humanize.Bytes(free)), "")
	}
}

// freeSpace returns the bytes that users may still write where path is.
func freeSpace(path string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil //nolint:unconvert,nolintlint // Darwin's has 32 bits
}

// broken is what an error means that a plain build would run into.
func broken(err error, fix string) []Finding {
	if text, ok := hint.Of(err); ok {
		fix = text
	}
	return One(Problem, err.Error(), fix)
}

// tryProgram writes a program into dir, whole or not at all. No process is forked
// meanwhile, as for other checks: it would hold the file open for writing until it
// execs, and the kernel runs no such file.
func tryProgram(dir string) (string, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := disk.Create(dir)
	if err != nil {
		return "", err
	}
	defer f.Abort()
	if _, err := f.WriteString("#!/bin/sh\necho works\n"); err != nil {
		return "", err
	}
	if err := f.Chmod(0o700); err != nil {
		return "", err
	}
	return f.Commit("try")
}

// tryOut writes a program into dir and runs it.
func (m Machine) tryOut(ctx context.Context, dir string) error {
	path, err := tryProgram(dir)
	if err != nil {
		return err
	}
	out, err := m.Output(ctx, path)
	if err != nil {
		return fmt.Errorf("programs don't run there: %w", err)
	}
	if out != "works" {
		return fmt.Errorf("a program there printed %q, want %q", out, "works")
	}
	return nil
}

// TempDir checks the directory for temporary files, which uv uses.
func (m Machine) TempDir() Check {
	return Check{"temporary files", func(ctx context.Context) []Finding {
		dir, err := os.MkdirTemp(m.Temp, "inlay-doctor-")
		if err != nil {
			return One(Problem, err.Error(), "name a directory that can be written in TMPDIR")
		}
		defer os.RemoveAll(dir) //nolint:errcheck // nothing depends on it
		if err := m.tryOut(ctx, dir); err != nil {
			return One(Note, fmt.Sprintf("%s: %v", m.Temp, err), "name a directory where programs may run in TMPDIR, if uv or pip builds something")
		}
		return One(OK, filepath.Clean(m.Temp)+" can be written, and programs in it run", "")
	}}
}

// released is when no certificate that is valid today was: before this program
// was written.
var released = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Clock checks that the clock can be right. The date of images is checked by
// the given function, which reads it of SOURCE_DATE_EPOCH.
func (m Machine) Clock(created func() (int64, error)) Check {
	return Check{"clock", func(context.Context) []Finding {
		if now := m.Now(); now.Before(released) {
			return One(Problem, "the clock says "+now.UTC().Format(time.DateOnly)+", when no certificate of today was valid", "set the clock")
		}
		seconds, err := created()
		if err != nil {
			return broken(err, "unset SOURCE_DATE_EPOCH")
		}
		return One(OK, "images are dated "+time.Unix(seconds, 0).UTC().Format(time.RFC3339), "")
	}}
}
