// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"inlay/cache/disk"
)

// A directory keeps files in one of this machine, which containers mount.
type directory string

// Has reports whether there is a file of that name.
func (d directory) Has(_ context.Context, name string) (bool, error) {
	info, err := os.Stat(filepath.Join(string(d), filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular(), d.fail(err)
}

// Put makes one that everybody may read: containers run as anybody.
func (d directory) Put(_ context.Context, name string, b Blob) error {
	path := filepath.Join(string(d), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return d.fail(err)
	}
	f, err := disk.Create(filepath.Dir(path))
	if err != nil {
		return d.fail(err)
	}
	defer f.Abort()
	if _, err := io.Copy(f, b); err != nil {
		return d.fail(err)
	}
	if err := f.Chmod(0o644); err != nil {
		return d.fail(err)
	}
	_, err = f.Commit(filepath.Base(path))
	return d.fail(err)
}

func (d directory) fail(err error) error {
	if err == nil {
		return nil
	}
	return &StoreError{At: "file://" + filepath.ToSlash(string(d)), Err: err}
}
