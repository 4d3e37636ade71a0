// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/fetch"
)

func TestOpenDownloadsOnce(t *testing.T) {
	t.Parallel()
	srv, url := serve(t, ok(content, ""))
	s := &fetch.Store{Dir: filepath.Join(t.TempDir(), "made")}
	f := wheel(url)
	if s.Has(f.Digest) {
		t.Error("Has before Open = true")
	}
	for range 2 {
		if err := open(t, s, f); err != nil {
			t.Fatal(err)
		}
	}
	if n := srv.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	if !s.Has(f.Digest) {
		t.Error("Has after Open = false")
	}
	for range 2 {
		if err := s.Remove(f.Digest); err != nil {
			t.Errorf("Remove = %v", err)
		}
	}
	if s.Has(f.Digest) {
		t.Error("Has after Remove = true")
	}
}

func TestOpenWithoutSize(t *testing.T) {
	t.Parallel()
	_, url := serve(t, chunked(content))
	f := wheel(url)
	f.Size = 0
	if err := open(t, &fetch.Store{Dir: t.TempDir()}, f); err != nil {
		t.Error(err)
	}
}

// The digest is of the bytes that come, whatever the server calls them.
func TestContentEncodingIsNotUndone(t *testing.T) {
	t.Parallel()
	srv, url := serve(t, status(500), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(content)
	})
	if err := open(t, &fetch.Store{Dir: t.TempDir()}, wheel(url)); err != nil {
		t.Error(err)
	}
	if got, want := srv.log("Accept-Encoding"), "identity;identity;"; got != want {
		t.Errorf("Accept-Encoding = %s, want %s", got, want)
	}
}

func TestDamagedFileIsDownloadedAgain(t *testing.T) {
	t.Parallel()
	flipped := bytes.Clone(content)
	flipped[len(flipped)/2] ^= 1
	for name, damaged := range map[string][]byte{
		"bit flipped": flipped,
		"truncated":   content[:100],
		"longer":      append(bytes.Clone(content), 'x'),
		"empty":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, url := serve(t, ok(content, ""))
			s := &fetch.Store{Dir: t.TempDir()}
			f := wheel(url)
			if err := os.WriteFile(filepath.Join(s.Dir, f.Digest.Hex), damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := open(t, s, f); err != nil {
				t.Fatal(err)
			}
			if n := srv.count(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	srv, url := serve(t, ok(content, ""))
	s := &fetch.Store{Dir: t.TempDir(), Offline: true}
	err := open(t, s, wheel(url+"?token=hush"))
	var oe *fetch.OfflineError
	if !errors.As(err, &oe) || oe.Name != "demo-1.0-py3-none-any.whl" || oe.URL != url {
		t.Errorf("Open = %v, want an *OfflineError of the file and %s", err, url)
	}
	if got, want := advice(err), "run the same command once without --offline"; got != want {
		t.Errorf("hint = %q, want %q", got, want)
	}
	s.Offline = false
	if err := open(t, s, wheel(url)); err != nil {
		t.Fatal(err)
	}
	s.Offline = true
	if err := open(t, s, wheel(url)); err != nil {
		t.Errorf("Open of a stored file = %v", err)
	}
	if n := srv.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	srv, url := serve(t, ok(content, ""))
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			f, err := (&fetch.Store{Dir: dir}).Open(t.Context(), wheel(url))
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			got := make([]byte, len(content))
			if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
				t.Errorf("reading the file: %v, content equal: %v", err, bytes.Equal(got, content))
			}
		})
	}
	wg.Wait()
	if n := srv.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	wantFiles(t, dir, digest(content).Hex)
}

func TestLocalFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := filepath.Join(dir, "with space%20and?mark.whl")
	if err := os.WriteFile(whole, content, 0o644); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.whl")
	if err := os.WriteFile(other, content[1:], 0o644); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	escaped := strings.NewReplacer("%", "%25", "?", "%3F", " ", "%20").Replace(whole)
	tests := []struct{ name, url, want string }{
		{"a path", whole, ""},
		{"a URL", "file://" + escaped, ""},
		{"a URL of this host", "file://localhost" + escaped, ""},
		{"a URL with one slash", "file:" + escaped, ""},
		{"another host", "file://example.com/a.whl", "fetching demo-1.0-py3-none-any.whl: file://example.com/a.whl is no URL of a file or of the web"},
		{"absent", filepath.Join(dir, "absent"), "fetching demo-1.0-py3-none-any.whl from DIR/absent: stat DIR/absent: no such file or directory"},
		{"a directory", dir, "fetching demo-1.0-py3-none-any.whl from DIR: DIR is not a regular file"},
		{"a pipe", pipe, "fetching demo-1.0-py3-none-any.whl from DIR/pipe: DIR/pipe is not a regular file"},
		{"another file", other, fmt.Sprintf("demo-1.0-py3-none-any.whl from DIR/other.whl has %d bytes, not %d", len(content)-1, len(content))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &fetch.Store{Dir: filepath.Join(t.TempDir(), "store"), Offline: true}
			err := open(t, s, wheel(tt.url))
			if got := strings.ReplaceAll(fmt.Sprint(err), dir, "DIR"); tt.want != "" && got != tt.want {
				t.Errorf("Open = %v\nwant   %s", got, tt.want)
			} else if tt.want == "" && err != nil {
				t.Errorf("Open = %v", err)
			}
		})
	}
}

func TestDigestsThatAreNone(t *testing.T) {
	t.Parallel()
	srv, url := serve(t, ok(content, ""))
	s := &fetch.Store{Dir: t.TempDir()}
	for _, d := range []v1.Hash{
		{},
		{Algorithm: "md5", Hex: strings.Repeat("a", 32)},
		{Algorithm: "sha512", Hex: strings.Repeat("a", 128)},
		{Algorithm: "sha256", Hex: strings.Repeat("A", 64)},
		{Algorithm: "sha256", Hex: strings.Repeat("a", 63)},
		{Algorithm: "sha256", Hex: "../" + strings.Repeat("a", 61)},
	} {
		f := wheel(url)
		f.Digest = d
		if err := open(t, s, f); err == nil || !strings.Contains(err.Error(), "is not a sha256") {
			t.Errorf("Open of digest %v = %v, want an error", d, err)
		}
		if s.Has(d) {
			t.Errorf("Has(%v) = true", d)
		}
		if err := s.Remove(d); err != nil {
			t.Errorf("Remove(%v) = %v", d, err)
		}
	}
	if n := srv.count(); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

// A report is what Progress was told.
type report struct {
	task  string
	total int64
	sum   int64
	err   error
	calls int
	back  bool // whether it ever went backwards
}

func (r *report) progress(task string, total int64) (func(int64), func(error)) {
	r.calls++
	r.task, r.total = task, total
	add := func(n int64) {
		r.sum += n
		r.back = r.back || n <= 0
	}
	return add, func(err error) { r.err = err }
}

func TestProgress(t *testing.T) {
	t.Parallel()
	half := len(content) / 2
	tests := []struct {
		name    string
		answers []http.HandlerFunc
		sum     int // of bytes reported
		fails   bool
	}{
		{"in one piece", []http.HandlerFunc{ok(content, "")}, len(content), false},
		{"cut and resumed", []http.HandlerFunc{cut(content, half, `"v1"`), ok(content, `"v1"`)}, len(content), false},
		{"cut and begun anew", []http.HandlerFunc{cut(content, half, ""), ok(content, "")}, len(content), false},
		{"refused", []http.HandlerFunc{status(404)}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, url := serve(t, tt.answers...)
			var r report
			s := &fetch.Store{Dir: t.TempDir(), Progress: r.progress}
			err := open(t, s, wheel(url))
			want := report{task: "demo-1.0-py3-none-any.whl", total: int64(len(content)), sum: int64(tt.sum), err: err, calls: 1}
			if r != want || (err != nil) != tt.fails {
				t.Errorf("Open = %v, reported %+v, want %+v", err, r, want)
			}
			if tt.fails {
				return
			}
			if err := open(t, s, wheel(url)); r != want || err != nil {
				t.Errorf("Open of the stored file = %v, reported %+v, want nothing new", err, r)
			}
		})
	}
}

func TestOpenIsCancelled(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	_, stalled := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(content[:1000])
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if err := openFor(ctx, t, &fetch.Store{Dir: t.TempDir()}, wheel(stalled)); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want context.Canceled", err)
	}
	// Nor does a cancelled call read the store.
	s := &fetch.Store{Dir: t.TempDir()}
	_, url := serve(t, ok(content, ""))
	if err := open(t, s, wheel(url)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(ctx, wheel(url)); !errors.Is(err, context.Canceled) {
		t.Errorf("Open of a stored file = %v, want context.Canceled", err)
	}
}
