// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// lookPath finds a program on the PATH as exec.LookPath does. Directories that
// are relative there don't count, and hide nothing: what they mean changes with
// the working directory, which may be a source that others wrote. Where there is
// nothing but a link that leads nowhere, as in a virtual environment whose Python
// has gone, the error says so.
func lookPath(name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return exec.LookPath(name)
	}
	missing := &exec.Error{Name: name, Err: exec.ErrNotFound}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		p := filepath.Join(dir, name)
		found, err := exec.LookPath(p)
		if err == nil {
			return found, nil
		}
		if to, gone := dangling(p); gone && errors.Is(missing, exec.ErrNotFound) {
			missing.Err = fmt.Errorf("%s leads to %s, which isn't there", p, to)
		}
	}
	return "", missing
}

// dangling reports whether p is a link to what isn't there, and to what.
func dangling(p string) (string, bool) {
	to, err := os.Readlink(p)
	if err != nil {
		return "", false
	}
	_, err = os.Stat(p)
	return to, errors.Is(err, fs.ErrNotExist)
}
