// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// CommitTree makes the directory at path, which Scratch made or that lies in one
// it made, visible as dir/name: whole, and on disk before its name is. If there
// is one already, that stays and path is left alone.
func CommitTree(path, dir, name string) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	if err := syncTree(path); err != nil {
		return dirError(dir, err)
	}
	to := filepath.Join(dir, name)
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	err := os.Rename(path, to)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil // another was faster
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return dirError(dir, err)
	}
	return nil
}

// ListTrees returns the committed directories of dir, sorted by name: none
// where there is no such directory. ModTime says when one was last touched.
func ListTrees(dir string) ([]fs.FileInfo, error) {
	return list(dir, func(e fs.DirEntry) bool { return e.IsDir() && !strings.HasPrefix(e.Name(), scratchPrefix) })
}

// RemoveAll removes what is at path and all that it holds, also directories that
// not even their owner may write to. Links are not followed.
func RemoveAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if e == nil || !e.IsDir() {
			return nil
		}
		if err != nil { // it was shown before, and could not be read then
			return fmt.Errorf("removing %s: %w", path, err)
		}
		return os.Chmod(p, 0o700) //nolint:gosec // a directory, about to go
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(path)
}
