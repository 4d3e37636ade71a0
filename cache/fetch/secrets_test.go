// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"inlay/cache/fetch"
)

// withUser returns rawURL with credentials and a signature in it.
func withUser(rawURL string) string {
	return strings.Replace(rawURL, "://", "://us%40er:s3cr%3At@", 1) + "?sig=hush"
}

const basic = "Basic " + "dXNAZXI6czNjcjp0" // us@er:s3cr:t

func TestCredentialsAreSentToTheirHostOnly(t *testing.T) {
	t.Parallel()
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("us@er:s3cr:t")); basic != want {
		t.Fatalf("the test expects %s, want %s", basic, want)
	}
	other, otherURL := serve(t, ok(content, ""))
	same, sameURL := serve(t,
		status(302, "Location: /moved"),
		status(302, "Location: "+strings.Replace(otherURL, "://", "://a:b@", 1)),
	)
	if err := open(t, &fetch.Store{Dir: t.TempDir()}, wheel(withUser(sameURL))); err != nil {
		t.Fatal(err)
	}
	if got, want := same.log("Authorization"), basic+";"+basic+";"; got != want {
		t.Errorf("to its own host: Authorization = %s, want %s", got, want)
	}
	if got, want := same.requests[0].URL.RawQuery, "sig=hush"; got != want {
		t.Errorf("to its own host: query = %s, want %s", got, want)
	}
	for _, field := range []string{"Authorization", "Referer", "Cookie"} {
		if got := other.log(field); got != "-;" {
			t.Errorf("to the other host: %s = %s, want none", field, got)
		}
	}
}

func TestCredentialsFollowOnlyUpgrades(t *testing.T) {
	t.Parallel()
	tests := []struct {
		from, to string
		want     bool
	}{
		{"http://example.com/a", "http://EXAMPLE.com:80/b", true},
		{"http://example.com/a", "https://example.com/b", true},
		{"https://example.com/a", "https://example.com:443/b", true},
		{"https://example.com/a", "http://example.com/b", false},
		{"https://example.com/a", "https://example.com:8443/b", false},
		{"https://example.com/a", "https://files.example.com/b", false},
		{"https://example.com/a", "https://example.com.example.test/b", false},
	}
	for _, tt := range tests {
		var sent []string
		s := &fetch.Store{Dir: t.TempDir(), Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r.Header.Get("Authorization"))
			if r.URL.User != nil {
				t.Errorf("%s: the request's URL has %v in it", tt.from, r.URL.User)
			}
			if len(sent) == 1 {
				return answer(302, http.NoBody, "Location: "+tt.to), nil
			}
			return answer(404, http.NoBody), nil
		})}
		_ = open(t, s, wheel(withUser(tt.from))) // 404
		if len(sent) != 2 || sent[0] != basic || (sent[1] == basic) != tt.want {
			t.Errorf("%s, then %s: sent %q, want the second time: %v", tt.from, tt.to, sent, tt.want)
		}
	}
}

// Whatever goes wrong, no part of a URL that may be secret is in the error, its
// hint or the store.
func TestSecretsStayOutOfErrors(t *testing.T) {
	t.Parallel()
	const there = "https://example.com/demo.whl"
	hostile := func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Get", URL: "https://us@er:s3cr:t@example.com/?sig=hush", Err: errors.New("out of luck")}
	}
	says := func(code int, fields ...string) roundTrip {
		return func(*http.Request) (*http.Response, error) { return answer(code, http.NoBody, fields...), nil }
	}
	tests := []struct {
		name      string
		url       string
		transport roundTrip
		offline   bool
	}{
		{"status", withUser(there), says(404), false},
		{"digest", withUser(there), says(200), false},
		{"redirect", withUser(there), says(302, "Location: https://us@er:s3cr:t@[::hush"), false},
		{"redirect elsewhere", withUser(there), says(302, "Location: "+withUser("ftp://example.com")), false},
		{"range", withUser(there), says(206), false},
		{"offline", withUser(there), nil, true},
		{"scheme", withUser("git+https://example.com/demo"), nil, false},
		{"bad port", withUser("https://example.com:s3cr") + "/hush", nil, false},
		{"bad escape", "https://us%zzer:s3cr%zzt@example.com/hush", nil, false},
		{"bad file", "file://us@er:s3cr:t@example.com/", nil, false},
	}
	check := func(name string, err error) {
		if err == nil {
			t.Errorf("%s: no error", name)
			return
		}
		for _, text := range []string{err.Error(), advice(err), fmt.Sprintf("%+v", err)} {
			for _, secret := range []string{"us@er", "us%40er", "s3cr", "hush", "dXNAZXI6"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: %q is in %q", name, secret, text)
				}
			}
		}
	}
	for _, tt := range tests {
		s := &fetch.Store{Dir: t.TempDir(), Offline: tt.offline, Transport: tt.transport}
		f := wheel(tt.url)
		f.Size = 0
		check(tt.name, open(t, s, f))
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // doesn't wait in earnest
		s := &fetch.Store{Dir: dir, Transport: roundTrip(hostile)}
		check("connection", open(t, s, wheel(withUser(there))))
	})
}

func TestFileNamesHoldNoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var during []os.DirEntry
	s := &fetch.Store{Dir: dir, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		var err error
		during, err = os.ReadDir(dir)
		return answer(200, strings.NewReader(string(content))), err
	})}
	if err := open(t, s, wheel(withUser("https://example.com/demo.whl"))); err != nil {
		t.Fatal(err)
	}
	if len(during) != 2 {
		t.Errorf("%d files during a download, want the lock and the temporary one", len(during))
	}
	for _, e := range during {
		if n := strings.ToLower(e.Name()); strings.Contains(n, "s3cr") || strings.Contains(n, "hush") || strings.Contains(n, "demo") {
			t.Errorf("a file is called %s", n)
		}
	}
}
