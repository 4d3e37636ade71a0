// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/resolve/source"
)

// withForeign returns an image whose second layer may not be distributed, and
// is said to be at a URL.
func withForeign(t *testing.T, place string) (v1.Image, v1.Layer) {
	t.Helper()
	img := makeImage(t, "linux/amd64")
	ls, err := img.Layers()
	check(t, err)
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	out, err = mutate.Append(out, mutate.Addendum{Layer: ls[0], MediaType: types.OCILayer},
		mutate.Addendum{Layer: ls[1], MediaType: types.OCIRestrictedLayer, URLs: []string{place}})
	check(t, err)
	c, err := out.ConfigFile()
	check(t, err)
	c.OS, c.Architecture = "linux", "amd64"
	out, err = mutate.ConfigFile(out, c)
	check(t, err)
	return out, ls[1]
}

// A layer that may not be distributed is fetched from where its manifest says,
// which must be a public address; if it can't be, the error says so, without
// what a URL is signed with.
func TestForeignLayers(t *testing.T) {
	const host = "127.0.0.1:1"
	img, layer := withForeign(t, "http://"+host+"/layer?signature=secret")
	digest, err := layer.Digest()
	check(t, err)
	ref := putRemote(t, serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, digest.String()) {
				http.NotFound(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	}), img)
	dir := putLayout(t, img)
	check(t, os.Remove(filepath.Join(dir, "blobs", "sha256", digest.Hex)))
	known := images
	known.Store = store{}
	for _, text := range []string{ref, ref, "oci:" + dir} { // the second time it is known
		parsed, err := source.Parse(text)
		check(t, err)
		opened, err := known.Open(t.Context(), parsed, "")
		check(t, err)
		m, err := opened.Manifest()
		check(t, err)
		if m.Layers[1].MediaType != types.OCIRestrictedLayer || len(m.Layers[1].URLs) != 1 {
			t.Errorf("%s: the manifest says %+v of the layer", text, m.Layers[1])
		}
		err = readLayers(opened)
		var fe *source.ForeignError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), "may not be distributed; its manifest sends to "+host+": ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: reading the layers: %v, want a *ForeignError that names %s", text, err, host)
		}
	}
}

// readLayers reads the layers of an image and returns the first error.
func readLayers(img v1.Image) error {
	ls, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range ls {
		r, err := l.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Indexes in an index are followed, but not for ever.
func TestNestedIndexes(t *testing.T) {
	nest := func(depth int) v1.ImageIndex {
		index := makeIndex(t, "linux/amd64")
		for range depth - 1 {
			index = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: index})
		}
		return index
	}
	for depth, want := range map[int]string{1: "", 4: "", 5: "its indexes are nested too deep"} {
		tag, err := name.NewTag(serve(t, plain) + "/app:1")
		check(t, err)
		check(t, remote.WriteIndex(tag, nest(depth)))
		_, err = open(t, tag.String(), "linux/amd64")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d indexes: Open = %v, want %q", depth, err, want)
		}
	}
}
