// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"inlay/resolve/index"
)

func TestAuthorize(t *testing.T) {
	t.Parallel()
	s := gather(t, index.Options{
		Extra: []string{
			"https://u:one@a.example/team/one/simple", "https://u:two@a.example/team/two/simple",
			"https://u:http@b.example:8080/simple", "https://c.example/simple",
		},
		Netrc: netrc(t, "machine files.example login n password files\nmachine a.example login n password netrc\ndefault login d password d"),
	})
	tests := []struct{ url, password string }{
		{"https://a.example/team/one/simple/numpy/", "one"},
		{"https://a.example/team/two/files/numpy.whl", "two"},
		{"https://A.example:443/elsewhere/numpy.whl", "one"},
		{"http://a.example/team/one/simple/", "netrc"}, // another server than the index
		{"https://b.example:8080/x", "http"},
		{"https://b.example/x", ""},
		{"https://files.example/x.whl", "files"},
		{"https://c.example/simple/", ""},
		{"https://a.example.evil.example/team/one/simple/", ""},
	}
	for _, tt := range tests {
		req, err := http.NewRequest(http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Authorize(req)
		if _, got, _ := req.BasicAuth(); got != tt.password {
			t.Errorf("%s is asked with the password %q, want %q", tt.url, got, tt.password)
		}
	}
	req, _ := http.NewRequest(http.MethodGet, "https://a.example/", nil)
	req.Header.Set("Authorization", "Bearer x")
	s.Authorize(req)
	if got := req.Header.Get("Authorization"); got != "Bearer x" {
		t.Errorf("a request's own Authorization became %q", got)
	}
	(*index.Set)(nil).Authorize(req)
}

// TestRedirects holds that credentials go to their own server only, whatever
// it answers.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var seen string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("Authorization")
	}))
	defer other.Close()
	var first []string
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		first = append(first, password)
		if len(first) == 1 {
			http.Redirect(w, r, "/again", http.StatusFound)
			return
		}
		http.Redirect(w, r, other.URL, http.StatusFound)
	}))
	defer own.Close()
	s, err := (*index.Set)(nil).With("", index.Index{URL: "http://u:secret@" + own.Listener.Addr().String() + "/simple"})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: s.Transport(nil)}).Get(own.URL + "/simple/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if len(first) != 2 || first[0] != "secret" || first[1] != "secret" || seen != "" {
		t.Errorf("its own server saw %q, the other one %q; want the password twice, and nothing", first, seen)
	}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	s := gather(t, index.Options{Extra: []string{"corp=https://u:p@a.example/simple", "pub=https://b.example/simple"}})
	answer := errors.New("401")
	tests := []struct{ url, index, hint string }{
		{"https://a.example/x.whl", "corp", "check user and password of corp, and that they may read this file"},
		{"https://b.example/x.whl", "pub", "give credentials for pub: `machine HOST login USER password PASSWORD` in ~/.netrc, or `auth: env:VAR` in `indexes`"},
		{"https://c.example/x.whl", "c.example", "give credentials for c.example: `machine HOST login USER password PASSWORD` in ~/.netrc, or `auth: env:VAR` in `indexes`"},
	}
	for _, tt := range tests {
		err := s.Denied(tt.url, answer)
		var denied *index.DeniedError
		if !errors.As(err, &denied) || !errors.Is(err, answer) || denied.Index != tt.index || denied.Hint() != tt.hint {
			t.Errorf("Denied(%s) = %#v, want of %s with the hint %s", tt.url, err, tt.index, tt.hint)
		}
	}
}
