// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/resolve/source"
)

// images is what all tests open images with.
var images = source.Images{Platform: "linux/amd64", Wait: time.Millisecond}

// makeImage returns an image of two layers for a platform.
func makeImage(t *testing.T, platform string) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, file := range []string{"first", "second"} {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(makeTar(map[string]string{file: platform + strings.Repeat(".", 5000)}))), nil
		}, tarball.WithMediaType(types.OCILayer))
		check(t, err)
		img, err = mutate.AppendLayers(img, l)
		check(t, err)
	}
	c, err := img.ConfigFile()
	check(t, err)
	p, err := v1.ParsePlatform(platform)
	check(t, err)
	c.OS, c.Architecture, c.Variant = p.OS, p.Architecture, p.Variant
	img, err = mutate.ConfigFile(img, c)
	check(t, err)
	return img
}

// makeIndex returns an index of images for platforms, and an attestation.
func makeIndex(t *testing.T, platforms ...string) v1.ImageIndex {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for _, platform := range append(platforms, "unknown/unknown") {
		p, err := v1.ParsePlatform(platform)
		check(t, err)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: makeImage(t, platform), Descriptor: v1.Descriptor{Platform: p},
		})
	}
	return index
}

func makeTar(files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644})
		_, _ = io.WriteString(w, content)
	}
	_ = w.Close()
	return b.Bytes()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a registry behind what wrap makes of it and returns its address.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	s := httptest.NewServer(wrap(ggcr.New(ggcr.Logger(quiet))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func plain(h http.Handler) http.Handler { return h }

// Each place returns the reference of an image that it put somewhere.
var places = map[string]func(*testing.T, v1.Image) string{
	"registry": func(t *testing.T, img v1.Image) string {
		return putRemote(t, serve(t, plain), img)
	},
	"oci": func(t *testing.T, img v1.Image) string {
		return "oci:" + putLayout(t, img)
	},
	"oci tagged": func(t *testing.T, img v1.Image) string {
		dir := putLayout(t, makeImage(t, "linux/s390x"), layout.WithAnnotations(map[string]string{ref: "other"}))
		check(t, layout.Path(dir).AppendImage(img, layout.WithAnnotations(map[string]string{ref: "v1"})))
		return "oci:" + dir + ":v1"
	},
	"oci-archive": func(t *testing.T, img v1.Image) string {
		return "oci-archive:" + archive(t, putLayout(t, img), "./")
	},
	"docker-archive compressed": func(t *testing.T, img v1.Image) string {
		file := filepath.Join(t.TempDir(), "image.tar")
		tag, err := name.NewTag("example.com/app:1")
		check(t, err)
		check(t, tarball.WriteToFile(file, tag, img))
		return "docker-archive:" + file
	},
	"docker-archive": func(t *testing.T, img v1.Image) string {
		return "docker-archive:" + saved(t, img)
	},
}

const ref = "org.opencontainers.image.ref.name"

func putRemote(t *testing.T, host string, img v1.Image) string {
	t.Helper()
	tag, err := name.NewTag(host + "/app:1")
	check(t, err)
	check(t, remote.Write(tag, img))
	return tag.String()
}

func putLayout(t *testing.T, img v1.Image, options ...layout.Option) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	check(t, err)
	check(t, p.AppendImage(img, options...))
	return dir
}

// archive writes the files of dir to a tar, with prefix before their names.
func archive(t *testing.T, dir, prefix string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(file)
	check(t, err)
	w := tar.NewWriter(f)
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if err := w.WriteHeader(&tar.Header{Name: prefix + rel, Size: int64(len(b)), Mode: 0o644}); err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}))
	check(t, w.Close())
	check(t, f.Close())
	return file
}

