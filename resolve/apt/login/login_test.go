// SPDX-License-Identifier: Apache-2.0

package login_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inlay/cache/fetch"
	"inlay/resolve/apt/login"
)

// sees is a transport that answers nobody but who comes as want.
type sees struct {
	want string // "user:password"
	got  []string
}

func (s *sees) RoundTrip(req *http.Request) (*http.Response, error) {
	user, password, _ := req.BasicAuth()
	s.got = append(s.got, user+":"+password)
	rec := httptest.NewRecorder()
	if s.want != user+":"+password {
		rec.WriteHeader(http.StatusUnauthorized)
	}
	return rec.Result(), nil
}

// ask requests a URL, and returns as whom.
func ask(t *testing.T, s *login.Set, raw string) string {
	t.Helper()
	server := &sees{}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Transport(server).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return server.got[len(server.got)-1]
}

// TestFile finds logins as apt_auth.conf(5) has it.
func TestFile(t *testing.T) {
	const file = `# a comment, of words that mean nothing
machine example.org/private login ann
	password a#b
machine example.org:8443 login port password p8443
machine example.org login bob password secret
machine http://plain.example login plain password p
machine https://tls.example account x login tls password t
machine port.example/path login a password b
machine port.example login c password d
machine none.example
machine none.example login late password late
machine empty.example
login nobody`
	for raw, want := range map[string]string{
		"https://example.org/debian/x":            "bob:secret",
		"https://EXAMPLE.org/debian/x":            "bob:secret",
		"https://example.org/private/debian/x":    "ann:a#b",
		"https://example.org:8443/debian/x":       "port:p8443",
		"https://example.org:9443/debian/x":       "bob:secret",
		"http://example.org/debian/x":             ":",
		"https://www.example.org/debian/x":        ":",
		"https://other.example/example.org/x":     ":",
		"http://plain.example/x":                  "plain:p",
		"https://plain.example/x":                 ":",
		"https://tls.example/x":                   "tls:t",
		"https://empty.example/x":                 "nobody:",
		"https://port.example/path/x":             "a:b",
		"https://port.example:9443/path/x":        "c:d",
		"https://none.example/x":                  ":",
		"https://example.org.evil.example/debian": ":",
	} {
		s := &login.Set{Files: func() []string { return []string{file, "machine example.org login second password no"} }}
		if got := ask(t, s, raw); got != want {
			t.Errorf("%s is asked as %q, want %q", raw, got, want)
		}
	}
}

// TestURL keeps what URLs hold, for what is below them, before what files say.
func TestURL(t *testing.T) {
	s := &login.Set{Files: func() []string { return []string{"machine a.example login file password f"} }}
	for raw, want := range map[string]string{
		"https://ann:p%40ss@a.example/debian": "https://a.example/debian", "http://a.example/debian/": "http://a.example/debian/",
		"https://token@t.example/": "https://t.example/", "file:///debian": "file:///debian", "https://%zz:x@a.example": "https://%zz:x@a.example",
	} {
		if got := s.Strip(raw); got != want {
			t.Errorf("Strip(%q) = %q, want %q", raw, got, want)
		}
	}
	for raw, want := range map[string]string{
		"https://a.example/debian/dists/x": "ann:p@ss", "https://a.example/debian-security/x": "ann:p@ss", "https://a.example/other": "file:f",
		"http://a.example/debian/x": ":", "https://t.example/x": "token:",
	} {
		if got := ask(t, s, raw); got != want {
			t.Errorf("%s is asked as %q, want %q", raw, got, want)
		}
	}
	want := []login.Secret{{"ann", "p@ss", "the archive a.example"}, {"token", "token", "the archive t.example"}, {"file", "f", "the archive a.example"}}
	sorted := cmp.Transformer("set", func(all []login.Secret) map[login.Secret]bool {
		m := map[login.Secret]bool{}
		for _, x := range all {
			m[x] = true
		}
		return m
	})
	if diff := cmp.Diff(want, s.Secrets(), sorted); diff != "" {
		t.Errorf("the secrets that were used (-want +got):\n%s", diff)
	}
	unused := &login.Set{Files: s.Files}
	if got := unused.Secrets("https://b.example/x"); len(got) > 0 {
		t.Errorf("the secrets that were not used are %v", got)
	}
	if got := unused.Secrets("https://a.example/x"); len(got) != 1 {
		t.Errorf("the secrets for a URL are %v", got)
	}
	var none *login.Set
	if got := none.Strip("https://a:b@c.example/"); got != "https://c.example/" {
		t.Errorf("Strip = %q", got)
	}
}

