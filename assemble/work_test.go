// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"inlay/assemble"
	"inlay/assemble/output"
	"inlay/resolve/plan"
)

// A place is an output that calls functions, and counts.
type place struct {
	add      func(context.Context, v1.Layer) error
	complete func(context.Context, v1.Image) error

	added, completed, published, closed atomic.Int32
}

func (p *place) Begin() (output.Delivery, error) { return p, nil }

func (p *place) Add(ctx context.Context, l v1.Layer) error {
	p.added.Add(1)
	if p.add == nil {
		return nil
	}
	return p.add(ctx, l)
}

func (p *place) Complete(ctx context.Context, img v1.Image) error {
	p.completed.Add(1)
	if p.complete == nil {
		return nil
	}
	return p.complete(ctx, img)
}

func (p *place) Publish(context.Context) (output.Delivered, error) {
	p.published.Add(1)
	return output.Delivered{}, nil
}

func (p *place) Close() { p.closed.Add(1) }

// wheels returns n steps that install a wheel each, and how to open the wheels.
func wheels(t *testing.T, n int) ([]plan.Step, func(context.Context, plan.Wheel) (*os.File, error)) {
	t.Helper()
	s, open := wheel(t, plan.Base{})
	steps := make([]plan.Step, n)
	for i := range steps {
		py := *s.Python
		py.Wheels = []plan.Wheel{py.Wheels[0]}
		py.Wheels[0].Digest = fmt.Sprintf("sha256:%064d", i)
		steps[i] = plan.Step{Name: fmt.Sprint("step ", i), Python: &py}
	}
	return steps, open
}

