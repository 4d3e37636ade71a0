// SPDX-License-Identifier: Apache-2.0

package parent_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"inlay/layers"
	"inlay/resolve/parent"
)

// A watched image counts how often layers are opened, and can replace their
// bytes.
type watched struct {
	v1.Image
	opened  atomic.Int64
	replace func(b []byte) []byte
}

func (w *watched) Layers() ([]v1.Layer, error) {
	ls, err := w.Image.Layers()
	for i, l := range ls {
		ls[i] = watchedLayer{l, w}
	}
	return ls, err
}

type watchedLayer struct {
	v1.Layer
	image *watched
}

func (l watchedLayer) Compressed() (io.ReadCloser, error) {
	l.image.opened.Add(1)
	rc, err := l.Layer.Compressed()
	if err != nil || l.image.replace == nil {
		return rc, err
	}
	b, err := io.ReadAll(rc)
	return io.NopCloser(bytes.NewReader(l.image.replace(b))), err
}

func threeLayers(tb testing.TB) v1.Image {
	tb.Helper()
	again := layer(tb, file("etc/again", "x"))
	return image(tb, nil, layer(tb, dockerPython()...), again, again)
}

var ignoreSource = cmpopts.IgnoreUnexported(parent.Inventory{})

// An inventory of the store, briefly, has all but the system's packages.
func TestInspectBriefly(t *testing.T) {
	status := file("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n")
	o := parent.Options{Image: image(t, nil, layer(t, append(dockerPython(), status)...)), Store: newMemory()}
	want := inspect(t, o)
	o.Brief = true
	got := inspect(t, o)
	if len(want.Packages) != 1 || got.Packages != nil {
		t.Errorf("Packages = %v, and briefly %v, want one and none", want.Packages, got.Packages)
	}
	got.Packages = want.Packages
	if diff := cmp.Diff(want, got, ignoreSource); diff != "" {
		t.Errorf("Inspect briefly (-want +got):\n%s", diff)
	}
}

