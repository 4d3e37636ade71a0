// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/cache/registry"
	"inlay/resolve/source"
)

// store is a source.Store in memory.
type store map[string][]byte

func (s store) Get(name string) ([]byte, error) {
	if b, ok := s[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (s store) Put(name string, b []byte) error {
	s[name] = b
	return nil
}

// A witness is a registry that tells what it was asked.
type witness struct {
	host  string
	mu    sync.Mutex
	asked []string
	heads int // the status that HEAD of a manifest gives, 0 for what is so
	gets  int // that GET gives
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{}
	w.host = serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			w.asked = append(w.asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v2/"))
			status := w.gets
			if r.Method == http.MethodHead {
				status = w.heads
			}
			w.mu.Unlock()
			if strings.Contains(r.URL.Path, "/manifests/") && status != 0 {
				rw.WriteHeader(status)
				return
			}
			h.ServeHTTP(rw, r)
		})
	})
	return w
}

// put puts an index for two platforms under app:1.
func (w *witness) put(t *testing.T, index v1.ImageIndex) {
	t.Helper()
	tag, err := name.NewTag(w.host + "/app:1")
	check(t, err)
	check(t, remote.WriteIndex(tag, index))
}

// opens opens app:1, or what is pinned, and returns the image and what was asked
// for that.
func (w *witness) opens(t *testing.T, im source.Images, pinned string) (*source.Image, []string) {
	t.Helper()
	text := pinned
	if text == "" {
		text = w.host + "/app:1"
	}
	ref, err := source.Parse(text)
	check(t, err)
	w.asked = nil
	img, err := im.Open(t.Context(), ref, "linux/arm64")
	check(t, err)
	return img, w.asked
}

// Of an image that was opened before the registry is asked for the digest of its
// tag alone, and for nothing if it is named by its own, until a layer is read.
func TestKnownImage(t *testing.T) {
	w := newWitness(t)
	w.put(t, makeIndex(t, "linux/amd64", "linux/arm64"))
	im := images
	im.Store = store{}
	first, asked := w.opens(t, im, "")
	if len(asked) != 4 {
		t.Errorf("opening it for the first time asked %q, want it, its index, manifest and configuration", asked)
	}
	again, asked := w.opens(t, im, "")
	if diff := cmp.Diff([]string{"GET ", "HEAD app/manifests/1"}, asked); diff != "" {
		t.Errorf("opening it again asked (-want +got):\n%s", diff)
	}
	pinned, asked := w.opens(t, im, first.Reference)
	if len(asked) != 0 {
		t.Errorf("opening it by its digest asked %q", asked)
	}
	_, asked = w.opens(t, im.Anew(), first.Reference)
	if len(asked) != 3 {
		t.Errorf("opening it anew asked %q, want it, its manifest and its configuration", asked)
	}
	same := func(img *source.Image) [4]any {
		return [4]any{img.Reference, img.Platform, img.Index, strings.Join(img.Platforms, " ")}
	}
	if same(again) != same(first) {
		t.Errorf("it is %v, and %v when it is known", same(first), same(again))
	}
	for _, img := range []*source.Image{again, pinned} {
		w.asked = nil
		sameLayers(t, first, img)
		check(t, validate.Image(img))
		if asked := strings.Join(w.asked, ", "); !strings.Contains(asked, "/blobs/") || strings.Contains(asked, "/manifests/") {
			t.Errorf("reading its layers asked %s, want blobs and no manifest", asked)
		}
	}
}

// sameLayers fails the test if img's layers are not those of want, or can't be
// mounted.
func sameLayers(t *testing.T, want, img v1.Image) {
	t.Helper()
	theirs, err := want.Layers()
	check(t, err)
	ours, err := img.Layers()
	check(t, err)
	if len(ours) != len(theirs) {
		t.Fatalf("%d layers, want %d", len(ours), len(theirs))
	}
	for i := range ours {
		told := func(l v1.Layer) (all []any) {
			m, ok := l.(*remote.MountableLayer)
			if !ok {
				t.Fatalf("a layer is a %T, which can't be mounted", l)
			}
			digest, err := l.Digest()
			check(t, err)
			diffID, err := l.DiffID()
			check(t, err)
			size, err := l.Size()
			check(t, err)
			mt, err := l.MediaType()
			check(t, err)
			return append(all, m.Reference.Context().Name(), digest, diffID, size, mt)
		}
		if diff := cmp.Diff(told(theirs[i]), told(ours[i])); diff != "" {
			t.Errorf("layer %d (-first +known):\n%s", i, diff)
		}
		r, err := ours[i].Uncompressed()
		check(t, err)
		_, err = io.Copy(io.Discard, r)
		check(t, err)
		check(t, r.Close())
	}
}

// A tag that has moved is noticed, also by a registry that doesn't answer to HEAD.
func TestKnownTagMoves(t *testing.T) {
	for _, status := range []int{0, http.StatusMethodNotAllowed, http.StatusNotFound} {
		w := newWitness(t)
		w.put(t, makeIndex(t, "linux/arm64"))
		im := images
		im.Store = store{}
		first, _ := w.opens(t, im, "")
		w.put(t, makeIndex(t, "linux/arm64", "linux/amd64"))
		w.heads = status
		moved, _ := w.opens(t, im, "")
		if moved.Index == first.Index || len(moved.Platforms) != 2 {
			t.Errorf("HEAD %d: the tag stands for %s of %v, which it did before", status, moved.Index, moved.Platforms)
		}
		im.Offline = true
		known, asked := w.opens(t, im, "")
		if known.Index != moved.Index || len(asked) != 0 {
			t.Errorf("HEAD %d: offline it stands for %s, asking %q; want %s", status, known.Index, asked, moved.Index)
		}
	}
}

