// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"unicode/utf8"
)

// problem says what err means for the file at path.
func problem(path string, err error) error {
	switch {
	case !utf8.ValidString(path):
		return &NameError{Path: path}
	case errors.Is(err, fs.ErrPermission):
		return &UnreadableError{Path: path, Err: err}
	case errors.Is(err, fs.ErrNotExist):
		return &ChangedError{Path: path}
	default:
		return fmt.Errorf("reading %q: %w", path, err)
	}
}

// A ContextError reports a build context that can't be opened as a directory.
type ContextError struct {
	Dir string // as given to Open
	Err error
}

// Error names the directory and what is wrong with it.
func (e *ContextError) Error() string {
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		return fmt.Sprintf("build context %q does not exist", e.Dir)
	case errors.Is(e.Err, syscall.ENOTDIR):
		return fmt.Sprintf("build context %q is not a directory", e.Dir)
	default:
		return fmt.Sprintf("opening build context %q: %v", e.Dir, e.Err)
	}
}

// Unwrap returns the error of the operating system.
func (e *ContextError) Unwrap() error { return e.Err }

// Hint says how to name a directory.
func (e *ContextError) Hint() string {
	return "name the directory that holds the source, as in `inlay build .`"
}

// A ChangedError reports a file that somebody else writes to, replaces or
// deletes during the build.
type ChangedError struct {
	Path string // relative to the context
}

// Error names the file.
func (e *ChangedError) Error() string { return fmt.Sprintf("%q changes while it is read", e.Path) }

// Hint says how to go on without the file.
func (e *ChangedError) Hint() string {
	return "build again when nothing writes to it, or leave it out: add " + quote(e.Path) + " to .dockerignore"
}

// An UnreadableError reports a file or directory that may not be read.
type UnreadableError struct {
	Path string // relative to the context
	Err  error  // of which fs.ErrPermission is one
}

// Error names the file.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%q may not be read: %v", e.Path, fs.ErrPermission)
}

// Unwrap returns the error of the operating system.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Hint says how to go on with and without the file.
func (e *UnreadableError) Hint() string {
	return "give its user the right to read it with `chmod u+rX`, or leave it out: add " + quote(e.Path) + " to .dockerignore"
}

// A NameError reports a name, or the target of a symbolic link, that is not
// UTF-8 and that a plan can't hold.
type NameError struct {
	Path string // relative to the context
	Link string // the target, if that is at fault
}

// Error names the file with its bytes escaped.
func (e *NameError) Error() string {
	if e.Link != "" {
		return fmt.Sprintf("the target of symbolic link %q is not UTF-8: %q", e.Path, e.Link)
	}
	return fmt.Sprintf("the name %q is not UTF-8", e.Path)
}

// Hint says how to go on without the file.
func (e *NameError) Hint() string {
	return "rename it, or leave it out: add " + quote(e.Path) + " to .dockerignore"
}

// quote writes path as a rule of a .dockerignore file, with "?" for what can't
// be typed or has a meaning of its own.
func quote(path string) string {
	rule := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune("*?[]\\^{|}\x7f\uFFFD", r) {
			return '?'
		}
		return r
	}, path)
	return "`/" + rule + "`"
}
