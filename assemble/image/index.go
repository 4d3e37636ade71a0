// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Part is an image of an index, and the platform that it is for.
type Part struct {
	Image    v1.Image
	Platform string // "linux/arm/v7"
}

// An Index lists images for several platforms.
type Index struct {
	raw    []byte
	digest v1.Hash
}

// Join returns the index of images in OCI's format (OCI image-spec 1.1,
// image-index.md), in their order. Its annotations are those that all of them
// have, with the same values. Equal parts give equal bytes.
func Join(parts []Part) (*Index, error) {
	m := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for i, p := range parts {
		d, err := p.describe()
		if err != nil {
			return nil, fmt.Errorf("putting the image for %s into an index: %w", p.Platform, err)
		}
		of, err := p.Image.Manifest()
		if err != nil {
			return nil, fmt.Errorf("putting the image for %s into an index: %w", p.Platform, err)
		}
		if i == 0 {
			m.Annotations = maps.Clone(of.Annotations)
		}
		maps.DeleteFunc(m.Annotations, func(k, v string) bool { have, ok := of.Annotations[k]; return !ok || have != v })
		m.Manifests = append(m.Manifests, d)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	return &Index{raw, digest}, err
}

// describe returns what the index says of the image.
func (p Part) describe() (d v1.Descriptor, err error) {
	if d.Platform, err = v1.ParsePlatform(p.Platform); err != nil {
		return d, err
	}
	if d.MediaType, err = p.Image.MediaType(); err != nil {
		return d, err
	}
	if d.Digest, err = p.Image.Digest(); err != nil {
		return d, err
	}
	d.Size, err = p.Image.Size()
	return d, err
}

// MediaType returns that of OCI's indexes.
func (x *Index) MediaType() (types.MediaType, error) { return types.OCIImageIndex, nil }

// Digest returns the digest of the index.
func (x *Index) Digest() (v1.Hash, error) { return x.digest, nil }

// Size returns the number of bytes of the index.
func (x *Index) Size() (int64, error) { return int64(len(x.raw)), nil }

// RawManifest returns the index as it is stored.
func (x *Index) RawManifest() ([]byte, error) { return slices.Clone(x.raw), nil }
