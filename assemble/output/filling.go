// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/cache/disk"
)

// A filling is the delivery of one image to a layout. Blobs stand there under
// temporary names until the image is published, so that a build that ends early
// leaves nothing.
type filling struct {
	*blobs
	it   *item
	done Delivered
}

// Blobs are on their way to a layout: those of an image, or of several.
type blobs struct {
	Layout
	slots  slots
	copied ledger[*disk.Pending] // by digest; nil if it was there

	mu      sync.Mutex
	pending []pendingBlob
	made    []string // directories that weren't there, the inner ones last
}

// A pendingBlob is a blob that nobody sees yet.
type pendingBlob struct {
	*disk.Pending
	name string
}

// Add copies a layer.
func (f *filling) Add(ctx context.Context, l v1.Layer) error {
	b, err := blobOf(l)
	if err != nil {
		return err
	}
	_, err = f.copy(ctx, b, func(int64) {})
	return f.delivering(err)
}

// Complete copies what is missing, and the manifest.
func (f *filling) Complete(ctx context.Context, img v1.Image) error {
	it, err := itemOf(img)
	if err == nil {
		f.it, err = it.inOCI()
	}
	if err == nil {
		f.done = f.it.delivered("oci:" + f.Dir)
		err = f.copyAll(ctx)
	}
	if err == nil {
		_, err = f.copy(ctx, f.it.manifest, func(int64) {})
	}
	return f.delivering(err)
}

func (f *filling) copyAll(ctx context.Context) (err error) {
	add, done := f.Progress.start("writing oci:"+f.Dir, f.it.size())
	defer func() { done(err) }()
	isNew := make([]bool, len(f.it.blobs))
	g, ctx := errgroup.WithContext(ctx)
	for i, b := range f.it.blobs {
		g.Go(func() (err error) {
			isNew[i], err = f.copy(ctx, b, add)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, b := range f.it.blobs {
		switch {
		case !f.copied.first(b.Digest.String()): // of another image of the same index
		case isNew[i]:
			f.done.count(moved, b.Size)
		default:
			f.done.count(present, b.Size)
		}
	}
	return nil
}

// copy makes b ready to be part of the layout and reports whether it wasn't
// one.
func (f *blobs) copy(ctx context.Context, b blob, add func(int64)) (moved bool, err error) {
	told := false
	pending, err := f.copied.bring(b.Digest.String(), func() (p *disk.Pending, err error) {
		told = true
		return p, f.slots.with(ctx, func() error {
			p, err = f.copyBlob(ctx, b, add)
			return err
		})
	})
	if !told {
		add(b.Size)
	}
	return pending != nil, err
}

func (f *blobs) copyBlob(ctx context.Context, b blob, add func(int64)) (*disk.Pending, error) {
	name := filepath.Join(f.Dir, filepath.FromSlash(b.file()))
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Size() == b.Size {
		add(b.Size)
		return nil, nil
	}
	f.mu.Lock()
	f.note(filepath.Dir(name))
	p, err := disk.Create(filepath.Dir(name))
	if err == nil {
		f.pending = append(f.pending, pendingBlob{p, filepath.Base(name)})
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := b.copyTo(ctx, p, add); err != nil {
		return nil, err
	}
	return p, p.Sync() // several at a time, and not one after the other at the end
}

// note remembers which of dir and the directories above aren't there.
func (f *blobs) note(dir string) {
	if _, err := os.Lstat(dir); err == nil || filepath.Dir(dir) == dir {
		return
	}
	f.note(filepath.Dir(dir))
	f.made = append(f.made, dir)
}

// Publish gives the blobs their names and lists the image.
func (f *filling) Publish(ctx context.Context) (Delivered, error) {
	if err := f.publish(ctx, f.it.entries(f.Tags)); err != nil {
		return Delivered{}, f.delivering(err)
	}
	return f.done, nil
}

func (f *blobs) publish(ctx context.Context, entries []v1.Descriptor) error {
	for _, p := range f.pending {
		if _, err := p.Commit(p.name); err != nil {
			return err
		}
	}
	if err := f.list(ctx, entries); err != nil {
		return err
	}
	f.made = nil
	return nil
}

// Close removes what was copied, and the directories that were made for it
// unless another build uses them.
func (f *blobs) Close() {
	for _, p := range f.pending {
		p.Abort()
	}
	for i := len(f.made) - 1; i >= 0; i-- {
		_ = os.Remove(f.made[i])
	}
}
