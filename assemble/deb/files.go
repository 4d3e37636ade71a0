// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// A File is one that installing a package writes.
type File struct {
	Path    string      `json:"path"` // as the package spells it, relative and clean; "." is the root
	Mode    fs.FileMode `json:"mode"` // type, permission, setuid, setgid and sticky bits
	UID     int         `json:"uid,omitempty"`
	GID     int         `json:"gid,omitempty"`
	Owner   string      `json:"owner,omitempty"` // name of the user, which goes before the number
	Group   string      `json:"group,omitempty"`
	ModTime int64       `json:"modTime"` // in seconds since 1970
	Size    int64       `json:"size,omitempty"`
	// Link is the target of a symbolic link as it stands there, or the file of
	// the same package that a hard link is another name of.
	Link string `json:"link,omitempty"`
	Hard bool   `json:"hard,omitempty"`

	Offset int64  `json:"offset,omitempty"` // of the content, see segmentWriter
	CRC32  uint32 `json:"crc32,omitempty"`
}

// maxID is the largest user or group id that Linux knows.
const maxID = 1<<32 - 2

// files reads a data.tar once, to its end, and lists what it holds. Contents go
// to w.
func (a *archive) files(ctx context.Context, r io.Reader, w *segmentWriter) ([]File, error) {
	tr := tar.NewReader(r)
	seen := make(map[string]bool)
	var out []File
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, a.wrap("data.tar", tarDamage(err))
		}
		if len(out) == maxFiles {
			return nil, &FormatError{a.name, fmt.Sprintf("holds more than %d files", maxFiles)}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := a.file(h, seen, tr, w)
		if err != nil {
			return nil, err
		}
		seen[f.Path] = f.Mode.IsRegular()
		out = append(out, f)
	}
	_, err := io.Copy(io.Discard, r)
	return out, err
}

// file reads what h says, and the content that follows it in r.
func (a *archive) file(h *tar.Header, seen map[string]bool, r io.Reader, w *segmentWriter) (File, error) {
	f, err := newFile(h, seen)
	if err != nil {
		return f, &FormatError{a.name, err.Error()}
	}
	if h.Typeflag == tar.TypeReg && h.Size > 0 {
		if f.Offset, f.CRC32, err = w.add(r, h.Size); err != nil {
			return f, a.wrap("data.tar", tarDamage(err))
		}
	}
	return f, nil
}

// tarDamage tells the errors of the tar itself from those of what it is read
// from, which know better.
func tarDamage(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FormatError{Problem: "is damaged: " + err.Error()}
	}
	return err
}

// types maps the types of entries to their type bits.
var types = map[byte]fs.FileMode{
	tar.TypeReg: 0, tar.TypeLink: 0, tar.TypeDir: fs.ModeDir, tar.TypeSymlink: fs.ModeSymlink,
}

// newFile returns what h says, or why no package should say it. Of seen, those
// that are files can have more names.
func newFile(h *tar.Header, seen map[string]bool) (File, error) {
	name, ok := clean(h.Name)
	t, known := types[h.Typeflag]
	switch {
	case len(h.Name) > maxName || len(h.Linkname) > maxName:
		return File{}, fmt.Errorf("has a name of more than %d bytes", maxName)
	case !ok:
		return File{}, fmt.Errorf("holds %q, which leads out of the root", h.Name)
	case !known:
		return File{}, fmt.Errorf("holds %q, which is neither a file nor a directory nor a link", h.Name)
	case name == "." && t != fs.ModeDir:
		return File{}, errors.New("holds a root that is no directory")
	case min(h.Uid, h.Gid) < 0 || int64(max(h.Uid, h.Gid)) > maxID:
		return File{}, fmt.Errorf("holds %q with an owner out of range", h.Name)
	}
	const special = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	f := File{
		Path: name, Mode: h.FileInfo().Mode()&special | t, UID: h.Uid, GID: h.Gid, Owner: h.Uname, Group: h.Gname,
		ModTime: max(h.ModTime.Unix(), 0), Link: h.Linkname,
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f.Size, f.Link = h.Size, ""
	case tar.TypeLink:
		f.Hard = true
		if f.Link, ok = clean(h.Linkname); !ok || !seen[f.Link] {
			return File{}, fmt.Errorf("holds %q, a hard link to %q, which is no file of it before", h.Name, h.Linkname)
		}
	case tar.TypeSymlink:
		if h.Linkname == "" {
			return File{}, fmt.Errorf("holds %q, a link to nowhere", h.Name)
		}
	}
	return f, nil
}

// clean returns name without what it may begin with, "./", and whether it is
// relative and stays below the root.
func clean(name string) (string, bool) {
	if name == "" || strings.HasPrefix(name, "/") || strings.Contains(name, "\x00") {
		return "", false
	}
	for elem := range strings.SplitSeq(name, "/") {
		if elem == ".." {
			return "", false
		}
	}
	return path.Clean(name), true
}
