// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"path"
	"testing"

	"inlay/resolve/python/reqfile"
)

type fakeIndex func(*http.Request) (*http.Response, error)

func (f fakeIndex) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzPage lets an index answer anything when it is asked for a program. What is
// then fetched is a file of the right name, and an error shows no password.
func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"files": [{"url": "../a-1-py3-none-any.whl"}]}`), true)
	f.Add([]byte(`<A class=x HREF='https://u:p@files.example/a-1-py3-none-any.whl#sha256=&amp;'>a</a>`), false)
	f.Add([]byte("<a\n href=\"//[::1/a-1-py3-none-any.whl\">"), false)
	tool := Tool{Name: "a", Version: "1", File: "a-1-py3-none-any.whl"}
	f.Fuzz(func(t *testing.T, page []byte, isJSON bool) {
		kind := "text/html"
		if isJSON {
			kind = "application/vnd.pypi.simple.v1+json"
		}
		rt := fakeIndex(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(page))}, nil
		})
		url, err := findFile(t.Context(), rt, "https://index.example/simple", tool)
		if err != nil {
			if ie := (*IndexError)(nil); errors.As(err, &ie) && reqfile.Redact(err.Error()) != err.Error() {
				t.Errorf("findFile: %v, which shows a login", err)
			}
			return
		}
		if u, err := http.NewRequest(http.MethodGet, url, nil); err == nil && path.Base(u.URL.Path) != tool.File {
			t.Errorf("findFile = %q, want a file called %s", url, tool.File)
		}
	})
}
