// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"inlay/resolve/plan"
)

// always is how often a fault happens that doesn't end.
const always = 1 << 30

// A trouble is what a server does to some of the requests.
type trouble struct {
	fits  func(r *http.Request) bool
	times int
	does  func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// over returns h with the trouble.
func (b trouble) over(h http.Handler) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now := b.fits(r) && n < b.times
		if now {
			n++
		}
		mu.Unlock()
		if now {
			b.does(w, r, h)
			return
		}
		h.ServeHTTP(w, r)
	}
}

// What a server may do.

func answer(status int, fields ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(status)
	}
}

// cutBody breaks the connection in the middle of the answer.
func cutBody(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := httptest.NewRecorder()
	r.Header.Del("Range")
	next.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// changed answers with other bytes.
func changed(edit func([]byte) []byte) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		b := edit(rec.Body.Bytes())
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(b)
	}
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func longer(b []byte) []byte  { return append(bytes.Clone(b), 0) }
func shorter(b []byte) []byte { return b[:len(b)-1] }
func page([]byte) []byte      { return []byte("<html>please log in</html>") }

// hang breaks the connection without an answer.
func hang(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// Which requests.

func manifest(r *http.Request) bool {
	return r.Method != http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
}

func blob(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
}

func upload(r *http.Request) bool { return r.Method == http.MethodPost }
func part(r *http.Request) bool   { return r.Method == http.MethodPatch }
func tag(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/v1")
}

func anyPut(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
}
func anything(r *http.Request) bool  { return true }
func wheelFile(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".whl") }

// layerOf fits requests for the image's layer.
func layerOf(img v1.Image) func(*http.Request) bool {
	m, err := img.Manifest()
	if err != nil {
		panic(err)
	}
	return func(r *http.Request) bool {
		return blob(r) && strings.HasSuffix(r.URL.Path, m.Layers[0].Digest.String())
	}
}

// parentTrouble builds on a parent from a registry in trouble.
func parentTrouble(fits func(*http.Request) bool, times int, does func(http.ResponseWriter, *http.Request, http.Handler)) func(*testing.T, *scene) outcome {
	return namedTrouble(func(v1.Image) string { return ":v1" }, fits, times, does)
}

// pinnedTrouble does with a parent that is named by its digest.
func pinnedTrouble(fits func(*http.Request) bool, times int, does func(http.ResponseWriter, *http.Request, http.Handler)) func(*testing.T, *scene) outcome {
	digest := func(img v1.Image) string {
		h, err := img.Digest()
		if err != nil {
			panic(err)
		}
		return "@" + h.String()
	}
	return namedTrouble(digest, fits, times, does)
}

func namedTrouble(name func(v1.Image) string, fits func(*http.Request) bool, times int, does func(http.ResponseWriter, *http.Request, http.Handler)) func(*testing.T, *scene) outcome {
	return func(t *testing.T, s *scene) outcome {
		t.Helper()
		images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
		img := s.parentImage(t)
		pushTo(t, serve(t, images.ServeHTTP)+"/team/base:v1", img)
		if fits == nil {
			fits = layerOf(img)
		}
		host := serve(t, trouble{fits, times, does}.over(images))
		return s.run(t, "build", "--parent-image", host+"/team/base"+name(img), "-o", "oci:out", "src")
	}
}

