// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/index"
)

// TestListed holds which files of pages have one URL and one digest for every
// reader, and that nothing else is listed.
func TestListed(t *testing.T) {
	const sum = "5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa5"
	file := func(link, more string) string {
		return fmt.Sprintf(`{"url":%q,"hashes":{"sha256":%q}%s}`, link, sum, more)
	}
	web := func(links ...string) (page string) {
		for _, l := range links {
			page += fmt.Sprintf("<a href=%q>x</a>\n", l)
		}
		return page
	}
	const a, b = "a_b-1.0-py3-none-any.whl", "a_b-2.0-py3-none-any.whl"
	at := func(url string, size int64) map[string]Listed { return map[string]Listed{a: {url, sum, size}} }
	for _, tt := range []struct {
		name, page, body string
		want             map[string]Listed
	}{
		{"JSON", "a-b", file("https://f.example/x/"+a, `,"size":7`), at("https://f.example/x/"+a, 7)},
		{"no size", "a-b", file("https://f.example/x/"+a, ""), at("https://f.example/x/"+a, 0)},
		{"no size that is known", "a-b", file("https://f.example/x/"+a, `,"size":null`), at("https://f.example/x/"+a, 0)},
		{"a size that is none", "a-b", file("https://f.example/x/"+a, `,"size":7.5`), nil},
		{"beside the index", "a-b", file("../../f/"+a, ""), at("https://index.example:8443/f/"+a, 0)},
		{"HTML", "a-b", web("../../f/" + a + "#sha256=" + sum), at("https://index.example:8443/f/"+a, 0)},
		{"a digest in capitals", "a-b", web("../../f/" + a + "#sha256=" + strings.ToUpper(sum)), at("https://index.example:8443/f/"+a, 0)},
		{"no digest", "a-b", web("../../f/" + a), nil},
		{"another digest", "a-b", web("../../f/" + a + "#md5=5"), nil},
		{"two places", "a-b", file("https://f.example/x/"+a, "") + "," + file("https://f.example/y/"+a, ""), nil},
		{"the page of another project", "c", file("https://f.example/x/"+a, ""), nil},
		{"a query", "a-b", file("https://f.example/x/"+a+"?token=1", ""), nil},
		{"escapes", "a-b", file("https://f.example/%78/"+a, ""), nil},
		{"a port that needn't be there", "a-b", file("https://f.example:443/x/"+a, ""), nil},
		{"a host in capitals", "a-b", file("https://F.example/x/"+a, ""), nil},
		{"no wheel", "a-b", file("https://f.example/x/a_b-1.0.tar.gz", ""), nil},
		{"a file that wasn't asked for", "a-b", file("https://f.example/x/"+b, ""), nil},
	} {
		n, err := Open(t.Context(), Options{}, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		g, err := n.Gateway(GatewayOptions{Index: "https://index.example:8443/simple"})
		if err != nil {
			t.Fatal(err)
		}
		kind, body := "text/html", tt.body
		if strings.HasPrefix(body, "{") {
			kind, body = "application/json", `{"files":[`+body+`]}`
		}
		_, err = g.read("127.0.0.1:4000", &http.Response{
			Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)),
			Request: &http.Request{URL: &url.URL{Scheme: "https", Host: "index.example:8443", Path: "/simple/" + tt.page + "/"}},
		})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		n.index = []*Gateway{g}
		got := n.Listed([]string{a, "a_b-1.0.tar.gz", "none-1.0-py3-none-any.whl"})
		if diff := cmp.Diff(tt.want, got); diff != "" && len(tt.want)+len(got) > 0 {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		n.index = []*Gateway{g, g}
		if got := n.Listed([]string{a}); len(got) > 0 {
			t.Errorf("%s: of two indexes %v is listed", tt.name, got)
		}
	}
}

// A network knows the gateways to its indexes, and of the pages of others nothing.
func TestListedIndexes(t *testing.T) {
	set, err := (*index.Set)(nil).With("a test", index.Index{URL: "https://a.example/simple"}, index.Index{URL: "https://b.example/simple"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), Options{}, set, "")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Page("https://c.example/links/"); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, g := range n.index {
		hosts = append(hosts, g.index.Host)
	}
	if !slices.Equal(hosts, []string{"a.example", "b.example"}) {
		t.Errorf("the indexes are %q", hosts)
	}
}
