// SPDX-License-Identifier: Apache-2.0

package ignore

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
)

// An Entry is a file or directory that is kept.
type Entry struct {
	fs.DirEntry
	Path string // slash-separated, relative to the root of the walk
}

// Files yields what rules keep of fsys: files, directories and everything
// else, the root itself excepted, in the order of fs.WalkDir. A directory
// stands before what is in it. Symbolic links are not followed.
//
// An ignored directory is walked only if an exception may keep something in
// it; it is yielded once something is, since that can't be without it. One
// that can't be opened for lack of permission is passed over.
//
// Errors come with the path in Entry.Path and end the sequence.
func Files(fsys fs.FS, rules *Rules) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w := walker{fsys: fsys, matcher: dockerRules(nil), yield: yield}
		if rules != nil && rules.matcher != nil {
			w.matcher = rules.matcher
		}
		w.walk(".", verdict{})
	}
}

type walker struct {
	fsys    fs.FS
	matcher matcher
	yield   func(Entry, error) bool
	pending []Entry // ignored directories around the current one, outermost first
}

// walk yields what is kept below dir and reports whether to go on.
func (w *walker) walk(dir string, v verdict) bool {
	entries, err := fs.ReadDir(w.fsys, dir)
	switch {
	case err != nil && v.ignored && errors.Is(err, fs.ErrPermission):
		return true
	case err != nil:
		w.yield(Entry{Path: dir}, fmt.Errorf("listing %q: %w", dir, err))
		return false
	}
	for _, d := range entries {
		name := d.Name()
		if dir != "." {
			name = dir + "/" + name
		}
		if !w.visit(Entry{DirEntry: d, Path: name}, v) {
			return false
		}
	}
	return true
}

// visit yields e if it is kept and walks it if it is a directory.
func (w *walker) visit(e Entry, parent verdict) bool {
	v := w.matcher.match(e.Path, e.IsDir(), parent)
	switch {
	case !v.ignored:
		return w.keep(e) && (!e.IsDir() || w.walk(e.Path, v))
	case !e.IsDir() || !w.matcher.reaches(e.Path, v):
		return true
	}
	outside := len(w.pending)
	w.pending = append(w.pending, e)
	more := w.walk(e.Path, v)
	w.pending = w.pending[:min(outside, len(w.pending))]
	return more
}

// keep yields e after the ignored directories around it.
func (w *walker) keep(e Entry) bool {
	for _, p := range w.pending {
		if !w.yield(p, nil) {
			return false
		}
	}
	w.pending = w.pending[:0]
	return w.yield(e, nil)
}
