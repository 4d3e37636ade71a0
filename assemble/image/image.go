// SPDX-License-Identifier: Apache-2.0

// Package image puts layers and configuration on top of a parent image. The
// parent's layers stay as they are and are never read. Equal parents, layers
// and configurations give equal bytes.
package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/resolve/plan"
)

// maxLayers is how many layers Docker's overlay2 driver can stack.
const maxLayers = 127

// A Layer is a layer with what is said of it in the image's history.
type Layer struct {
	v1.Layer
	CreatedBy string
	Comment   string
}

// A LayerLimitError reports an image that would have more than maxLayers.
type LayerLimitError struct {
	Parent, New int // layers
}

func (e *LayerLimitError) Error() string {
	return fmt.Sprintf("the parent's %d layers and %d new ones are more than the %d that engines can stack", e.Parent, e.New, maxLayers)
}

// Hint says how to have fewer layers.
func (e *LayerLimitError) Hint() string { return "name a parent image with fewer layers" }

// Stack puts ls on parent, changes the configuration as c says and dates the
// image created. The formats of manifest and configuration are the parent's
// and decide what the layers' media types are called. But Docker's has no name
// for zstd: with such a layer on top, the parent's layers get OCI's names too.
// The parent's annotations describe the parent and are left behind; c's
// annotations become the image's.
//
// A parent's history that doesn't match its layers is made to. What its
// configuration says about running containers is kept even where this program
// doesn't know the field; what it says about how the parent was built is not.
//
// The layers of the result are those of parent.Layers and ls, under these names.
func Stack(parent v1.Image, ls []Layer, c plan.Config, created time.Time) (v1.Image, error) {
	if needsOCI(ls) {
		var err error
		if parent, err = InOCI(parent); err != nil {
			return nil, err
		}
	}
	mt, err := parent.MediaType()
	if err != nil {
		return nil, fmt.Errorf("reading the parent: %w", err)
	}
	m, err := parent.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading the parent's manifest: %w", err)
	}
	below, err := parent.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the parent's layers: %w", err)
	}
	if n := len(m.Layers) + len(ls); n > maxLayers {
		return nil, &LayerLimitError{len(m.Layers), len(ls)}
	}
	s := &stacked{layers: slices.Clone(below)}
	next := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     mt,
		Layers:        slices.Clone(m.Layers),
		Annotations:   maps.Clone(c.Annotations),
	}
	var diffIDs []v1.Hash
	for _, l := range ls {
		d, err := describe(l, mt)
		if err != nil {
			return nil, err
		}
		diffID, err := l.DiffID()
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.CreatedBy, err)
		}
		next.Layers = append(next.Layers, d)
		diffIDs = append(diffIDs, diffID)
		s.layers = append(s.layers, retype(l.Layer, d.MediaType))
	}
	if s.config, err = configure(parent, ls, diffIDs, c, created); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return s, s.finish(next)
}

// InOCI returns an image in OCI's format: the same configuration and layers under
// OCI's names. One in that format is returned as it is.
func InOCI(img v1.Image) (v1.Image, error) {
	mt, err := img.MediaType()
	if err != nil {
		return nil, fmt.Errorf("reading the parent: %w", err)
	}
	if mt == types.OCIManifestSchema1 {
		return img, nil
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading the parent's manifest: %w", err)
	}
	s := &stacked{}
	if s.layers, err = img.Layers(); err != nil {
		return nil, fmt.Errorf("reading the parent's layers: %w", err)
	}
	if s.config, err = img.RawConfigFile(); err != nil {
		return nil, fmt.Errorf("reading the parent's configuration: %w", err)
	}
	next := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: slices.Clone(m.Layers), Annotations: m.Annotations}
	s.layers = slices.Clone(s.layers)
	for i, d := range next.Layers {
		next.Layers[i].MediaType = called(d.MediaType, next.MediaType)
		s.layers[i] = retype(s.layers[i], next.Layers[i].MediaType)
	}
	return s, s.finish(next)
}

// needsOCI reports whether one of ls has no name in Docker's format.
func needsOCI(ls []Layer) bool {
	return slices.ContainsFunc(ls, func(l Layer) bool {
		kind, err := l.MediaType() // an error comes again when it is described
		return err == nil && kind == types.OCILayerZStd
	})
}

