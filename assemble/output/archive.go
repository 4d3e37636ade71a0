// SPDX-License-Identifier: Apache-2.0

package output

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/cache/disk"
)

// OCIArchive delivers to a file, the tar of an OCI layout that holds the image
// alone. A file that is there is replaced. Equal images give equal files. As
// with Layout, an image in Docker's format becomes one in OCI's.
type OCIArchive struct {
	File     string
	Tags     []string // none: it is known by its digest
	Progress Progress
}

// Begin starts a delivery.
func (a OCIArchive) Begin() (Delivery, error) {
	return archive{a.File, "oci-archive", a.Progress}.begin(a.lay)
}

// Write writes the archive.
func (a OCIArchive) Write(ctx context.Context, img v1.Image) (Delivered, error) {
	return write(ctx, a.Begin, img)
}

// Reach fails if something else than a file is there.
func (a OCIArchive) Reach(context.Context) error {
	return archive{a.File, "oci-archive", nil}.reach()
}

func (a OCIArchive) lay(_ context.Context, it *item) (*item, []part, error) {
	it, err := it.inOCI()
	if err != nil {
		return nil, nil, err
	}
	index := &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	raw, err := listed(index, it.entries(a.Tags))
	return it, []part{{layoutFile, []byte(layoutVersion)}, {indexFile, raw}}, err
}

// Tarball delivers to a file as docker save writes it and docker load and
// podman load read it. A file that is there is replaced. Equal images give
// equal files. The layers stay compressed with gzip; but if one is with zstd, all
// are plain tars in it, as engines find out the compression by trying others. The
// archive also holds the manifest, so that the image can be named by its digest,
// which is another one than the image's own if there was such a layer.
type Tarball struct {
	File     string
	Tags     []name.Tag // what the image is called once loaded; none: by its id
	Progress Progress
}

// Begin starts a delivery.
func (t Tarball) Begin() (Delivery, error) {
	return archive{t.File, "docker-archive", t.Progress}.begin(t.manifest)
}

// Write writes the archive.
func (t Tarball) Write(ctx context.Context, img v1.Image) (Delivered, error) {
	return write(ctx, t.Begin, img)
}

// Reach fails if something else than a file is there.
func (t Tarball) Reach(context.Context) error {
	return archive{t.File, "docker-archive", nil}.reach()
}

// manifest returns manifest.json, the table of contents of a Docker archive.
func (t Tarball) manifest(ctx context.Context, it *item) (*item, []part, error) {
	it, err := it.withoutZstd(ctx)
	if err != nil {
		return nil, nil, err
	}
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	e := entry{Config: it.blobs[0].file(), RepoTags: []string{}, Layers: []string{}}
	for _, tag := range t.Tags {
		e.RepoTags = append(e.RepoTags, familiar(tag))
	}
	for _, d := range it.parsed.Layers {
		e.Layers = append(e.Layers, blob{Descriptor: d}.file())
	}
	raw, err := json.Marshal([]entry{e})
	return it, []part{{"manifest.json", raw}}, err
}

// familiar returns tag as users of docker write it, which is how it must stand
// in an archive.
func familiar(tag name.Tag) string {
	if tag.RegistryStr() != name.DefaultRegistry {
		return tag.Name()
	}
	return strings.TrimPrefix(tag.RepositoryStr(), "library/") + ":" + tag.TagStr()
}

// An archive is a file to be written.
type archive struct {
	file      string
	transport string
	progress  Progress
}

// A part is a small file of an archive.
type part struct {
	name    string
	content []byte
}

// A layouter says in which format an image stands in an archive, with what
// beside it.
type layouter func(context.Context, *item) (*item, []part, error)

func (a archive) begin(lay layouter) (Delivery, error) {
	if err := a.reach(); err != nil {
		return nil, err
	}
	return &wrapping{archive: a, lay: lay}, nil
}

func (a archive) reach() error { return a.delivering(a.check()) }

func (a archive) delivering(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("delivering to %s:%s: %w", a.transport, a.file, writeError(a.file, err))
}

// A wrapping is the delivery of one image to an archive.
type wrapping struct {
	archive
	lay     layouter
	pending *disk.Pending
	done    Delivered
}

// Add does nothing: an archive begins with the manifest.
func (w *wrapping) Add(context.Context, v1.Layer) error { return nil }

// Complete writes the archive under a temporary name.
func (w *wrapping) Complete(ctx context.Context, img v1.Image) error {
	return w.delivering(w.write(ctx, img))
}

func (w *wrapping) write(ctx context.Context, img v1.Image) error {
	it, err := itemOf(img)
	if err != nil {
		return err
	}
	it, parts, err := w.lay(ctx, it)
	if err != nil {
		return err
	}
	disk.SweepShared(filepath.Dir(w.file)) // what builds left that were killed
	if w.pending, err = disk.Create(filepath.Dir(w.file)); err != nil {
		return err
	}
	add, done := w.progress.start("writing "+w.transport+":"+w.file, it.size())
	err = fill(ctx, tar.NewWriter(w.pending), it.all(), parts, add)
	if done(err); err != nil {
		return err
	}
	w.done = it.delivered(w.transport + ":" + w.file)
	w.done.Moved, w.done.Bytes = len(it.blobs), it.size()
	return nil
}

// Publish puts the archive in its place.
func (w *wrapping) Publish(context.Context) (Delivered, error) {
	if _, err := w.pending.Commit(filepath.Base(w.file)); err != nil {
		return Delivered{}, w.delivering(err)
	}
	return w.done, nil
}

// Close drops what was written.
func (w *wrapping) Close() {
	if w.pending != nil {
		w.pending.Abort()
	}
}

// check refuses to replace what is no file.
func (a archive) check() error {
	info, err := os.Stat(a.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return pathError(a.file, err)
	case !info.Mode().IsRegular():
		return &WriteError{Path: a.file, Problem: "something is there that is no file"}
	}
	return nil
}

// fill writes an archive of the blobs and then the parts.
func fill(ctx context.Context, w *tar.Writer, blobs []blob, parts []part, add func(int64)) error {
	var dirs []string
	for _, b := range blobs {
		dirs = append(dirs, blobsDir+"/", path.Dir(b.file())+"/")
	}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		if err := w.WriteHeader(header(tar.TypeDir, dir, 0)); err != nil {
			return err
		}
	}
	for _, b := range blobs {
		if err := w.WriteHeader(header(tar.TypeReg, b.file(), b.Size)); err != nil {
			return err
		}
		if err := b.copyTo(ctx, w, add); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if err := w.WriteHeader(header(tar.TypeReg, p.name, int64(len(p.content)))); err != nil {
			return err
		}
		if _, err := w.Write(p.content); err != nil {
			return err
		}
	}
	return w.Close()
}

// header leaves the format to tar, which takes the oldest that holds the size.
func header(kind byte, name string, size int64) *tar.Header {
	h := &tar.Header{Typeflag: kind, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
	if kind == tar.TypeDir {
		h.Mode = 0o755
	}
	return h
}
