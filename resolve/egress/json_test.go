// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// TestRewriteJSON holds which texts of a page are links, and that all else stays.
func TestRewriteJSON(t *testing.T) {
	link := func(f jsonFile) string { return "(" + f.url + "|" + f.digest + ")" }
	for _, tt := range []struct{ page, want string }{
		{`{"files":[{"url":"a","hashes":{"sha256":"5"}}]}`, `{"files":[{"url":"(a|5)","hashes":{"sha256":"5"}}]}`},
		{`{"files":[{"hashes":{"md5":"1","sha256":"5"},"url":"a"},{"url":"b"}]}`, `{"files":[{"hashes":{"md5":"1","sha256":"5"},"url":"(a|5)"},{"url":"(b|)"}]}`},
		{"{ \"files\" : [ { \"url\" :\t\"a\" } ,\n{} ] , \"name\" : \"url\" }", "{ \"files\" : [ { \"url\" :\t\"(a|)\" } ,\n{} ] , \"name\" : \"url\" }"},
		{`{"files":[{"yanked":"\"url\":\"b\"","url":"a\u0026b","size":1.5e3,"x":{"url":"c"}}]}`, `{"files":[{"yanked":"\"url\":\"b\"","url":"(a\u0026b|)","size":1.5e3,"x":{"url":"c"}}]}`},
		{`{"projects":[{"url":"a"}],"files":null}`, `{"projects":[{"url":"a"}],"files":null}`},
		{`{"meta":{"files":[{"url":"a"}]},"files":[]}`, `{"meta":{"files":[{"url":"a"}]},"files":[]}`},
		{`{"f\u0069les":[{"\u0075rl":"\\"}]}`, `{"f\u0069les":[{"\u0075rl":"(\\|)"}]}`},
	} {
		got, err := rewriteJSON([]byte(tt.page), link)
		if err != nil || string(got) != tt.want {
			t.Errorf("rewriteJSON(%s) = %s, %v, want %s", tt.page, got, err, tt.want)
		}
	}
	for _, page := range []string{"", "[]", "{", `{"files":[{"url":"a"}`, `{"files":[{"url":7}]}`, `{"files":[7]}`, `{"a":"\"}`, `{"files":[{"hashes":{"sha256":[]}}]}`, `{"a":]}`} {
		if got, err := rewriteJSON([]byte(page), link); err == nil {
			t.Errorf("rewriteJSON(%s) = %s, want an error", page, got)
		}
	}
}

// FuzzRewriteJSON compares the links with those that encoding/json finds.
func FuzzRewriteJSON(f *testing.F) {
	for _, seed := range []string{
		`{"files":[{"url":"a","hashes":{"sha256":"5"}},{"url":"\u00e9\\","yanked":"\""}],"meta":{"api-version":"1.0"}}`,
		`{"name":"x","files":[{"url":"a","core-metadata":{"sha256":"9"},"size":1e3,"x":[{},[],null,true]}]}`,
	} {
		f.Add([]byte(seed))
	}
	type parsed struct {
		Files []struct{ URL *string }
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		var want, got parsed
		if json.Unmarshal(page, &want) != nil || foldsNames(page) {
			return
		}
		made, err := rewriteJSON(page, func(f jsonFile) string { return f.url + "!" })
		if err != nil {
			return // no page, though JSON: it is passed to nobody
		}
		if err := json.Unmarshal(made, &got); err != nil {
			t.Fatalf("%q becomes %q: %v", page, made, err)
		}
		for i, f := range want.Files {
			if f.URL != nil && *f.URL != "" {
				*f.URL += "!"
				want.Files[i] = f
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q becomes %q", page, made)
		}
	})
}

// foldsNames reports what encoding/json sees otherwise: names in capitals, or
// given twice, or in what isn't UTF-8.
func foldsNames(page []byte) bool {
	text := strings.ToLower(string(page))
	return strings.ToValidUTF8(string(page), "") != string(page) || strings.ContainsAny(text, `\ſ`) || text != string(page) ||
		strings.Count(text, `"files"`) > 1 || strings.Count(text, `"url"`) > strings.Count(text, "{")-1
}

// TestPlainArchive holds that a URL that is not parsed is one that parsing leaves
// as it is.
func TestPlainArchive(t *testing.T) {
	for raw, want := range map[string]bool{
		"https://files.example/packages/A_b-1.0-py3-none-any.whl": true, "http://a.example/x.tar.gz": true,
		"https://files.example/%61.whl": false, "https://files.example:443/a.whl": false, "https://u@files.example/a.whl": false,
		"https://files.example/../a.whl": false, "https://files.example/a.whl#x": false, "https://files.example/a.whl?b": false,
		"https://Files.example/a.whl": false, "ftp://files.example/a.whl": false, "files.example/a.whl": false, "https://files.example/a": false,
		"https:///a.whl": false, " https://files.example/a.whl": false, "https://files.example/a\n.whl": false,
	} {
		scheme, host, path, ok := plainArchive(raw)
		if ok != want {
			t.Errorf("plainArchive(%q) is %v, want %v", raw, ok, want)
		}
		if u, err := url.Parse(raw); ok && (err != nil || u.String() != raw || u.Scheme != scheme || u.Host != host || u.Path != "/"+path) {
			t.Errorf("%q is taken apart as %q, %q, %q; parsed it is %v", raw, scheme, host, path, u)
		}
	}
}
