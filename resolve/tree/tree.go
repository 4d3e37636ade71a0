// SPDX-License-Identifier: Apache-2.0

// Package tree lists the files of a build context with their digests. The
// list depends on names, contents, link targets and executable bits alone:
// not on the umask, owners, times, the order of directories on disk or the
// number of CPUs. Listing a tree that didn't change reads no file.
package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"inlay/ignore"
	"inlay/resolve/plan"
)

// Options say what to list and how it appears in the image.
type Options struct {
	FS       fs.FS         // the context, a *Dir as a rule
	Rules    *ignore.Rules // what is left out of it; nil keeps everything
	Only     []string      // paths of files and links, in place of Rules; nil lists what Rules keep
	Written  []string      // paths that the build itself writes to, relative to the context: left out, and noted
	Own      []string      // files of inlay's own in it: left out, and not noted
	Target   string        // absolute path of the context's root in the image
	UID, GID int           // who owns everything
	ModTime  int64         // of everything, in seconds since 1970
	Cache    *Cache        // digests of files seen before; nil reads every file
	Jobs     int           // how many files are read at once; at least 1 is

	// Note is told what is left out because no layer can hold it. It may be nil.
	Note func(message string)
	// Progress is told that files are read. Total is in bytes; add may be
	// called by several goroutines at once. It may be nil.
	Progress func(task string, total int64) (add func(n int64), done func(error))
}

// An item is a file on its way into the list.
type item struct {
	plan.File
	stamp stamp
	known bool // the digest comes from the cache
}

// Snapshot lists what o.Rules keep of o.FS, sorted by path, without the root
// itself. Base of the result is empty: that is the parent's affair.
//
//   - Files are 0755 if anyone may execute them and 0644 if not; hard links are
//     files of their own. Directories are 0755, also empty ones.
//   - Symbolic links stay links with the target they have, wherever it is.
//   - Sockets, named pipes and devices are left out, and noted.
//   - So is what the build itself writes to.
//
// A file that changes while it is read is read again once, then it is a
// *ChangedError. What may not be read is an *UnreadableError, a name or link
// target that is not UTF-8 a *NameError.
func Snapshot(ctx context.Context, o Options) (*plan.Files, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	before := o.Cache.load(o.Note)
	items, err := list(ctx, o, len(before.files))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.Path, b.Path) })
	recall(items, before)
	if err := hashAll(ctx, o, items); err != nil {
		return nil, err
	}
	o.Cache.save(items, before, o.Note)

	files := &plan.Files{Target: o.Target, UID: o.UID, GID: o.GID, ModTime: o.ModTime, Files: make([]plan.File, len(items))}
	for i, it := range items {
		files.Files[i] = it.File
	}
	return files, nil
}

// list walks the context, in which there were so many files the last time. Digests
// are still missing.
func list(ctx context.Context, o Options, files int) ([]item, error) {
	items := make([]item, 0, files+files/8) // and some directories
	for e, err := range o.entries() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.writes(e.Path) {
			continue
		}
		if err != nil {
			return nil, problem(e.Path, err)
		}
		it, ok, err := newItem(o, e)
		if err != nil {
			return nil, err
		}
		if ok {
			items = append(items, it)
		}
	}
	return items, ctx.Err()
}

// entries yields what is to be listed. Of Only, what isn't there is passed over,
// and so are directories: they are repositories of their own.
func (o Options) entries() iter.Seq2[ignore.Entry, error] {
	if o.Only == nil {
		return ignore.Files(o.FS, o.Rules)
	}
	return func(yield func(ignore.Entry, error) bool) {
		for _, name := range o.Only {
			info, err := fs.Lstat(o.FS, name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err == nil && info.IsDir():
				o.Note(fmt.Sprintf("%q is left out: it is a repository of its own", name))
				continue
			case err != nil:
				yield(ignore.Entry{Path: name}, err)
				return
			}
			if !yield(ignore.Entry{DirEntry: fs.FileInfoToDirEntry(info), Path: name}, nil) {
				return
			}
		}
	}
}

// writes reports whether the build writes to path: an image that held its own
// last build would grow with each one, and never be the same.
func (o Options) writes(path string) bool {
	if slices.Contains(o.Own, path) {
		return true
	}
	for _, w := range o.Written {
		switch {
		case path == w:
			o.Note(fmt.Sprintf("%q is left out: the build writes there", path))
			return true
		case strings.HasPrefix(path, w+"/"):
			return true
		}
	}
	return false
}

// newItem describes e; ok is false if e is not for an image, or gone.
func newItem(o Options, e ignore.Entry) (it item, ok bool, err error) {
	if !utf8.ValidString(e.Path) {
		return item{}, false, &NameError{Path: e.Path}
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return item{}, false, nil // deleted since its directory was listed
	}
	if err != nil {
		return item{}, false, problem(e.Path, err)
	}
	it.Path, it.Mode = e.Path, normal(info.Mode())
	switch info.Mode().Type() {
	case 0:
		it.Size, it.stamp = info.Size(), stampOf(info)
	case fs.ModeDir:
	case fs.ModeSymlink:
		if it.Link, err = fs.ReadLink(o.FS, e.Path); err != nil {
			return item{}, false, problem(e.Path, err)
		}
		if !utf8.ValidString(it.Link) {
			return item{}, false, &NameError{Path: e.Path, Link: it.Link}
		}
	default:
		o.Note(fmt.Sprintf("%q is left out: a %s can't be part of an image", e.Path, kind(info.Mode())))
		return item{}, false, nil
	}
	return it, true, nil
}

// normal returns the mode of a file in the image.
func normal(m fs.FileMode) fs.FileMode {
	switch {
	case m.IsDir():
		return fs.ModeDir | 0o755
	case m&fs.ModeSymlink != 0:
		return fs.ModeSymlink | 0o777
	case m&0o111 != 0:
		return 0o755
	default:
		return 0o644
	}
}

// kind names what is neither file nor directory nor link.
func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	default:
		return "device"
	}
}
