// SPDX-License-Identifier: Apache-2.0

package output

import (
	"archive/tar"
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/cache/disk"
)

// An IndexDelivery is an index of images in OCI's format on its way to an output.
// The images go first, one after the other, each by a delivery that Begin
// returns: it publishes nothing, and blobs that several have are brought once.
type IndexDelivery interface {
	// Begin starts the delivery of one of the images.
	Begin() (Delivery, error)
	// Complete brings the index of the images that were completed before, and
	// makes nothing visible.
	Complete(ctx context.Context, index Index) error
	// Publish makes the index visible under its names.
	Publish(ctx context.Context) (Delivered, error)
	// Close drops what was not published.
	Close()
}

// An Index is what lists the images; *image.Index is one.
type Index interface {
	RawManifest() ([]byte, error)
	MediaType() (types.MediaType, error)
	Digest() (v1.Hash, error)
	Size() (int64, error)
}

// indexOf returns an index as a blob.
func indexOf(index Index) (blob, error) {
	raw, err := index.RawManifest()
	if err != nil {
		return blob{}, fmt.Errorf("reading the index: %w", err)
	}
	d := v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw))}
	if d.Digest, err = index.Digest(); err != nil {
		return blob{}, fmt.Errorf("reading the index: %w", err)
	}
	return blob{d, content(d, raw)}, nil
}

// with returns the report of an index, of whose blobs d tells, at a place.
func (d Delivered) with(reference string, index blob) Delivered {
	d.Reference, d.Digest = reference, index.Digest
	return d
}

// plus returns a report of what d and another moved.
func (d Delivered) plus(other Delivered) Delivered {
	d.Bytes += other.Bytes
	d.Moved += other.Moved
	d.Mounted += other.Mounted
	d.Present += other.Present
	return d
}

// A member is the delivery of one image of an index.
type member struct {
	Delivery
	completed func() Delivered
	count     func(Delivered)
}

// Complete brings the image, of which the index will tell.
func (m member) Complete(ctx context.Context, img v1.Image) error {
	if err := m.Delivery.Complete(ctx, img); err != nil {
		return err
	}
	m.count(m.completed())
	return nil
}

// Publish leaves it to the index.
func (m member) Publish(context.Context) (Delivered, error) { return m.completed(), nil }

// Close leaves it to the index.
func (m member) Close() {}

// A pushedIndex is an index on its way to repositories.
type pushedIndex struct {
	*push
	index Index
	sum   Delivered
}

// BeginIndex starts the delivery of an index: its images are known by their
// digests, and the tags are the index's.
func (r Registry) BeginIndex() (IndexDelivery, error) {
	d, err := r.Begin()
	if err != nil {
		return nil, err
	}
	return &pushedIndex{push: d.(*push)}, nil
}

// Begin starts the delivery of an image that no tag will name.
func (p *pushedIndex) Begin() (Delivery, error) {
	one := &push{connection: p.connection, slots: p.slots, sent: p.sent, stock: p.stock}
	for _, t := range p.targets {
		one.targets = append(one.targets, target{repo: t.repo})
	}
	return member{one, func() Delivered { return one.done }, func(d Delivered) { p.sum = p.sum.plus(d) }}, nil
}

// Complete sends the index to the repositories that don't have it.
func (p *pushedIndex) Complete(ctx context.Context, index Index) error {
	b, err := indexOf(index)
	if err != nil {
		return err
	}
	p.index, p.it = index, &item{manifest: b}
	p.done = p.sum.with(p.digestIn(0).String(), b)
	p.there, p.missing = make([]bool, len(p.targets)), make([][]name.Tag, len(p.targets))
	for i := range p.targets {
		err := p.look(ctx, i)
		if err == nil && !p.there[i] {
			err = p.put(ctx, p.digestIn(i), index)
		}
		if err != nil {
			return p.pushing(i, err)
		}
	}
	return nil
}

// Publish puts the tags.
func (p *pushedIndex) Publish(ctx context.Context) (Delivered, error) {
	return p.done, p.tag(ctx, p.index)
}

// A filledIndex is an index on its way to a layout.
type filledIndex struct {
	*blobs
	index blob
	sum   Delivered
}

