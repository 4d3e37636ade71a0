// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/cache/fetch"
	"inlay/resolve"
	"inlay/resolve/apt"
	"inlay/resolve/apt/setup"
	"inlay/resolve/plan"
)

// sourcesOf writes sources as "URL suite components by keys".
func sourcesOf(all []setup.Source) (out []string) {
	for _, s := range all {
		var by []string
		for _, k := range s.SignedBy {
			if len(k) == 40 && !strings.Contains(k, "/") {
				k = k[:4]
			}
			by = append(by, k)
		}
		out = append(out, fmt.Sprintf("%s %s %s by %s", s.URL, s.Suite, strings.Join(s.Components, ","), strings.Join(by, ",")))
	}
	return out
}

// host is a machine with Debian 12's apt and an archive of somebody else.
func host() (*setup.Setup, error) {
	debian := func(url, suite string) setup.Source {
		return setup.Source{URL: url, Suite: suite, Components: []string{"main"}, SignedBy: []string{"/usr/share/keyrings/debian-archive-keyring.gpg"}}
	}
	return &setup.Setup{
		Sources: []setup.Source{
			debian("http://h.example/debian/", "bookworm"), debian("http://h.example/debian/", "bookworm-updates"),
			debian("http://h.example/debian-security/", "bookworm-security"),
			{URL: "http://other.example/", Suite: "noble", Components: []string{"main"}, SignedBy: []string{"/usr/share/keyrings/other.gpg"}},
		},
		Keyrings: map[string][]byte{"usr/share/keyrings/debian-archive-keyring.gpg": []byte("keys")},
	}, nil
}

func broken() (*setup.Setup, error) {
	return nil, &setup.Error{File: "etc/apt/sources.list", Line: 3, Problem: "is odd"}
}

func nobody() (*setup.Setup, error) { return &setup.Setup{}, nil }

