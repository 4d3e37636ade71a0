// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/output"
	"inlay/layers"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// makeLayer returns a layer of one file with some content that doesn't shrink.
func makeLayer(t *testing.T, file string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	content := make([]byte, 20_000)
	for i, x := 0, uint32(len(file))+uint32(file[0])<<8; i < len(content); i++ {
		x = x*1664525 + 1013904223
		content[i] = byte(x >> 24)
	}
	check(t, w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write(content)
	check(t, err)
	check(t, w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	check(t, err)
	return l
}

// makeImage returns an image with a layer for each file.
func makeImage(t *testing.T, files ...string) v1.Image {
	t.Helper()
	var ls []v1.Layer
	for _, f := range files {
		ls = append(ls, makeLayer(t, f))
	}
	return imageOf(t, ls...)
}

func imageOf(t *testing.T, ls ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, ls...)
	check(t, err)
	c, err := img.ConfigFile()
	check(t, err)
	c.OS, c.Architecture = "linux", "amd64"
	img, err = mutate.ConfigFile(img, c)
	check(t, err)
	return img
}

// A place is somewhere to deliver to.
type place struct {
	begin func(output.Progress) (output.Delivery, error)
	read  func() (v1.Image, error) // what one finds there, an error if nothing
	keeps bool                     // what is there needn't be moved again
}

// write delivers an image in one go.
func (p place) write(ctx context.Context, img v1.Image, show output.Progress) (output.Delivered, error) {
	d, err := p.begin(show)
	if err != nil {
		return output.Delivered{}, err
	}
	defer d.Close()
	if err := d.Complete(ctx, img); err != nil {
		return output.Delivered{}, err
	}
	return d.Publish(ctx)
}

// places are all outputs: what the tests below promise, they promise of each.
var places = map[string]func(*testing.T) place{
	"registry": func(t *testing.T) place {
		s := httptest.NewServer(newStrict())
		t.Cleanup(s.Close)
		tag, err := name.NewTag(strings.TrimPrefix(s.URL, "http://") + "/team/app:1")
		check(t, err)
		return place{
			func(p output.Progress) (output.Delivery, error) {
				return output.Registry{Tags: []name.Tag{tag}, Wait: time.Millisecond, Progress: p}.Begin()
			},
			func() (v1.Image, error) { return remote.Image(tag) },
			true,
		}
	},
	"oci": func(t *testing.T) place {
		dir := filepath.Join(t.TempDir(), "new", "layout")
		return place{
			func(p output.Progress) (output.Delivery, error) {
				return output.Layout{Dir: dir, Tags: []string{"1"}, Progress: p}.Begin()
			},
			func() (v1.Image, error) { return firstImage(dir) },
			true,
		}
	},
	"oci-archive": func(t *testing.T) place {
		file := filepath.Join(t.TempDir(), "new", "image.tar")
		return place{
			func(p output.Progress) (output.Delivery, error) {
				return output.OCIArchive{File: file, Tags: []string{"1"}, Progress: p}.Begin()
			},
			func() (v1.Image, error) {
				dir := filepath.Join(t.TempDir(), "unpacked")
				if err := unpack(file, dir); err != nil {
					return nil, err
				}
				return firstImage(dir)
			},
			false,
		}
	},
	"docker-archive": func(t *testing.T) place {
		file := filepath.Join(t.TempDir(), "new", "image.tar")
		return place{
			func(p output.Progress) (output.Delivery, error) {
				tag, err := name.NewTag("example.com/app:1")
				check(t, err)
				return output.Tarball{File: file, Tags: []name.Tag{tag}, Progress: p}.Begin()
			},
			func() (v1.Image, error) { return tarball.ImageFromPath(file, nil) },
			false,
		}
	},
	"docker":     func(t *testing.T) place { return enginePlace(t, "docker") },
	"containerd": func(t *testing.T) place { return enginePlace(t, "containerd") },
}

func firstImage(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(m.Manifests) == 0 {
		return nil, errors.New("no image is listed")
	}
	return index.Image(m.Manifests[0].Digest)
}

func unpack(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var b []byte
			if b, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, b, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
}

func TestWrite(t *testing.T) {
	for name, newPlace := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			img := makeImage(t, "a", "b", "a") // one layer twice
			d, err := p.write(t.Context(), img, nil)
			check(t, err)
			digest, err := img.Digest()
			check(t, err)
			m, err := img.Manifest()
			check(t, err)
			want := output.Delivered{
				Reference: d.Reference, Digest: digest, Moved: 3, Engine: map[string]string{"docker": "docker", "containerd": "containerd"}[name],
				Bytes: m.Config.Size + m.Layers[0].Size + m.Layers[1].Size,
			}
			if diff := cmp.Diff(want, d); diff != "" {
				t.Errorf("Delivered (-want +got):\n%s", diff)
			}
			ending := "@" + digest.String()
			if name == "docker" { // which knows images by their configuration
				ending = m.Config.Digest.String()
			}
			if !strings.HasSuffix(d.Reference, ending) {
				t.Errorf("Reference = %q, want it to end in %s", d.Reference, ending)
			}
			got, err := p.read()
			check(t, err)
			if err := validate.Image(got); err != nil {
				t.Errorf("validate.Image: %v", err)
			}
			wantName, _ := img.ConfigName()
			if gotName, _ := got.ConfigName(); gotName != wantName {
				t.Errorf("configuration %s, want %s", gotName, wantName)
			}
			if gotDigest, _ := got.Digest(); gotDigest != digest && !strings.HasPrefix(name, "docker") {
				t.Errorf("digest %s, want %s", gotDigest, digest)
			}

			d, err = p.write(t.Context(), img, nil)
			check(t, err)
			if p.keeps {
				want.Moved, want.Bytes, want.Present = 0, 0, 3
			}
			if diff := cmp.Diff(want, d); diff != "" {
				t.Errorf("Delivered the second time (-want +got):\n%s", diff)
			}

			next := makeImage(t, "a", "c")
			d, err = p.write(t.Context(), next, nil)
			check(t, err)
			if p.keeps && (d.Moved != 2 || d.Present != 1) {
				t.Errorf("with another layer: %+v, want 2 moved and 1 present", d)
			}
			if got, err = p.read(); err != nil {
				t.Fatal(err)
			}
			wantName, _ = next.ConfigName()
			if gotName, _ := got.ConfigName(); gotName != wantName {
				t.Errorf("it was not replaced")
			}
		})
	}
}