func TestInspectReadsOnce(t *testing.T) {
	img := &watched{Image: threeLayers(t)}
	store := newMemory()
	reads := func(what string, want int64) {
		t.Helper()
		if got := img.opened.Swap(0); got != want {
			t.Errorf("%s opened %d layers, want %d", what, got, want)
		}
	}
	first := inspect(t, parent.Options{Image: img, Store: store})
	reads("Inspect", 2) // one of the three is there twice
	second := inspect(t, parent.Options{Image: img, Store: store})
	reads("Inspect again", 0)
	if diff := cmp.Diff(first, second, ignoreSource); diff != "" {
		t.Errorf("Inspect from the store: (-first +second)\n%s", diff)
	}
	other := inspect(t, parent.Options{Image: img, Store: store, Python: "/nowhere"})
	if reads("Inspect with another setting", 0); other.Python != nil {
		t.Errorf("Python = %+v, want none", other.Python)
	}
	for _, tt := range []struct {
		what, prefix string
		with         []byte
		want         int64
	}{
		{"nothing lost", "-", nil, 0},
		{"lost indexes", "layer-index-", nil, 2},
		{"damaged indexes", "layer-index-", []byte("damaged"), 2},
		{"a damaged inventory", "inventory-", []byte("{"), 0},
		{"an inventory of another image", "inventory-", []byte(`{"digest":"sha256:00"}`), 0},
	} {
		if n := store.drop(tt.prefix, tt.with); n == 0 && tt.prefix != "-" {
			t.Errorf("%s: the store holds nothing to lose", tt.what)
		}
		again := inspect(t, parent.Options{Image: img, Store: store})
		view, err := again.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		reads(tt.what, tt.want)
		if diff := cmp.Diff(first, again, ignoreSource); diff != "" {
			t.Errorf("%s: (-first +again)\n%s", tt.what, diff)
		}
		if _, err := view.Stat("etc/again"); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

func TestInspectDescribes(t *testing.T) {
	img := image(t, []string{"A=b"}, layer(t, file("usr/lib/os-release", "# a comment\nID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
		link("etc/os-release", "../usr/lib/os-release")))
	img = mutate.MediaType(img, types.OCIManifestSchema1)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := &parent.Inventory{
		Name: "example.com/base:1", Reference: "example.com/base@sha256:00", Digest: digest.String(), Platform: "linux/amd64",
		MediaType: "application/vnd.oci.image.manifest.v1+json", Config: *cfg,
		Layers: []parent.Layer{{
			Digest: m.Layers[0].Digest.String(), DiffID: cfg.RootFS.DiffIDs[0].String(), Size: m.Layers[0].Size,
			MediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
		}},
		OS:            map[string]string{"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"},
		PythonProblem: "it has no Python on its PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)",
	}
	if diff := cmp.Diff(want, inspect(t, parent.Options{Image: img}), ignoreSource); diff != "" {
		t.Errorf("Inspect: (-want +got)\n%s", diff)
	}
}

func TestInspectVerifies(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	diffID := func(tb testing.TB) v1.Image {
		img := threeLayers(tb)
		cfg, err := img.ConfigFile()
		if err != nil {
			tb.Fatal(err)
		}
		cfg = cfg.DeepCopy()
		cfg.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64)
		return lyingConfig{img, cfg}
	}
	tests := []struct {
		name string
		img  *watched
	}{
		{"a flipped bit", &watched{Image: threeLayers(t), replace: flip}},
		{"a cut layer", &watched{Image: threeLayers(t), replace: func(b []byte) []byte { return b[:len(b)-1] }}},
		{"bytes after the layer", &watched{Image: threeLayers(t), replace: func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) }}},
		{"no layer at all", &watched{Image: threeLayers(t), replace: func([]byte) []byte { return []byte("<html>sorry</html>") }}},
		{"an empty layer", &watched{Image: threeLayers(t), replace: func([]byte) []byte { return nil }}},
		{"another tar", &watched{Image: diffID(t)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := newMemory()
			_, err := parent.Inspect(t.Context(), parent.Options{Image: tt.img, Name: "base", Store: store, Jobs: 1})
			if de := (*layers.DigestError)(nil); !errors.As(err, &de) || !strings.HasPrefix(err.Error(), "reading layer sha256:") {
				t.Errorf("Inspect = %v, want a DigestError that names the layer", err)
			}
			if store.puts != 0 {
				t.Errorf("%d values were stored, want none", store.puts)
			}
		})
	}
}

// lyingConfig has a configuration of its own.
type lyingConfig struct {
	v1.Image
	cfg *v1.ConfigFile
}

func (l lyingConfig) ConfigFile() (*v1.ConfigFile, error) { return l.cfg, nil }