// TestBootstrapSources holds where the packages of an image without a parent
// come from, and by whom they must be signed.
func TestBootstrapSources(t *testing.T) {
	const (
		ring   = "/usr/share/keyrings/debian-archive-keyring.gpg"
		twelve = ring + ",B8B8,05AB,4D64,1F89,AC53,A428"
	)
	tests := []struct {
		name, yaml, suite string
		host              func() (*setup.Setup, error)
		want              []string
		err, hint         string
	}{
		{name: "the suite of the machine", suite: "bookworm", host: host, want: []string{
			"http://h.example/debian/ bookworm main by " + twelve, "http://h.example/debian/ bookworm-updates main by " + twelve,
			"http://h.example/debian-security/ bookworm-security main by " + twelve,
		}},
		{name: "another suite of Debian", suite: "trixie", host: host, want: []string{
			"http://h.example/debian/ trixie main by " + ring + ",04B5,5E04,4158,B8B8,05AB,4D64",
			"http://h.example/debian/ trixie-updates main by " + ring + ",04B5,5E04,4158,B8B8,05AB,4D64",
			"http://h.example/debian-security/ trixie-security main by " + ring + ",04B5,5E04,4158,B8B8,05AB,4D64",
		}},
		{name: "a suite that only the machine knows", suite: "noble", host: host, want: []string{
			"http://other.example/ noble main by /usr/share/keyrings/other.gpg",
		}},
		{name: "a mirror", yaml: "mirror: http://m.example/deb", suite: "bookworm", host: host, want: []string{
			"http://m.example/deb/ bookworm main by " + twelve, "http://m.example/deb/ bookworm-updates main by " + twelve,
			"http://m.example/deb-security/ bookworm-security main by " + twelve,
		}},
		{name: "a keyring", yaml: "mirror: http://m.example/deb, keyring: own.asc", suite: "x", host: broken, want: []string{
			"http://m.example/deb/ x main by /settings/apt.keyring", "http://m.example/deb/ x-updates main by /settings/apt.keyring",
			"http://m.example/deb-security/ x-security main by /settings/apt.keyring",
		}},
		{name: "nothing", suite: "bookworm", host: nobody, err: "nothing says where the packages of bookworm are", hint: "--apt-mirror URL"},
		{
			name: "a machine that can't be read", suite: "bookworm", host: broken,
			err: "reading how apt is set up on this machine: line 3 of etc/apt/sources.list is odd", hint: "--keyring FILE",
		},
		{name: "a suite that nobody knows", suite: "sid", host: host, err: "nothing says where the packages of sid are", hint: "--apt-mirror URL"},
		{
			name: "no keys", yaml: "mirror: http://m.example/deb", suite: "bookworm", host: nobody,
			err: "there are no keys to check the packages of bookworm with", hint: "--keyring FILE",
		},
		{
			name: "no keys for a suite", yaml: "mirror: http://m.example/deb", suite: "sid", host: host,
			err: "there are no keys to check the packages of sid with", hint: "--keyring FILE",
		},
	}
	for _, tt := range tests {
		req, d := packagesRequest(t, "    apt: {"+tt.yaml+"}\n")
		writeKey(t, req.Context)
		req.Host = tt.host
		_, err := resolve.Bootstrap(t.Context(), req, resolve.Root{Suite: tt.suite, Platform: "linux/amd64"})
		if tt.err != "" {
			var h interface{ Hint() string }
			if err == nil || err.Error() != tt.err || !errors.As(err, &h) || !strings.Contains(h.Hint(), tt.hint) {
				t.Errorf("%s: the error is %v, want %s with the hint %s", tt.name, err, tt.err, tt.hint)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, sourcesOf(d.asked[0].Sources)); diff != "" {
			t.Errorf("%s: the sources (-want +got):\n%s", tt.name, diff)
		}
		if !d.asked[0].Essential || !slices.Equal(d.words[:1], []string{"apt"}) {
			t.Errorf("%s: asked for %q, %+v", tt.name, d.words, d.asked[0])
		}
	}
}

// TestBootstrap holds what the plan of an image without a parent is.
func TestBootstrap(t *testing.T) {
	req, d := packagesRequest(t, "    apt: {mirror: http://m.example/deb, keyring: own.asc}\n")
	writeKey(t, req.Context)
	d.names = []string{"apt", "dpkg", "python3"}
	d.indexes = []apt.Index{
		{Archive: "http://m.example/deb/", Suite: "bookworm", Component: "main"},
		{Archive: "http://m.example/deb/", Suite: "bookworm-updates", Component: "main"},
		{Archive: "http://m.example/deb-security/", Suite: "bookworm-security", Component: "main"},
	}
	req.Host, req.Created = nobody, 7
	root := resolve.Root{Suite: "bookworm", Packages: []string{"python3"}, Platform: "linux/arm64"}
	b, err := resolve.Bootstrap(t.Context(), req, root)
	if err != nil {
		t.Fatal(err)
	}
	stage := b.Plan.Image()
	if stage.Parent != (plan.Parent{Image: plan.Scratch}) || b.Plan.Platform != "linux/arm64" || b.Plan.Created != 7 || len(stage.Steps) != 2 {
		t.Fatalf("the plan is %+v", b.Plan)
	}
	if s := stage.Steps[0]; s.Name != "apt: bookworm with python3 (3 packages)" || s.Apt.Parent != plan.Tree(nil) || len(s.Apt.Debs) != 3 {
		t.Errorf("the first step is %+v", s)
	}
	stanza := func(dir, suites string) string {
		return "Types: deb\nURIs: http://m.example/" + dir + "/\nSuites: " + suites + "\nComponents: main\nSigned-By: /etc/apt/keyrings/bootstrap.gpg\n"
	}
	want := map[string]string{
		"keyrings/bootstrap.gpg":        "own keys",
		"sources.list.d/debian.sources": stanza("deb", "bookworm bookworm-updates") + "\n" + stanza("deb-security", "bookworm-security"),
	}
	if diff := cmp.Diff(want, b.Files); diff != "" {
		t.Errorf("apt's configuration (-want +got):\n%s", diff)
	}
	var paths []string
	for _, f := range stage.Steps[1].Files.Files {
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{"keyrings", "keyrings/bootstrap.gpg", "sources.list.d", "sources.list.d/debian.sources"}, paths); diff != "" {
		t.Errorf("its files (-want +got):\n%s", diff)
	}
	if _, err := resolve.Bootstrap(t.Context(), req, root); err != nil || len(d.asked) != 1 {
		t.Errorf("deciding again asked %d times, %v", len(d.asked), err)
	}

	// What a mirror lacks is left out, and so is a program that merges /usr.
	req.Refresh = true
	d.fail = []error{&fetch.StatusError{Code: http.StatusNotFound}}
	if _, err := resolve.Bootstrap(t.Context(), req, root); err != nil {
		t.Fatal(err)
	}
	if last := d.asked[len(d.asked)-1]; len(last.Sources) != 1 || slices.Contains(d.words, "usr-is-merged") {
		t.Errorf("asked for %q in %v in the end", d.words, sourcesOf(last.Sources))
	}
	d.names = append(d.names, "usrmerge")
	if _, err := resolve.Bootstrap(t.Context(), req, root); err != nil || !slices.Equal(d.words, []string{"apt", "python3", "usr-is-merged"}) {
		t.Errorf("asked for %q in the end, %v", d.words, err)
	}
	d.fail = []error{&fetch.StatusError{Code: http.StatusNotFound}, &fetch.StatusError{Code: http.StatusNotFound}}
	if _, err := resolve.Bootstrap(t.Context(), req, root); err == nil {
		t.Error("a mirror that has nothing is no error")
	}
}

func writeKey(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "own.asc"), []byte("own keys"), 0o644); err != nil {
		t.Fatal(err)
	}
}