// A registry that is out of order is not taken to say that all is as it was.
func TestKnownRegistryDown(t *testing.T) {
	w := newWitness(t)
	w.put(t, makeIndex(t, "linux/arm64"))
	im := images
	im.Store = store{}
	w.opens(t, im, "")
	for _, status := range []int{http.StatusInternalServerError, http.StatusTooManyRequests} {
		w.heads, w.gets = status, status
		_, err := tryOpen(t, im, w.host+"/app:1")
		var ne *registry.NetworkError
		if !errors.As(err, &ne) {
			t.Errorf("HEAD and GET %d: Open = %v, want a *NetworkError", status, err)
		}
	}
}

func tryOpen(t *testing.T, im source.Images, text string) (*source.Image, error) {
	t.Helper()
	ref, err := source.Parse(text)
	check(t, err)
	return im.Open(t.Context(), ref, "linux/arm64")
}

// A tag that no longer has an image for the platform leaves known what it had.
func TestKnownTagLosesPlatform(t *testing.T) {
	w := newWitness(t)
	w.put(t, makeIndex(t, "linux/arm64"))
	im := images
	im.Store = store{}
	first, _ := w.opens(t, im, "")
	w.put(t, makeIndex(t, "linux/amd64"))
	var pe *source.PlatformError
	if _, err := tryOpen(t, im, w.host+"/app:1"); !errors.As(err, &pe) {
		t.Errorf("Open = %v, want a *PlatformError", err)
	}
	im.Offline = true
	if img, _ := w.opens(t, im, ""); img.Reference != first.Reference {
		t.Errorf("offline it is %s, want %s", img.Reference, first.Reference)
	}
}

// What one repository said of a digest is not what another would say.
func TestKnownElsewhere(t *testing.T) {
	w := newWitness(t)
	w.put(t, makeIndex(t, "linux/arm64"))
	im := images
	im.Store = store{}
	first, _ := w.opens(t, im, "")
	_, digest, _ := strings.Cut(first.Reference, "@")
	var nf *registry.NotFoundError
	if _, err := tryOpen(t, im, w.host+"/other@"+digest); !errors.As(err, &nf) {
		t.Errorf("Open = %v, want a *NotFoundError", err)
	}
	im.Offline = true
	var offline *source.OfflineError
	if _, err := tryOpen(t, im, w.host+"/other@"+digest); !errors.As(err, &offline) {
		t.Errorf("offline Open = %v, want an *OfflineError", err)
	}
}

// The layers of a known image are mounted from where it is: a mirror that has it,
// or else the registry itself.
func TestKnownMirror(t *testing.T) {
	w, lacks, has := newWitness(t), newWitness(t), newWitness(t)
	w.put(t, makeIndex(t, "linux/arm64"))
	has.put(t, makeIndex(t, "linux/arm64"))
	for want, mirror := range map[*witness]*witness{w: lacks, has: has} {
		im := images
		im.Store, im.Note = store{}, func(string) {}
		im.Mirrors = []source.Mirror{{Registry: w.host, Prefix: mirror.host}}
		first, _ := w.opens(t, im, "")
		again, _ := w.opens(t, im, first.Reference)
		for _, img := range []*source.Image{first, again} {
			ls, err := img.Layers()
			check(t, err)
			if m, ok := ls[0].(*remote.MountableLayer); !ok || m.Reference.Context().RegistryStr() != want.host {
				t.Errorf("a layer is to be mounted from %s, want %s", m.Reference.Context(), want.host)
			}
		}
		sameLayers(t, first, again)
	}
}

// Without a network there is what was opened before, but for the layers.
func TestOffline(t *testing.T) {
	w := newWitness(t)
	w.put(t, makeIndex(t, "linux/amd64", "linux/arm64"))
	im := images
	im.Store = store{}
	first, _ := w.opens(t, im, "")
	im.Offline = true
	var offline *source.OfflineError
	for _, text := range []string{"", first.Reference} {
		img, asked := w.opens(t, im, text)
		if img.Reference != first.Reference || len(asked) != 0 {
			t.Errorf("offline %q is %s, asking %q; want %s", text, img.Reference, asked, first.Reference)
		}
		ls, err := img.Layers()
		check(t, err)
		if _, err := ls[0].Compressed(); !errors.As(err, &offline) {
			t.Errorf("reading a layer offline: %v, want an *OfflineError", err)
		}
	}
	for text, platform := range map[string]string{w.host + "/app:2": "linux/arm64", w.host + "/app:1": "linux/amd64"} {
		ref, err := source.Parse(text)
		check(t, err)
		if _, err := im.Open(t.Context(), ref, platform); !errors.As(err, &offline) {
			t.Errorf("Open(%s for %s) = %v, want an *OfflineError", text, platform, err)
		}
	}
}
