// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"inlay/layers"
)

// A Digest is the sha256 of a file's content.
type Digest [sha256.Size]byte

// summed is what tells the contents of files apart.
var summed = reading{"layer-digests-1", func(layers.Entry) func(io.Reader) ([]byte, error) {
	return func(r io.Reader) ([]byte, error) {
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return nil, err
		}
		return sum.Sum(nil), nil
	}
}}

// Digests returns the digests of the regular files in the layer of that number,
// from 0, by their paths in it. The store remembers them; else the layer is read
// once more.
func (inv *Inventory) Digests(ctx context.Context, layer int) (map[string]Digest, error) {
	if inv.from == nil {
		return nil, errors.New("the inventory has no image: it wasn't made by Inspect")
	}
	ix, err := inv.from.index(ctx, layer, summed, inv.from.blobs)
	if err != nil {
		return nil, fmt.Errorf("reading layer %s of %s: %w", inv.Layers[layer].Digest, inv.Name, err)
	}
	digests := map[string]Digest{}
	for e, sum := range ix.Kept() {
		digests[e.Path] = Digest(sum)
	}
	return digests, nil
}
