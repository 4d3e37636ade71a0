// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"inlay/layers"
	"inlay/resolve/source"
)

// What is on disk is not what its digest says.
func TestDamaged(t *testing.T) {
	img := makeImage(t, "linux/amd64")
	m, err := img.Manifest()
	check(t, err)
	manifest, err := img.Digest()
	check(t, err)
	for name, digest := range map[string]v1.Hash{
		"manifest": manifest, "configuration": m.Config.Digest, "layer": m.Layers[0].Digest,
	} {
		t.Run(name, func(t *testing.T) {
			dir := putLayout(t, img)
			blob := filepath.Join(dir, "blobs", "sha256", digest.Hex)
			b, err := os.ReadFile(blob)
			check(t, err)
			b[len(b)-3] ^= 1
			check(t, os.WriteFile(blob, b, 0o600))
			for _, place := range []string{"oci:" + dir, "oci-archive:" + archive(t, dir, "")} {
				var want *layers.DigestError
				if err := readAll(t, place); !errors.As(err, &want) || want.Want != digest {
					t.Errorf("reading %s: %v, want a *DigestError for %s", place, err, digest)
				}
			}
		})
	}
}

// readAll opens an image and reads its layers.
func readAll(t *testing.T, text string) error {
	t.Helper()
	img, err := open(t, text, "")
	if err != nil {
		return err
	}
	ls, err := img.Layers()
	check(t, err)
	for _, l := range ls {
		r, err := l.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
		check(t, r.Close())
	}
	return nil
}

// A compressed file is refused, as is what is something else.
func TestUnusable(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		check(t, os.WriteFile(file, b, 0o600))
		return file
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(makeTar(map[string]string{"manifest.json": "[]"}))
	check(t, z.Close())
	two := `[{"Config":"a","RepoTags":["a:1"]},{"Config":"b","RepoTags":["b:2"]}]`
	tests := []struct{ text, problem, hint string }{
		{"oci:" + dir, "it is no OCI layout: it has no file oci-layout", "check the path"},
		{"oci-archive:" + dir, "it is a directory", "did you mean oci:" + dir + "?"},
		{"oci-archive:" + dir + "/none", "there is no such file", "check the path"},
		{"docker-archive:" + put("zip.tar", zipped.Bytes()), "it is compressed, so its parts can't be read in place", "decompress it: gzip -d " + dir + "/zip.tar"},
		{"docker-archive:" + put("text", []byte(strings.Repeat("text", 200))), "it is no tar archive of an image: archive/tar: invalid tar header", "check the file: tar tf " + dir + "/text"},
		{"docker-archive:" + put("other.tar", makeTar(map[string]string{"x": ""})), "it is no Docker archive: it has no manifest.json", "did you mean oci-archive:" + dir + "/other.tar?"},
		{"oci-archive:" + put("docker.tar", makeTar(map[string]string{"manifest.json": ""})), "it is no OCI layout: it has no file oci-layout", "did you mean docker-archive:" + dir + "/docker.tar?"},
		{"docker-archive:" + put("two.tar", makeTar(map[string]string{"manifest.json": two})), "it holds 2 images", "add one of these after a colon: a:1, b:2"},
		{"docker-archive:" + dir + "/two.tar:c", `there is no "c" in it`, "add one of these after a colon: a:1, b:2"},
		{"oci-archive:" + put("old.tar", makeTar(map[string]string{"oci-layout": `{"imageLayoutVersion":"2"}`})), `it is a layout of version "2", not 1.0.0`, "write it anew: skopeo copy SOURCE oci:DIR"},
	}
	for _, tt := range tests {
		_, err := open(t, tt.text, "")
		var re *source.ReferenceError
		if !errors.As(err, &re) {
			t.Errorf("Open(%s) = %v, want a *ReferenceError", tt.text, err)
			continue
		}
		if diff := cmp.Diff([]string{tt.problem, tt.hint}, []string{re.Problem, re.Hint()}); diff != "" {
			t.Errorf("Open(%s) (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestLayoutTags(t *testing.T) {
	dir := putLayout(t, makeImage(t, "linux/amd64"), layout.WithAnnotations(map[string]string{ref: "b"}))
	check(t, layout.Path(dir).AppendImage(makeImage(t, "linux/arm64"), layout.WithAnnotations(map[string]string{ref: "a"})))
	none := "sha256:" + strings.Repeat("0", 64)
	for text, want := range map[string]string{
		dir:              "it holds 2 images",
		dir + ":c":       `there is no tag "c" in it`,
		dir + "@" + none: "there is no such digest in it",
	} {
		_, err := open(t, "oci:"+text, "")
		var re *source.ReferenceError
		if !errors.As(err, &re) || re.Problem != want {
			t.Errorf("Open(oci:%s) = %v, want a *ReferenceError: %s", text, err, want)
		}
	}
}

// A Docker archive that holds the manifest is found by its digest; another
// digest is not what is in it.
func TestDockerArchivePinned(t *testing.T) {
	img := makeImage(t, "linux/amd64")
	dir := putLayout(t, img)
	m, err := img.Manifest()
	check(t, err)
	blob := func(h v1.Hash) string { return "blobs/sha256/" + h.Hex }
	raw, err := json.Marshal([]map[string]any{{
		"Config": blob(m.Config.Digest), "Layers": []string{blob(m.Layers[0].Digest), blob(m.Layers[1].Digest)},
	}})
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "manifest.json"), raw, 0o600))
	file := "docker-archive:" + archive(t, dir, "")
	digest, err := img.Digest()
	check(t, err)
	got, err := open(t, file+"@"+digest.String(), "")
	check(t, err)
	if d, _ := got.Digest(); d != digest {
		t.Errorf("digest %s, want %s", d, digest)
	}
	_, err = open(t, file+"@sha256:"+strings.Repeat("0", 64), "")
	var re *source.ReferenceError
	if !errors.As(err, &re) || !strings.HasPrefix(re.Problem, "the image in it has another digest: sha256:") {
		t.Errorf("Open = %v, want a *ReferenceError about the digest", err)
	}
}
