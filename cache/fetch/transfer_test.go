// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"inlay/cache/fetch"
)

func TestRetries(t *testing.T) {
	t.Parallel()
	half := len(content) / 2
	wrong := bytes.Repeat([]byte("x"), len(content))
	ranges := func(n int) string { return fmt.Sprintf("-;bytes=%d-;", n) }
	steps := func(h ...http.HandlerFunc) []http.HandlerFunc { return h }
	tests := []struct {
		name    string
		answers []http.HandlerFunc
		ranges  string // the Range fields of the requests
		ifRange string
	}{
		{
			"cut and resumed",
			steps(cut(content, half, `"v1"`), ok(content, `"v1"`)),
			ranges(half), `-;"v1";`,
		}, {
			"cut twice and resumed",
			steps(cut(content, half, `"v1"`), cut206(content, half, half+1000), ok(content, `"v1"`)),
			ranges(half) + fmt.Sprintf("bytes=%d-;", half+1000), `-;"v1";"v1";`,
		}, {
			"resumed by date",
			steps(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
				cut(content, half, `W/"weak"`)(w, r)
			}, partial(content[half:], half)),
			ranges(half), "-;Mon, 02 Jan 2006 15:04:05 GMT;",
		}, {
			"nothing to resume by",
			steps(cut(content, half, ""), ok(content, "")),
			"-;-;", "-;-;",
		}, {
			"the file changed meanwhile",
			steps(cut(wrong, half, `"v1"`), ok(content, `"v2"`)),
			ranges(half), `-;"v1";`,
		}, {
			"the server knows no ranges",
			steps(cut(content, half, `"v1"`), chunked(content)),
			ranges(half), `-;"v1";`,
		}, {
			"the server puts two versions together",
			steps(cut(content, half, `"v1"`), partial(wrong[half:], half), ok(content, `"v1"`)),
			ranges(half) + "-;", `-;"v1";-;`,
		}, {
			"the rest is too long",
			steps(cut(content, half, `"v1"`), partial(wrong, half), ok(content, `"v1"`)),
			ranges(half) + "-;", `-;"v1";-;`,
		}, {
			"another range than asked for",
			steps(cut(content, half, `"v1"`), partial(content[half+1:], half+1), ok(content, `"v1"`)),
			ranges(half) + "-;", `-;"v1";-;`,
		}, {
			"range refused",
			steps(cut(content, half, `"v1"`), status(416), ok(content, `"v1"`)),
			ranges(half) + "-;", `-;"v1";-;`,
		}, {
			"a short body that looks whole",
			steps(chunked(content[:half]), ok(content, "")),
			"-;-;", "-;-;",
		}, {
			"500 twice",
			steps(status(500), status(502), ok(content, "")),
			"-;-;-;", "-;-;-;",
		}, {
			"429, come at once",
			steps(status(429, "Retry-After: 0"), ok(content, "")),
			"-;-;", "-;-;",
		}, {
			"429, come in a second",
			steps(status(429, "Retry-After: 1"), ok(content, "")),
			"-;-;", "-;-;",
		},
	}
	var wg sync.WaitGroup // all at once: most of the time they wait
	for _, tt := range tests {
		srv, url := serve(t, tt.answers...)
		s := &fetch.Store{Dir: t.TempDir()}
		wg.Go(func() {
			if err := open(t, s, wheel(url)); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if got := srv.log("Range"); got != tt.ranges {
				t.Errorf("%s: Range = %s, want %s", tt.name, got, tt.ranges)
			}
			if got := srv.log("If-Range"); got != tt.ifRange {
				t.Errorf("%s: If-Range = %s, want %s", tt.name, got, tt.ifRange)
			}
		})
	}
	wg.Wait()
}