// TestMore asks for more logins once, when a server wants one.
func TestMore(t *testing.T) {
	asked := 0
	s := &login.Set{}
	s.More = func(context.Context) error {
		asked++
		s.Read("machine a.example login ann password p")
		return nil
	}
	server := &sees{want: "ann:p"}
	client := &http.Client{Transport: s.Transport(server)}
	for _, raw := range []string{"https://a.example/x", "https://a.example/y", "https://b.example/x"} {
		resp, err := client.Get(raw)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := strings.HasPrefix(raw, "https://a."); (resp.StatusCode == http.StatusOK) != want {
			t.Errorf("%s gives %d", raw, resp.StatusCode)
		}
	}
	if diff := cmp.Diff([]string{":", "ann:p", "ann:p", ":"}, server.got); diff != "" || asked != 1 {
		t.Errorf("More was asked %d times, and the server as (-want +got):\n%s", asked, diff)
	}
	failing := &login.Set{More: func(context.Context) error { return errors.New("no") }}
	if _, err := (&http.Client{Transport: failing.Transport(server)}).Get("https://b.example/x"); err == nil {
		t.Error("what More says is lost")
	}
}

// TestDenied says how to give a login, and never says one.
func TestDenied(t *testing.T) {
	s := &login.Set{}
	s.Strip("https://ann:hunter2@a.example/")
	for raw, want := range map[string]string{
		"https://a.example/x": "check the user and password for a.example, and that they may read this file",
		"https://b.example/x": "give a login for b.example: in the URL of the archive, or as a line of /etc/apt/auth.conf: `machine https://b.example login USER password PASSWORD`",
	} {
		err := s.Denied(&fetch.StatusError{Name: "x", URL: raw, Code: http.StatusUnauthorized})
		var denied *login.DeniedError
		if !errors.As(err, &denied) || denied.Hint() != want || denied.Temporary() || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Denied of %s = %v, with the hint %q", raw, err, denied.Hint())
		}
	}
	gone := &fetch.StatusError{Name: "x", URL: "https://a.example/x", Code: http.StatusNotFound}
	if got := s.Denied(gone); got != error(gone) {
		t.Errorf("Denied of a file that isn't there = %v", got)
	}
	if got := s.Denied(nil); got != nil {
		t.Errorf("Denied(nil) = %v", got)
	}
}

// FuzzRead reads any text, and sends nothing to a host that it doesn't name.
func FuzzRead(f *testing.F) {
	f.Add("machine a.example login b password c")
	f.Add("machine http://a.example:80/x/ login b\n\tpassword\n c machine")
	f.Add("machine login password")
	f.Add("machine :// login a")
	f.Fuzz(func(t *testing.T, text string) {
		s := &login.Set{}
		s.Read(text)
		u := &url.URL{Scheme: "https", Host: "unnamed.example", Path: "/x"}
		if got := s.Secrets(u.String()); len(got) > 0 && !strings.Contains(strings.ToLower(text), "unnamed.example") {
			t.Errorf("%q gives %v", text, got)
		}
	})
}

// TestTexts reads the files that apt reads, as far as they can be.
func TestTexts(t *testing.T) {
	tree := fstest.MapFS{
		"etc/apt/auth.conf":              {Data: []byte("first")},
		"etc/apt/auth.conf.d/b.conf":     {Data: []byte("third")},
		"etc/apt/auth.conf.d/a.conf":     {Data: []byte("second")},
		"etc/apt/auth.conf.d/a.conf.bak": {Data: []byte("no")},
		"etc/apt/auth.conf.d/.c.conf":    {Data: []byte("no")},
		"etc/apt/auth.conf.d/d.conf":     {Mode: fs.ModeDir},
	}
	if diff := cmp.Diff([]string{"first", "second", "third"}, login.Texts(tree)); diff != "" {
		t.Errorf("Texts (-want +got):\n%s", diff)
	}
	if got := login.Texts(fstest.MapFS{}); got != nil {
		t.Errorf("Texts of nothing = %q", got)
	}
}