// describe returns the descriptor of a new layer in a manifest of format mt.
func describe(l Layer, mt types.MediaType) (v1.Descriptor, error) {
	kind, err := l.MediaType()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("layer %q: %w", l.CreatedBy, err)
	}
	d := v1.Descriptor{MediaType: called(kind, mt)}
	if d.Digest, err = l.Digest(); err != nil {
		return v1.Descriptor{}, fmt.Errorf("layer %q: %w", l.CreatedBy, err)
	}
	if d.Size, err = l.Size(); err != nil {
		return v1.Descriptor{}, fmt.Errorf("layer %q: %w", l.CreatedBy, err)
	}
	return d, nil
}

// names are the media types of the same bytes in Docker's format and OCI's.
var names = map[types.MediaType]types.MediaType{
	types.DockerLayer:             types.OCILayer,
	types.DockerUncompressedLayer: types.OCIUncompressedLayer,
	types.DockerForeignLayer:      types.OCIRestrictedLayer,
}

// called returns the media type of the same bytes in a manifest of format mt,
// or kind where it has no other.
func called(kind, mt types.MediaType) types.MediaType {
	for docker, oci := range names {
		switch {
		case kind == docker && mt != types.DockerManifestSchema2:
			return oci
		case kind == oci && mt == types.DockerManifestSchema2:
			return docker
		}
	}
	return kind
}

// configType returns the media type of the configuration in a manifest of
// format mt.
func configType(mt types.MediaType) types.MediaType {
	if mt == types.DockerManifestSchema2 {
		return types.DockerConfigJSON
	}
	return types.OCIConfigJSON
}

// retype returns l under another media type; it can still be mounted if it could.
func retype(l v1.Layer, mt types.MediaType) v1.Layer {
	if m, ok := l.(*remote.MountableLayer); ok {
		return &remote.MountableLayer{Layer: &retyped{m.Layer, mt}, Reference: m.Reference}
	}
	return &retyped{l, mt}
}

// A retyped layer goes by the media type of its manifest's format.
type retyped struct {
	v1.Layer
	mt types.MediaType
}

// MediaType returns what the manifest says.
func (l *retyped) MediaType() (types.MediaType, error) { return l.mt, nil }

// Exists asks the layer itself, without opening it if it can tell.
func (l *retyped) Exists() (bool, error) { return partial.Exists(l.Layer) }

// A stacked image is complete but for the content of its layers.
type stacked struct {
	layers   []v1.Layer
	manifest v1.Manifest
	raw      []byte // the manifest
	config   []byte
}

// finish writes the manifest.
func (s *stacked) finish(m v1.Manifest) error {
	h, n, err := v1.SHA256(bytes.NewReader(s.config))
	if err != nil {
		return err
	}
	m.Config = v1.Descriptor{MediaType: configType(m.MediaType), Digest: h, Size: n}
	s.manifest = m
	s.raw, err = json.Marshal(m)
	return err
}

// Layers returns the parent's layers and the new ones on top.
func (s *stacked) Layers() ([]v1.Layer, error) { return slices.Clone(s.layers), nil }

// MediaType returns the manifest's.
func (s *stacked) MediaType() (types.MediaType, error) { return s.manifest.MediaType, nil }

// Size returns the number of bytes of the manifest.
func (s *stacked) Size() (int64, error) { return int64(len(s.raw)), nil }

// ConfigName returns the digest of the configuration.
func (s *stacked) ConfigName() (v1.Hash, error) { return s.manifest.Config.Digest, nil }

// ConfigFile returns the configuration.
func (s *stacked) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(s) }

// RawConfigFile returns the configuration as it is stored.
func (s *stacked) RawConfigFile() ([]byte, error) { return slices.Clone(s.config), nil }

// Digest returns the manifest's.
func (s *stacked) Digest() (v1.Hash, error) { return partial.Digest(s) }

// Manifest returns the manifest.
func (s *stacked) Manifest() (*v1.Manifest, error) { return partial.Manifest(s) }

// RawManifest returns the manifest as it is stored.
func (s *stacked) RawManifest() ([]byte, error) { return slices.Clone(s.raw), nil }

// LayerByDigest returns a layer, or the configuration as one.
func (s *stacked) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if h == s.manifest.Config.Digest {
		return partial.ConfigLayer(s)
	}
	for i, d := range s.manifest.Layers {
		if d.Digest == h {
			return s.layers[i], nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// LayerByDiffID returns the layer whose tar has the digest h.
func (s *stacked) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	digest, err := partial.DiffIDToBlob(s, h)
	if err != nil {
		return nil, err
	}
	return s.LayerByDigest(digest)
}
