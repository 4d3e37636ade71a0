// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/image"
	"inlay/assemble/output"
)

// An indexPlace is an output that takes indexes.
type indexPlace struct {
	name  string
	begin func() (output.IndexDelivery, error)
	read  func() (v1.ImageIndex, error) // what the name "v1" means there; an error if nothing
}

func indexPlaces(t *testing.T, host string) []indexPlace {
	t.Helper()
	dir := t.TempDir()
	both := tags(t, host+"/team/app:v1", host+"/other/app:v1")
	registry := output.Registry{Tags: both}
	lay := output.Layout{Dir: filepath.Join(dir, "layout"), Tags: []string{"v1"}}
	archive := output.OCIArchive{File: filepath.Join(dir, "a.tar"), Tags: []string{"v1"}}
	return []indexPlace{
		{"registry", registry.BeginIndex, func() (v1.ImageIndex, error) {
			for _, tag := range both[1:] { // the second has it as well
				if _, err := remote.Index(tag); err != nil {
					return nil, err
				}
			}
			return remote.Index(both[0])
		}},
		{"oci", lay.BeginIndex, func() (v1.ImageIndex, error) { return listedIndex(lay.Dir) }},
		{"oci-archive", archive.BeginIndex, func() (v1.ImageIndex, error) {
			if err := unpack(archive.File, filepath.Join(dir, "unpacked")); err != nil {
				return nil, err
			}
			return listedIndex(filepath.Join(dir, "unpacked"))
		}},
	}
}

// listedIndex returns the only index that a layout lists.
func listedIndex(dir string) (v1.ImageIndex, error) {
	all, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	m, err := all.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "v1" {
		return nil, os.ErrNotExist
	}
	return all.ImageIndex(m.Manifests[0].Digest)
}

// TestIndex delivers an index of two images that share a layer: nothing is to be
// seen before the end, then the tags name the index with all of its images, and
// what both have was moved once.
func TestIndex(t *testing.T) {
	server := newStrict()
	arm, err := mutate.ConfigFile(makeImage(t, "shared", "b"), foreignConfig(t, makeImage(t, "shared", "b")))
	check(t, err)
	parts := []image.Part{{Image: makeImage(t, "shared", "a"), Platform: "linux/amd64"}, {Image: arm, Platform: "linux/arm64"}}
	index, err := image.Join(parts)
	check(t, err)
	want, err := index.Digest()
	check(t, err)
	for _, p := range indexPlaces(t, start(t, server)) {
		t.Run(p.name, func(t *testing.T) {
			deliver := func(publish bool) (d output.Delivered) {
				x, err := p.begin()
				check(t, err)
				defer x.Close()
				for _, part := range parts {
					one, err := x.Begin()
					check(t, err)
					check(t, one.Complete(t.Context(), part.Image))
					_, err = one.Publish(t.Context())
					check(t, err)
					one.Close()
				}
				check(t, x.Complete(t.Context(), index))
				if _, err := p.read(); err == nil && !publish {
					t.Error("it can be seen before it is published")
				}
				if publish {
					d, err = x.Publish(t.Context())
					check(t, err)
				}
				return d
			}
			deliver(false)
			d := deliver(true)
			got, err := p.read()
			check(t, err)
			check(t, validate.Index(got))
			if h, err := got.Digest(); err != nil || h != want || d.Digest != want {
				t.Errorf("the index is %s, %v, and %s by the report; want %s", h, err, d.Digest, want)
			}
			moved := map[string]int{"registry": 0, "oci": 5, "oci-archive": 5}[p.name] // the registry has them from before
			if d.Moved != moved {
				t.Errorf("%d blobs were moved, want %d", d.Moved, moved)
			}
			if again := deliver(true); p.name != "oci-archive" && again.Moved != 0 {
				t.Errorf("delivered again, %d blobs were moved", again.Moved)
			}
		})
	}
	if n := server.count("PUT team/app upload"); n != 5 {
		t.Errorf("%d blobs were uploaded, want 5: two configurations and three layers", n)
	}
}

// foreignConfig returns the configuration of img for another processor.
func foreignConfig(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	check(t, err)
	c = c.DeepCopy()
	c.Architecture = "arm64"
	return c
}

// TestIndexIsWhole holds that a layout from which a delivery was dropped has
// nothing of it.
func TestIndexIsWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	want := content(t, filepath.Dir(dir))
	x, err := output.Layout{Dir: dir}.BeginIndex()
	check(t, err)
	one, err := x.Begin()
	check(t, err)
	check(t, one.Complete(t.Context(), makeImage(t, "a")))
	one.Close()
	x.Close()
	if diff := cmp.Diff(want, content(t, filepath.Dir(dir))); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}
