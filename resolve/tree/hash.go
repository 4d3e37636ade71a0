// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"
)

// attempts is how often a file that changes is read before it is given up.
const attempts = 2

// bufferSize is how much of a file is read at a time.
const bufferSize = 256 << 10

// hashAll fills in the digests of the files that have none.
func hashAll(ctx context.Context, o Options, items []item) (err error) {
	var total int64
	var unknown []*item
	for i := range items {
		if it := &items[i]; it.Mode.IsRegular() && !it.known {
			unknown = append(unknown, it)
			total += it.Size
		}
	}
	h := hasher{fsys: o.FS, add: func(int64) {}}
	h.buffers.New = func() any { return new([bufferSize]byte) }
	if o.Progress != nil && len(unknown) > 0 {
		add, done := o.Progress("reading the source", total)
		defer func() { done(err) }()
		h.add = add
	}
	g, until := errgroup.WithContext(ctx)
	g.SetLimit(max(o.Jobs, 1))
	for _, it := range unknown {
		if until.Err() != nil {
			break
		}
		g.Go(func() error { return h.hash(until, it) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// A hasher reads files.
type hasher struct {
	fsys    fs.FS
	add     func(n int64)
	buffers sync.Pool
}

// hash fills in the digest of it, and its size, mode and stamp as they were
// when it was read.
func (h *hasher) hash(ctx context.Context, it *item) error {
	var err error
	for range attempts {
		if err = h.try(ctx, it); !errors.As(err, new(*ChangedError)) {
			return err
		}
	}
	return err
}

// try reads a file between two looks at its state. A file that was replaced,
// deleted or written to since is a *ChangedError.
func (h *hasher) try(ctx context.Context, it *item) error {
	f, err := h.fsys.Open(it.Path)
	if err != nil {
		return problem(it.Path, err)
	}
	defer func() { _ = f.Close() }() // only read
	before, err := f.Stat()
	if err != nil {
		return problem(it.Path, err)
	}
	if !before.Mode().IsRegular() {
		return &ChangedError{Path: it.Path}
	}
	sum := sha256.New()
	buf := h.buffers.Get().(*[bufferSize]byte)
	defer h.buffers.Put(buf)
	body := io.LimitReader(f, before.Size()+1)
	n, err := io.CopyBuffer(sum, readFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := body.Read(p)
		h.add(int64(n))
		return n, err
	}), buf[:])
	if err != nil {
		return fmt.Errorf("reading %q: %w", it.Path, err)
	}
	after, err := fs.Lstat(h.fsys, it.Path) // by name: another file may stand there now
	if err != nil {
		return problem(it.Path, err)
	}
	if n != before.Size() || !same(before, after) {
		return &ChangedError{Path: it.Path}
	}
	it.Size, it.Mode, it.stamp = n, normal(before.Mode()), stampOf(before)
	it.Digest = spell(sum.Sum(nil))
	return nil
}

// same reports whether nobody wrote to a file between two looks at it, as far
// as its file system says.
func same(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime()) && stampOf(a) == stampOf(b)
}

type readFunc func(p []byte) (int, error)

func (read readFunc) Read(p []byte) (int, error) { return read(p) }
