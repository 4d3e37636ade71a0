// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"inlay/resolve/index"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// TestUVIndexFaults lets an index fail a real uv: what may pass is tried again,
// all else is an error of the index, or of the requirement that it doesn't have.
func TestUVIndexFaults(t *testing.T) {
	ix := newIndex(t, packages())
	answer := func(code int, fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(fields); i += 2 {
				w.Header().Set(fields[i], fields[i+1])
			}
			w.WriteHeader(code)
		}
	}
	drop := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	write := func(kind, length, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Length", length)
			_, _ = w.Write([]byte(text))
		}
	}
	const always, asJSON = 99, "application/vnd.pypi.simple.v1+json"
	tests := []struct {
		name  string
		times int32
		fault http.HandlerFunc
		as    any // nil: it succeeds
		want  string
	}{
		{"401", always, answer(401), new(*index.DeniedError), "was not found in the package registry"},
		{"403", always, answer(403), new(*index.DeniedError), "was not found in the package registry"},
		{"404", always, answer(404), new(*python.UnsatisfiableError), "was not found in the package registry"},
		{"429 once", 1, answer(429, "Retry-After", "1"), nil, ""},
		{"429", always, answer(429), new(*python.IndexError), "429 Too Many Requests"},
		{"500 once", 1, answer(500), nil, ""},
		{"500", always, answer(500), new(*python.IndexError), "500 Internal Server Error"},
		{"hangs up once", 1, drop, nil, ""},
		{"hangs up", always, drop, new(*python.IndexError), "connection closed before message completed"},
		{"a page that is cut", always, write(asJSON, "5000", "{"), new(*python.IndexError), ""},
		{"a page of a login", always, write("text/html", "26", "<html>please log in</html>"), new(*python.UnsatisfiableError), "there are no versions of beta"},
		{"no page at all", always, write(asJSON, "1", "{"), new(*python.IndexError), "received some unexpected JSON"},
		{"a page of another type", always, write("image/png", "3", "png"), new(*python.IndexError), ""},
	}
	for _, tt := range tests {
		var n atomic.Int32
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) <= tt.times {
				tt.fault(w, r)
				return
			}
			ix.ServeHTTP(w, r)
		}))
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.Start()
		r := ask(t)
		if tt.as == nil {
			r.Env = append(r.Env, "UV_HTTP_RETRIES=3") // what uv does when nobody says otherwise
		}
		_, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "beta"), Index: at(t, srv.URL+"/simple")})
		srv.Close()
		var hint interface{ Hint() string }
		switch {
		case tt.as == nil && err != nil:
			t.Errorf("%s: Resolve: %v, want it to try again", tt.name, err)
		case tt.as != nil && (err == nil || !errors.As(err, tt.as) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: Resolve: %T %v, want a %T with %q", tt.name, err, err, tt.as, tt.want)
		case err != nil && !errors.As(err, &hint):
			t.Errorf("%s: %v doesn't say what to do", tt.name, err)
		}
	}
}