// A layer is delivered while the wheels of the next are still on their way: the
// last wheel here comes when the first layer and the parent's have arrived.
func TestLayersAreDeliveredAsTheyAreMade(t *testing.T) {
	steps, open := wheels(t, 2)
	arrived := make(chan struct{}, 10)
	out := &place{add: func(context.Context, v1.Layer) error { arrived <- struct{}{}; return nil }}
	o := options(t, t.TempDir(), out)
	o.Jobs = 1
	o.Tools.Wheel = func(ctx context.Context, w plan.Wheel) (*os.File, error) {
		if w.Digest == steps[1].Python.Wheels[0].Digest {
			for range 3 {
				select {
				case <-arrived:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
		}
		return open(ctx, w)
	}
	if _, err := assemble.Build(deadline(t), demo(steps...), o); err != nil {
		t.Fatal(err)
	}
	if a, p := out.added.Load(), out.published.Load(); a != 4 || p != 1 {
		t.Errorf("%d layers were added and %d images published, want 4 and 1", a, p)
	}
}

// deadline ends a test that waits for what doesn't come.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Wheels of several layers are fetched together, also where one layer is made
// at a time: each wheel here waits for five others.
func TestWheelsAreFetchedTogether(t *testing.T) {
	steps, open := wheels(t, 6)
	var all sync.WaitGroup
	all.Add(len(steps))
	o := options(t, t.TempDir())
	o.Jobs = 1
	o.Tools.Wheel = func(ctx context.Context, w plan.Wheel) (*os.File, error) {
		all.Done()
		together := make(chan struct{})
		go func() { all.Wait(); close(together) }()
		select {
		case <-together:
			return open(ctx, w)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if _, err := assemble.Build(deadline(t), demo(steps...), o); err != nil {
		t.Error(err)
	}
}

// However long wheels and outputs take, the image is the same, and no more
// wheels are fetched at a time than there should be.
func TestTimingDoesNotShow(t *testing.T) {
	steps, open := wheels(t, 30)
	parent, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	var want v1.Hash
	for seed := range uint64(4) {
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, 0))
		wait := func() {
			mu.Lock()
			d := random.IntN(3)
			mu.Unlock()
			time.Sleep(time.Duration(d) * time.Millisecond)
		}
		out := &place{add: func(context.Context, v1.Layer) error { wait(); return nil }}
		o := options(t, t.TempDir(), out)
		o.Images, o.Jobs = parents{img: parent}, int(seed)
		var now, most atomic.Int32
		o.Tools.Wheel = func(ctx context.Context, w plan.Wheel) (*os.File, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			wait()
			return open(ctx, w)
		}
		r, err := assemble.Build(t.Context(), demo(steps...), o)
		if err != nil {
			t.Fatal(err)
		}
		if want == (v1.Hash{}) {
			want = r.Digest
		}
		if r.Digest != want || most.Load() > 16 {
			t.Errorf("the image is %s with %d wheels at a time, want %s with at most 16", r.Digest, most.Load(), want)
		}
	}
}

// The first error ends everything that goes on, and nothing is published, at no
// output.
func TestFirstErrorEndsAll(t *testing.T) {
	broken := errors.New("broken")
	ended := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	steps, open := wheels(t, 3)
	tests := []struct {
		name string
		edit func(o *assemble.Options, first, second *place)
	}{
		{"a wheel", func(o *assemble.Options, first, second *place) {
			first.add = func(ctx context.Context, _ v1.Layer) error { return ended(ctx) }
			o.Tools.Wheel = func(ctx context.Context, w plan.Wheel) (*os.File, error) {
				if w.Digest == steps[0].Python.Wheels[0].Digest {
					return nil, broken
				}
				return nil, ended(ctx)
			}
		}},
		{"the parent", func(o *assemble.Options, first, second *place) {
			first.add = func(ctx context.Context, _ v1.Layer) error { return ended(ctx) }
			o.Images = parents{err: broken}
		}},
		{"an upload", func(o *assemble.Options, first, second *place) {
			first.add = func(context.Context, v1.Layer) error { return broken }
			second.add = func(ctx context.Context, _ v1.Layer) error { return ended(ctx) }
			o.Tools.Wheel = func(ctx context.Context, _ plan.Wheel) (*os.File, error) { return nil, ended(ctx) }
		}},
		{"the end of a delivery", func(o *assemble.Options, first, second *place) {
			first.complete = func(ctx context.Context, _ v1.Image) error { return ended(ctx) }
			second.complete = func(context.Context, v1.Image) error { return broken }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var first, second place
			o := options(t, t.TempDir(), &first, &second)
			o.Tools.Wheel = open
			tt.edit(&o, &first, &second)
			if _, err := assemble.Build(deadline(t), demo(steps...), o); !errors.Is(err, broken) {
				t.Errorf("Build = %v, want %v", err, broken)
			}
			if n := first.published.Load() + second.published.Load(); n != 0 {
				t.Errorf("%d images were published", n)
			}
			if first.closed.Load() != 1 || second.closed.Load() != 1 {
				t.Errorf("the deliveries were closed %d and %d times, want once each", first.closed.Load(), second.closed.Load())
			}
		})
	}
}

// An image that lacks no layer is not delivered piece by piece, as it may be
// there.
func TestNothingIsAddedToAKnownImage(t *testing.T) {
	out := &place{}
	o := options(t, t.TempDir(), out)
	for range 2 {
		if _, err := assemble.Build(t.Context(), demo(files("a")), o); err != nil {
			t.Fatal(err)
		}
	}
	if a, p := out.added.Load(), out.published.Load(); a != 3 || p != 2 {
		t.Errorf("%d layers were added in %d builds, want 3 in 2: the parent's and a new one, then none", a, p)
	}
}

// A layer that is damaged in the cache is made again also if that shows while
// other layers are still being made.
func TestDamageShowsEarly(t *testing.T) {
	dir := t.TempDir()
	steps, open := wheels(t, 1)
	out := &reader{recorder: &recorder{}}
	o := options(t, dir, out)
	o.Tools.Wheel = open
	if _, err := assemble.Build(t.Context(), demo(files("a")), o); err != nil {
		t.Fatal(err)
	}
	damage(t, dir)
	o.Tools.Wheel = func(ctx context.Context, w plan.Wheel) (*os.File, error) {
		if out.begun.Load() == 2 { // the attempt that finds the damage
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return open(ctx, w)
	}
	r, err := assemble.Build(deadline(t), demo(files("a"), steps[0]), o)
	if err != nil {
		t.Fatal(err)
	}
	if n := out.begun.Load(); n != 3 {
		t.Errorf("deliveries were begun %d times, want 3: of two builds, and again", n)
	}
	for _, l := range r.Layers {
		if l.Reused {
			t.Errorf("layer %q is reused", l.Name)
		}
	}
}
