// SPDX-License-Identifier: Apache-2.0

// Package assemble turns a plan into an image. It looks nothing up: the plan
// says what to make, a cache says what is made already. Downloading, making
// layers and delivering them go on at the same time, and which of them comes
// first never shows in the image.
package assemble

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

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
	Known(key cache.Key, s layers.Summary) (v1.Layer, bool)   // false if absent
	Begin() (*cache.Pending, error)
}

// Values keeps small values by name; *disk.Values is one.
type Values interface {
	Get(name string) ([]byte, error) // an error that is fs.ErrNotExist if absent
	Put(name string, b []byte) error
	Use(name string) bool // as Get does, and tells only whether it is there
}

// An Output is a place an image can go; those of package output are some.
type Output interface {
	Begin() (output.Delivery, error)
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
	Dirs     Values     // what layers don't tell themselves: which directories they touch, and reports
	Foreseen []Forecast // what Foresee said of the plan before, with the same Cache and Dirs; nil to look again
	Recent   *Recent    // layers of the last build, to be found fast; nil knows none, and keeps none
	Anew     bool       // make every layer, also those that the cache has
	Made     *Made      // but those that were made so already; nil knows none
	Tools    step.Tools // their Secrets may be nowhere else either
	Outputs  []Output
	Jobs     int // layers made at a time; less than 1 means 1
	Progress func(task string, total int64) (add func(int64), done func(error))
}

// Made are the layers that builds of one command made anew, by key: the others
// of them take these. Its zero value has none.
type Made struct{ keys sync.Map }

func (m *Made) has(key cache.Key) bool {
	if m == nil {
		return false
	}
	_, ok := m.keys.Load(key)
	return ok
}

func (m *Made) add(key cache.Key) {
	if m != nil {
		m.keys.Store(key, true)
	}
}

// A Result is what a build made.
type Result struct {
	Image     v1.Image
	Digest    v1.Hash // of its manifest
	Platform  string
	Layers    []Layer // one for each step of the plan
	Delivered []output.Delivered
}

// A Layer is one that a build put on top of the parent.
type Layer struct {
	v1.Layer
	Name   string
	Key    cache.Key // that the cache knows it by
	Reused bool      // it was in the cache
	Report []string  // what a user should know of it; the image's history tells it too
	Asked  []string  // what the command that made it asked of the network, as far as that is known
}

// Build makes the image that p describes and delivers it to every output.
// Layers are brought to the outputs as soon as they are there, and published
// everywhere once all outputs are complete: an error before that leaves nothing
// visible but layers in the cache. Layers that turn out damaged in the cache
// while they are delivered are made again, once.
//
// A secret in the plan, in a new layer or one of source files, in the
// configuration or in the manifest is a *leak.Error. No layer that holds it is
// kept or delivered.
func Build(ctx context.Context, p plan.Plan, o Options) (*Result, error) {
	if err := CheckPlan(p, o.Tools.Secrets); err != nil {
		return nil, err
	}
	o.Images = &stages{Source: o.Images, plan: p, o: o}
	w, err := begin(p, o)
	if err != nil {
		return nil, err
	}
	r, err := w.build(ctx)
	if err != nil && w.reused(err) {
		o.Anew = true
		if w, err = begin(p, o); err == nil {
			r, err = w.build(ctx)
		}
	}
	return r, err
}

// stack puts the layers and the plan's configuration on top of the parent.
func stack(parent v1.Image, made []Layer, p plan.Plan) (*Result, error) {
	ls := make([]image.Layer, len(made))
	for i, l := range made {
		ls[i] = image.Layer{Layer: l.Layer, CreatedBy: "inlay: " + l.Name, Comment: strings.Join(l.Report, "\n")}
	}
	if p.OCI {
		var err error
		if parent, err = image.InOCI(parent); err != nil {
			return nil, fmt.Errorf("putting the image together: %w", err)
		}
	}
	img, err := image.Stack(parent, ls, p.Image().Config, time.Unix(p.Created, 0).UTC())
	if err != nil {
		return nil, fmt.Errorf("putting the image together: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("putting the image together: %w", err)
	}
	return &Result{Image: img, Digest: digest, Platform: p.Platform, Layers: made}, nil
}
