// SPDX-License-Identifier: Apache-2.0

package compare_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"inlay/resolve/compare"
	"inlay/resolve/parent"
)

// layer returns a layer of entries, whose Uname is the content. The count grows
// when it is opened.
func layer(t *testing.T, opened *atomic.Int64, entries ...tar.Header) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range entries {
		body := h.Uname
		h.Uname = ""
		h.Size = int64(len(body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		opened.Add(1)
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func file(name, body string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Uname: body}
}

func with(h tar.Header, edit func(*tar.Header)) tar.Header {
	edit(&h)
	return h
}

func inventory(t *testing.T, config v1.Config, ls ...v1.Layer) *parent.Inventory {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, ls...)
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Config = "linux", "amd64", config
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	inv, err := parent.Inspect(t.Context(), parent.Options{Image: img, Name: "image"})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// seen writes what was found, a line each.
func seen(d *compare.Difference) (lines []string) {
	for _, c := range append(append(d.Config, d.Python...), d.System...) {
		show := func(s *string) string {
			if s == nil {
				return "nothing"
			}
			return *s
		}
		lines = append(lines, c.Name+": "+show(c.A)+" → "+show(c.B))
	}
	for _, f := range d.Files {
		switch {
		case f.A == nil:
			lines = append(lines, "+ "+f.Path+" "+f.B.Type)
		case f.B == nil:
			lines = append(lines, "- "+f.Path+" "+f.A.Type)
		default:
			lines = append(lines, "~ "+f.Path+" "+strings.Join(f.What, " "))
		}
	}
	return lines
}

func TestImages(t *testing.T) {
	base := []tar.Header{
		with(file("d/", ""), func(h *tar.Header) { h.Typeflag, h.Mode = tar.TypeDir, 0o755 }),
		file("d/x", "one"), file("d/y", "two"),
		with(file("l", ""), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "d/x" }),
	}
	tests := []struct {
		name string
		a, b []tar.Header // on top of base
		want []string
	}{
		{"nothing", nil, nil, nil},
		{"the same file again", []tar.Header{file("d/x", "one")}, nil, nil},
		{"another content of that size", nil, []tar.Header{file("d/x", "eno")}, []string{"~ /d/x content"}},
		{"another size", nil, []tar.Header{file("d/x", "more")}, []string{"~ /d/x size"}},
		{"a setuid bit", nil, []tar.Header{with(file("d/x", "one"), func(h *tar.Header) { h.Mode = 0o4644 })}, []string{"~ /d/x mode"}},
		{"an owner", nil, []tar.Header{with(file("d/x", "one"), func(h *tar.Header) { h.Gid = 7 })}, []string{"~ /d/x owner"}},
		{"a link in place of a file", nil, []tar.Header{with(file("d/x", ""), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "y" })}, []string{"~ /d/x type"}},
		{"where a link leads", nil, []tar.Header{with(file("l", ""), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "d/y" })}, []string{"~ /l link"}},
		{"a directory that went", nil, []tar.Header{file(".wh.d", "")}, []string{"- /d directory", "- /d/x file", "- /d/y file"}},
		{"a file in place of a directory", nil, []tar.Header{file("d", "")}, []string{"~ /d type", "- /d/x file", "- /d/y file"}},
		{"files that came", nil, []tar.Header{file("a/b", ""), file("z", "")}, []string{"+ /a directory", "+ /a/b file", "+ /z file"}},
		{
			"a hard link to another file below",
			[]tar.Header{with(file("h", ""), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeLink, "d/x" })},
			[]tar.Header{with(file("h", ""), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeLink, "d/y" })},
			[]string{"~ /h content"},
		},
		{"a time", nil, []tar.Header{with(file("d/x", "one"), func(h *tar.Header) { h.ModTime = h.ModTime.AddDate(2, 0, 0) })}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int64
			below := layer(t, &n, base...)
			a := inventory(t, v1.Config{}, below, layer(t, &n, tt.a...))
			b := inventory(t, v1.Config{}, below, layer(t, &n, tt.b...))
			d, err := compare.Images(t.Context(), a, b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, seen(d)); diff != "" {
				t.Errorf("Images: (-want +got)\n%s", diff)
			}
			if d.Equal() != (tt.want == nil) {
				t.Errorf("Equal = %v with %d differences", d.Equal(), len(tt.want))
			}
		})
	}
}

