// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/layers"
)

// maxLinks bounds the links followed for one name, as Linux does.
const maxLinks = 40

// way returns where the directory name is once every link is followed, inside
// the image. What this layer lacks of it is made: as the layers below have it,
// which this layer then depends on, or else root's with mode 0755.
func (f *flattener) way(name string) (string, error) {
	at, _, err := f.walk(name, true)
	return at, err
}

// walk is way that makes what is nowhere only if that is wanted, and says
// whether the directory is there.
func (f *flattener) walk(name string, make bool) (_ string, there bool, err error) {
	at, links := ".", 0
	for rest := name; rest != ""; {
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		switch elem {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, elem)
		s, err := f.look(at, next, make)
		switch {
		case s == nil || err != nil:
			return "", false, err
		case !s.isLink():
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", false, errLoop
		}
		if strings.HasPrefix(s.Link, "/") {
			at = "."
		}
		rest = s.Link + "/" + rest
	}
	return at, true, nil
}

// look returns what is at next, in the directory at: a link, or else a directory
// that the layer has, from now on if need be; nil for nothing, unless it is to be
// made.
func (f *flattener) look(at, next string, make bool) (*spot, error) {
	s := f.placed[next]
	if s != nil && (s.isDir() || s.isLink()) {
		return s, nil
	}
	e, there := layers.Entry{Path: next, Mode: fs.ModeDir | 0o755}, false
	if s == nil {
		if err := f.ask(); err != nil {
			return nil, err
		}
		switch below := f.hidden(at, next); {
		case below == nil:
		case below.Mode.Type() == fs.ModeSymlink:
			return &spot{Entry: *below}, nil
		case below.Mode.IsDir():
			e, there = *below, true
		}
	}
	if !there && !make {
		return nil, nil
	}
	if err := f.dir(next, e); err != nil {
		return nil, err
	}
	f.placed[next].implied = true
	return f.placed[next], nil
}

// hidden returns what the layers below have at next, in the directory at: nil if
// that is nothing, or if this layer hides it.
func (f *flattener) hidden(at, next string) *layers.Entry {
	for d := at; ; d = path.Dir(d) {
		if s := f.placed[d]; s != nil && s.opaque {
			return nil
		}
		if d == "." {
			break
		}
	}
	if real, err := f.under.view.Resolve(at); err != nil || real != at {
		return nil // a directory of this layer in place of a link, or of nothing
	}
	info, err := f.under.view.Lstat(next)
	if err != nil {
		return nil
	}
	e, ok := info.Sys().(layers.Entry)
	if !ok {
		return nil
	}
	return &e
}

// A stack is the layers below one.
type stack struct {
	ctx    context.Context //nolint:containedctx // of the one call that it lives in
	layers []v1.Layer
	view   *layers.View
}

var errFound = errors.New("found")

// open shows use the file name, which it finds in the tar that has it.
func (s *stack) open(name string, use func(e layers.Entry, body io.Reader) error) error {
	want, i, err := s.view.Origin(name)
	if err != nil {
		return err
	}
	r, err := s.layers[i].Compressed()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read
	// The digest of this layer was checked when it was unpacked or is checked
	// when the image's next reader gets to its end; here it is read only so far.
	_, err = layers.Read(s.ctx, r, func(e layers.Entry, kind layers.Kind, body io.Reader) error {
		if kind != layers.Plain || e.Path != want.Path {
			return nil
		}
		if err := use(e, body); err != nil {
			return err
		}
		return errFound
	})
	switch {
	case errors.Is(err, errFound):
		return nil
	case err == nil:
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	default:
		return err
	}
}
