// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/image"
	"inlay/resolve/plan"
)

// TestJoin holds that an index lists its images in order, each with its
// platform, and has the annotations that all of them share.
func TestJoin(t *testing.T) {
	annotate := func(annotations map[string]string) v1.Image {
		img, err := image.Stack(empty.Image, nil, plan.Config{Annotations: annotations}, created)
		check(t, err)
		img, err = image.InOCI(img)
		check(t, err)
		return img
	}
	a := annotate(map[string]string{"title": "demo", "base.digest": "a"})
	b := annotate(map[string]string{"title": "demo", "base.digest": "b", "more": ""})
	parts := []image.Part{{Image: b, Platform: "linux/arm/v7"}, {Image: a, Platform: "linux/amd64"}}
	index, err := image.Join(parts)
	check(t, err)
	raw, err := index.RawManifest()
	check(t, err)
	var got v1.IndexManifest
	check(t, json.Unmarshal(raw, &got))
	want := v1.IndexManifest{
		SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Annotations: map[string]string{"title": "demo"},
		Manifests: []v1.Descriptor{
			{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest(t, b), Size: size(t, b), Platform: &v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
			{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest(t, a), Size: size(t, a), Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Join (-want +got):\n%s", diff)
	}
	again, err := image.Join(parts)
	check(t, err)
	if h, err := again.Digest(); err != nil || h != mustDigest(t, index) {
		t.Errorf("joined again the index is %s, %v, want %s", h, err, mustDigest(t, index))
	}
	if _, err := image.Join([]image.Part{{Image: a, Platform: "a/b/c/d"}}); err == nil {
		t.Error("an image for a/b/c/d can be joined")
	}
}

// TestInOCI holds that an image in Docker's format becomes one of the same
// configuration and layers in OCI's.
func TestInOCI(t *testing.T) {
	docker, err := mutate.AppendLayers(empty.Image, makeLayer(t, "a", types.DockerLayer), makeLayer(t, "b", types.DockerLayer))
	check(t, err)
	got, err := image.InOCI(docker)
	check(t, err)
	check(t, validate.Image(got))
	m, err := got.Manifest()
	check(t, err)
	if m.MediaType != types.OCIManifestSchema1 || m.Config.MediaType != types.OCIConfigJSON || m.Layers[1].MediaType != types.OCILayer {
		t.Errorf("the manifest is %+v, want OCI's media types", m)
	}
	want, err := docker.ConfigName()
	check(t, err)
	if m.Config.Digest != want {
		t.Errorf("the configuration is %s, want Docker's own, %s", m.Config.Digest, want)
	}
	if again, err := image.InOCI(got); err != nil || again != got {
		t.Errorf("an image in OCI's format becomes %v, %v, want itself", again, err)
	}
}

func digest(t *testing.T, img v1.Image) v1.Hash { return mustDigest(t, img) }

func mustDigest(t *testing.T, x interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	h, err := x.Digest()
	check(t, err)
	return h
}

func size(t *testing.T, img v1.Image) int64 {
	t.Helper()
	n, err := img.Size()
	check(t, err)
	return n
}
