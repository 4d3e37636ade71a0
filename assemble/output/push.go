// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"inlay/cache/registry"
)

// A push is the delivery of one image to repositories.
type push struct {
	*connection
	targets []target
	slots   slots
	sent    *ledger[outcome] // by repository and digest
	stock   stock

	added   atomic.Bool // layers came ahead of the image
	img     v1.Image
	it      *item
	there   []bool       // whether a target has the image
	missing [][]name.Tag // of each target, what doesn't name it yet
	done    Delivered
}

// A target is a repository with what the image is called in it.
type target struct {
	repo name.Repository
	tags []name.Tag
}

// Add sends a layer.
func (p *push) Add(ctx context.Context, l v1.Layer) error {
	p.added.Store(true)
	b, err := blobOf(l)
	if err != nil {
		return err
	}
	_, err = p.send(ctx, b, make([]bool, len(p.targets)))
	return err
}

// Complete sends the blobs and then the manifest.
func (p *push) Complete(ctx context.Context, img v1.Image) (err error) {
	if p.it, err = itemOf(img); err != nil {
		return err
	}
	p.img = img
	p.done = Delivered{Reference: p.digestIn(0).String(), Digest: p.it.manifest.Digest}
	p.there, p.missing = make([]bool, len(p.targets)), make([][]name.Tag, len(p.targets))
	for i := range p.targets {
		if err := p.look(ctx, i); err != nil {
			return p.pushing(i, err)
		}
	}
	if err := p.sendAll(ctx); err != nil {
		return err
	}
	for i, there := range p.there {
		if there {
			continue
		}
		err := p.put(ctx, p.digestIn(i), img)
		if refused(err) {
			err = p.putWhole(ctx, i, img, err)
		}
		if err != nil {
			return p.pushing(i, err)
		}
	}
	return nil
}

// putWhole sends the blobs that target i was taken to have, and then the manifest,
// which was refused: the registry may have lost one of an image that it shows.
func (p *push) putWhole(ctx context.Context, i int, img v1.Image, because error) error {
	sent := false
	for _, b := range p.it.blobs {
		if !p.stock.has(ctx, p.connection, p.targets[i].repo, b.Digest) {
			continue
		}
		o, err := p.bring(ctx, i, b)
		if err != nil {
			return err
		}
		if o != present {
			sent = true
			p.done.Present--
			p.done.count(o, b.Size)
		}
	}
	if !sent {
		return because
	}
	return p.put(ctx, p.digestIn(i), img)
}

// digestIn names the image by its digest in a target.
func (p *push) digestIn(i int) name.Digest {
	return p.targets[i].repo.Digest(p.it.manifest.Digest.String())
}

func (p *push) pushing(i int, err error) error {
	return fmt.Errorf("pushing to %s: %w", p.targets[i].repo, err)
}

// look finds out whether a target has the image, and under which tags.
func (p *push) look(ctx context.Context, i int) error {
	for _, tag := range p.targets[i].tags {
		named, err := p.named(ctx, tag)
		if err != nil {
			return err
		}
		if named == p.it.manifest.Digest {
			p.there[i] = true
		} else {
			p.missing[i] = append(p.missing[i], tag)
		}
	}
	if p.there[i] {
		return nil
	}
	named, err := p.digest(ctx, p.digestIn(i))
	p.there[i] = named == p.it.manifest.Digest
	return err
}

// named returns what tag names. If Reach asked a moment ago, nothing had to be made
// since, and the answer was this image, nobody is asked again: another who moves the
// tag meanwhile could as well have done so after this push.
func (p *push) named(ctx context.Context, tag name.Tag) (v1.Hash, error) {
	if h, ok := p.heard.Load(tag); ok && h == p.it.manifest.Digest && !p.added.Load() && p.Recently != nil && p.Recently() {
		return p.it.manifest.Digest, nil
	}
	return p.digest(ctx, tag)
}

// sendAll sends all blobs to the targets that don't have the image.
func (p *push) sendAll(ctx context.Context) error {
	results := make([][]outcome, len(p.it.blobs))
	g, gctx := errgroup.WithContext(ctx)
	everywhere := !slices.Contains(p.there, false)
	for i, b := range p.it.blobs {
		if everywhere {
			results[i] = slices.Repeat([]outcome{present}, len(p.targets))
			continue
		}
		g.Go(func() (err error) {
			results[i], err = p.send(gctx, b, p.there)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, b := range p.it.blobs {
		for j, result := range results[i] {
			p.done.count(p.told(j, b, result), b.Size)
		}
	}
	return nil
}

// told returns what is reported of b: nothing, if that was done of another image
// of the same index.
func (p *push) told(i int, b blob, o outcome) outcome {
	if p.sent.first(p.targets[i].repo.String() + " " + b.Digest.String()) {
		return o
	}
	return absent
}

func (d *Delivered) count(o outcome, size int64) {
	switch o {
	case moved:
		d.Moved++
		d.Bytes += size
	case mounted:
		d.Mounted++
	case present:
		d.Present++
	case absent:
	}
}

// send makes b part of one repository after the other, but for those that have
// it with the whole image, and tells what came of it in each.
func (p *push) send(ctx context.Context, b blob, there []bool) ([]outcome, error) {
	results := make([]outcome, len(p.targets))
	for i, t := range p.targets {
		if there[i] {
			results[i] = present
			continue
		}
		var err error
		results[i], err = p.sent.bring(t.repo.String()+" "+b.Digest.String(), func() (o outcome, err error) {
			return o, p.slots.with(ctx, func() error {
				o, err = p.upload(ctx, i, b)
				return err
			})
		})
		if err != nil {
			return nil, p.pushing(i, err)
		}
	}
	return results, nil
}

// Publish puts the tags.
func (p *push) Publish(ctx context.Context) (Delivered, error) { return p.done, p.tag(ctx, p.img) }

// tag makes the tags name what was sent.
func (p *push) tag(ctx context.Context, what remote.Taggable) error {
	for i, tags := range p.missing {
		for _, tag := range tags {
			if err := p.put(ctx, tag, what); err != nil {
				return p.pushing(i, err)
			}
		}
	}
	return nil
}

// Close does nothing: what has no tag is nothing to see, and registries remove
// it in time.
func (p *push) Close() {}

func (p *push) put(ctx context.Context, ref name.Reference, what remote.Taggable) error {
	return registry.Explain(p.pusher.Put(ctx, ref, what), ref.Context(), ref.Name())
}