// cut206 answers a request for b from start on, and drops the connection at end.
func cut206(b []byte, start, end int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(b)-1, len(b)))
		w.Header().Set("Content-Length", fmt.Sprint(len(b)-start))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(b[start:end])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	wrong := bytes.Clone(content)
	wrong[7] = 'x'
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string // ADDR stands for the URL
		hint   string
	}{
		{
			"401", status(401),
			"fetching demo-1.0-py3-none-any.whl from ADDR: the server says 401 Unauthorized",
			"check user and password of the index, and that they may read this file, then resolve again with --refresh",
		}, {
			"403", status(403),
			"fetching demo-1.0-py3-none-any.whl from ADDR: the server says 403 Forbidden",
			"check user and password of the index, and that they may read this file, then resolve again with --refresh",
		}, {
			"404", status(404),
			"fetching demo-1.0-py3-none-any.whl from ADDR: the server says 404 Not Found",
			"the file may have been withdrawn: resolve again with --refresh",
		}, {
			"206 unasked", partial(content, 0),
			"fetching demo-1.0-py3-none-any.whl from ADDR: the server says 206 Partial Content",
			"the file may have been withdrawn: resolve again with --refresh",
		}, {
			"429 for an hour", status(429, "Retry-After: 3600"),
			"fetching demo-1.0-py3-none-any.whl from ADDR: the server says 429 Too Many Requests",
			"the server asks to wait: run the same command again after 1h0m0s",
		}, {
			"wrong digest", ok(wrong, ""),
			"demo-1.0-py3-none-any.whl from ADDR has sha256 " + digest(wrong).Hex + ", not " + digest(content).Hex,
			"the file was changed since it was resolved, or on its way here: if you trust the server, resolve again with --refresh",
		}, {
			"wrong size", ok(content[1:], ""),
			"demo-1.0-py3-none-any.whl from ADDR has 319999 bytes, not 320000",
			"the file was changed since it was resolved, or on its way here: if you trust the server, resolve again with --refresh",
		}, {
			"too long", chunked(append(bytes.Clone(content), 'x')),
			"demo-1.0-py3-none-any.whl from ADDR has more than 320000 bytes",
			"the file was changed since it was resolved, or on its way here: if you trust the server, resolve again with --refresh",
		}, {
			"redirect to nowhere", status(302),
			"fetching demo-1.0-py3-none-any.whl from ADDR: the server says 302 Found",
			"the file may have been withdrawn: resolve again with --refresh",
		}, {
			"redirect to a file", status(302, "Location: file:///etc/passwd"),
			"fetching demo-1.0-py3-none-any.whl from ADDR: the server redirects to something that is no URL of the web",
			"",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv, url := serve(t, tt.answer)
			err := open(t, &fetch.Store{Dir: t.TempDir()}, wheel(url))
			if want := strings.ReplaceAll(tt.want, "ADDR", url); fmt.Sprint(err) != want {
				t.Errorf("Open = %v\nwant   %s", err, want)
			}
			if got := advice(err); got != tt.hint {
				t.Errorf("hint = %q, want %q", got, tt.hint)
			}
			if n := srv.count(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestTypesOfRefusals(t *testing.T) {
	t.Parallel()
	_, url := serve(t, status(403), chunked(content[1:]))
	s := &fetch.Store{Dir: t.TempDir()}
	f := wheel(url)
	f.Size = 0
	var se *fetch.StatusError
	if err := open(t, s, f); !errors.As(err, &se) || se.Name != f.Name || se.URL != url || se.Code != 403 {
		t.Errorf("Open = %v, want a *StatusError with 403", err)
	}
	var me *fetch.MismatchError
	if err := open(t, s, f); !errors.As(err, &me) || me.Name != f.Name || me.URL != url {
		t.Errorf("Open = %v, want a *MismatchError", err)
	}
}

func TestRedirectsWithoutEnd(t *testing.T) {
	t.Parallel()
	srv, url := serve(t, status(307, "Location: again"))
	err := open(t, &fetch.Store{Dir: t.TempDir()}, wheel(url))
	want := "fetching demo-1.0-py3-none-any.whl from " + url + ": the server redirects more than 10 times"
	if fmt.Sprint(err) != want {
		t.Errorf("Open = %v\nwant   %s", err, want)
	}
	if n := srv.count(); n != 10 {
		t.Errorf("%d requests, want 10", n)
	}
}

// A certificate that isn't trusted doesn't get better by waiting.
func TestUntrustedCertificate(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(ok(content, ""))
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	var n counter
	s := &fetch.Store{Dir: t.TempDir(), Transport: &n}
	if err := open(t, s, wheel(srv.URL)); err == nil {
		t.Error("Open from a server that isn't trusted succeeded")
	}
	if n.n != 1 {
		t.Errorf("%d requests, want 1", n.n)
	}
	s.Transport = srv.Client().Transport
	if err := open(t, s, wheel(srv.URL)); err != nil {
		t.Errorf("Open with the server's certificate = %v", err)
	}
}
