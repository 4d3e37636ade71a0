// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/cache/registry"
	"inlay/resolve/source"
)

var quiet = log.New(io.Discard, "", 0)

// Opening an image asks for its index, its manifest and its configuration, in
// this order, and for nothing else.
func TestOpenIsLazy(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, r.Method+" "+r.URL.Path)
			mu.Unlock()
			h.ServeHTTP(w, r)
		})
	})
	tag, err := name.NewTag(host + "/app:1")
	check(t, err)
	index := makeIndex(t, "linux/amd64", "linux/arm64")
	check(t, remote.WriteIndex(tag, index))
	asked = nil
	img, err := open(t, tag.String(), "linux/arm64")
	check(t, err)
	digest, err := img.Digest()
	check(t, err)
	config, err := img.ConfigName()
	check(t, err)
	want := []string{"GET /v2/", "GET /v2/app/manifests/1", "GET /v2/app/manifests/" + digest.String(), "GET /v2/app/blobs/" + config.String()}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	ls, err := img.Layers()
	check(t, err)
	for _, l := range ls {
		if _, ok := l.(*remote.MountableLayer); !ok {
			t.Errorf("a layer is a %T, which can't be mounted", l)
		}
	}
}

func TestRegistryErrors(t *testing.T) {
	answer := func(status int) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/manifests/") && r.Method == http.MethodGet {
					w.WriteHeader(status)
					return
				}
				h.ServeHTTP(w, r)
			})
		}
	}
	isAccess := func(err error) bool { var e *registry.AccessError; return errors.As(err, &e) }
	isNotFound := func(err error) bool { var e *registry.NotFoundError; return errors.As(err, &e) }
	isNetwork := func(err error) bool { var e *registry.NetworkError; return errors.As(err, &e) }
	tests := []struct {
		name string
		wrap func(http.Handler) http.Handler
		is   func(error) bool
	}{
		{"401", answer(401), isAccess},
		{"403", answer(403), isAccess},
		{"no image", plain, isNotFound},
		{"500", answer(500), isNetwork},
		{"429", answer(429), isNetwork},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := open(t, serve(t, tt.wrap)+"/app:none", "")
			if !tt.is(err) {
				t.Errorf("Open = %v (%T), which is of another kind", err, err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		if _, err := open(t, "127.0.0.1:1/app", ""); !isNetwork(err) {
			t.Errorf("Open = %v, want a *NetworkError", err)
		}
	})
}

// A manifest that is not an image's is refused with a reason.
func TestManifestKinds(t *testing.T) {
	host := serve(t, plain)
	put := func(mt types.MediaType, raw string) string {
		tag, err := name.NewTag(host + "/odd:1")
		check(t, err)
		check(t, remote.Put(tag, given{raw, mt}))
		return tag.String()
	}
	config := strings.Repeat("1", 64)
	tests := []struct {
		name string
		mt   types.MediaType
		raw  string
		want string
	}{
		{"schema 1", types.DockerManifestSchema1, `{"schemaVersion":1,"fsLayers":[]}`, "it has a Docker manifest of schema 1, a format given up in 2017"},
		{"something else", "application/vnd.example+json", `{"mediaType":"application/vnd.example+json"}`, `it is no image: its media type is "application/vnd.example+json"`},
		{
			"a huge configuration", types.OCIManifestSchema1,
			`{"schemaVersion":2,"config":{"mediaType":"` + string(types.OCIConfigJSON) + `","size":99999999999,"digest":"sha256:` + config + `"},"layers":[]}`,
			"its configuration has 99999999999 bytes",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := open(t, put(tt.mt, tt.raw), "")
			var re *source.ReferenceError
			if !errors.As(err, &re) || re.Problem != tt.want {
				t.Errorf("Open = %v, want a *ReferenceError: %s", err, tt.want)
			}
		})
	}
}

// given is a manifest put as it is.
type given struct {
	raw string
	mt  types.MediaType
}

func (g given) RawManifest() ([]byte, error)        { return []byte(g.raw), nil }
func (g given) MediaType() (types.MediaType, error) { return g.mt, nil }

// A registry lies about a manifest that is asked for by its digest.
func TestRegistryLies(t *testing.T) {
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/sha256:") {
				w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
				_, _ = io.WriteString(w, `{"schemaVersion":2}`)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	img := makeImage(t, "linux/amd64")
	putRemote(t, host, img)
	digest, err := img.Digest()
	check(t, err)
	if _, err := open(t, host+"/app@"+digest.String(), ""); err == nil || !strings.Contains(err.Error(), "does not match requested digest") {
		t.Errorf("Open = %v, want an error about the digest", err)
	}
}

// cut ends answers to requests for layers after n bytes, the first times times.
func cut(layer *v1.Hash, n, times int) func(http.Handler) http.Handler {
	var mu sync.Mutex
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			now := r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, layer.Hex) && times > 0
			if now {
				times--
			}
			mu.Unlock()
			if now {
				w = &cutter{w, n}
			}
			h.ServeHTTP(w, r)
		})
	}
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) < c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	_, _ = c.ResponseWriter.Write(b[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestLayerBeginsAgain(t *testing.T) {
	want := makeImage(t, "linux/amd64")
	m, err := want.Manifest()
	check(t, err)
	for _, tt := range []struct {
		times int
		ok    bool
	}{{0, true}, {3, true}, {4, false}} {
		layer := m.Layers[0].Digest
		text := putRemote(t, serve(t, cut(&layer, 40, tt.times)), want)
		img, err := open(t, text, "")
		check(t, err)
		ls, err := img.Layers()
		check(t, err)
		r, err := ls[0].Uncompressed()
		check(t, err)
		got, err := io.ReadAll(r)
		_ = r.Close()
		var ne *registry.NetworkError
		switch {
		case !tt.ok && !errors.As(err, &ne):
			t.Errorf("cut %d times: %v, want a *NetworkError", tt.times, err)
		case tt.ok:
			check(t, err)
			if wantTar := makeTar(map[string]string{"first": "linux/amd64" + strings.Repeat(".", 5000)}); !bytes.Equal(got, wantTar) {
				t.Errorf("cut %d times: other content", tt.times)
			}
		}
	}
}

func TestOpenHeedsContext(t *testing.T) {
	for name, put := range places {
		if strings.HasPrefix(name, "oci") {
			continue // nothing there takes time
		}
		t.Run(name, func(t *testing.T) {
			ref, err := source.Parse(put(t, makeImage(t, "linux/amd64")))
			check(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := images.Open(ctx, ref, ""); !errors.Is(err, context.Canceled) {
				t.Errorf("Open = %v, want context.Canceled", err)
			}
		})
	}
}