// A badLayer gives other bytes than those it stands for.
type badLayer struct {
	v1.Layer
	open func() (io.ReadCloser, error)
}

func (l badLayer) Compressed() (io.ReadCloser, error) { return l.open() }

// Whatever goes wrong while an image is delivered, nothing of it can be seen,
// and the next delivery succeeds.
func TestFailure(t *testing.T) {
	broken := errors.New("the disk is broken")
	good := makeLayer(t, "good")
	reader := func(r io.Reader) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
	}
	size, err := good.Size()
	check(t, err)
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	tests := []struct {
		name string
		open func(context.CancelFunc) func() (io.ReadCloser, error)
		want func(error) bool
	}{
		{"a layer can't be opened", func(context.CancelFunc) func() (io.ReadCloser, error) {
			return func() (io.ReadCloser, error) { return nil, broken }
		}, is(broken)},
		{"a layer can't be read", func(context.CancelFunc) func() (io.ReadCloser, error) {
			return reader(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broken)))
		}, is(broken)},
		{"a layer has other bytes", func(context.CancelFunc) func() (io.ReadCloser, error) {
			return reader(io.LimitReader(zeros{}, size))
		}, func(err error) bool {
			var de *layers.DigestError
			return errors.As(err, &de) || strings.Contains(err.Error(), "DIGEST_INVALID") || strings.Contains(err.Error(), "digest does not match")
		}},
		{"cancelled in the middle", func(cancel context.CancelFunc) func() (io.ReadCloser, error) {
			return reader(io.MultiReader(strings.NewReader("some"), readerFunc(func(p []byte) (int, error) {
				cancel()
				time.Sleep(time.Millisecond)
				return copy(p, "more"), nil
			})))
		}, is(context.Canceled)},
	}
	for name, newPlace := range places {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				img := swap(makeImage(t, "first", "good"), badLayer{good, tt.open(cancel)})
				if d, err := p.write(ctx, img, nil); err == nil || !tt.want(err) {
					t.Errorf("Write = %+v, %v, which is another error", d, err)
				}
				if img, err := p.read(); err == nil {
					t.Errorf("an image can be seen: %v", img)
				}
				if _, err := p.write(t.Context(), makeImage(t, "first", "good"), nil); err != nil {
					t.Errorf("Write after the failure: %v", err)
				}
				img2, err := p.read()
				check(t, err)
				if err := validate.Image(img2); err != nil {
					t.Errorf("validate.Image after the failure: %v", err)
				}
			})
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// swapped is an image with another last layer.
type swapped struct {
	v1.Image
	last v1.Layer
}

func swap(img v1.Image, last v1.Layer) v1.Image { return swapped{img, last} }

func (s swapped) Layers() ([]v1.Layer, error) {
	ls, err := s.Image.Layers()
	if err == nil {
		ls = append(slices.Clone(ls[:len(ls)-1]), s.last)
	}
	return ls, err
}

// Progress adds up to its totals, and every task ends.
func TestProgress(t *testing.T) {
	for name, newPlace := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var total, sum int64
			open := 0
			progress := func(_ string, n int64) (func(int64), func(error)) {
				mu.Lock()
				defer mu.Unlock()
				total += n
				open++
				add := func(n int64) { mu.Lock(); defer mu.Unlock(); sum += n }
				done := func(err error) { mu.Lock(); defer mu.Unlock(); open--; check(t, err) }
				return add, done
			}
			img := makeImage(t, "a", "b")
			d, err := newPlace(t).write(t.Context(), img, progress)
			check(t, err)
			size, err := img.Size()
			check(t, err)
			// An archive's manifest is part of what is written.
			if total != d.Bytes || sum != d.Bytes && sum != d.Bytes+size || open != 0 {
				t.Errorf("progress came to %d of %d with %d open tasks, want %d", sum, total, open, d.Bytes)
			}
		})
	}
}
