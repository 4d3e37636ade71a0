// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/assemble"
	"inlay/assemble/deb"
	"inlay/assemble/deb/debtest"
	"inlay/cache/disk"
	"inlay/layers"
	"inlay/resolve/plan"
)

// A counted image counts how often its layers are read.
type counted struct {
	v1.Image
	read *atomic.Int64
}

func (c counted) Layers() ([]v1.Layer, error) {
	all, err := c.Image.Layers()
	for i, l := range all {
		all[i] = countedLayer{l, c.read}
	}
	return all, err
}

type countedLayer struct {
	v1.Layer
	read *atomic.Int64
}

func (l countedLayer) Compressed() (io.ReadCloser, error) {
	l.read.Add(1)
	return l.Layer.Compressed()
}

// packageStep installs a package, which it writes into dir.
func packageStep(t *testing.T, dir, name string) plan.Step {
	t.Helper()
	raw := debtest.Deb{Name: name, Files: []debtest.File{{Name: "./"}, {Name: "./" + name, Body: name}}}.Bytes()
	if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return plan.Step{Name: name, Apt: &plan.Apt{Scripts: plan.NoScripts, Debs: []plan.Deb{
		{Name: name, Version: "1", Arch: "all", File: name, Digest: "sha256:" + hex.EncodeToString(sum[:])},
	}}}
}

// TestPackagesReadParentOnce reads the layers of a parent for the first packages
// on it, and not for others; what is made is the same either way.
func TestPackagesReadParentOnce(t *testing.T) {
	tar := debtest.Tar([]debtest.File{
		{Name: "etc/"},
		{Name: "etc/apt/"},
		{Name: "etc/apt/auth.conf", Body: "password s3cret-of-ann"},
		{Name: "var/"},
		{Name: "var/lib/"},
		{Name: "var/lib/dpkg/"},
		{Name: "var/lib/dpkg/info/"},
		{Name: "var/lib/dpkg/status"},
	})
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(tar, types.DockerUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	dir, parent := t.TempDir(), counted{img, &atomic.Int64{}}
	build := func(cache string, s plan.Step) v1.Hash {
		o := options(t, cache)
		o.Images = parents{img: parent}
		o.Tools.Debs = deb.NewStore(filepath.Join(cache, "unpacked"), 2)
		o.Tools.Deb = func(_ context.Context, d plan.Deb) (*os.File, error) { return os.Open(filepath.Join(dir, d.File)) }
		r, err := assemble.Build(t.Context(), demo(s), o)
		if err != nil {
			t.Fatal(err)
		}
		return r.Digest
	}
	cache := t.TempDir()
	build(cache, packageStep(t, dir, "one"))
	if n := parent.read.Load(); n != 1 {
		t.Fatalf("for the first package the parent's layer is read %d times, want once", n)
	}
	two := build(cache, packageStep(t, dir, "two"))
	if n := parent.read.Load(); n != 1 {
		t.Errorf("for the second package the parent's layer is read %d times more", n-1)
	}
	if anew := build(t.TempDir(), packageStep(t, dir, "two")); anew != two {
		t.Errorf("the image is %s, and %s where nothing is remembered", two, anew)
	}
	kept, err := filepath.Glob(filepath.Join(cache, "inventories", "kept-*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%q is kept, %v", kept, err)
	}
	b, err := disk.Values{Dir: filepath.Dir(kept[0])}.Get(filepath.Base(kept[0]))
	if err != nil {
		t.Fatal(err)
	}
	ix, err := layers.DecodeIndex(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for e := range ix.Kept() {
		if e.Path == "etc/apt/auth.conf" {
			t.Error("the logins of the parent are kept")
		}
	}
	if err := os.WriteFile(kept[0], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := build(cache, packageStep(t, dir, "three")); again == two || parent.read.Load() != 3 {
		t.Errorf("with what is kept damaged the image is %s, and the layer was read %d times, want 3", again, parent.read.Load())
	}
}
