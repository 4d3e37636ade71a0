// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/layers"
)

func isZstd(d v1.Descriptor) bool { return d.MediaType == types.OCILayerZStd }

// withoutZstd returns the image as it is or, if a layer of it is compressed with
// zstd, with plain tars as layers: all of them, as some readers take all for
// compressed if the first is. Containers see no difference, nor does the
// configuration, which knows layers by their DiffIDs; the manifest is another.
func (it *item) withoutZstd(ctx context.Context) (*item, error) {
	if !slices.ContainsFunc(it.parsed.Layers, isZstd) {
		return it, nil
	}
	if len(it.diffIDs) != len(it.parsed.Layers) {
		return nil, fmt.Errorf("the image has %d layers, but %d in its configuration", len(it.parsed.Layers), len(it.diffIDs))
	}
	m := *it.parsed
	m.Layers = slices.Clone(m.Layers)
	next := &item{platform: it.platform, diffIDs: it.diffIDs}
	next.add(it.blobs[0])
	for i, d := range m.Layers {
		b, err := blob{d, it.layer(d.Digest)}.plain(ctx, it.diffIDs[i])
		if err != nil {
			return nil, fmt.Errorf("decompressing layer %s: %w", d.Digest, err)
		}
		m.Layers[i] = b.Descriptor
		next.add(b)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return next, next.describe(m.MediaType, raw)
}

// layer returns the blob of a digest that the manifest names.
func (it *item) layer(h v1.Hash) v1.Layer {
	i := slices.IndexFunc(it.blobs, func(b blob) bool { return b.Digest == h })
	return it.blobs[i].layer
}

// plain returns the tar of a layer as a blob. How long it is must be known
// before it is written, and only reading it tells.
func (b blob) plain(ctx context.Context, diffID v1.Hash) (blob, error) {
	l := &plainLayer{b.layer, b.Descriptor, b.Digest}
	l.Descriptor.MediaType, l.Descriptor.Digest = types.OCIUncompressedLayer, diffID
	rc, err := l.Compressed()
	if err != nil {
		return blob{}, err
	}
	defer func() { _ = rc.Close() }() // only read
	l.Descriptor.Size, err = io.Copy(io.Discard, &watched{ctx, rc, func(int64) {}})
	return blob{l.Descriptor, l}, err
}

// A plainLayer is the tar of a layer in the place of the layer.
type plainLayer struct {
	v1.Layer
	v1.Descriptor
	stored v1.Hash
}

// Digest returns the tar's.
func (l *plainLayer) Digest() (v1.Hash, error) { return l.Descriptor.Digest, nil }

// Size returns the tar's.
func (l *plainLayer) Size() (int64, error) { return l.Descriptor.Size, nil }

// MediaType returns the tar's.
func (l *plainLayer) MediaType() (types.MediaType, error) { return l.Descriptor.MediaType, nil }

// Compressed returns the tar, made of a blob that is what its digest says.
func (l *plainLayer) Compressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	src := layers.Verify(rc, l.stored)
	tar, err := layers.Uncompress(src)
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{tar, closers{tar, src}}, nil
}

type closers []io.Closer

// Close closes all, in order.
func (c closers) Close() (err error) {
	for _, one := range c {
		err = errors.Join(err, one.Close())
	}
	return err
}
