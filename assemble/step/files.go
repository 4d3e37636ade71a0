// SPDX-License-Identifier: Apache-2.0

package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"inlay/layers"
	"inlay/resolve/plan"
)

// files adds the target directory, which belongs to the owner like everything
// in it unless it is to be kept, and the files of the context.
func (l *layer) files(ctx context.Context, f plan.Files) error {
	target := l.base.Resolve(f.Target)
	if err := l.dirs([]string{target}); err != nil {
		return err
	}
	if target != "/" {
		top := l.dir(target)
		if !f.Keep {
			top.UID, top.GID = f.UID, f.GID
		}
		top.Mode |= f.Mode
		if err := l.w.Add(top, nil); err != nil {
			return err
		}
	}
	return l.contents(ctx, f)
}

// contents adds the files under their target. A directory of the parent that
// is a link is followed, as the copy that docker makes does; what lies behind
// the link needs the directories on the way, once.
func (l *layer) contents(ctx context.Context, f plan.Files) error {
	entries := make([]placed, 0, len(f.Files))
	added := map[string]bool{l.base.Resolve(f.Target): true}
	for _, file := range f.Files {
		p := path.Join(f.Target, file.Path)
		if file.Mode.IsDir() {
			p = l.base.Resolve(p)
		} else {
			p = l.base.Place(p)
		}
		entries = append(entries, placed{path: p, file: file})
	}
	slices.SortStableFunc(entries, func(a, b placed) int { return strings.Compare(a.path, b.path) })
	for _, e := range entries {
		if added[e.path] {
			continue // a directory that a link leads to another time
		}
		if err := l.way(e.path, f, added); err != nil {
			return err
		}
		added[e.path] = true
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.file(e, f); err != nil {
			return err
		}
	}
	return nil
}

// A placed file knows where in the image it lands.
type placed struct {
	path string
	file plan.File
}

// way adds the directories on the way to p that the target doesn't hold.
func (l *layer) way(p string, f plan.Files, added map[string]bool) error {
	var missing []string
	for d := path.Dir(p); d != "/" && !added[d] && !above(d, l.base.Resolve(f.Target)); d = path.Dir(d) {
		missing = append(missing, d)
	}
	slices.Reverse(missing)
	for _, d := range missing {
		added[d] = true
		if err := l.w.Add(l.dir(d), nil); err != nil {
			return err
		}
	}
	return nil
}

// foreign reports whether the directory p is one of the parent's that a link
// leads out of the target to. Such a one stays what it is: it may be /tmp.
func (l *layer) foreign(p string, f plan.Files) bool {
	if root := l.base.Resolve(f.Target); root == "/" || above(root, p) {
		return false
	}
	return slices.ContainsFunc(l.base.Links, func(k plan.Link) bool { return above(p, k.Target) }) ||
		slices.ContainsFunc(l.base.Dirs, func(d plan.Dir) bool { return d.Path == p })
}

// above reports whether dir is p or one of its ancestors.
func above(dir, p string) bool { return dir == p || strings.HasPrefix(p, dir+"/") }

func (l *layer) file(e placed, f plan.Files) error {
	entry := layers.Entry{
		Path: inLayer(e.path), Mode: e.file.Mode, UID: f.UID, GID: f.GID, Link: e.file.Link, Size: e.file.Size,
	}
	if e.file.Mode.IsDir() && l.foreign(e.path, f) {
		entry = l.dir(e.path)
	}
	l.at = e.path
	if !e.file.Mode.IsRegular() {
		return l.w.Add(entry, nil)
	}
	if e.file.Text != "" {
		return l.w.Add(entry, strings.NewReader(e.file.Text))
	}
	src, err := l.tools.open(f.From, e.file.In())
	if err != nil {
		return &ChangedError{Path: e.file.In(), Err: err}
	}
	defer src.Close() //nolint:errcheck // only read
	checked := &checkedFile{src: src, want: e.file, sum: sha256.New()}
	if err := l.w.Add(entry, checked); err != nil {
		return changed(e.file.In(), err)
	}
	return checked.end()
}

// open opens a file of a context.
func (t Tools) open(from, name string) (fs.File, error) {
	if from == "" {
		return t.Context.Open(name)
	}
	other, ok := t.Contexts[from]
	if !ok {
		return nil, fmt.Errorf("the context %q is not at hand: %w", from, fs.ErrNotExist)
	}
	return other.Open(name)
}

// changed returns the error of writing a file: a *ChangedError if its content
// was too short or too long.
func changed(path string, err error) error {
	var short *ChangedError
	var long *layers.SizeError
	switch {
	case errors.As(err, &short):
		return short
	case errors.As(err, &long):
		return &ChangedError{Path: path}
	default:
		return err
	}
}

// A checkedFile is a file of the context that must be what the plan says.
type checkedFile struct {
	src  fs.File
	want plan.File
	sum  hash.Hash
	n    int64
}

// Read fails when the file ends before the size that the plan gives.
func (c *checkedFile) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	if err == io.EOF && c.n < c.want.Size {
		err = &ChangedError{Path: c.want.In()}
	}
	return n, err
}

// end checks that the digest is the plan's.
func (c *checkedFile) end() error {
	if got := "sha256:" + hex.EncodeToString(c.sum.Sum(nil)); c.n != c.want.Size || got != c.want.Digest {
		return &ChangedError{Path: c.want.In()}
	}
	return nil
}

// ChangedError reports a file of the context that isn't what the plan says.
type ChangedError struct {
	Path string
	Err  error // what opening it gave, or nil
}

func (e *ChangedError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("source file %s changed during the build: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("source file %s changed during the build", e.Path)
}

// Unwrap returns what opening the file gave.
func (e *ChangedError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *ChangedError) Hint() string {
	return "build again; leave files that change all the time out with .dockerignore"
}
