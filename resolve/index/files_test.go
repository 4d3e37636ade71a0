// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/index"
)

// What Public cuts off a URL, requests by the Transport have again, those of
// the sets that it was made from too.
func TestPublic(t *testing.T) {
	t.Parallel()
	var user, password, query string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ = r.BasicAuth()
		query = r.URL.RawQuery
	}))
	defer server.Close()
	host := server.Listener.Addr().String()
	tests := []struct{ raw, want, password, query string }{
		{"http://" + host + "/a.whl", "http://" + host + "/a.whl", "", ""},
		{"http://" + host + "/b.whl?ref=main#sha256=00", "http://" + host + "/b.whl?ref=main", "", "ref=main"},
		{"http://us%40er:p%2Fw@" + host + "/c.whl?x=1&X-Amz-Signature=s1gned", "http://" + host + "/c.whl", "p/w", "x=1&X-Amz-Signature=s1gned"},
	}
	for _, tt := range tests {
		s := gather(t, index.Options{})
		set, err := s.With("", index.Index{URL: "https://a.example/simple"})
		if err != nil {
			t.Fatal(err)
		}
		set = set.WithFiles("https://elsewhere.example/x.whl")
		got := set.Public(tt.raw)
		if got != tt.want {
			t.Errorf("Public(%s) = %s, want %s", tt.raw, got, tt.want)
		}
		resp, err := (&http.Client{Transport: s.Transport(nil)}).Get(got)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if password != tt.password || query != tt.query || (user == "us@er") != (tt.password != "") {
			t.Errorf("a request of Public(%s) has the password %q and the query %q, want %q and %q", tt.raw, password, query, tt.password, tt.query)
		}
		var secrets []string
		for _, x := range s.Secrets() {
			secrets = append(secrets, x.Value)
		}
		var want []string
		if tt.password != "" {
			want = []string{tt.password, "s1gned"}
		}
		if diff := cmp.Diff(want, secrets); diff != "" {
			t.Errorf("the secrets after Public(%s) (-want +got):\n%s", tt.raw, diff)
		}
	}
}

// Files that are asked for with a user are of that user's realm.
func TestRealmOfFiles(t *testing.T) {
	t.Parallel()
	var none *index.Set
	alice, bob := none.WithFiles("https://alice:p@a.example/x.whl"), none.WithFiles("https://bob:p@a.example/x.whl")
	if none.WithFiles("https://a.example/x.whl").Realm() != "" || alice.Realm() == "" || alice.Realm() == bob.Realm() {
		t.Errorf("the realms are %q for alice and %q for bob", alice.Realm(), bob.Realm())
	}
}

func TestIsSecret(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, value string
		want        bool
	}{
		{"PIP_INDEX_URL", "https://u:p@a.example/simple", true},
		{"pip_extra_index_url", "https://b.example https://token@a.example/simple", true},
		{"UV_DEFAULT_INDEX", "corp=https://u:p@a.example/simple", true},
		{"UV_INDEX_CORP_PASSWORD", "x", true},
		{"UV_INDEX_CORP_USERNAME", "x", true},
		{"UV_FIND_LINKS", "https://u:p@a.example/", true},
		{"PIP_INDEX_URL", "https://a.example/simple", false},
		{"UV_INDEX_CORP_PASSWORD", "", false},
		{"DATABASE_URL", "postgres://u:p@a.example/", false},
	}
	for _, tt := range tests {
		if got := index.IsSecret(tt.name, tt.value); got != tt.want {
			t.Errorf("IsSecret(%q, %q) = %v, want %v", tt.name, tt.value, got, tt.want)
		}
	}
}
