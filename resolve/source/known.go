// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Store keeps small values by name; disk.Values is one.
type Store interface {
	Get(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Put(name string, b []byte) error
}

// An OfflineError reports an image of a registry that was never opened before,
// or one of its layers.
type OfflineError struct{ Reference string }

func (e *OfflineError) Error() string {
	return fmt.Sprintf("offline: %s is in a registry", e.Reference)
}

// Hint says what to do about it.
func (e *OfflineError) Hint() string { return "run the same command once without `--offline`" }

// Known is what a registry said of a digest. As a digest stands for the same for
// ever, nobody has to be asked again.
type known struct {
	MediaType types.MediaType `json:"mediaType"`
	Manifest  []byte          `json:"manifest"`         // or index
	Config    []byte          `json:"config,omitempty"` // of an image
}

func knownName(h v1.Hash) string { return "said-" + h.Algorithm + "-" + h.Hex }

// recall returns what is known of h, if anything is.
func (im Images) recall(h v1.Hash) (k known, ok bool) {
	if im.Store == nil {
		return k, false
	}
	b, err := im.Store.Get(knownName(h))
	return k, err == nil && json.Unmarshal(b, &k) == nil
}

func (im Images) remember(h v1.Hash, k known) error {
	if im.Store == nil {
		return nil
	}
	b, err := json.Marshal(k)
	if err == nil {
		err = im.Store.Put(knownName(h), b)
	}
	if err != nil {
		return fmt.Errorf("remembering %s: %w", h, err)
	}
	return nil
}

func tagName(ref Reference) string {
	return fmt.Sprintf("tag-%x", sha256.Sum256([]byte(ref.String())))
}

// stoodFor returns what ref's tag was last seen to stand for: the zero Hash if
// nobody asked yet.
func (im Images) stoodFor(ref Reference) (h v1.Hash, err error) {
	if im.Store == nil {
		return h, nil
	}
	b, err := im.Store.Get(tagName(ref))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("recalling %s: %w", ref, err)
	}
	if h, err = v1.NewHash(string(b)); err != nil {
		return v1.Hash{}, nil //nolint:nilerr // an older version's, perhaps: it is asked for anew
	}
	return h, nil
}

func (im Images) standsFor(ref Reference, h v1.Hash) error {
	if im.Store == nil {
		return nil
	}
	if err := im.Store.Put(tagName(ref), []byte(h.String())); err != nil {
		return fmt.Errorf("remembering %s: %w", ref, err)
	}
	return nil
}

// offline opens the image that f looks for from what is known.
func (im Images) offline(ctx context.Context, f finder, repo name.Repository) (*Image, error) {
	f.open = func(_ context.Context, h v1.Hash) (*node, error) {
		if n := im.knownNode(ctx, f.ref, repo, h); n != nil {
			return n, nil
		}
		return nil, &OfflineError{f.ref.String()}
	}
	h, err := im.stoodFor(f.ref)
	if f.ref.Digest != "" {
		h, err = v1.NewHash(f.ref.Digest)
	}
	if err != nil {
		return nil, err
	}
	n, err := f.open(ctx, h)
	if err != nil {
		return nil, err
	}
	return f.choose(ctx, n)
}

// knownNode returns what is known of h, nil for nothing.
func (im Images) knownNode(ctx context.Context, ref Reference, repo name.Repository, h v1.Hash) *node {
	k, ok := im.recall(h)
	if !ok {
		return nil
	}
	image := func() (v1.Image, error) {
		open := sync.OnceValues(func() (*Image, error) { return im.Anew().Open(ctx, ref.Pinned(h.String()), "") })
		img, err := partial.CompressedToImage(knownCore{k, open})
		return &knownImage{img, repo.Digest(h.String()), open}, err
	}
	return &node{v1.Descriptor{MediaType: k.MediaType, Digest: h, Size: int64(len(k.Manifest))}, k.Manifest, image}
}

// A knownImage is one whose manifest and configuration are known. Its registry
// is asked for it when somebody reads a layer.
type knownImage struct {
	v1.Image
	ref  name.Digest
	open func() (*Image, error)
}

// Layers returns mountable layers.
func (i *knownImage) Layers() ([]v1.Layer, error) {
	m, err := i.Manifest()
	if err != nil {
		return nil, err
	}
	c, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	all := make([]v1.Layer, len(m.Layers))
	for n, d := range m.Layers { // as many as the configuration has: it was checked
		all[n] = &remote.MountableLayer{Layer: &laterLayer{d, c.RootFS.DiffIDs[n], i.open}, Reference: i.ref}
	}
	return all, nil
}

// knownCore is what ggcr makes an image of.
type knownCore struct {
	known
	open func() (*Image, error)
}

func (c knownCore) MediaType() (types.MediaType, error) { return c.known.MediaType, nil }
func (c knownCore) RawManifest() ([]byte, error)        { return c.Manifest, nil }
func (c knownCore) RawConfigFile() ([]byte, error)      { return c.Config, nil }

// LayerByDigest returns the layer from where the image is.
func (c knownCore) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	img, err := c.open()
	if err != nil {
		return nil, err
	}
	return img.LayerByDigest(h)
}

// A laterLayer is known by its descriptor until it is read.
type laterLayer struct {
	d      v1.Descriptor
	diffID v1.Hash
	open   func() (*Image, error)
}

func (l *laterLayer) Digest() (v1.Hash, error)             { return l.d.Digest, nil }
func (l *laterLayer) DiffID() (v1.Hash, error)             { return l.diffID, nil }
func (l *laterLayer) Size() (int64, error)                 { return l.d.Size, nil }
func (l *laterLayer) MediaType() (types.MediaType, error)  { return l.d.MediaType, nil }
func (l *laterLayer) Descriptor() (*v1.Descriptor, error)  { return &l.d, nil }
func (l *laterLayer) Compressed() (io.ReadCloser, error)   { return l.read(v1.Layer.Compressed) }
func (l *laterLayer) Uncompressed() (io.ReadCloser, error) { return l.read(v1.Layer.Uncompressed) }

// Exists asks the registry whether it has the layer.
func (l *laterLayer) Exists() (bool, error) {
	there, err := l.layer()
	if err != nil {
		return false, err
	}
	return partial.Exists(there)
}

func (l *laterLayer) read(as func(v1.Layer) (io.ReadCloser, error)) (io.ReadCloser, error) {
	there, err := l.layer()
	if err != nil {
		return nil, err
	}
	return as(there)
}

// layer returns the layer from where the image is.
func (l *laterLayer) layer() (v1.Layer, error) {
	img, err := l.open()
	if err != nil {
		return nil, err
	}
	all, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for _, there := range all {
		if h, err := there.Digest(); err == nil && h == l.d.Digest {
			return bareLayer(there), nil
		}
	}
	return nil, fmt.Errorf("%s has no layer %s", img.Reference, l.d.Digest)
}

// bareLayer returns the layer itself and not its wrapping.
func bareLayer(l v1.Layer) v1.Layer {
	if m, ok := l.(*remote.MountableLayer); ok {
		return m.Layer
	}
	return l
}
