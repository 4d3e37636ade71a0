// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Store keeps small values by name; disk.Values is one.
type Store interface {
	Get(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Put(name string, b []byte) error
}

// Remembered opens images and remembers what the names of a registry stood
// for, so that it can answer without a network.
type Remembered struct {
	Images Images
	Store  Store
	// Offline answers for registries from memory alone. The layers of such an
	// image can't be read.
	Offline bool
}

// A memory is an image that was opened.
type memory struct {
	Reference string          `json:"reference"`
	Platform  string          `json:"platform"`
	MediaType types.MediaType `json:"mediaType"`
	Manifest  []byte          `json:"manifest"`
	Config    []byte          `json:"config"`
	Index     string          `json:"index,omitempty"`
	Platforms []string        `json:"platforms,omitempty"` // of the index
}

// An OfflineError reports an image of a registry that was never opened before,
// or one of its layers.
type OfflineError struct{ Reference string }

func (e *OfflineError) Error() string {
	return fmt.Sprintf("offline: %s is in a registry", e.Reference)
}

// Hint says what to do about it.
func (e *OfflineError) Hint() string { return "run the same command once without `--offline`" }

// Open does what Images.Open does, and of an image in a registry remembers the
// manifest and the configuration.
func (r Remembered) Open(ctx context.Context, ref Reference, platform string) (*Image, error) {
	if ref.Transport != transportRegistry {
		return r.Images.Open(ctx, ref, platform)
	}
	if r.Offline {
		return r.recall(r.name(ref, platform), ref)
	}
	img, err := r.Images.Open(ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	if h, err := img.Digest(); err == nil { // a lock file names it so
		if err := r.remember(r.name(ref.Pinned(h.String()), platform), img); err != nil {
			return nil, err
		}
	}
	return img, r.remember(r.name(ref, platform), img)
}

// name names the memory of what ref stands for.
func (r Remembered) name(ref Reference, platform string) string {
	return fmt.Sprintf("image-%x", sha256.Sum256([]byte(ref.String()+"\n"+platform+"\n"+r.Images.Platform)))
}

func (r Remembered) remember(name string, img *Image) error {
	m := memory{Reference: img.Reference, Platform: img.Platform, Index: img.Index, Platforms: img.Platforms}
	var err error
	if m.MediaType, err = img.MediaType(); err != nil {
		return err
	}
	if m.Manifest, err = img.RawManifest(); err != nil {
		return err
	}
	if m.Config, err = img.RawConfigFile(); err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if old, err := r.Store.Get(name); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := r.Store.Put(name, b); err != nil {
		return fmt.Errorf("remembering %s: %w", img.Reference, err)
	}
	return nil
}

func (r Remembered) recall(name string, ref Reference) (*Image, error) {
	b, err := r.Store.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &OfflineError{ref.String()}
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s offline: %w", ref, err)
	}
	var m memory
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, &OfflineError{ref.String()}
	}
	img, err := partial.CompressedToImage(recalled{m})
	if err != nil {
		return nil, fmt.Errorf("opening %s offline: %w", ref, err)
	}
	return &Image{Image: img, Reference: m.Reference, Platform: m.Platform, Index: m.Index, Platforms: m.Platforms}, nil
}

// recalled is the image of a memory; it implements partial.CompressedImageCore.
type recalled struct{ m memory }

func (r recalled) MediaType() (types.MediaType, error) { return r.m.MediaType, nil }
func (r recalled) RawManifest() ([]byte, error)        { return r.m.Manifest, nil }
func (r recalled) RawConfigFile() ([]byte, error)      { return r.m.Config, nil }

func (r recalled) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	m, err := v1.ParseManifest(bytes.NewReader(r.m.Manifest))
	if err != nil {
		return nil, err
	}
	for _, d := range m.Layers {
		if d.Digest == h {
			return absentLayer{d, r.m.Reference}, nil
		}
	}
	return nil, fmt.Errorf("%s has no layer %s", r.m.Reference, h)
}

// An absentLayer is known by its descriptor alone.
type absentLayer struct {
	d         v1.Descriptor
	reference string
}

func (l absentLayer) Digest() (v1.Hash, error)            { return l.d.Digest, nil }
func (l absentLayer) Size() (int64, error)                { return l.d.Size, nil }
func (l absentLayer) MediaType() (types.MediaType, error) { return l.d.MediaType, nil }
func (l absentLayer) Compressed() (io.ReadCloser, error)  { return nil, &OfflineError{l.reference} }
func (l absentLayer) Descriptor() (*v1.Descriptor, error) { return &l.d, nil }
