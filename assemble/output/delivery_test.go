// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/output"
)

// Layers may come ahead of the image, in any order and while it is completed:
// it is delivered as if they came with it, and seen when it is published.
func TestAdd(t *testing.T) {
	for name, newPlace := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := makeImage(t, "a", "b", "c", "a")
			want, err := newPlace(t).write(t.Context(), img, nil)
			check(t, err)

			p := newPlace(t)
			d, err := p.begin(nil)
			check(t, err)
			defer d.Close()
			add(t, d, img, 0)
			var wg sync.WaitGroup
			wg.Go(func() { add(t, d, img, 3, 2) })
			wg.Go(func() { check(t, d.Complete(t.Context(), img)) })
			wg.Wait()
			if img, err := p.read(); err == nil {
				t.Errorf("an image can be seen before it is published: %v", img)
			}
			got, err := d.Publish(t.Context())
			check(t, err)
			_, want.Reference, _ = strings.Cut(want.Reference, "@")
			_, got.Reference, _ = strings.Cut(got.Reference, "@")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Delivered (-want +got):\n%s", diff)
			}
			found, err := p.read()
			check(t, err)
			check(t, validate.Image(found))
		})
	}
}

// add adds some of an image's layers at once.
func add(t *testing.T, d output.Delivery, img v1.Image, which ...int) {
	t.Helper()
	ls, err := img.Layers()
	check(t, err)
	var wg sync.WaitGroup
	for _, i := range which {
		wg.Go(func() {
			if err := d.Add(t.Context(), ls[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// What is not published leaves nothing on disk, not even the directories; what
// was there stays.
func TestCloseLeavesNothing(t *testing.T) {
	for _, before := range []string{"", "old"} {
		for _, complete := range []bool{false, true} {
			root := t.TempDir()
			outputs := []interface {
				Begin() (output.Delivery, error)
			}{
				output.Layout{Dir: filepath.Join(root, "new", "layout"), Tags: []string{"1"}},
				output.OCIArchive{File: filepath.Join(root, "oci.tar")},
				output.Tarball{File: filepath.Join(root, "docker.tar")},
			}
			for _, out := range outputs {
				if before != "" {
					d, err := out.Begin()
					check(t, err)
					check(t, d.Complete(t.Context(), makeImage(t, before)))
					_, err = d.Publish(t.Context())
					check(t, err)
				}
				want := content(t, root)
				d, err := out.Begin()
				check(t, err)
				add(t, d, makeImage(t, "a", "b"), 0, 1)
				if complete {
					check(t, d.Complete(t.Context(), makeImage(t, "a", "b")))
				}
				d.Close()
				if diff := cmp.Diff(want, content(t, root)); diff != "" {
					t.Errorf("%T after %q, complete %v: it leaves (-want +got):\n%s", out, before, complete, diff)
				}
			}
		}
	}
}

// content reads all files below dir; a directory is "dir".
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		found[path] = "dir"
		if err == nil && d.Type().IsRegular() {
			var b []byte
			b, err = os.ReadFile(path)
			found[path] = string(b)
		}
		return err
	}))
	return found
}

// When a registry fails between two tags, each tag means the old image or the
// new one, both whole, and the next push puts the rest.
func TestTagFails(t *testing.T) {
	s := newStrict()
	broken := true
	host := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !status(w, 400, broken && r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/two")) {
			s.ServeHTTP(w, r)
		}
	}))
	names := tags(t, host+"/app:one", host+"/app:two", host+"/app:three")
	before, after := makeImage(t, "old"), makeImage(t, "new")
	broken = false
	for _, tag := range names {
		check(t, remote.Write(tag, before))
	}
	broken = true
	wantTags := func(want ...v1.Image) {
		t.Helper()
		for i, tag := range names {
			got, err := remote.Image(tag)
			check(t, err)
			check(t, validate.Image(got))
			gotDigest, _ := got.Digest()
			if wantDigest, _ := want[i].Digest(); gotDigest != wantDigest {
				t.Errorf("%s is %s, want %s", tag, gotDigest, wantDigest)
			}
		}
	}
	r := output.Registry{Tags: names, Wait: time.Microsecond}
	if _, err := r.Write(t.Context(), after); err == nil {
		t.Fatal("Write: no error")
	}
	wantTags(after, before, before)
	broken = false
	_, err := r.Write(t.Context(), after)
	check(t, err)
	wantTags(after, after, after)
}

