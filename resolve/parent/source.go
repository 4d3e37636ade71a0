// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/layers"
)

// A reading is what is learned of a layer when it is read once. Its name begins
// those of the cached indexes: it changes when what is kept of a layer does.
type reading struct {
	name string
	keep layers.Keep
}

// described is what inventories are made of.
var described = reading{"layer-index-3", keep}

// maxJobs bounds the layers read at a time: more than two only share the
// processors and the line.
const maxJobs = 2

// A source is where an inventory's file tree comes from.
type source struct {
	Options
	layers []Layer
}

// view stacks what the layers hold.
func (s *source) view(ctx context.Context) (*layers.View, error) {
	ixs, err := s.indexes(ctx)
	if err != nil {
		return nil, err
	}
	v, err := layers.Stack(ixs...)
	if err != nil {
		return nil, fmt.Errorf("stacking the layers of %s: %w", s.Name, err)
	}
	return v, nil
}

// indexes returns the layers' indexes. A layer that the image has twice is read
// once.
func (s *source) indexes(ctx context.Context) ([]*layers.Index, error) {
	blobs := sync.OnceValues(s.blobs) // not asked for if the store has all
	ixs := make([]*layers.Index, len(s.layers))
	first := map[string]int{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.jobs())
	for i, l := range s.layers {
		if _, seen := first[l.Digest]; seen {
			continue
		}
		first[l.Digest] = i
		g.Go(func() (err error) {
			if ixs[i], err = s.index(gctx, i, described, blobs); err != nil {
				return fmt.Errorf("reading layer %s of %s: %w", l.Digest, s.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, l := range s.layers {
		ixs[i] = ixs[first[l.Digest]]
	}
	return ixs, nil
}

// blobs returns the layers themselves.
func (s *source) blobs() ([]v1.Layer, error) {
	blobs, err := s.Image.Layers()
	if err == nil && len(blobs) != len(s.layers) {
		err = fmt.Errorf("the image has %d layers, its manifest lists %d", len(blobs), len(s.layers))
	}
	return blobs, err
}

func (s *source) jobs() int {
	if s.Jobs < 1 {
		return maxJobs
	}
	return min(s.Jobs, maxJobs)
}

// index returns the index of layer i: the store's, or a new one that the store
// has from now on.
func (s *source) index(ctx context.Context, i int, what reading, blobs func() ([]v1.Layer, error)) (*layers.Index, error) {
	if s.Store == nil {
		return s.scan(ctx, i, what, blobs)
	}
	l := s.layers[i]
	name := what.name + "-" + strings.ReplaceAll(l.Digest, ":", "-")
	b, err := s.Store.Get(name)
	if err == nil {
		if ix, err := layers.DecodeIndex(bytes.NewReader(b)); err == nil {
			return ix, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ix, err := s.scan(ctx, i, what, blobs)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := ix.Encode(&buf); err != nil {
		return nil, err
	}
	return ix, s.Store.Put(name, buf.Bytes())
}

// scan reads layer i once. What it holds counts only if both the layer and its
// tar have the digests that manifest and configuration give.
func (s *source) scan(ctx context.Context, i int, what reading, blobs func() ([]v1.Layer, error)) (ix *layers.Index, err error) {
	l := s.layers[i]
	digest, err := v1.NewHash(l.Digest)
	if err != nil {
		return nil, err
	}
	diffID, err := v1.NewHash(l.DiffID)
	if err != nil {
		return nil, err
	}
	all, err := blobs()
	if err != nil {
		return nil, err
	}
	rc, err := all[i].Compressed()
	if err != nil {
		return nil, err
	}
	defer func() { _ = rc.Close() }() // only read
	add, done := s.progress(fmt.Sprintf("reading parent layer %d of %d", i+1, len(s.layers)), l.Size)
	defer func() { done(err) }()
	sized := struct {
		io.Reader
		io.Closer
	}{io.LimitReader(rc, l.Size+1), rc}
	whole := &counted{r: layers.Verify(sized, digest), ctx: ctx.Err, add: add}
	ix, err = scanTar(ctx, whole, diffID, what.keep)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// The digest has the last word, also on bytes that make no tar.
	if _, rest := io.Copy(io.Discard, whole); rest != nil {
		return nil, rest
	}
	return ix, err
}

// scanTar reads the layer in r, whose tar must have the digest diffID.
func scanTar(ctx context.Context, r io.Reader, diffID v1.Hash, keep layers.Keep) (*layers.Index, error) {
	tar, err := layers.Uncompress(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tar.Close() }() // only read
	sum := sha256.New()
	ix, err := layers.Scan(ctx, io.TeeReader(tar, sum), keep)
	if err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != diffID.Hex {
		return nil, fmt.Errorf("its tar: %w", &layers.DigestError{Want: diffID, Got: v1.Hash{Algorithm: "sha256", Hex: got}})
	}
	return ix, nil
}

func (s *source) progress(task string, total int64) (add func(int64), done func(error)) {
	if s.Progress == nil {
		return func(int64) {}, func(error) {}
	}
	return s.Progress(task, total)
}

// counted tells of the bytes read, and stops when ctx does.
type counted struct {
	r   io.Reader
	ctx func() error
	add func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.add(int64(n))
	return n, err
}
