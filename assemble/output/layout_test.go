// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/output"
)

func TestLayoutIsExact(t *testing.T) {
	dir := t.TempDir()
	write := func(img v1.Image, tags ...string) string {
		t.Helper()
		d, err := output.Layout{Dir: dir, Tags: tags}.Write(t.Context(), img)
		check(t, err)
		if want := "oci:" + dir + "@" + d.Digest.String(); d.Reference != want {
			t.Errorf("Reference = %q, want %q", d.Reference, want)
		}
		return d.Digest.String()
	}
	b := write(makeImage(t, "b"), "b")
	write(makeImage(t, "old"), "a")
	a := write(makeImage(t, "a"), "a")
	none := write(makeImage(t, "none"))
	write(makeImage(t, "none"))
	write(makeImage(t, "b"), "c", "b", "c")

	entry := func(digest, annotations string) string {
		return `{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":403,"digest":"` + digest + `"` +
			annotations + `,"platform":{"architecture":"amd64","os":"linux"}}`
	}
	tagged := func(tag string) string { return `,"annotations":{"org.opencontainers.image.ref.name":"` + tag + `"}` }
	want := map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` +
			entry(none, "") + "," + entry(a, tagged("a")) + "," + entry(b, tagged("b")) + "," + entry(b, tagged("c")) + `]}`,
	}
	got := map[string]string{}
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		if e.Name() != "blobs" {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			check(t, err)
			got[e.Name()] = string(b)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	index, err := layout.ImageIndexFromPath(dir)
	check(t, err)
	check(t, validate.Index(index))
}

// Engines find no images in Docker's format in a layout, so they become OCI's.
// The blobs stay what they are.
func TestLayoutConverts(t *testing.T) {
	img := mutate.MediaType(makeImage(t, "a", "b"), types.DockerManifestSchema2)
	img = mutate.ConfigMediaType(img, types.DockerConfigJSON)
	for name, newPlace := range places {
		if !strings.HasPrefix(name, "oci") {
			continue
		}
		p := newPlace(t)
		d, err := p.write(t.Context(), docker{img}, nil)
		check(t, err)
		got, err := p.read()
		check(t, err)
		check(t, validate.Image(got))
		m, err := got.Manifest()
		check(t, err)
		types := []types.MediaType{m.MediaType, m.Config.MediaType, m.Layers[0].MediaType, m.Layers[1].MediaType}
		want := []string{
			"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json",
			"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar",
		}
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(types)); diff != "" {
			t.Errorf("%s: media types (-want +got):\n%s", name, diff)
		}
		wantName, _ := img.ConfigName()
		if digest, _ := got.Digest(); digest != d.Digest || m.Config.Digest != wantName {
			t.Errorf("%s: digest %s, configuration %s, want %s and %s", name, digest, m.Config.Digest, d.Digest, wantName)
		}
	}
}

// docker is an image whose manifest calls its layers by Docker's names.
type docker struct{ v1.Image }

func (d docker) RawManifest() ([]byte, error) {
	m, err := d.Manifest()
	if err != nil {
		return nil, err
	}
	m = m.DeepCopy()
	m.Layers[0].MediaType = types.DockerLayer
	m.Layers[1].MediaType = types.DockerUncompressedLayer
	return json.Marshal(m)
}

// Many builds write to one layout at once.
func TestLayoutConcurrent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	var wg sync.WaitGroup
	for _, tag := range strings.Split("abcdefgh", "") {
		img := makeImage(t, "shared", tag)
		wg.Go(func() {
			if _, err := (output.Layout{Dir: dir, Tags: []string{tag}}).Write(t.Context(), img); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	index, err := layout.ImageIndexFromPath(dir)
	check(t, err)
	check(t, validate.Index(index))
	m, err := index.IndexManifest()
	check(t, err)
	var tags []string
	for _, d := range m.Manifests {
		tags = append(tags, d.Annotations["org.opencontainers.image.ref.name"])
	}
	if got := strings.Join(tags, ""); got != "abcdefgh" {
		t.Errorf("tags %s, want abcdefgh", got)
	}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s was left", path)
		}
		return err
	}))
}

// A blob of the wrong size, as an interrupted copy by another tool leaves it,
// is written anew.
func TestLayoutHeals(t *testing.T) {
	dir := t.TempDir()
	img := makeImage(t, "a")
	m, err := img.Manifest()
	check(t, err)
	blob := filepath.Join(dir, "blobs", "sha256", m.Layers[0].Digest.Hex)
	check(t, os.MkdirAll(filepath.Dir(blob), 0o700))
	check(t, os.WriteFile(blob, []byte("half"), 0o600))
	d, err := output.Layout{Dir: dir}.Write(t.Context(), img)
	check(t, err)
	if d.Moved != 2 {
		t.Errorf("moved %d blobs, want 2", d.Moved)
	}
	got, err := firstImage(dir)
	check(t, err)
	check(t, validate.Image(got))
}

// What a layout says of other images, and of itself, stays.
func TestLayoutKeepsAnnotations(t *testing.T) {
	dir := t.TempDir()
	write := func(tag, file string) {
		t.Helper()
		_, err := output.Layout{Dir: dir, Tags: []string{tag}}.Write(t.Context(), makeImage(t, file))
		check(t, err)
	}
	write("other", "a")
	write("mine", "b")
	path := filepath.Join(dir, "index.json")
	read := func() *v1.IndexManifest {
		t.Helper()
		f, err := os.Open(path)
		check(t, err)
		defer f.Close()
		m, err := v1.ParseIndexManifest(f)
		check(t, err)
		return m
	}
	m := read()
	m.Annotations = map[string]string{"com.example.of": "the layout"}
	for i, d := range m.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] == "other" {
			m.Manifests[i].Annotations["com.example.of"] = "the other"
		}
	}
	b, err := json.Marshal(m)
	check(t, err)
	check(t, os.WriteFile(path, b, 0o600))
	write("mine", "c")
	now := read()
	if diff := cmp.Diff(m.Annotations, now.Annotations); diff != "" {
		t.Errorf("the layout's annotations (-want +got):\n%s", diff)
	}
	if len(now.Manifests) != 2 || now.Manifests[0].Digest == m.Manifests[0].Digest {
		t.Errorf("the layout lists %+v", now.Manifests)
	}
	if diff := cmp.Diff(m.Manifests[1], now.Manifests[1]); diff != "" {
		t.Errorf("the other image (-want +got):\n%s", diff)
	}
}
