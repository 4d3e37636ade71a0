// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/output"
	"inlay/layers"
)

// zstdLayer returns a layer compressed with zstd.
func zstdLayer(t *testing.T, file string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := layers.NewWriter(&b, layers.Options{MediaType: types.OCILayerZStd})
	content := bytes.Repeat([]byte(file), 10_000)
	check(t, w.Add(layers.Entry{Path: file, Mode: 0o644, Size: int64(len(content))}, bytes.NewReader(content)))
	s, err := w.Close()
	check(t, err)
	return layers.Blob(s, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}

// Where zstd has no place, in an archive for docker load, its layers are plain
// tars; everywhere else they are as they were made.
func TestZstd(t *testing.T) {
	img := imageOf(t, makeLayer(t, "a"), zstdLayer(t, "z"), zstdLayer(t, "y"))
	want, err := img.Manifest()
	check(t, err)
	ids, err := img.ConfigFile()
	check(t, err)

	file := filepath.Join(t.TempDir(), "docker.tar")
	d, err := output.Tarball{File: file}.Write(t.Context(), img)
	check(t, err)
	got, err := tarball.ImageFromPath(file, nil)
	check(t, err)
	check(t, validate.Image(got))
	if id, err := got.ConfigName(); err != nil || id != want.Config.Digest {
		t.Errorf("the configuration is %s, %v, want %s", id, err, want.Config.Digest)
	}
	if d.Digest == must(img.Digest()) {
		t.Error("the archive claims to hold the manifest with zstd")
	}
	dir := t.TempDir()
	check(t, unpack(file, dir))
	blob := func(h v1.Hash) ([]byte, error) { return os.ReadFile(filepath.Join(dir, "blobs", "sha256", h.Hex)) }
	raw, err := blob(d.Digest)
	check(t, err)
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	check(t, err)
	for i, l := range m.Layers {
		b, err := blob(l.Digest)
		check(t, err)
		if int64(len(b)) != l.Size {
			t.Errorf("layer %d has %d bytes, its manifest says %d", i, len(b), l.Size)
		}
		if l.MediaType != "application/vnd.oci.image.layer.v1.tar" || l.Digest != ids.RootFS.DiffIDs[i] {
			t.Errorf("layer %d is %s, %s, want the plain tar %s", i, l.MediaType, l.Digest, ids.RootFS.DiffIDs[i])
		}
	}

	host := start(t, newStrict())
	tag, err := name.NewTag(host + "/app:1")
	check(t, err)
	_, err = output.Registry{Tags: []name.Tag{tag}, Wait: time.Millisecond}.Write(t.Context(), img)
	check(t, err)
	pushed, err := remote.Image(tag)
	check(t, err)
	if h := must(pushed.Digest()); h != must(img.Digest()) {
		t.Errorf("the registry has %s", h)
	}
	if m, err = pushed.Manifest(); err != nil || m.Layers[2].MediaType != "application/vnd.oci.image.layer.v1.tar+zstd" {
		t.Errorf("the registry's manifest is %+v, %v", m, err)
	}
}

func must(h v1.Hash, err error) v1.Hash {
	if err != nil {
		panic(err)
	}
	return h
}
