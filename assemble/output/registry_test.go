// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/output"
	"inlay/cache/registry"
)

// strict is a registry whose repositories share no blobs, as all but ggcr's:
// they must be mounted, and a manifest needs those it names.
type strict struct {
	http.Handler
	refusal int // status for a manifest of blobs that are not there
	mu      sync.Mutex
	has     map[string]bool // "repository digest"
	asked   []string        // "METHOD repository kind", in order
}

func newStrict() *strict {
	return &strict{Handler: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))), refusal: http.StatusBadRequest, has: map[string]bool{}}
}

func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repo, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
	manifests, ref, isManifest := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	q := r.URL.Query()
	switch {
	case isManifest:
		s.note(r.Method, manifests, "manifest "+ref)
		if r.Method == http.MethodPut && !s.complete(manifests, r) {
			http.Error(w, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}`, s.refusal)
			return
		}
	case strings.HasPrefix(rest, "sha256:"):
		s.note(r.Method, repo, "blob")
		if !s.knows(repo, rest) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
	case q.Has("mount"):
		if s.knows(q.Get("from"), q.Get("mount")) {
			s.note(r.Method, repo, "mount")
			s.link(repo, q.Get("mount"))
			w.WriteHeader(http.StatusCreated)
			return
		}
	case q.Has("digest"):
		s.note(r.Method, repo, "upload")
		defer s.link(repo, q.Get("digest")) // the registry behind would refuse the manifest
	}
	s.Handler.ServeHTTP(w, r)
}

func (s *strict) note(method, repo, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, method+" "+repo+" "+kind)
}

func (s *strict) link(repo, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[repo+" "+digest] = true
}

func (s *strict) lose(repo, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.has, repo+" "+digest)
}

func (s *strict) knows(repo, digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[repo+" "+digest]
}

// complete reports whether repo has what the manifest in r names.
func (s *strict) complete(repo string, r *http.Request) bool {
	if r.Header.Get("Content-Type") == "application/vnd.oci.image.index.v1+json" {
		return true // the registry behind refuses one whose images it lacks
	}
	b, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(b)))
	var m v1.Manifest
	if json.Unmarshal(b, &m) != nil {
		return false
	}
	for _, d := range append(m.Layers, m.Config) {
		if !s.knows(repo, d.Digest.String()) {
			return false
		}
	}
	return true
}

// count returns how often a request begins with what.
func (s *strict) count(what string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		if strings.HasPrefix(a, what) {
			n++
		}
	}
	return n
}

func (s *strict) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = nil
}

// start serves h and returns its address.
func start(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func tags(t *testing.T, names ...string) (all []name.Tag) {
	t.Helper()
	for _, n := range names {
		tag, err := name.NewTag(n)
		check(t, err)
		all = append(all, tag)
	}
	return all
}

// A parent's layers are never downloaded for a push to a registry that has
// them in another repository.
func TestParentIsMounted(t *testing.T) {
	s := newStrict()
	host := start(t, s)
	parentTag := tags(t, host+"/base:1")
	push := func(img v1.Image, names ...string) output.Delivered {
		t.Helper()
		d, err := output.Registry{Tags: tags(t, names...), Wait: time.Millisecond}.Write(t.Context(), img)
		check(t, err)
		return d
	}
	push(makeImage(t, "p1", "p2"), parentTag[0].String())
	parent, err := remote.Image(parentTag[0])
	check(t, err)
	ls, err := parent.Layers()
	check(t, err)
	img := imageOf(t, append(ls, makeLayer(t, "new"))...)
	s.forget()

	d := push(img, host+"/team/app:1", host+"/team/app:2")
	if d.Moved != 2 || d.Mounted != 2 || d.Present != 0 {
		t.Errorf("first push: %+v, want 2 moved and 2 mounted", d)
	}
	if n := s.count("GET base blob"); n != 0 {
		t.Errorf("%d blobs of the parent were downloaded", n)
	}
	if n := s.count("POST team/app mount"); n != 2 {
		t.Errorf("%d mounts, want 2", n)
	}
	// The tags come after the manifest, and that after everything else.
	last := s.asked[len(s.asked)-3:]
	want := []string{"PUT team/app manifest " + d.Digest.String(), "PUT team/app manifest 1", "PUT team/app manifest 2"}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("last requests (-want +got):\n%s", diff)
	}
	got, err := remote.Image(tags(t, host+"/team/app:2")[0])
	check(t, err)
	check(t, validate.Image(got))

	// Once more: nothing but a question for each tag.
	s.forget()
	d = push(img, host+"/team/app:1", host+"/team/app:2")
	if d.Present != 4 || d.Moved+d.Mounted != 0 || d.Bytes != 0 {
		t.Errorf("second push: %+v, want 4 present", d)
	}
	if diff := cmp.Diff([]string{"HEAD team/app manifest 1", "HEAD team/app manifest 2"}, s.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}

	// A new tag of a known image: only the tag.
	s.forget()
	push(img, host+"/team/app:3")
	want = []string{"HEAD team/app manifest 3", "HEAD team/app manifest " + d.Digest.String(), "PUT team/app manifest 3"}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}

	// A second repository mounts what the first one has, new layers too.
	d = push(imageOf(t, append(ls, makeLayer(t, "newer"))...), host+"/one:1", host+"/two:1")
	if d.Moved != 2 || d.Mounted != 2+4 {
		t.Errorf("push to two repositories: %+v, want 2 moved and 6 mounted", d)
	}
}

// To another registry the parent's layers are copied.
func TestParentIsCopied(t *testing.T) {
	from, to := newStrict(), newStrict()
	fromHost, toHost := start(t, from), start(t, to)
	base := tags(t, fromHost+"/base:1")
	check(t, remote.Write(base[0], makeImage(t, "p1", "p2")))
	parent, err := remote.Image(base[0])
	check(t, err)
	d, err := output.Registry{Tags: tags(t, toHost+"/app:1")}.Write(t.Context(), parent)
	check(t, err)
	if d.Moved != 3 {
		t.Errorf("%+v, want 3 moved", d)
	}
	got, err := remote.Image(tags(t, toHost+"/app:1")[0])
	check(t, err)
	check(t, validate.Image(got))
}

// Each fault happens once to the first request that fits, and the push goes on.
func TestFaults(t *testing.T) {
	faults := map[string]func(w http.ResponseWriter, r *http.Request){
		"500":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"429":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "0"); w.WriteHeader(429) },
		"dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 100)
			panic(http.ErrAbortHandler)
		},
	}
	requests := map[string]func(*http.Request) bool{
		"handshake":     func(r *http.Request) bool { return r.URL.Path == "/v2/" },
		"question":      func(r *http.Request) bool { return r.Method == http.MethodHead },
		"upload begins": func(r *http.Request) bool { return r.Method == http.MethodPost },
		"upload":        func(r *http.Request) bool { return r.Method == http.MethodPatch },
		"upload ends":   func(r *http.Request) bool { return r.Method == http.MethodPut && r.URL.Query().Has("digest") },
		"manifest": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256:")
		},
		"tag": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/1")
		},
	}
	for fault, happen := range faults {
		for request, fits := range requests {
			t.Run(fault+"/"+request, func(t *testing.T) {
				t.Parallel()
				s := newStrict()
				var once sync.Once
				host := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					faulty := false
					if fits(r) {
						once.Do(func() { faulty = true })
					}
					if faulty {
						happen(w, r)
						return
					}
					s.ServeHTTP(w, r)
				}))
				d, err := output.Registry{Tags: tags(t, host+"/app:1"), Wait: time.Millisecond}.Write(t.Context(), makeImage(t, "a", "b"))
				check(t, err)
				if d.Moved != 3 {
					t.Errorf("%+v, want 3 moved", d)
				}
				got, err := remote.Image(tags(t, host+"/app:1")[0])
				check(t, err)
				check(t, validate.Image(got))
			})
		}
	}
}

// A registry that refuses or fails for good gives an error that says what to
// do, and no tag.
func TestRefused(t *testing.T) {
	tests := []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request) bool // whether it did
		want   error
	}{
		{"not logged in", func(w http.ResponseWriter, r *http.Request) bool {
			return status(w, 401, r.Method != http.MethodGet)
		}, &registry.AccessError{}},
		{"may read only", func(w http.ResponseWriter, r *http.Request) bool {
			return status(w, 403, r.Method == http.MethodPost)
		}, &registry.AccessError{}},
		{"no such repository", func(w http.ResponseWriter, r *http.Request) bool {
			return status(w, 404, r.Method == http.MethodPost)
		}, &registry.NotFoundError{}},
		{"no room", func(w http.ResponseWriter, r *http.Request) bool {
			return status(w, 503, r.Method == http.MethodPatch)
		}, &registry.NetworkError{}},
		{"out of order", func(w http.ResponseWriter, r *http.Request) bool {
			return status(w, 500, r.Method == http.MethodHead)
		}, &registry.NetworkError{}},
		{"manifest refused", func(w http.ResponseWriter, r *http.Request) bool {
			return status(w, 400, r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"))
		}, &registry.NetworkError{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStrict()
			host := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !tt.answer(w, r) {
					s.ServeHTTP(w, r)
				}
			}))
			_, err := output.Registry{Tags: tags(t, host+"/app:1"), Wait: time.Microsecond}.Write(t.Context(), makeImage(t, "a"))
			var h interface {
				error
				Hint() string
			}
			if !errors.As(err, &h) || fmt.Sprintf("%T", h) != fmt.Sprintf("%T", tt.want) {
				t.Errorf("Write = %v, want a %T", err, tt.want)
			}
			if n := s.count("PUT app manifest 1"); n != 0 {
				t.Error("the tag was put")
			}
		})
	}
	if _, err := (output.Registry{}).Write(t.Context(), makeImage(t, "a")); err == nil {
		t.Error("Write without tags: no error")
	}
}

// A registry that answers questions with nonsense is pushed to all the same.
func TestOddAnswers(t *testing.T) {
	s := newStrict()
	host := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
			return // 200, with no digest
		}
		s.ServeHTTP(w, r)
	}))
	d, err := output.Registry{Tags: tags(t, host+"/app:1")}.Write(t.Context(), makeImage(t, "a"))
	if err != nil || d.Moved != 2 {
		t.Errorf("Write = %+v, %v, want 2 moved", d, err)
	}
}

func status(w http.ResponseWriter, code int, now bool) bool {
	if now {
		w.WriteHeader(code)
	}
	return now
}

// A layer that may not be distributed is neither read nor pushed; the manifest
// says where it is.
func TestForeignIsNotPushed(t *testing.T) {
	unread := badLayer{makeLayer(t, "b"), func() (io.ReadCloser, error) { return nil, errors.New("it is read") }}
	const place = "https://example.com/layer"
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(img, mutate.Addendum{Layer: makeLayer(t, "a"), MediaType: types.OCILayer},
		mutate.Addendum{Layer: unread, MediaType: types.OCIRestrictedLayer, URLs: []string{place}})
	check(t, err)
	s := newStrict()
	names := tags(t, start(t, s)+"/app:1")
	digest, err := unread.Digest()
	check(t, err)
	s.link("app", digest.String()) // the manifest is accepted without it by real registries
	d, err := output.Registry{Tags: names, Wait: time.Millisecond}.Write(t.Context(), img)
	check(t, err)
	if d.Moved != 2 {
		t.Errorf("%d blobs moved, want 2: %+v", d.Moved, d)
	}
	got, err := remote.Image(names[0])
	check(t, err)
	m, err := got.Manifest()
	check(t, err)
	if l := m.Layers[1]; l.MediaType != types.OCIRestrictedLayer || len(l.URLs) != 1 || l.URLs[0] != place {
		t.Errorf("the manifest says %+v of the layer", l)
	}
}
