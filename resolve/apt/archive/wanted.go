// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/fetch"
	"inlay/resolve/apt/setup"
)

// A wanted index is a file that a release lists.
type wanted struct {
	Index
	path      string // below the directory of the suite
	extension string
	size      int64
	limit     int64 // of its decompressed size
}

// wants returns which files of a release hold the packages that s names.
func wants(s *setup.Source, rel *Release, arch string) (all []wanted, notes []string) {
	if len(s.Arches) > 0 && !slices.Contains(s.Arches, arch) {
		return nil, []string{fmt.Sprintf("%s is not for %s", name(s), arch)}
	}
	for _, component := range s.Components {
		before := len(all)
		for _, file := range rel.indexes(s, component, arch) {
			if w, ok := rel.find(file); ok {
				w.Source, w.Release, w.Component = s, rel, component
				all = append(all, w)
			}
		}
		if len(all) == before {
			notes = append(notes, fmt.Sprintf("%s has no packages for %s", strings.TrimSpace(name(s)+" "+component), arch))
		}
	}
	return all, notes
}

// indexes returns the files in which a release may list packages of a component
// for an architecture.
func (r *Release) indexes(s *setup.Source, component, arch string) []string {
	if s.Flat() {
		return []string{"Packages"}
	}
	files := []string{component + "/binary-" + arch + "/Packages"}
	if !r.noAll && slices.Contains(r.Arches, "all") {
		files = append(files, component+"/binary-all/Packages")
	}
	return files
}

// find returns the best form in which a release has the index file.
func (r *Release) find(file string) (wanted, bool) {
	for _, extension := range extensions() {
		if f, ok := r.files[file+extension]; ok {
			limit := int64(maxIndex)
			if whole, ok := r.files[file]; ok {
				limit = min(limit, whole.size)
			}
			return wanted{Index{SHA256: f.sha256}, file + extension, extension, f.size, limit}, true
		}
	}
	return wanted{}, false
}

// index returns an index from the cache, or fetches it.
func (c *Client) index(ctx context.Context, w wanted) (*Index, error) {
	x := &w.Index
	fail := func(err error) error {
		return fmt.Errorf("reading the index %s of %s: %w", w.path, name(x.Source), err)
	}
	key := "packages-2-" + x.SHA256
	b, err := c.Values.Get(key)
	if err == nil {
		if x.text, err = unpack(b); err == nil {
			return x, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fail(err)
	}
	if b, err = c.fetchIndex(ctx, w); err != nil {
		return nil, fail(err)
	}
	if err := c.Values.Put(key, b); err != nil {
		return nil, fail(err)
	}
	if x.text, err = unpack(b); err != nil {
		return nil, fail(err)
	}
	return x, nil
}

// fetchIndex fetches an index, and reduces and packs it. The file itself isn't
// kept: the packed form is.
func (c *Client) fetchIndex(ctx context.Context, w wanted) ([]byte, error) {
	to, err := newPacked()
	if err != nil {
		return nil, err
	}
	if w.size == 0 {
		return to.bytes() // an empty file, which isn't even there in some archives
	}
	f, err := c.open(ctx, w)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r, err := decompress(f, w.extension)
	if err != nil {
		return nil, err
	}
	plain := readAhead(r)
	defer plain.Close() //nolint:errcheck // it can't fail
	if err := reduce(&bounded{plain, w.limit}, to); err != nil {
		return nil, err
	}
	if err := c.Files.Remove(v1.Hash{Algorithm: "sha256", Hex: w.SHA256}); err != nil {
		return nil, err
	}
	return to.bytes()
}

// open fetches the file of an index: by its digest where the archive offers
// that, because under its name there may be a newer one already.
func (c *Client) open(ctx context.Context, w wanted) (*os.File, error) {
	f := fetch.File{
		Name:   strings.TrimSpace(w.Source.Suite + " " + w.Component + " packages"),
		Digest: v1.Hash{Algorithm: "sha256", Hex: w.SHA256}, Size: w.size,
	}
	base := dir(w.Source)
	if w.Release.ByHash {
		f.URL = base + path.Join(path.Dir(w.path), "by-hash/SHA256", w.SHA256)
		file, err := c.Files.Open(ctx, f)
		if err == nil || !isMissing(err) {
			return file, err
		}
	}
	f.URL = base + w.path
	return c.Files.Open(ctx, f)
}