func TestInspectRefuses(t *testing.T) {
	short := threeLayers(t)
	cfg, err := short.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.RootFS.DiffIDs = cfg.RootFS.DiffIDs[1:]
	tests := []struct {
		name string
		img  v1.Image
		want string
	}{
		{"a configuration of other layers", lyingConfig{short, cfg}, "the manifest of base lists 3 layers and its configuration 2"},
		{"a name that leads out", image(t, nil, layer(t, file("../../etc/passwd", "x"))), `entry "../../etc/passwd" leads out of the image`},
		{"a hard link to nothing", image(t, nil, layer(t, item{tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}, ""})), `entry "a" is a hard link to "b"`},
		{"a huge file that is kept", image(t, nil, layer(t, file("etc/passwd", strings.Repeat("x", 32<<20+1)))), "reading etc/passwd: it is larger than 32 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parent.Inspect(t.Context(), parent.Options{Image: tt.img, Name: "base"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Inspect = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPlatform(t *testing.T) {
	tests := []struct{ os, arch, variant, asked, want, err string }{
		{"linux", "amd64", "", "", "linux/amd64", ""},
		{"linux", "amd64", "", "linux/amd64", "linux/amd64", ""},
		{"linux", "arm64", "v8", "linux/arm64", "linux/arm64", ""},
		{"linux", "arm64", "", "linux/arm64/v8", "linux/arm64", ""},
		{"linux", "arm", "v6", "linux/arm/v7", "linux/arm/v6", ""},
		{"linux", "arm", "v7", "linux/arm", "linux/arm/v7", ""},
		{"linux", "", "", "linux/riscv64", "linux/riscv64", ""},
		{"", "amd64", "", "linux/amd64", "linux/amd64", ""},
		{"linux", "arm", "v7", "linux/arm/v6", "", `parent image "base" is for linux/arm/v7, not linux/arm/v6`},
		{"linux", "arm64", "", "linux/amd64", "", `parent image "base" is for linux/arm64, not linux/amd64`},
		{"windows", "amd64", "", "linux/amd64", "", `parent image "base" is for windows/amd64, and only Linux images can be built`},
		{"windows", "amd64", "", "", "", `parent image "base" is for windows/amd64, and only Linux images can be built`},
	}
	for _, tt := range tests {
		t.Run(tt.os+tt.arch+tt.variant+" as "+tt.asked, func(t *testing.T) {
			img := &watched{Image: imageFor(t, tt.os, tt.arch, tt.variant, nil, layer(t))}
			inv, err := parent.Inspect(t.Context(), parent.Options{Image: img, Name: "base", Platform: tt.asked})
			if tt.err == "" {
				if err != nil || inv.Platform != tt.want {
					t.Errorf("Inspect = %+v, %v; want the platform %s", inv, err, tt.want)
				}
				return
			}
			var pe *parent.PlatformError
			if !errors.As(err, &pe) || pe.Error() != tt.err || pe.Hint() == "" {
				t.Errorf("Inspect = %v, want the PlatformError %q with a hint", err, tt.err)
			}
			if img.opened.Load() != 0 {
				t.Error("a layer was read before the platform was checked")
			}
		})
	}
}

func TestInspectCompressions(t *testing.T) {
	raw := makeTar(t, dockerPython()...)
	zw, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	diffID, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, mt := range []types.MediaType{types.OCIUncompressedLayer, types.OCILayerZStd} {
		b := raw
		if mt == types.OCILayerZStd {
			b = zw.EncodeAll(raw, nil)
		}
		img := image(t, nil, ofTar{static.NewLayer(b, mt), diffID})
		if inv := inspect(t, parent.Options{Image: img}); inv.Python == nil || inv.Layers[0].MediaType != mt {
			t.Errorf("a layer of type %s: %+v, want a Python", mt, inv.Layers)
		}
	}
}

// ofTar is a layer with the digest of its tar.
type ofTar struct {
	v1.Layer
	diffID v1.Hash
}

func (o ofTar) DiffID() (v1.Hash, error) { return o.diffID, nil }

func TestInspectTellsProgress(t *testing.T) {
	img := threeLayers(t)
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	got := map[string]string{}
	inspect(t, parent.Options{Image: img, Progress: func(task string, total int64) (func(int64), func(error)) {
		sum := int64(0)
		return func(n int64) { sum += n }, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			got[task] = fmt.Sprint(total, sum, err)
		}
	}})
	want := map[string]string{}
	for i, l := range m.Layers[:2] {
		want[fmt.Sprintf("reading parent layer %d of 3", i+1)] = fmt.Sprint(l.Size, l.Size, error(nil))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Progress was told: (-want +got)\n%s", diff)
	}
}

func TestInspectStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	img := &watched{Image: threeLayers(t), replace: func(b []byte) []byte { cancel(); return b }}
	if _, err := parent.Inspect(ctx, parent.Options{Image: img}); !errors.Is(err, context.Canceled) {
		t.Errorf("Inspect = %v, want %v", err, context.Canceled)
	}
}

type brokenStore struct{ *memory }

var errStore = errors.New("disk on fire")

func (brokenStore) Put(string, []byte) error { return errStore }

func TestInspectNeedsItsStore(t *testing.T) {
	_, err := parent.Inspect(t.Context(), parent.Options{Image: threeLayers(t), Store: brokenStore{newMemory()}})
	if !errors.Is(err, errStore) {
		t.Errorf("Inspect = %v, want %v", err, errStore)
	}
}

func TestViewWithoutImage(t *testing.T) {
	if _, err := (&parent.Inventory{}).View(t.Context()); err == nil {
		t.Error("View of an inventory without an image succeeded")
	}
}