// BeginIndex starts the delivery of an index: index.json lists it under the
// tags, and not its images.
func (l Layout) BeginIndex() (IndexDelivery, error) {
	if err := l.check(); err != nil {
		return nil, l.delivering(err)
	}
	return &filledIndex{blobs: l.blobs()}, nil
}

// Begin starts the delivery of an image that the index will list.
func (f *filledIndex) Begin() (Delivery, error) {
	one := &filling{blobs: f.blobs}
	return member{one, func() Delivered { return one.done }, func(d Delivered) { f.sum = f.sum.plus(d) }}, nil
}

// Complete copies the index.
func (f *filledIndex) Complete(ctx context.Context, index Index) (err error) {
	if f.index, err = indexOf(index); err == nil {
		_, err = f.copy(ctx, f.index, func(int64) {})
	}
	return f.delivering(err)
}

// Publish gives the blobs their names and lists the index.
func (f *filledIndex) Publish(ctx context.Context) (Delivered, error) {
	if err := f.publish(ctx, tagged(f.index.Descriptor, f.Tags)); err != nil {
		return Delivered{}, f.delivering(err)
	}
	return f.sum.with("oci:"+f.Dir+"@"+f.index.Digest.String(), f.index), nil
}

// A wrappedIndex is an index on its way to an archive.
type wrappedIndex struct {
	archive
	tags    []string
	images  []*item
	pending *disk.Pending
	done    Delivered
}

// BeginIndex starts the delivery of an index.
func (a OCIArchive) BeginIndex() (IndexDelivery, error) {
	w := &wrappedIndex{archive: archive{a.File, "oci-archive", a.Progress}, tags: a.Tags}
	return w, w.reach()
}

// Begin starts the delivery of an image, which waits for the index: an archive is
// written in one go.
func (w *wrappedIndex) Begin() (Delivery, error) { return &waiting{index: w}, nil }

// A waiting delivery is that of an image that goes with its index.
type waiting struct {
	index *wrappedIndex
	done  Delivered
}

// Add does nothing.
func (w *waiting) Add(context.Context, v1.Layer) error { return nil }

// Complete keeps the image for the index.
func (w *waiting) Complete(_ context.Context, img v1.Image) error {
	it, err := itemOf(img)
	if err != nil {
		return w.index.delivering(err)
	}
	if !slices.ContainsFunc(w.index.images, func(have *item) bool { return have.manifest.Digest == it.manifest.Digest }) {
		w.index.images = append(w.index.images, it)
	}
	w.done = it.delivered(w.index.transport + ":" + w.index.file)
	return nil
}

// Publish leaves it to the index.
func (w *waiting) Publish(context.Context) (Delivered, error) { return w.done, nil }

// Close leaves it to the index.
func (w *waiting) Close() {}

// Complete writes the archive under a temporary name.
func (w *wrappedIndex) Complete(ctx context.Context, index Index) error {
	return w.delivering(w.write(ctx, index))
}

func (w *wrappedIndex) write(ctx context.Context, index Index) error {
	b, err := indexOf(index)
	if err != nil {
		return err
	}
	listing, err := listed(&v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}, tagged(b.Descriptor, w.tags))
	if err != nil {
		return err
	}
	all := &item{}
	all.add(b)
	for _, it := range w.images {
		for _, one := range it.all() {
			all.add(one)
		}
	}
	disk.SweepShared(filepath.Dir(w.file)) // what builds left that were killed
	if w.pending, err = disk.Create(filepath.Dir(w.file)); err != nil {
		return err
	}
	add, done := w.progress.start("writing "+w.transport+":"+w.file, all.size())
	err = fill(ctx, tar.NewWriter(w.pending), all.blobs, []part{{layoutFile, []byte(layoutVersion)}, {indexFile, listing}}, add)
	if done(err); err != nil {
		return err
	}
	w.done = Delivered{Moved: len(all.blobs) - 1 - len(w.images), Bytes: all.size()}.with(w.transport+":"+w.file+"@"+b.Digest.String(), b)
	return nil
}

// Publish puts the archive in its place.
func (w *wrappedIndex) Publish(context.Context) (Delivered, error) {
	if _, err := w.pending.Commit(filepath.Base(w.file)); err != nil {
		return Delivered{}, w.delivering(err)
	}
	return w.done, nil
}

// Close drops what was written.
func (w *wrappedIndex) Close() {
	if w.pending != nil {
		w.pending.Abort()
	}
}
