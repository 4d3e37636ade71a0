// SPDX-License-Identifier: Apache-2.0

// Package assemble turns a plan into an image. It looks nothing up: the plan
// says what to make, a cache says what is made already.
package assemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/assemble/image"
	"inlay/assemble/output"
	"inlay/assemble/step"
	"inlay/cache"
	"inlay/layers"
	"inlay/resolve/plan"
)

// A Cache keeps layers by key; *cache.Dir is one.
type Cache interface {
	Get(ctx context.Context, key cache.Key) (v1.Layer, error) // cache.ErrMiss if absent
	Begin() (*cache.Pending, error)
}

// Values keeps small values by name; *disk.Values is one.
type Values interface {
	Get(name string) ([]byte, error) // an error that is fs.ErrNotExist if absent
	Put(name string, b []byte) error
}

// An Output is a place an image can go; those of package output are some.
type Output interface {
	Write(ctx context.Context, img v1.Image) (output.Delivered, error)
}

// A Source opens the parent that a plan names, for a platform such as
// "linux/amd64".
type Source interface {
	Parent(ctx context.Context, p plan.Parent, platform string) (v1.Image, error)
}

// Options say where layers are kept, what they are made with and where the
// image goes.
type Options struct {
	Images   Source
	Cache    Cache
	Dirs     Values // which directories the layers of steps touch
	Anew     bool   // make every layer, also those that the cache has
	Tools    step.Tools
	Outputs  []Output
	Jobs     int // layers made at a time; less than 1 means 1
	Progress func(task string, total int64) (add func(int64), done func(error))
}

// A Result is what a build made.
type Result struct {
	Image     v1.Image
	Digest    v1.Hash // of its manifest
	Layers    []Layer // one for each step of the plan
	Delivered []output.Delivered
}

// A Layer is one that a build put on top of the parent.
type Layer struct {
	v1.Layer
	Name   string
	Reused bool // it was in the cache
}

// Build makes the image that p describes and delivers it to every output. An
// error leaves nothing visible but layers in the cache. Layers that turn out
// damaged in the cache while they are delivered are made again, once.
func Build(ctx context.Context, p plan.Plan, o Options) (*Result, error) {
	r, err := build(ctx, p, o)
	if err != nil {
		return nil, err
	}
	err = r.deliver(ctx, o.Outputs)
	if err != nil && r.reused(err) {
		o.Anew = true
		if r, err = build(ctx, p, o); err == nil {
			err = r.deliver(ctx, o.Outputs)
		}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// build makes the image and delivers it nowhere.
func build(ctx context.Context, p plan.Plan, o Options) (*Result, error) {
	stage := p.Image()
	made := make([]Layer, len(stage.Steps))
	var parent v1.Image
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(o.Jobs, 1)) // a limit of 0 would block for ever
	g.Go(func() (err error) {
		// Not gctx: the parent's layers are read later.
		parent, err = o.Images.Parent(ctx, stage.Parent, p.Platform)
		return err
	})
	for i, s := range stage.Steps {
		g.Go(func() (err error) {
			made[i], err = layer(gctx, s, o)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return stack(parent, made, p)
}

func (r *Result) deliver(ctx context.Context, outputs []Output) error {
	r.Delivered = nil
	for _, out := range outputs {
		d, err := out.Write(ctx, r.Image)
		if err != nil {
			return err
		}
		r.Delivered = append(r.Delivered, d)
	}
	return nil
}

// reused reports whether err says that a layer from the cache is damaged.
func (r *Result) reused(err error) bool {
	var damaged *layers.DigestError
	if !errors.As(err, &damaged) {
		return false
	}
	return slices.ContainsFunc(r.Layers, func(l Layer) bool {
		d, err := l.Digest()
		return err == nil && l.Reused && d == damaged.Want
	})
}

// stack puts the layers and the plan's configuration on top of the parent.
func stack(parent v1.Image, made []Layer, p plan.Plan) (*Result, error) {
	ls := make([]image.Layer, len(made))
	for i, l := range made {
		ls[i] = image.Layer{Layer: l.Layer, CreatedBy: "inlay: " + l.Name}
	}
	img, err := image.Stack(parent, ls, p.Image().Config, time.Unix(p.Created, 0).UTC())
	if err != nil {
		return nil, fmt.Errorf("putting the image together: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("putting the image together: %w", err)
	}
	return &Result{Image: img, Digest: digest, Layers: made}, nil
}

// layer returns the layer of s, from the cache if it was made before.
func layer(ctx context.Context, s plan.Step, o Options) (Layer, error) {
	if !o.Anew {
		l, err := find(ctx, s, o.Cache, o.Dirs)
		if err == nil {
			return Layer{Layer: l, Name: s.Name, Reused: true}, nil
		}
		if !errors.Is(err, cache.ErrMiss) {
			return Layer{}, err
		}
	}
	l, err := makeLayer(ctx, s, o)
	return Layer{Layer: l, Name: s.Name}, err
}

func makeLayer(ctx context.Context, s plan.Step, o Options) (_ v1.Layer, err error) {
	file, err := o.Cache.Begin()
	if err != nil {
		return nil, err
	}
	defer file.Abort()
	out := watched{Writer: file, add: func(int64) {}}
	if o.Progress != nil {
		var done func(error)
		out.add, done = o.Progress("layer "+s.Name, 0)
		defer func() { done(err) }()
	}
	made, err := step.Write(ctx, out, s, o.Tools)
	if err != nil {
		return nil, err
	}
	l, err := file.Commit(s.Key(made.Dirs), made.Summary)
	if err != nil {
		return nil, err
	}
	return l, remember(s, made.Dirs, o.Dirs)
}

// watched tells of the bytes written.
type watched struct {
	io.Writer
	add func(int64)
}

func (w watched) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.add(int64(n))
	return n, err
}
