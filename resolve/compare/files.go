// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"

	"inlay/layers"
	"inlay/resolve/parent"
)

// A File is a path at which the images differ. One of A and B is nil if that
// image has nothing there; what is below a directory is listed too.
type File struct {
	Path string   `json:"path"` // absolute
	What []string `json:"what"` // of "type", "mode", "owner", "link", "size", "content"; empty unless both have it
	A    *Stat    `json:"a"`
	B    *Stat    `json:"b"`
}

// A Stat is what is compared of a file.
type Stat struct {
	Type   string `json:"type"`             // "file", "directory", "link" or "special"
	Mode   string `json:"mode"`             // in octal, as of chmod
	Owner  string `json:"owner"`            // "UID:GID"
	Size   int64  `json:"size"`             // in bytes; 0 unless it is a file
	Link   string `json:"link,omitempty"`   // where a link leads
	Digest string `json:"digest,omitempty"` // sha256 in hex, where it had to be known
}

// files compares the file trees.
func files(ctx context.Context, a, b *parent.Inventory) ([]File, error) {
	w := walk{found: []File{}, sums: map[string]map[string]parent.Digest{}}
	for i, inv := range []*parent.Inventory{a, b} {
		view, err := inv.View(ctx)
		if err != nil {
			return nil, err
		}
		w.sides[i] = side{inv, view}
	}
	root := [2]fs.FileInfo{}
	for i, s := range w.sides {
		var err error
		if root[i], err = s.view.Lstat("."); err != nil {
			return nil, err
		}
	}
	err := w.compare(ctx, ".", root[0], root[1])
	return w.found, err
}

// A side is one of the two images.
type side struct {
	inv  *parent.Inventory
	view *layers.View
}

// A walk goes through both trees at the same time.
type walk struct {
	sides [2]side
	found []File
	sums  map[string]map[string]parent.Digest // of files, by layer and path
}

// compare compares name, which is nil on a side that doesn't have it, and what
// is below.
func (w *walk) compare(ctx context.Context, name string, a, b fs.FileInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f := File{Path: path.Join("/", name), What: []string{}, A: stat(a), B: stat(b)}
	if f.A != nil && f.B != nil {
		if err := w.differ(ctx, name, &f); err != nil {
			return err
		}
	}
	if f.A == nil || f.B == nil || len(f.What) > 0 {
		w.found = append(w.found, f)
	}
	below := [2][]fs.DirEntry{}
	for i, info := range []fs.FileInfo{a, b} {
		if info == nil || !info.IsDir() {
			continue
		}
		var err error
		if below[i], err = w.sides[i].view.ReadDir(name); err != nil {
			return err
		}
	}
	return w.merge(ctx, name, below[0], below[1])
}

// merge compares what two sorted directories hold.
func (w *walk) merge(ctx context.Context, dir string, as, bs []fs.DirEntry) error {
	for len(as)+len(bs) > 0 {
		var a, b fs.FileInfo
		var base string
		if len(bs) == 0 || len(as) > 0 && as[0].Name() <= bs[0].Name() {
			base = as[0].Name()
		} else {
			base = bs[0].Name()
		}
		a, as = next(as, base)
		b, bs = next(bs, base)
		if err := w.compare(ctx, path.Join(dir, base), a, b); err != nil {
			return err
		}
	}
	return nil
}

// next takes the first of list if it has that name.
func next(list []fs.DirEntry, name string) (fs.FileInfo, []fs.DirEntry) {
	if len(list) == 0 || list[0].Name() != name {
		return nil, list
	}
	info, err := list[0].Info()
	if err != nil {
		return nil, list[1:] // a View's entries have it
	}
	return info, list[1:]
}

func stat(info fs.FileInfo) *Stat {
	if info == nil {
		return nil
	}
	e, _ := info.Sys().(layers.Entry)
	s := &Stat{Type: "special", Owner: fmt.Sprintf("%d:%d", e.UID, e.GID), Link: e.Link, Size: e.Size}
	s.Mode = fmt.Sprintf("%04o", layers.UnixMode(e.Mode))
	switch e.Mode.Type() {
	case 0:
		s.Type, s.Link = "file", ""
	case fs.ModeDir:
		s.Type = "directory"
	case fs.ModeSymlink:
		s.Type, s.Mode = "link", "0777" // that of a link means nothing
	}
	return s
}

// differ notes in what the two files at name differ.
func (w *walk) differ(ctx context.Context, name string, f *File) error {
	a, b := f.A, f.B
	for _, field := range []struct {
		name   string
		differ bool
	}{
		{"type", a.Type != b.Type},
		{"mode", a.Mode != b.Mode && a.Type == b.Type},
		{"owner", a.Owner != b.Owner},
		{"link", a.Link != b.Link && a.Type == b.Type},
		{"size", a.Size != b.Size && a.Type == b.Type},
	} {
		if field.differ {
			f.What = append(f.What, field.name)
		}
	}
	if a.Type != "file" || b.Type != "file" || a.Size != b.Size || a.Size == 0 {
		return nil
	}
	same, err := w.sameContent(ctx, name, f)
	if !same {
		f.What = append(f.What, "content")
	}
	return err
}

// sameContent compares the contents of two files of the same size. They are the
// same where one layer holds both.
func (w *walk) sameContent(ctx context.Context, name string, f *File) (bool, error) {
	var digests [2]parent.Digest
	var from [2]string
	for i, s := range w.sides {
		e, layer, err := s.view.Origin(name)
		if err != nil {
			return false, err
		}
		from[i] = s.inv.Layers[layer].Digest + " " + e.Path
	}
	if from[0] == from[1] {
		return true, nil
	}
	for i, s := range w.sides {
		var err error
		if digests[i], err = w.digest(ctx, s, name); err != nil {
			return false, err
		}
	}
	if digests[0] == digests[1] {
		return true, nil
	}
	f.A.Digest, f.B.Digest = hex.EncodeToString(digests[0][:]), hex.EncodeToString(digests[1][:])
	return false, nil
}

// digest returns the digest of a file's content.
func (w *walk) digest(ctx context.Context, s side, name string) (parent.Digest, error) {
	e, layer, err := s.view.Origin(name)
	if err != nil {
		return parent.Digest{}, err
	}
	id := s.inv.Layers[layer].Digest
	if w.sums[id] == nil {
		if w.sums[id], err = s.inv.Digests(ctx, layer); err != nil {
			return parent.Digest{}, err
		}
	}
	return w.sums[id][e.Path], nil
}
