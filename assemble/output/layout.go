// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/cache/disk"
)

// What an OCI layout consists of (OCI image-spec 1.1, image-layout.md).
const (
	layoutFile    = "oci-layout"
	layoutVersion = `{"imageLayoutVersion":"1.0.0"}`
	indexFile     = "index.json"
	blobsDir      = "blobs"
	refAnnotation = "org.opencontainers.image.ref.name"
)

// maxIndex bounds the index of a layout that is added to, in bytes.
const maxIndex = 16 << 20

// Layout delivers to an OCI layout, a directory, which it makes if need be.
// Images with other tags stay, and so do all blobs. Several builds may write to
// one layout at once.
//
// An image in Docker's format is delivered in OCI's, as podman, skopeo and umoci
// find no other in a layout: the same blobs with a manifest of another digest.
type Layout struct {
	Dir      string
	Tags     []string // none: the image is known by its digest
	Jobs     int      // blobs copied at once; 0 means 4
	Progress Progress
}

// Begin starts a delivery. A blob that is there with the right size is taken
// for what it is.
func (l Layout) Begin() (Delivery, error) {
	if err := l.check(); err != nil {
		return nil, l.delivering(err)
	}
	return &filling{blobs: l.blobs()}, nil
}

func (l Layout) blobs() *blobs { return &blobs{Layout: l, slots: make(slots, jobs(l.Jobs))} }

// Write adds img, in place of what has the same tags.
func (l Layout) Write(ctx context.Context, img v1.Image) (Delivered, error) {
	return write(ctx, l.Begin, img)
}

// Reach fails if the directory is something else than a layout.
func (l Layout) Reach(context.Context) error { return l.delivering(l.check()) }

func (l Layout) delivering(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("delivering to oci:%s: %w", l.Dir, writeError(l.Dir, err))
}

// check refuses a directory that is something else than a layout.
func (l Layout) check() error {
	raw, err := os.ReadFile(filepath.Join(l.Dir, layoutFile))
	if err == nil {
		var v struct {
			Version string `json:"imageLayoutVersion"`
		}
		if err := json.Unmarshal(raw, &v); err != nil || v.Version != "1.0.0" {
			return &WriteError{Path: l.Dir, Problem: fmt.Sprintf("it is a layout of version %q, not 1.0.0", v.Version)}
		}
		return nil
	}
	entries, err := os.ReadDir(l.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return pathError(l.Dir, err)
	}
	for _, e := range entries {
		// A layout that is being made has blobs and hidden files.
		if e.Name() != blobsDir && !strings.HasPrefix(e.Name(), ".") {
			if _, err := os.Lstat(filepath.Join(l.Dir, layoutFile)); err == nil {
				return l.check() // another build has made it between the two looks
			}
			return &WriteError{Path: l.Dir, Problem: fmt.Sprintf("it is no OCI layout, but holds %s", e.Name())}
		}
	}
	return nil
}

// list adds the entries to the index, which makes the image visible.
func (l Layout) list(ctx context.Context, entries []v1.Descriptor) error {
	unlock, err := disk.Only(ctx, l.Dir, "index")
	if err != nil {
		return err
	}
	defer unlock()
	l.sweep()
	if err := l.replace(layoutFile, []byte(layoutVersion)); err != nil {
		return err
	}
	index, err := l.index()
	if err != nil {
		return err
	}
	raw, err := listed(index, entries)
	if err != nil {
		return err
	}
	return l.replace(indexFile, raw)
}

// sweep removes what builds left that were killed. What it can't remove does no
// harm.
func (l Layout) sweep() {
	for _, dir := range []string{l.Dir, filepath.Join(l.Dir, blobsDir, "sha256")} {
		_, _ = disk.Sweep(dir)
	}
}

func (l Layout) index() (*v1.IndexManifest, error) {
	f, err := os.Open(filepath.Join(l.Dir, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	index, err := v1.ParseIndexManifest(io.LimitReader(f, maxIndex))
	if err != nil {
		return nil, &WriteError{Path: f.Name(), Problem: fmt.Sprintf("what is there can't be read: %v", err)}
	}
	return index, nil
}

// replace makes b the content of a file, unless it is.
func (l Layout) replace(name string, b []byte) error {
	if have, err := os.ReadFile(filepath.Join(l.Dir, name)); err == nil && bytes.Equal(have, b) {
		return nil
	} else if err == nil && name == layoutFile {
		return nil // it was checked
	}
	f, err := disk.Create(l.Dir)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(b); err != nil {
		return err
	}
	_, err = f.Commit(name)
	return err
}

// entries returns what an index says of the image: a tag each.
func (it *item) entries(tags []string) []v1.Descriptor {
	d := it.manifest.Descriptor
	d.Platform = it.platform
	return tagged(d, tags)
}

// tagged returns d for each of the tags, or as it is.
func tagged(d v1.Descriptor, tags []string) []v1.Descriptor {
	if len(tags) == 0 {
		return []v1.Descriptor{d}
	}
	all := make([]v1.Descriptor, len(tags))
	for i, tag := range tags {
		d.Annotations = map[string]string{refAnnotation: tag}
		all[i] = d
	}
	return all
}

// listed returns index with the entries in place of what has their tags, or
// their digest and no tag. The order is that of tags and digests, so that equal
// content gives equal bytes.
func listed(index *v1.IndexManifest, entries []v1.Descriptor) ([]byte, error) {
	tag := func(d v1.Descriptor) string { return d.Annotations[refAnnotation] }
	next := *index
	next.Manifests = slices.Clone(index.Manifests)
	for _, d := range entries {
		next.Manifests = slices.DeleteFunc(next.Manifests, func(have v1.Descriptor) bool {
			return tag(have) == tag(d) && (tag(d) != "" || have.Digest == d.Digest)
		})
		next.Manifests = append(next.Manifests, d)
	}
	slices.SortStableFunc(next.Manifests, func(a, b v1.Descriptor) int {
		if c := strings.Compare(tag(a), tag(b)); c != 0 {
			return c
		}
		return strings.Compare(a.Digest.String(), b.Digest.String())
	})
	return json.Marshal(next)
}

func jobs(n int) int {
	if n < 1 {
		return 4
	}
	return n
}