func (s *scene) parentImage(t *testing.T) v1.Image {
	t.Helper()
	ix, err := layout.ImageIndexFromPath(filepath.Join(s.dir, "parent"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := v1.NewHash(digestIn(t, filepath.Join(s.dir, "parent")))
	if err != nil {
		t.Fatal(err)
	}
	img, err := ix.Image(h)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func pushTo(t *testing.T, text string, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(text)
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var parentFaults = []fault{
	{"parent 401", parentTrouble(manifest, always, answer(401))},
	{"parent 403", parentTrouble(manifest, always, answer(403))},
	{"parent 404", parentTrouble(manifest, always, answer(404))},
	{"parent 429 for a second", parentTrouble(manifest, 1, answer(429, "Retry-After", "1"))},
	{"parent 429 for an hour", parentTrouble(manifest, always, answer(429, "Retry-After", "3600"))},
	{"parent 500 once", parentTrouble(manifest, 1, answer(500))},
	{"parent 500", parentTrouble(manifest, always, answer(500))},
	{"parent hangs up", parentTrouble(manifest, always, hang)},
	{"parent manifest changed", pinnedTrouble(manifest, always, changed(longer))},
	{"parent manifest is a page", parentTrouble(manifest, always, changed(page))},
	{"parent layer cut once", parentTrouble(nil, 1, cutBody)},
	{"parent layer cut", parentTrouble(nil, always, cutBody)},
	{"parent layer changed", parentTrouble(nil, always, changed(flipped))},
	{"parent layer longer", parentTrouble(nil, always, changed(longer))},
	{"parent layer shorter", parentTrouble(nil, always, changed(shorter))},
	{"parent layer 404", parentTrouble(nil, always, answer(404))},
	{"parent unreachable", func(t *testing.T, s *scene) outcome {
		closed := httptest.NewServer(nil)
		closed.Close()
		return s.run(t, "build", "--parent-image", strings.TrimPrefix(closed.URL, "http://")+"/team/base:v1", "-o", "oci:out", "src")
	}},
}

// outputTrouble pushes to a registry in trouble. Where the push fails there must
// be no tag.
func outputTrouble(fits func(*http.Request) bool, times int, does func(http.ResponseWriter, *http.Request, http.Handler)) func(*testing.T, *scene) outcome {
	return func(t *testing.T, s *scene) outcome {
		t.Helper()
		images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
		host := serve(t, trouble{fits, times, does}.over(images))
		r := s.run(t, "build", "--parent-image", "oci:parent", "--push", "-t", host+"/team/app:v1", "src")
		rec := httptest.NewRecorder()
		images.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v2/team/app/manifests/v1", nil))
		if tagged := rec.Code == http.StatusOK; tagged != (r.err == nil) {
			t.Errorf("the build ended with %v, and the tag is there: %v", r.err, tagged)
		}
		return r
	}
}

var outputFaults = []fault{
	{"push 401", outputTrouble(anything, always, answer(401))},
	{"push 403", outputTrouble(upload, always, answer(403))},
	{"push 404", outputTrouble(upload, always, answer(404))},
	{"push 429 for a second", outputTrouble(upload, 1, answer(429, "Retry-After", "1"))},
	{"push 429 for an hour", outputTrouble(upload, always, answer(429, "Retry-After", "3600"))},
	{"push 500", outputTrouble(part, always, answer(500))},
	{"push hangs up once", outputTrouble(part, 1, hang)},
	{"push hangs up", outputTrouble(part, always, hang)},
	{"push manifest refused", outputTrouble(anyPut, always, answer(400))},
	{"push tag 500", outputTrouble(tag, always, answer(500))},
}

// indexTrouble builds a plan with a wheel that an index in trouble has.
func indexTrouble(times int, does func(http.ResponseWriter, *http.Request, http.Handler)) func(*testing.T, *scene) outcome {
	return func(t *testing.T, s *scene) outcome {
		t.Helper()
		host := serve(t, trouble{wheelFile, times, does}.over(http.HandlerFunc(s.index)))
		w := s.wheel(t, host, "demo", "demo.py=print(1)\n")
		return s.run(t, "build", "--plan", s.plan(t, []plan.Wheel{w}), "-o", "oci:out", "src")
	}
}

var indexFaults = []fault{
	{"index 401", indexTrouble(always, answer(401))},
	{"index 403", indexTrouble(always, answer(403))},
	{"index 404", indexTrouble(always, answer(404))},
	{"index 429 for a second", indexTrouble(1, answer(429, "Retry-After", "1"))},
	{"index 429 for an hour", indexTrouble(always, answer(429, "Retry-After", "3600"))},
	{"index 500 once", indexTrouble(1, answer(500))},
	{"index 500", indexTrouble(always, answer(500))},
	{"index hangs up", indexTrouble(always, hang)},
	{"index wheel cut once", indexTrouble(1, cutBody)},
	{"index wheel cut", indexTrouble(always, cutBody)},
	{"index wheel changed", indexTrouble(always, changed(flipped))},
	{"index wheel longer", indexTrouble(always, changed(longer))},
	{"index wheel shorter", indexTrouble(always, changed(shorter))},
}