// Builds that push one tag at once, or write one layout, each leave a whole
// image; the tag is one of them.
func TestAtOnce(t *testing.T) {
	for name, newPlace := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			digests := map[v1.Hash]bool{}
			var wg sync.WaitGroup
			for _, file := range []string{"a", "b", "c", "d"} {
				img := makeImage(t, "shared", file)
				id, err := img.ConfigName()
				check(t, err)
				digests[id] = true
				wg.Go(func() {
					if _, err := p.write(t.Context(), img, nil); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			got, err := p.read()
			check(t, err)
			check(t, validate.Image(got))
			if id, _ := got.ConfigName(); !digests[id] {
				t.Errorf("what can be seen is %s, none of %v", id, digests)
			}
		})
	}
}

// A registry lets one in once for all that it is asked to read, and once to write.
func TestKeep(t *testing.T) {
	var pings atomic.Int32
	s := newStrict()
	host := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			pings.Add(1)
		}
		s.ServeHTTP(w, r)
	}))
	r := output.Registry{Tags: tags(t, host+"/app:1")}.Keep()
	check(t, r.Reach(t.Context()))
	_, err := r.Write(t.Context(), makeImage(t, "a"))
	check(t, err)
	if n := pings.Load(); n != 2 {
		t.Errorf("the registry was asked %d times to let one in, want 2", n)
	}
}

// What Reach heard of a tag counts for an image of which nothing had to be made.
func TestHeard(t *testing.T) {
	img, other := makeImage(t, "a"), makeImage(t, "b")
	for _, tt := range []struct {
		name   string
		there  v1.Image
		layers bool // are sent ahead
		recent bool
		want   int32
	}{
		{"this image", img, false, true, 0},
		{"this image, after its layers", img, true, true, 1},
		{"this image, long ago", img, false, false, 1},
		{"another", other, false, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var heads atomic.Int32
			s := newStrict()
			host := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/manifests/1") {
					heads.Add(1)
				}
				s.ServeHTTP(w, r)
			}))
			r := output.Registry{Tags: tags(t, host+"/app:1"), Recently: func() bool { return tt.recent }}.Keep()
			_, err := output.Registry{Tags: r.Tags}.Write(t.Context(), tt.there)
			check(t, err)
			check(t, r.Reach(t.Context()))
			heads.Store(0)
			d, err := r.Begin()
			check(t, err)
			defer d.Close()
			if tt.layers {
				all, err := img.Layers()
				check(t, err)
				check(t, d.Add(t.Context(), all[0]))
			}
			check(t, d.Complete(t.Context(), img))
			_, err = d.Publish(t.Context())
			check(t, err)
			if n := heads.Load(); n != tt.want {
				t.Errorf("it was asked %d times what the tag names, want %d", n, tt.want)
			}
			got, err := remote.Image(r.Tags[0])
			check(t, err)
			if must(got.Digest()) != must(img.Digest()) {
				t.Error("the tag names another image")
			}
		})
	}
}

// A place that nothing can be written to is known before anything is made.
func TestReach(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	host := start(t, newStrict())
	tests := []struct {
		name string
		out  interface {
			Reach(ctx context.Context) error
		}
		want string
	}{
		{"a registry", output.Registry{Tags: tags(t, host+"/app:1")}, ""},
		{"no registry", output.Registry{Tags: tags(t, "127.0.0.1:1/app:1")}, "pushing to 127.0.0.1:1/app"},
		{"no layout yet", output.Layout{Dir: filepath.Join(dir, "new")}, ""},
		{"no layout", output.Layout{Dir: dir}, "it is no OCI layout, but holds file"},
		{"an archive", output.OCIArchive{File: filepath.Join(dir, "file")}, ""},
		{"a directory", output.OCIArchive{File: dir}, "something is there that is no file"},
		{"a directory for Docker", output.Tarball{File: dir}, "something is there that is no file"},
	}
	for _, tt := range tests {
		err := tt.out.Reach(t.Context())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Reach = %v, want %q", tt.name, err, tt.want)
		}
	}
}