// saved writes img as docker save did before version 25: tars that are not
// compressed, one of them by a link.
func saved(t *testing.T, img v1.Image) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(file)
	check(t, err)
	w := tar.NewWriter(f)
	put := func(name string, b []byte) {
		check(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644}))
		_, err := w.Write(b)
		check(t, err)
	}
	ls, err := img.Layers()
	check(t, err)
	var names []string
	for i, l := range ls {
		r, err := l.Uncompressed()
		check(t, err)
		b, err := io.ReadAll(r)
		check(t, err)
		put(fmt.Sprintf("%d/layer.tar", i), b)
		names = append(names, fmt.Sprintf("%d/layer.tar", i))
	}
	check(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "x/layer.tar", Linkname: "../0/layer.tar"}))
	names[0] = "x/layer.tar"
	config, err := img.RawConfigFile()
	check(t, err)
	put("config.json", config)
	m, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{"example.com/app:1"}, "Layers": names}})
	check(t, err)
	put("manifest.json", m)
	check(t, w.Close())
	check(t, f.Close())
	return file
}

func open(t *testing.T, text, platform string) (*source.Image, error) {
	t.Helper()
	ref, err := source.Parse(text)
	if err != nil {
		return nil, err
	}
	return images.Open(t.Context(), ref, platform)
}

func TestOpen(t *testing.T) {
	for name, put := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := makeImage(t, "linux/arm64/v8")
			img, err := open(t, put(t, want), "linux/arm64")
			check(t, err)
			if name == "docker-archive" {
				checkTars(t, img) // validate.Image takes all layers for gzip
			} else if err := validate.Image(img); err != nil {
				t.Errorf("validate.Image: %v", err)
			}
			if diff := cmp.Diff(diffIDs(t, want), diffIDs(t, img)); diff != "" {
				t.Errorf("DiffIDs (-want +got):\n%s", diff)
			}
			if img.Platform != "linux/arm64" {
				t.Errorf("Platform = %q, want linux/arm64", img.Platform)
			}
			digest, err := img.Digest()
			check(t, err)
			if wantDigest, _ := want.Digest(); !strings.HasPrefix(name, "docker-archive") && digest != wantDigest {
				t.Errorf("digest %s, want %s", digest, wantDigest)
			}
			if !strings.HasSuffix(img.Reference, "@"+digest.String()) {
				t.Errorf("Reference = %q, want it to end in @%s", img.Reference, digest)
			}
			again, err := open(t, img.Reference, "")
			check(t, err)
			if d, _ := again.Digest(); d != digest || again.Reference != img.Reference {
				t.Errorf("Open(%s) has digest %s and reference %s", img.Reference, d, again.Reference)
			}
		})
	}
}

// checkTars checks the layers of an image that are not compressed.
func checkTars(t *testing.T, img v1.Image) {
	t.Helper()
	ls, err := img.Layers()
	check(t, err)
	for i, want := range diffIDs(t, img) {
		r, err := ls[i].Uncompressed()
		check(t, err)
		got, n, err := v1.SHA256(r)
		check(t, err)
		digest, _ := ls[i].Digest()
		size, _ := ls[i].Size()
		if got != want || digest != want || size != n {
			t.Errorf("layer %d: tar %s of %d bytes, digest %s of %d, want %s", i, got, n, digest, size, want)
		}
	}
}

func diffIDs(t *testing.T, img v1.Image) []v1.Hash {
	t.Helper()
	c, err := img.ConfigFile()
	check(t, err)
	return c.RootFS.DiffIDs
}

