// SPDX-License-Identifier: Apache-2.0

package setup_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/apt/setup"
)

// tree makes a file system of names and contents.
func tree(files ...string) fstest.MapFS {
	root := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		root[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return root
}

func TestReadSources(t *testing.T) {
	root := tree(
		"etc/apt/sources.list", `# comment
deb http://a.example/debian stable main contrib # comment
deb-src http://a.example/debian stable main

deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/b.gpg trusted=no] https://b.example/apt/ ./
`,
		"etc/apt/sources.list.d/z.sources", `# comment
Types: deb deb-src
# http://old.example
URIs: http://c.example/debian http://d.example/debian
Suites: stable stable-updates
Components: main
Check-Valid-Until: no
Valid-Until-Max: 60
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://no.example/
Suites: stable
Components: main

Types: deb-src
URIs: http://no.example/
Suites: stable
Components: main
`,
		"etc/apt/sources.list.d/a.list", "deb copy:/srv/apt stable main\n",
		"etc/apt/sources.list.d/a.list.save", "nonsense",
		"etc/apt/sources.list.d/a b.list", "nonsense",
	)
	s, err := setup.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	z := setup.Source{
		URL: "http://c.example/debian/", Suite: "stable", Components: []string{"main"}, CheckValidUntil: "no", MaxAge: time.Minute,
		SignedBy: []string{"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"},
		Where:    "etc/apt/sources.list.d/z.sources:2",
	}
	updates, d, dUpdates := z, z, z
	updates.Suite, dUpdates.Suite = "stable-updates", "stable-updates"
	d.URL, dUpdates.URL = "http://d.example/debian/", "http://d.example/debian/"
	want := []setup.Source{
		{URL: "http://a.example/debian/", Suite: "stable", Components: []string{"main", "contrib"}, Where: "etc/apt/sources.list:2"},
		{URL: "https://b.example/apt/", Suite: "./", Components: []string{}, Arches: []string{"amd64", "arm64"}, SignedBy: []string{"/usr/share/keyrings/b.gpg"}, Where: "etc/apt/sources.list:5"},
		{URL: "file:/srv/apt/", Suite: "stable", Components: []string{"main"}, Where: "etc/apt/sources.list.d/a.list:1"},
		z, updates, d, dUpdates,
	}
	if diff := cmp.Diff(want, s.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestReadNothing(t *testing.T) {
	s, err := setup.Read(tree())
	if err != nil || len(s.Sources)+len(s.Pins)+len(s.Conf)+len(s.Keyrings) != 0 {
		t.Errorf("Read of an empty tree = %+v, %v", s, err)
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct{ file, text, want string }{
		{"sources.list", "debb http://a.example s main\n", `line 1 of etc/apt/sources.list begins with "debb", want deb or deb-src`},
		{"sources.list", "\ndeb http://a.example s\n", "line 2 of etc/apt/sources.list lacks components, although its suite doesn't end with a slash"},
		{"sources.list", "deb http://a.example\n", "line 1 of etc/apt/sources.list lacks a URL or a suite"},
		{"sources.list", "deb http://a.example ./ main\n", "line 1 of etc/apt/sources.list has components, although its suite ends with a slash"},
		{"sources.list", "deb [a=b http://a.example s main\n", "line 1 of etc/apt/sources.list opens a bracket that isn't closed"},
		{"sources.list", "deb cdrom:[x]/ s main\n", `line 1 of etc/apt/sources.list has a URL of the kind "cdrom", want http, https or file`},
		{"sources.list", "deb http://a.example ../s main\n", `line 1 of etc/apt/sources.list has the suite "../s", which leads out of the archive`},
		{"sources.list.d/a.sources", "Types: deb\nSuites: s\nComponents: main\n", "line 1 of etc/apt/sources.list.d/a.sources begins a stanza that lacks URIs or Suites"},
		{"sources.list.d/a.sources", "Types: deb\nValid-Until-Max: soon\n", `line 1 of etc/apt/sources.list.d/a.sources begins a stanza that has the Valid-Until-Max "soon", want a number of seconds`},
		{"preferences", "Package: a\nPin: release a=b\n", `line 1 of etc/apt/preferences begins a stanza that has the Pin-Priority "", want a number other than 0`},
		{"preferences", "Package: a\nPin: relase a=b\nPin-Priority: 1\n", `line 1 of etc/apt/preferences begins a stanza that has the Pin "relase", want release, origin or version`},
		{"preferences", "Pin: version 1\nPin-Priority: 1\n", "line 1 of etc/apt/preferences begins a stanza that names no Package"},
		{"apt.conf", "a \"b", "line 1 of etc/apt/apt.conf opens a quote that isn't closed"},
		{"apt.conf", "\n}", "line 2 of etc/apt/apt.conf closes a scope that isn't open"},
		{"apt.conf", "/* a", "line 1 of etc/apt/apt.conf opens a comment that isn't closed"},
		{"apt.conf", strings.Repeat("a {", 65), "line 1 of etc/apt/apt.conf opens more than 64 scopes"},
	}
	for _, tt := range tests {
		_, err := setup.Read(tree("etc/apt/"+tt.file, tt.text))
		var bad *setup.Error
		if !errors.As(err, &bad) || err.Error() != tt.want || bad.Hint() == "" {
			t.Errorf("%s %q:\n got %v\nwant %s", tt.file, tt.text, err, tt.want)
		}
	}
}

func TestReadConf(t *testing.T) {
	s, err := setup.Read(tree(
		"etc/apt/apt.conf.d/10first", `// comment
APT { Default-Release "stable"; Install-Recommends "true" };
Acquire::Check-Valid-Until "false"; # comment
APT::Architectures { "amd64"; "arm64"; };
Dir "/x" { Etc "y"; }
DPkg::Post-Invoke { "rm -f /var/cache/*.deb; true"; };
A::B:: "1"; A::B:: "2";
`,
		"etc/apt/apt.conf.d/20second.conf", "/* comment */ apt::install-recommends \"0\";\n#clear A::B;\n",
		"etc/apt/apt.conf.d/30third.conf.bak", "}",
		"etc/apt/apt.conf", "APT::Default-Release \"testing\";",
	))
	if err != nil {
		t.Fatal(err)
	}
	want := setup.Conf{
		"apt::default-release": {"stable", "testing"}, "apt::install-recommends": {"true", "0"}, "acquire::check-valid-until": {"false"},
		"apt::architectures": {"amd64", "arm64"}, "dir::etc": {"y"}, "dpkg::post-invoke": {"rm -f /var/cache/*.deb; true"},
	}
	if diff := cmp.Diff(want, s.Conf); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if got := s.Conf.Get("APT::Default-Release"); got != "testing" {
		t.Errorf("Get = %q, want the last value", got)
	}
	if s.Conf.Bool("APT::Install-Recommends", true) || !s.Conf.Bool("APT::None", true) {
		t.Error("Bool doesn't tell values from none")
	}
}

func TestReadPins(t *testing.T) {
	s, err := setup.Read(tree(
		"etc/apt/preferences", "Explanation: why\n\nPackage: *\nPin: release a=testing, c=main\nPin-Priority: -10\n",
		"etc/apt/preferences.d/b.pref", "Package: git* src:perl\nPin: version 1:2.*\nPin-Priority: 1001\n",
		"etc/apt/preferences.d/a", "Package: x\nPin: origin \"a.example\"\nPin-Priority: 600\n",
	))
	if err != nil {
		t.Fatal(err)
	}
	want := []setup.Pin{
		{Packages: []string{"*"}, Kind: setup.PinRelease, Match: "a=testing, c=main", Priority: -10, Where: "etc/apt/preferences:3"},
		{Packages: []string{"x"}, Kind: setup.PinOrigin, Match: `"a.example"`, Priority: 600, Where: "etc/apt/preferences.d/a:1"},
		{Packages: []string{"git*", "src:perl"}, Kind: setup.PinVersion, Match: "1:2.*", Priority: 1001, Where: "etc/apt/preferences.d/b.pref:1"},
	}
	if diff := cmp.Diff(want, s.Pins); diff != "" {
		t.Errorf("pins (-want +got):\n%s", diff)
	}
}

func TestReadKeyrings(t *testing.T) {
	s, err := setup.Read(tree(
		"etc/apt/sources.list", "deb [signed-by=/opt/a.gpg,/gone.gpg] http://a.example s main\n",
		"opt/a.gpg", "1", "etc/apt/trusted.gpg", "2", "etc/apt/trusted.gpg.d/b.asc", "3", "etc/apt/trusted.gpg.d/b~.asc", "4",
		"usr/share/keyrings/unused.gpg", "5",
	))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"opt/a.gpg": []byte("1"), "etc/apt/trusted.gpg": []byte("2"), "etc/apt/trusted.gpg.d/b.asc": []byte("3")}
	if diff := cmp.Diff(want, s.Keyrings); diff != "" {
		t.Errorf("keyrings (-want +got):\n%s", diff)
	}
}

func TestRedirect(t *testing.T) {
	sources := []setup.Source{
		{URL: "http://a.example/debian/", Suite: "stable"},
		{URL: "http://b.example/debian-security/", Suite: "security"},
		{URL: "http://c.example/other/", Suite: "x"},
	}
	got, err := setup.Redirect(sources, "https://m.example/apt/main")
	if err != nil {
		t.Fatal(err)
	}
	want := []setup.Source{
		{URL: "https://m.example/apt/main/", Suite: "stable"},
		{URL: "https://m.example/apt/main-security/", Suite: "security"},
		{URL: "http://c.example/other/", Suite: "x"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Redirect (-want +got):\n%s", diff)
	}
	for _, mirror := range []string{"m.example/debian", "ftp://m.example/debian", "http://u:secret@m.example/%"} {
		_, err := setup.Redirect(sources, mirror)
		var bad *setup.MirrorError
		if !errors.As(err, &bad) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Redirect to %q: %v, want a *MirrorError", mirror, err)
		}
	}
	if _, err := setup.Redirect(nil, "http://m.example/debian"); err == nil {
		t.Error("Redirect of nothing: no error")
	}
}

// FuzzRead checks that no file brings Read down.
func FuzzRead(f *testing.F) {
	f.Add("deb [a=b] http://a.example s main", "Types: deb\nURIs: http://a\nSuites: s\nComponents: c\nSigned-By:\n -----BEGIN\n", "A { B \"c\"; };", "Package: *\nPin: version 1\nPin-Priority: 1")
	f.Add("deb", "\n\n", "#clear A; /* */ // x", "Pin: x")
	f.Add("deb file:/a /", "A: 1\n .\n", "}\"", "")
	f.Fuzz(func(t *testing.T, list, stanzas, conf, pins string) {
		for _, files := range [][]string{
			{"etc/apt/sources.list", list}, {"etc/apt/sources.list.d/a.sources", stanzas}, {"etc/apt/apt.conf", conf}, {"etc/apt/preferences", pins},
		} {
			s, err := setup.Read(tree(files...))
			if err != nil {
				continue
			}
			for _, source := range s.Sources {
				if source.Flat() == (len(source.Components) > 0) || !strings.HasSuffix(source.URL, "/") {
					t.Errorf("%q gives the source %+v", files[1], source)
				}
			}
		}
	})
}
