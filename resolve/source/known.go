// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/cache/registry"
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

// A said is what a repository said of a digest. As a digest stands for the same for
// ever, it is not asked again.
type said struct {
	MediaType types.MediaType `json:"mediaType"`
	Manifest  []byte          `json:"manifest"`         // or index
	Config    []byte          `json:"config,omitempty"` // of an image
}

// saidName names what a repository said of a digest: another that doesn't have it
// must be able to say so. Its number grows when checkImage, which an image passes
// before it is kept, takes others.
func saidName(repo name.Repository, h v1.Hash) string {
	return fmt.Sprintf("said-1-%x", sha256.Sum256([]byte(repo.Name()+"@"+h.String())))
}

// tagName names what a tag last stood for.
func tagName(ref Reference) string {
	return fmt.Sprintf("tag-1-%x", sha256.Sum256([]byte(ref.String())))
}

// recall returns what repo said of h, if anything is known.
func (im Images) recall(repo name.Repository, h v1.Hash) (s said, ok bool) {
	if im.Store == nil {
		return s, false
	}
	b, err := im.Store.Get(saidName(repo, h))
	return s, err == nil && json.Unmarshal(b, &s) == nil
}

func (im Images) remember(repo name.Repository, h v1.Hash, s said) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return im.put(saidName(repo, h), b)
}

func (im Images) put(name string, b []byte) error {
	if im.Store == nil {
		return nil
	}
	if err := im.Store.Put(name, b); err != nil {
		return fmt.Errorf("remembering what a registry said: %w", err)
	}
	return nil
}

// stoodFor returns what ref's tag last stood for, and whether that is known.
func (im Images) stoodFor(ref Reference) (h v1.Hash, ok bool) {
	if im.Store == nil {
		return h, false
	}
	b, err := im.Store.Get(tagName(ref))
	if err == nil {
		h, err = v1.NewHash(string(b))
	}
	return h, err == nil
}

// offline opens the image that f looks for from what one of the repositories
// said.
func (im Images) offline(ctx context.Context, f finder, repos []name.Repository) (*Image, error) {
	h, known := im.stoodFor(f.ref)
	if f.ref.Digest != "" {
		var err error
		if h, err = v1.NewHash(f.ref.Digest); err != nil {
			return nil, err
		}
		known = true
	}
	for _, repo := range repos {
		if !known {
			break
		}
		c := &connection{im: im, ref: f.ref, repo: repo}
		f.open = c.open
		n, err := c.open(ctx, h)
		if err == nil {
			return f.choose(ctx, n)
		}
	}
	return nil, &OfflineError{f.ref.String()}
}

// known returns what the repository said of h, nil for nothing.
func (c *connection) known(ctx context.Context, h v1.Hash) *node {
	s, ok := c.im.recall(c.repo, h)
	if !ok {
		return nil
	}
	image := func() (v1.Image, error) { return c.knownImage(ctx, h, s) }
	return &node{v1.Descriptor{MediaType: s.MediaType, Digest: h, Size: int64(len(s.Manifest))}, s.Manifest, image}
}

func (c *connection) knownImage(ctx context.Context, h v1.Hash, s said) (v1.Image, error) {
	core := &knownCore{said: s, ref: c.repo.Digest(h.String())}
	core.open = func(d v1.Descriptor) (v1.Layer, error) { return c.layer(ctx, h, d) }
	img, err := partial.CompressedToImage(core)
	if err != nil {
		return nil, err
	}
	return &knownImage{img, core}, nil
}

// layer opens a layer of the image of a digest where it is. What may not be
// distributed is where the manifest says, which ggcr reads of a whole image only.
func (c *connection) layer(ctx context.Context, image v1.Hash, d v1.Descriptor) (v1.Layer, error) {
	if c.im.Offline {
		return nil, &OfflineError{c.ref.String()}
	}
	if d.MediaType.IsDistributable() && d.Data == nil {
		return c.puller.Layer(ctx, c.repo.Digest(d.Digest.String()))
	}
	r, err := c.puller.Get(ctx, c.repo.Digest(image.String()))
	if err != nil {
		return nil, err
	}
	img, err := r.Image()
	if err != nil {
		return nil, err
	}
	return img.LayerByDigest(d.Digest)
}

// A knownImage is one whose manifest and configuration are known. Its layers are
// asked for when they are read.
type knownImage struct {
	v1.Image
	core *knownCore
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
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return nil, errors.New("the configuration has other layers than the manifest")
	}
	all := make([]v1.Layer, len(m.Layers))
	for n, d := range m.Layers {
		l := &remoteLayer{&laterLayer{d, c.RootFS.DiffIDs[n], i.core.open}, i.core.ref}
		all[n] = &remote.MountableLayer{Layer: l, Reference: i.core.ref}
	}
	return all, nil
}

// A knownCore is what ggcr makes an image of.
type knownCore struct {
	said
	ref  name.Digest
	open func(v1.Descriptor) (v1.Layer, error)
}

func (c *knownCore) MediaType() (types.MediaType, error) { return c.said.MediaType, nil }
func (c *knownCore) RawManifest() ([]byte, error)        { return c.Manifest, nil }
func (c *knownCore) RawConfigFile() ([]byte, error)      { return c.Config, nil }

// LayerByDigest returns the layer, which is asked for when it is read.
func (c *knownCore) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	m, err := partial.Manifest(c)
	if err != nil {
		return nil, err
	}
	for _, d := range m.Layers {
		if d.Digest == h {
			return &remoteLayer{&laterLayer{d: d, open: c.open}, c.ref}, nil
		}
	}
	return nil, fmt.Errorf("%s has no layer %s", c.ref, h)
}

// A laterLayer is known by its descriptor until it is read.
type laterLayer struct {
	d      v1.Descriptor
	diffID v1.Hash
	open   func(v1.Descriptor) (v1.Layer, error)
}

func (l *laterLayer) Digest() (v1.Hash, error)             { return l.d.Digest, nil }
func (l *laterLayer) DiffID() (v1.Hash, error)             { return l.diffID, nil }
func (l *laterLayer) Size() (int64, error)                 { return l.d.Size, nil }
func (l *laterLayer) MediaType() (types.MediaType, error)  { return l.d.MediaType, nil }
func (l *laterLayer) Descriptor() (*v1.Descriptor, error)  { return &l.d, nil }
func (l *laterLayer) Compressed() (io.ReadCloser, error)   { return l.read(v1.Layer.Compressed) }
func (l *laterLayer) Uncompressed() (io.ReadCloser, error) { return l.read(v1.Layer.Uncompressed) }

func (l *laterLayer) read(as func(v1.Layer) (io.ReadCloser, error)) (io.ReadCloser, error) {
	there, err := l.open(l.d)
	if err != nil {
		return nil, err
	}
	return as(there)
}

// Exists asks the registry whether it has the layer.
func (l *laterLayer) Exists() (bool, error) {
	there, err := l.open(l.d)
	if err != nil {
		return false, err
	}
	return registry.Exists(there)
}