func TestConfig(t *testing.T) {
	var n atomic.Int64
	status := func(text string) v1.Layer { return layer(t, &n, file("var/lib/dpkg/status", text)) }
	a := inventory(t, v1.Config{Env: []string{"A=1", "B=2"}, User: "root", Labels: map[string]string{"x": ""}},
		status("Package: bash\nArchitecture: amd64\nVersion: 5\n\nPackage: libc6\nArchitecture: amd64\nVersion: 2\n\nPackage: libc6\nArchitecture: i386\nVersion: 3\n"))
	b := inventory(t, v1.Config{Env: []string{"A=1", "B=3"}, Entrypoint: []string{"a b"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}},
		status("Package: bash\nArchitecture: amd64\nVersion: 6\n\nPackage: libc6\nArchitecture: amd64\nVersion: 2\n"))
	d, err := compare.Images(t.Context(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`entrypoint: nothing → ["a b"]`, "env B: 2 → 3", "label x:  → nothing", "port 80/tcp: nothing → exposed", "user: root → nothing",
		"bash: 5 → 6", "libc6: 2, 3 → 2", "~ /var/lib/dpkg/status size",
	}
	if diff := cmp.Diff(want, seen(d)); diff != "" {
		t.Errorf("Images: (-want +got)\n%s", diff)
	}
}

// A layer that both images have is not read to compare its files.
func TestSharedLayersAreNotRead(t *testing.T) {
	var shared, own atomic.Int64
	below := layer(t, &shared, file("x", "one"), file("y", "two"))
	a := inventory(t, v1.Config{}, below, layer(t, &own, file("new", "1")))
	b := inventory(t, v1.Config{}, layer(t, &own, file("new", "2")), below)
	before := shared.Load()
	views := int64(2) // without a store, a View reads the layer again
	d, err := compare.Images(t.Context(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	if got := shared.Load() - before; got != views {
		t.Errorf("the shared layer was opened %d times, want %d: for the views alone", got, views)
	}
	if diff := cmp.Diff([]string{"~ /new content"}, seen(d)); diff != "" {
		t.Errorf("Images: (-want +got)\n%s", diff)
	}
	if d.Layers.Shared != 1 || len(d.Layers.A) != 1 || len(d.Layers.B) != 1 {
		t.Errorf("Layers = %+v, want one that is shared and one on each side", d.Layers)
	}
}

func TestCancelled(t *testing.T) {
	var n atomic.Int64
	inv := inventory(t, v1.Config{}, layer(t, &n, file("x", "1")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compare.Images(ctx, inv, inv); !errors.Is(err, context.Canceled) {
		t.Errorf("Images with a cancelled context = %v, want context.Canceled", err)
	}
}

func TestSummary(t *testing.T) {
	stat := func(kind string) *compare.Stat { return &compare.Stat{Type: kind, Size: 10} }
	files := []compare.File{{Path: "/new", B: stat("directory")}}
	for i := range 30 {
		files = append(files,
			compare.File{Path: fmt.Sprintf("/new/%d", i), B: stat("file")},
			compare.File{Path: fmt.Sprintf("/a/b/%d/x", i%3), A: stat("file")})
	}
	files = append(files, compare.File{Path: "/etc/passwd", A: stat("file"), B: stat("file")})
	line := func(g compare.Group) string {
		return fmt.Sprintf("%s +%d -%d ~%d %d", g.Path, g.Added, g.Removed, g.Changed, g.Bytes)
	}
	for groups, want := range map[int][]string{
		1: {"/a +0 -30 ~0 -300", "/etc +0 -0 ~1 0", "/new +31 -0 ~0 310"},
		9: {"/a/b/0 +0 -10 ~0 -100", "/a/b/1 +0 -10 ~0 -100", "/a/b/2 +0 -10 ~0 -100", "/etc +0 -0 ~1 0", "/new +31 -0 ~0 310"},
	} {
		var got []string
		for _, g := range compare.Summary(files, groups) {
			got = append(got, line(g))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Summary(files, %d): (-want +got)\n%s", groups, diff)
		}
	}
}
