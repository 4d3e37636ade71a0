// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/fetch"
	"inlay/layers/hint"
)

// content is the file that the tests download: larger than a read buffer.
var content = bytes.Repeat([]byte("0123456789abcde\n"), 20_000)

// wheel is content as a File at url.
func wheel(url string) fetch.File {
	return fetch.File{Name: "demo-1.0-py3-none-any.whl", URL: url, Digest: digest(content), Size: int64(len(content))}
}

func digest(b []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(b))}
}

// A script answers one request after the other, the last answer again and
// again, and remembers the requests.
type script struct {
	answers []http.HandlerFunc

	mu       sync.Mutex
	requests []*http.Request
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	answer := s.answers[min(len(s.requests), len(s.answers))-1]
	s.mu.Unlock()
	answer(w, r)
}

// log returns one field of the requests, "-" where it was absent.
func (s *script) log(field string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, r := range s.requests {
		v := r.Header.Get(field)
		if v == "" {
			v = "-"
		}
		fmt.Fprintf(&b, "%s;", v)
	}
	return b.String()
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func serve(t *testing.T, answers ...http.HandlerFunc) (*script, string) {
	t.Helper()
	s := &script{answers: answers}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL + "/files/demo-1.0-py3-none-any.whl"
}

// ok answers with b, or the range of it that is asked for. An etag that isn't
// empty names the version.
func ok(b []byte, etag string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

// cut promises b and drops the connection after n bytes.
func cut(b []byte, n int, etag string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b[:n])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// chunked answers with b and doesn't say how long it is.
func chunked(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(b)
	}
}

// status answers with a status and header fields, given as "Field: value".
func status(code int, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range fields {
			k, v, _ := strings.Cut(f, ": ")
			w.Header().Set(k, v)
		}
		w.WriteHeader(code)
	}
}

// partial answers a request for a range with b, which it says begins at start.
func partial(b []byte, start int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, start+len(b)-1, start+len(b)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(b)
	}
}

// open opens f, and checks that the file holds content and can't be written,
// or, if there is an error, that the store shows nothing.
func open(t *testing.T, s *fetch.Store, f fetch.File) error {
	t.Helper()
	return openFor(t.Context(), t, s, f)
}

func openFor(ctx context.Context, t *testing.T, s *fetch.Store, f fetch.File) error {
	t.Helper()
	file, err := s.Open(ctx, f)
	if err != nil {
		if s.Has(f.Digest) {
			t.Errorf("the store has %s after %v", f.Name, err)
		}
		wantFiles(t, s.Dir)
		return err
	}
	defer file.Close()
	if b, err := io.ReadAll(file); !bytes.Equal(b, content) || err != nil {
		t.Errorf("the file holds %d bytes, %v; want the %d that were asked for", len(b), err, len(content))
	}
	if _, err := file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the file can be written")
	}
	wantFiles(t, s.Dir, f.Digest.Hex)
	return nil
}

// wantFiles compares all names in dir, hidden ones too.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the store holds %v, want %v", got, want)
	}
}

// advice returns what err advises, or "".
func advice(err error) string {
	text, _ := hint.Of(err)
	return text
}