func TestPlatform(t *testing.T) {
	tests := []struct {
		have []string
		want string // asked for
		got  string // opened; "" for an error
		err  string
	}{
		{[]string{"linux/amd64", "linux/arm64/v8"}, "linux/arm64", "linux/arm64", ""},
		{[]string{"linux/amd64", "linux/arm64"}, "linux/arm64/v8", "linux/arm64", ""},
		{[]string{"linux/arm64", "linux/amd64"}, "", "linux/amd64", ""},
		{[]string{"linux/amd64", "linux/arm64"}, "linux/x86_64", "linux/amd64", ""},
		{[]string{"linux/arm/v5", "linux/arm/v6", "linux/arm/v7"}, "linux/arm", "linux/arm/v7", ""},
		{[]string{"linux/arm/v5", "linux/arm/v6"}, "linux/arm/v7", "linux/arm/v6", ""},
		{[]string{"linux/amd64", "linux/amd64/v3"}, "linux/amd64", "linux/amd64", ""},
		{[]string{"linux/amd64", "linux/amd64/v2", "linux/amd64/v4"}, "linux/amd64/v3", "linux/amd64/v2", ""},
		{[]string{"linux/arm/v7"}, "linux/arm/v6", "", `is not for linux/arm/v6, but for linux/arm/v7`},
		{[]string{"windows/amd64", "linux/arm64"}, "linux/amd64", "", `is not for linux/amd64, but for linux/arm64, windows/amd64`},
		{nil, "linux/amd64", "", `holds no image that can be run`},
		{[]string{"linux/amd64"}, "amd64", "", `platform "amd64" is not of the form OS/ARCH[/VARIANT], such as linux/amd64`},
	}
	host := serve(t, plain)
	for i, tt := range tests {
		t.Run(fmt.Sprint(tt.have, tt.want), func(t *testing.T) {
			index := makeIndex(t, tt.have...)
			tag, err := name.NewTag(fmt.Sprintf("%s/app:%d", host, i))
			check(t, err)
			check(t, remote.WriteIndex(tag, index))
			dir := filepath.Join(t.TempDir(), "layout")
			p, err := layout.Write(dir, empty.Index)
			check(t, err)
			check(t, p.AppendIndex(index))
			for _, place := range []string{tag.String(), "oci:" + dir} {
				img, err := open(t, place, tt.want)
				if tt.got == "" {
					if err == nil || !strings.HasSuffix(err.Error(), tt.err) {
						t.Errorf("Open(%s, %q) = %v, want an error that ends in %q", place, tt.want, err, tt.err)
					}
					continue
				}
				check(t, err)
				c, err := img.ConfigFile()
				check(t, err)
				p := source.Image{Platform: c.Platform().String()}.Platform
				if img.Platform != tt.got || strings.TrimSuffix(p, "/v8") != tt.got {
					t.Errorf("Open(%s, %q): platform %s, configuration for %s, want %s", place, tt.want, img.Platform, p, tt.got)
				}
			}
		})
	}
}

// A layout may list the images of an index itself, with no word of platforms.
func TestPlatformFromConfiguration(t *testing.T) {
	dir := putLayout(t, makeImage(t, "linux/amd64"))
	check(t, layout.Path(dir).AppendImage(makeImage(t, "linux/arm64")))
	img, err := open(t, "oci:"+dir, "linux/arm64")
	check(t, err)
	if img.Platform != "linux/arm64" {
		t.Errorf("Platform = %q, want linux/arm64", img.Platform)
	}
}

// One image is opened whatever it is for, unless somebody asks.
func TestSingle(t *testing.T) {
	for name, put := range places {
		t.Run(name, func(t *testing.T) {
			text := put(t, makeImage(t, "linux/ppc64le"))
			img, err := open(t, text, "")
			check(t, err)
			if img.Platform != "linux/ppc64le" {
				t.Errorf("Platform = %q, want linux/ppc64le", img.Platform)
			}
			_, err = open(t, text, "linux/amd64")
			var pe *source.PlatformError
			if !errors.As(err, &pe) {
				t.Fatalf("Open(%s, linux/amd64) = %v, want a *PlatformError", text, err)
			}
			if diff := cmp.Diff("name another image, or a platform that it is for: --platform linux/ppc64le", pe.Hint()); diff != "" {
				t.Errorf("Hint (-want +got):\n%s", diff)
			}
		})
	}
}
