// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/assemble/step"
	"inlay/layers"
	"inlay/resolve/plan"
)

// downloads bounds the wheels that are fetched at a time. They wait for the
// network and not for a processor.
const downloads = 16

// A slots channel bounds how many work at once.
type slots chan struct{}

// take waits for room.
func (s slots) take(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// layer fetches what step i needs, and makes its layer once there is room.
func (w *work) layer(ctx context.Context, i int) (Layer, error) {
	s := w.plan.Image().Steps[i]
	wheels, err := w.fetch(ctx, s)
	defer wheels.close()
	if err != nil {
		return Layer{}, fmt.Errorf("making layer %q: %w", s.Name, err)
	}
	tools := w.o.Tools
	tools.Wheel, tools.Parent = wheels.open, w.below
	if s.Run != nil || s.Bytecode != nil {
		if tools.Below, err = w.beneath(ctx, i); err != nil {
			return Layer{}, err
		}
	}
	release, err := w.making.take(ctx)
	if err != nil {
		return Layer{}, err
	}
	defer release()
	return w.makeLayer(ctx, i, tools)
}

// beneath waits for the layers below step i that its command sees, and returns
// them with the parent's. Compiling takes no more than a Python.
func (w *work) beneath(ctx context.Context, i int) ([]v1.Layer, error) {
	all, err := w.parentLayers(ctx)
	if err != nil {
		return nil, err
	}
	steps := w.plan.Image().Steps
	for j := range i {
		configures := steps[j].Run != nil && steps[j].Run.Configure
		if steps[i].Bytecode != nil && steps[j].Apt == nil && !configures {
			continue
		}
		select {
		case <-w.ready[j]:
			all = append(all, w.layers[j].Layer)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return all, nil
}

func (w *work) parentLayers(ctx context.Context) ([]v1.Layer, error) {
	parent, err := w.o.Images.Parent(ctx, w.plan.Image().Parent, w.plan.Platform)
	if err != nil {
		return nil, err
	}
	all, err := parent.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the parent's layers: %w", err)
	}
	return all, nil
}

func (w *work) makeLayer(ctx context.Context, i int, tools step.Tools) (_ Layer, err error) {
	s := w.plan.Image().Steps[i]
	file, err := w.o.Cache.Begin()
	if err != nil {
		return Layer{}, err
	}
	defer file.Abort()
	out := watched{Writer: file, add: func(int64) {}}
	if w.o.Progress != nil {
		var done func(error)
		out.add, done = w.o.Progress("layer "+s.Name, 0)
		defer func() { done(err) }()
	}
	made, err := step.Write(ctx, out, s, tools)
	if err != nil {
		return Layer{}, err
	}
	key := w.plan.Image().Key(i, made.Dirs)
	if s.Run != nil && !w.o.Anew { // another build may have run it meanwhile: the layer that was made first counts
		if l, err := find(ctx, w.plan.Image(), i, w.o.Cache, w.o.Dirs); err == nil {
			return l, nil
		}
	}
	l, err := file.Commit(key, made.Summary)
	if err != nil {
		return Layer{}, err
	}
	w.o.Made.add(key)
	return Layer{Layer: l, Name: s.Name, Key: key, Report: made.Report, Asked: made.Asked}, remember(s, key, made, w.o.Dirs)
}

// below returns the tree of the parent, for steps that change it. It is read once.
func (w *work) below(ctx context.Context) (*layers.View, error) {
	w.viewing.Lock()
	defer w.viewing.Unlock()
	if w.view == nil {
		view, err := w.readParent(ctx)
		if err != nil {
			return nil, err
		}
		w.view = view
	}
	return w.view, nil
}

func (w *work) readParent(ctx context.Context) (*layers.View, error) {
	all, err := w.parentLayers(ctx)
	if err != nil {
		return nil, err
	}
	indexes := make([]*layers.Index, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(w.o.Jobs, 1))
	for i, l := range all {
		g.Go(func() error {
			var err error
			if indexes[i], err = w.index(ctx, l); err != nil {
				return fmt.Errorf("reading layer %d of the parent: %w", i+1, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return layers.Stack(indexes...)
}

// index returns what steps have to know of a layer. It is read once: another set
// of packages on the same parent decompresses nothing of it.
func (w *work) index(ctx context.Context, l v1.Layer) (*layers.Index, error) {
	digest, err := l.Digest()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("kept-%d-%s", step.KeepForm, digest.Hex)
	b, err := w.o.Dirs.Get(name)
	if err == nil {
		if ix, err := layers.DecodeIndex(bytes.NewReader(b)); err == nil {
			return ix, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	ix, err := layers.Scan(ctx, r, step.Keep)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := ix.Encode(&out); err != nil {
		return nil, err
	}
	return ix, w.o.Dirs.Put(name, out.Bytes())
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

// wheels are the wheels of one step, opened before the step asks for them.
type wheels struct {
	more  func(context.Context, plan.Wheel) (*os.File, error)
	mu    sync.Mutex
	files map[string]*os.File // by digest
}

// fetch opens the wheels of s. They are to be closed even if it fails.
func (w *work) fetch(ctx context.Context, s plan.Step) (*wheels, error) {
	f := &wheels{more: w.o.Tools.Wheel, files: make(map[string]*os.File)}
	if len(s.Wheels()) == 0 {
		return f, ctx.Err()
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, pw := range s.Wheels() {
		g.Go(func() error {
			release, err := w.fetching.take(ctx)
			if err != nil {
				return err
			}
			defer release()
			file, err := f.more(ctx, pw)
			if err != nil {
				return fmt.Errorf("%s %s: %w", pw.Name, pw.Version, err)
			}
			f.put(pw, file)
			return nil
		})
	}
	return f, g.Wait()
}

func (f *wheels) put(w plan.Wheel, file *os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if have := f.files[w.Digest]; have != nil {
		_ = have.Close() // only read
	}
	f.files[w.Digest] = file
}

// open hands a wheel over to the caller, who closes it.
func (f *wheels) open(ctx context.Context, w plan.Wheel) (*os.File, error) {
	f.mu.Lock()
	file := f.files[w.Digest]
	delete(f.files, w.Digest)
	f.mu.Unlock()
	if file == nil {
		return f.more(ctx, w)
	}
	return file, nil
}

func (f *wheels) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range f.files {
		_ = file.Close() // only read
	}
}
