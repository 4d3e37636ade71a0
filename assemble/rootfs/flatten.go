// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"strings"
	"time"

	"inlay/layers"
)

// What a flat tar says beside the usual, as pax records.
const (
	opaqueRecord     = "INLAY.opaque" // of a directory: it hides what is below
	capabilityRecord = "SCHILY.xattr.security.capability"
)

// A spot is what the layer that is flattened has at a path.
type spot struct {
	layers.Entry
	gone    bool // a mark that nothing is there
	opaque  bool // a directory that hides what is below
	implied bool // a directory that the layer doesn't name
}

func (s *spot) isDir() bool  { return !s.gone && s.Mode.IsDir() }
func (s *spot) isLink() bool { return !s.gone && s.Mode.Type() == fs.ModeSymlink }

// A flattener turns the tar of a layer into one that can be unpacked by itself:
// every directory stands before what it holds, no name leads through a link, and
// marks are what the overlay takes for them. It decides where names lead as
// engines do, in memory: by the links of the layer and of the layers below.
type flattener struct {
	out   *tar.Writer
	below func() (*stack, error)
	asked bool // something depends on the layers below

	under  *stack // below, once something was asked
	placed map[string]*spot
}

func newFlattener(out io.Writer, below func() (*stack, error)) *flattener {
	top := &spot{Entry: layers.Entry{Path: ".", Mode: fs.ModeDir | 0o755}}
	return &flattener{out: tar.NewWriter(out), below: below, placed: map[string]*spot{".": top}}
}

// whole reports whether the layer hides all that is below it.
func (f *flattener) whole() bool { return f.placed["."].opaque }

// add puts an entry of the layer where it belongs; it is a layers.Visit.
func (f *flattener) add(e layers.Entry, kind layers.Kind, body io.Reader) error {
	if err := f.entry(e, kind, body); err != nil {
		return fmt.Errorf("unpacking %q: %w", e.Path, err)
	}
	return nil
}

func (f *flattener) entry(e layers.Entry, kind layers.Kind, body io.Reader) error {
	switch kind {
	case layers.Opaque:
		dir, there, err := f.walk(e.Path, false)
		if err != nil || !there {
			return err
		}
		return f.hide(dir)
	case layers.Whiteout:
		dir, there, err := f.walk(path.Dir(e.Path), false)
		if err != nil || !there {
			return err
		}
		return f.whiteout(path.Join(dir, path.Base(e.Path)))
	}
	if e.Path == "." {
		f.placed["."].Entry = e
		return f.again(".")
	}
	dir, err := f.way(path.Dir(e.Path))
	if err != nil {
		return err
	}
	p := path.Join(dir, path.Base(e.Path))
	switch {
	case kind == layers.HardLink:
		return f.link(p, e)
	case e.Mode.IsDir():
		return f.dir(p, e)
	case e.Mode.IsRegular(), e.Mode.Type() == fs.ModeSymlink:
		return f.file(p, e, body)
	default: // a device or a pipe is left out, but what it replaces is gone
		return f.mark(p)
	}
}

// hide makes a directory one that hides what is below.
func (f *flattener) hide(p string) error {
	f.placed[p].opaque = true
	return f.again(p)
}

// again writes what a directory is.
func (f *flattener) again(p string) error {
	s := f.placed[p]
	h := header(p, s.Entry)
	if s.opaque {
		h.PAXRecords = map[string]string{opaqueRecord: "y"}
	}
	return f.out.WriteHeader(h)
}

// whiteout says that nothing is at p. What the layer itself has there stays, as
// engines take marks first.
func (f *flattener) whiteout(p string) error {
	switch s := f.placed[p]; {
	case s == nil || s.isDir() && f.hollow(p):
		return f.mark(p)
	case s.isDir():
		return f.hide(p)
	default:
		return nil
	}
}

// hollow reports whether the layer has nothing of its own at and below p: only
// marks, and the directories on the way to them.
func (f *flattener) hollow(p string) bool {
	for k, s := range f.placed {
		if (k == p || strings.HasPrefix(k, p+"/")) && !s.gone && !s.implied {
			return false
		}
	}
	return true
}

// mark hides p with the device that the overlay takes for a removed file.
func (f *flattener) mark(p string) error {
	f.vacate(p)
	f.placed[p] = &spot{gone: true}
	return f.out.WriteHeader(&tar.Header{Name: p, Typeflag: tar.TypeChar})
}

// vacate forgets what the layer has at p, and reports whether it had anything.
func (f *flattener) vacate(p string) bool {
	s := f.placed[p]
	if s != nil && s.isDir() {
		maps.DeleteFunc(f.placed, func(k string, _ *spot) bool { return strings.HasPrefix(k, p+"/") })
	}
	delete(f.placed, p)
	return s != nil
}

func (f *flattener) dir(p string, e layers.Entry) error {
	if s := f.placed[p]; s != nil && s.isDir() {
		s.Entry, s.implied = e, false
		return f.again(p)
	}
	was := f.vacate(p)
	f.placed[p] = &spot{Entry: e, opaque: was}
	return f.again(p)
}

// file adds a file or a link.
func (f *flattener) file(p string, e layers.Entry, body io.Reader) error {
	f.vacate(p)
	f.placed[p] = &spot{Entry: e}
	if err := f.out.WriteHeader(header(p, e)); err != nil || !e.Mode.IsRegular() {
		return err
	}
	_, err := io.Copy(f.out, body)
	return err
}

// link makes p another name of a file of this layer, or a copy of one below: a
// link can't lead from one directory of the store into another.
func (f *flattener) link(p string, e layers.Entry) error {
	dir, err := f.way(path.Dir(e.Link))
	if err != nil {
		return err
	}
	from := path.Join(dir, path.Base(e.Link))
	s := f.placed[from]
	switch {
	case s == nil:
		return f.copy(p, e.Link)
	case s.gone || s.isDir() || p == from:
		return &layers.EntryError{Name: e.Path, Problem: fmt.Sprintf("is a hard link to %q, which is no file below it", e.Link)}
	}
	f.vacate(p)
	f.placed[p] = s
	h := header(p, s.Entry)
	h.Typeflag, h.Linkname, h.Size, h.PAXRecords = tar.TypeLink, from, 0, nil
	return f.out.WriteHeader(h)
}

// copy makes p a copy of a file of the layers below.
func (f *flattener) copy(p, name string) error {
	if err := f.ask(); err != nil {
		return err
	}
	return f.under.open(name, func(e layers.Entry, body io.Reader) error {
		if t := e.Mode.Type(); t != 0 && t != fs.ModeSymlink {
			return f.mark(p)
		}
		return f.file(p, e, body)
	})
}

// ask opens the layers below.
func (f *flattener) ask() (err error) {
	f.asked = true
	if f.under == nil {
		f.under, err = f.below()
	}
	return err
}

// header returns the header of e at p.
func header(p string, e layers.Entry) *tar.Header {
	h := &tar.Header{
		Name: p, Typeflag: tar.TypeReg, Mode: int64(layers.UnixMode(e.Mode)), Uid: e.UID, Gid: e.GID,
		Size: e.Size, ModTime: time.Unix(e.Time, 0),
	}
	switch {
	case e.Mode.IsDir():
		h.Typeflag, h.Size = tar.TypeDir, 0
	case e.Mode.Type() == fs.ModeSymlink:
		h.Typeflag, h.Size, h.Linkname = tar.TypeSymlink, 0, e.Link
	case e.Capability != "":
		h.PAXRecords = map[string]string{capabilityRecord: e.Capability}
	}
	return h
}

var errLoop = errors.New("too many levels of symbolic links")
