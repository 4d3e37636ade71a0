// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// A stock tells which blobs repositories have without asking for each: what the
// tag of an image names there is whole, and mostly the image's last version, of
// which one layer of sixty is another now.
type stock map[string]*shelf // by repository

// A shelf is what the tag of a repository names.
type shelf struct {
	tag   name.Tag
	once  sync.Once
	blobs map[v1.Hash]bool
}

func newStock(targets []target) stock {
	s := stock{}
	for _, t := range targets {
		s[t.repo.String()] = &shelf{tag: t.tags[0]}
	}
	return s
}

// has reports whether a repository is known to have a blob.
func (s stock) has(ctx context.Context, c *connection, repo name.Repository, h v1.Hash) bool {
	on := s[repo.String()]
	on.once.Do(func() {
		on.blobs = map[v1.Hash]bool{}
		c.addBlobs(ctx, on.tag, on.blobs)
	})
	return on.blobs[h]
}

// mostPlatforms is how many images of an index are looked into.
const mostPlatforms = 8

// addBlobs adds the blobs of what ref names, of an index those of its images.
// What can't be had is not known.
func (c *connection) addBlobs(ctx context.Context, ref name.Reference, all map[v1.Hash]bool) {
	d, err := c.puller.Get(ctx, ref)
	if err != nil {
		return
	}
	if d.MediaType.IsIndex() {
		ix, err := v1.ParseIndexManifest(bytes.NewReader(d.Manifest))
		if err != nil {
			return
		}
		images := slices.DeleteFunc(ix.Manifests, func(m v1.Descriptor) bool { return !m.MediaType.IsImage() })
		for _, m := range images[:min(len(images), mostPlatforms)] {
			c.addBlobs(ctx, ref.Context().Digest(m.Digest.String()), all)
		}
		return
	}
	m, err := v1.ParseManifest(bytes.NewReader(d.Manifest))
	if err != nil {
		return
	}
	for _, b := range append(m.Layers, m.Config) {
		if b.MediaType.IsDistributable() {
			all[b.Digest] = true
		}
	}
}

// refused reports whether err says that a registry didn't take a manifest, for one
// of many reasons that they have no common name for.
func refused(err error) bool {
	var te *transport.Error
	if !errors.As(err, &te) || te.StatusCode < http.StatusBadRequest || te.StatusCode >= http.StatusInternalServerError {
		return false
	}
	return !slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, te.StatusCode)
}
