// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/assemble/output"
	"inlay/cache"
	"inlay/layers"
	"inlay/resolve/plan"
)

// ahead is for how many more layers than are made at a time wheels are fetched.
// It bounds the files that are open and what lies in memory of them.
const ahead = 8

// A work is one attempt at a build.
type work struct {
	plan       plan.Plan
	o          Options
	layers     []Layer         // of the steps
	ready      []chan struct{} // each closed when its layer is there
	deliveries []output.Delivery
	fetching   slots // bounds downloads
	making     slots // bounds layers
	viewing    sync.Mutex
	view       *layers.View // the parent's tree, once it was read
}

// begin makes everything ready; build ends it.
func begin(p plan.Plan, o Options) (*work, error) {
	w := &work{
		plan: p, o: o, layers: make([]Layer, len(p.Image().Steps)), ready: make([]chan struct{}, len(p.Image().Steps)),
		fetching: make(slots, downloads), making: make(slots, max(o.Jobs, 1)),
	}
	for i := range w.ready {
		w.ready[i] = make(chan struct{})
	}
	for _, out := range o.Outputs {
		d, err := out.Begin()
		if err != nil {
			w.close()
			return nil, err
		}
		w.deliveries = append(w.deliveries, d)
	}
	return w, nil
}

func (w *work) close() {
	for _, d := range w.deliveries {
		d.Close()
	}
}

// build makes the image, brings it to all outputs and publishes it.
func (w *work) build(ctx context.Context) (*Result, error) {
	defer w.close()
	missing, err := w.find(ctx)
	if err != nil {
		return nil, err
	}
	r, err := w.complete(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, d := range w.deliveries {
		delivered, err := d.Publish(ctx)
		if err != nil {
			return nil, err
		}
		r.Delivered = append(r.Delivered, delivered)
	}
	if w.o.Recent != nil {
		w.o.Recent.save(w.plan.Image().Steps, w.keys(), w.layers)
	}
	return r, nil
}

// keys returns those of the image's steps.
func (w *work) keys() []plan.Key {
	foreseen := w.o.Foreseen
	if len(foreseen) == 0 {
		return w.plan.Image().Keys()
	}
	var keys []plan.Key
	for _, f := range foreseen[len(foreseen)-len(w.layers):] {
		keys = append(keys, f.full)
	}
	return keys
}

// find takes from the cache what is there, and returns the steps that are not.
func (w *work) find(ctx context.Context) (missing []int, err error) {
	for i := range w.plan.Image().Steps {
		if !w.o.Anew || w.o.Made.has(w.plan.Image().Key(i, nil)) {
			l, err := w.known(ctx, i)
			if err == nil {
				w.use(i, l)
				continue
			}
			if !errors.Is(err, cache.ErrMiss) {
				return nil, err
			}
		}
		missing = append(missing, i)
	}
	return missing, nil
}

// lookUp returns layer i as the cache has it, or cache.ErrMiss.
func (w *work) lookUp(ctx context.Context, i int) (Layer, error) {
	before := len(w.o.Foreseen) - len(w.plan.Image().Steps) // of other stages
	if before >= 0 && w.o.Foreseen[before+i].Layer != nil {
		return w.o.Foreseen[before+i].found, nil
	}
	return find(ctx, w.plan.Image(), i, w.o.Cache, w.o.Dirs)
}

// use takes l as layer i, and tells what is to be known of it.
func (w *work) use(i int, l Layer) {
	w.layers[i] = l
	close(w.ready[i])
	if note := w.o.Tools.Note; note != nil {
		for _, line := range l.Report {
			note(line)
		}
	}
}

// complete makes the missing layers and completes the image at all outputs. If
// none is missing nothing is delivered ahead of the image, which may be there.
func (w *work) complete(ctx context.Context, missing []int) (*Result, error) {
	g, gctx := errgroup.WithContext(ctx)
	deliver := func(l v1.Layer) {
		for _, d := range w.deliveries {
			g.Go(func() error { return d.Add(gctx, l) })
		}
	}
	if len(missing) == 0 {
		deliver = func(v1.Layer) {}
	}
	// Not gctx: the parent's layers may be read after the build.
	open := func() (v1.Image, error) { return w.o.Images.Parent(ctx, w.plan.Image().Parent, w.plan.Platform) }
	var r *Result
	g.Go(func() (err error) {
		if r, err = w.image(gctx, missing, deliver, open); err != nil {
			return err
		}
		for _, d := range w.deliveries {
			g.Go(func() error { return d.Complete(gctx, r.Image) })
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return r, nil
}

// image makes the image. Every layer that it will have goes to deliver, as soon
// as it is there.
func (w *work) image(ctx context.Context, missing []int, deliver func(v1.Layer), open func() (v1.Image, error)) (*Result, error) {
	parent, err := w.gather(ctx, missing, deliver, open)
	if err != nil {
		return nil, err
	}
	r, err := stack(parent, w.layers, w.plan)
	if err != nil {
		return nil, err
	}
	return r, checkImage(r.Image, w.o.Tools.Secrets)
}

// gather opens the parent and makes the missing layers.
func (w *work) gather(ctx context.Context, missing []int, deliver func(v1.Layer), open func() (v1.Image, error)) (v1.Image, error) {
	var parent v1.Image
	for _, l := range w.layers {
		if l.Reused {
			deliver(l.Layer)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(w.making) + ahead)
	g.Go(func() (err error) {
		if parent, err = open(); err != nil {
			return err
		}
		below, err := parent.Layers()
		if err != nil {
			return fmt.Errorf("reading the parent's layers: %w", err)
		}
		for _, l := range below {
			deliver(l)
		}
		return nil
	})
	for _, i := range missing {
		g.Go(func() error {
			l, err := w.layer(ctx, i)
			if err != nil {
				return err
			}
			w.use(i, l)
			deliver(l.Layer)
			return nil
		})
	}
	err := g.Wait()
	return parent, err
}

// reused reports whether err says that a layer from the cache is damaged.
func (w *work) reused(err error) bool {
	var damaged *layers.DigestError
	if !errors.As(err, &damaged) {
		return false
	}
	return slices.ContainsFunc(w.layers, func(l Layer) bool {
		if !l.Reused {
			return false
		}
		d, err := l.Digest()
		return err == nil && d == damaged.Want
	})
}
