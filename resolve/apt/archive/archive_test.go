// SPDX-License-Identifier: Apache-2.0

package archive_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/archive/archivetest"
	"inlay/resolve/apt/setup"
)

// now is the time of all tests, an hour after the release.
var (
	released = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now      = released.Add(time.Hour)
)

const git = "Package: git\nVersion: 1\nArchitecture: amd64\nDescription: not kept\nDepends: libc6\nSize: 1\n"

// A site is an archive behind a server, and a client for it.
type site struct {
	t      *testing.T
	dir    string // the suite's
	url    string
	key    *archivetest.Key
	suite  archivetest.Suite
	values disk.Values
	client *archive.Client
	source setup.Source
	older  bool
	conf   setup.Conf
	mu     sync.Mutex
	asked  []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	key, err := archivetest.NewKey(released.Add(-time.Hour))
	must(t, err)
	armoured, err := key.Armoured()
	must(t, err)
	root := t.TempDir()
	s := &site{
		t: t, dir: filepath.Join(root, "dists/stable"), key: key, conf: setup.Conf{},
		suite: archivetest.Suite{
			Name: "stable", Codename: "trixie", Date: released, Head: "Architectures: amd64\nComponents: main\n",
			Indexes: map[string]string{"main/binary-amd64": git},
		},
	}
	files := http.FileServer(http.Dir(root))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.URL.Path)
		s.mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/"
	s.values = disk.Values{Dir: t.TempDir()}
	s.client = &archive.Client{Files: &fetch.Store{Dir: t.TempDir()}, Values: s.values, Jobs: 4}
	s.source = setup.Source{URL: s.url, Suite: "stable", Components: []string{"main"}, SignedBy: []string{armoured}, Where: "test.list:1"}
	s.write()
	return s
}

func (s *site) write() {
	s.t.Helper()
	must(s.t, s.suite.Write(s.dir, s.key))
}

// edit changes a file of the suite.
func (s *site) edit(name string, change func([]byte) []byte) {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	b, err := os.ReadFile(name)
	must(s.t, err)
	changed := change(bytes.Clone(b))
	if bytes.Equal(b, changed) {
		s.t.Fatalf("nothing changed in %s", name)
	}
	must(s.t, os.WriteFile(name, changed, 0o644))
}

func (s *site) load(at time.Time, sources ...setup.Source) (*archive.Result, error) {
	if len(sources) == 0 {
		sources = []setup.Source{s.source}
	}
	return s.client.Load(s.t.Context(), archive.Request{Sources: sources, Conf: s.conf, Arch: "amd64", Now: at, Older: s.older})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	s := newSite(t)
	for _, turn := range []string{"from the archive", "from the cache"} {
		got, err := s.load(now)
		must(t, err)
		if len(got.Indexes) != 1 || len(got.Notes) != 0 {
			t.Fatalf("%s: %d indexes and notes %q, want one index", turn, len(got.Indexes), got.Notes)
		}
		x := got.Indexes[0]
		var text string
		for stanza := range x.Stanzas() {
			text += string(stanza) + "\n"
		}
		want := "Package: git\nVersion: 1\nArchitecture: amd64\nSize: 1\nDepends: libc6\n"
		if diff := cmp.Diff(want, text); diff != "" {
			t.Errorf("%s: stanzas (-want +got):\n%s", turn, diff)
		}
		if x.Component != "main" || x.Release.Codename != "trixie" || !x.Release.Date.Equal(released) || x.Release.SignedBy != s.key.Fingerprint() {
			t.Errorf("%s: index of %+v, %+v", turn, x.Component, x.Release)
		}
	}
	fetched := 0
	for _, p := range s.asked {
		if strings.Contains(p, "Packages") {
			fetched++
		}
	}
	if fetched != 1 {
		t.Errorf("the index was fetched %d times, want once: %q", fetched, s.asked)
	}
}

// TestAllowed shows what is no attack.
func TestAllowed(t *testing.T) {
	valid := "Valid-Until: Fri, 02 Jan 2026 03:30:00 UTC\n"
	tests := []struct {
		name   string
		change func(s *site)
		at     time.Time
	}{
		{"an old release, if the source says so", func(s *site) { s.suite.Head += valid; s.source.CheckValidUntil = "no" }, now},
		{"an old release, if the configuration says so", func(s *site) {
			s.suite.Head += valid
			s.conf["acquire::check-valid-until"] = []string{"false"}
		}, now},
		{"a future one, if the source says so", func(s *site) { s.source.CheckDate = "no" }, released.Add(-time.Minute)},
		{"the code name of the suite", func(s *site) {
			s.suite.Name, s.suite.Codename = "oldstable", "stable"
		}, now},
		{"a fingerprint of a key that is trusted", func(s *site) { s.source.SignedBy = append(s.source.SignedBy, s.key.Fingerprint()) }, now},
		{"an older release, if it was asked for", func(s *site) {
			_, err := s.load(now)
			must(s.t, err)
			s.suite.Date = released.Add(-time.Second)
			s.older = true
		}, now},
		{"a signature in a file of its own", func(s *site) {
			must(s.t, os.Remove(filepath.Join(s.dir, "InRelease")))
		}, now},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			tt.change(s)
			if _, err := os.Stat(filepath.Join(s.dir, "InRelease")); err == nil {
				s.write()
			} else {
				signature, err := s.key.Detached(s.suite.Release())
				must(t, err)
				must(t, os.WriteFile(filepath.Join(s.dir, "Release"), []byte(s.suite.Release()), 0o644))
				must(t, os.WriteFile(filepath.Join(s.dir, "Release.gpg"), signature, 0o644))
			}
			got, err := s.load(tt.at)
			if err != nil || len(got.Indexes) != 1 {
				t.Errorf("Load = %v, %v, want one index", got, err)
			}
		})
	}
}

// TestDetachedIsChecked shows that text and signature in two files must fit.
func TestDetachedIsChecked(t *testing.T) {
	s := newSite(t)
	must(t, os.Remove(filepath.Join(s.dir, "InRelease")))
	signature, err := s.key.Detached(s.suite.Release())
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.dir, "Release"), []byte(s.suite.Release()+" \n"), 0o644))
	must(t, os.WriteFile(filepath.Join(s.dir, "Release.gpg"), signature, 0o644))
	var bad *archive.SignatureError
	if _, err := s.load(now); !errors.As(err, &bad) {
		t.Errorf("Load: %v, want a *SignatureError", err)
	}
}

func TestKeyOfAnotherFingerprint(t *testing.T) {
	s := newSite(t)
	s.source.SignedBy = append(s.source.SignedBy, strings.Repeat("A", 40))
	var bad *archive.SignatureError
	if _, err := s.load(now); !errors.As(err, &bad) || !strings.Contains(err.Error(), "which the source doesn't name") {
		t.Errorf("Load: %v, want a *SignatureError", err)
	}
}

// TestTrustedKeyrings shows which keys count for a source that names none.
func TestTrustedKeyrings(t *testing.T) {
	s := newSite(t)
	s.source.SignedBy = nil
	keyring, err := s.key.Keyring()
	must(t, err)
	for name, want := range map[string]bool{"etc/apt/trusted.gpg.d/a.gpg": true, "etc/apt/trusted.gpg": true, "usr/share/keyrings/a.gpg": false} {
		_, err := s.client.Load(t.Context(), archive.Request{
			Sources: []setup.Source{s.source}, Keyrings: map[string][]byte{name: keyring}, Arch: "amd64", Now: now,
		})
		if (err == nil) != want {
			t.Errorf("with the key in %s: %v, want it to be trusted: %v", name, err, want)
		}
	}
}

func TestOffline(t *testing.T) {
	s := newSite(t)
	s.client.Offline = true
	var offline *archive.OfflineError
	if _, err := s.load(now); !errors.As(err, &offline) {
		t.Fatalf("Load with an empty cache: %v, want an *OfflineError", err)
	}
	s.client.Offline = false
	want, err := s.load(now)
	must(t, err)
	asked := len(s.asked)
	s.client.Offline = true
	got, err := s.load(now)
	must(t, err)
	if got.Indexes[0].SHA256 != want.Indexes[0].SHA256 || len(s.asked) != asked {
		t.Errorf("offline: index %s after %d requests, want %s and none", got.Indexes[0].SHA256, len(s.asked)-asked, want.Indexes[0].SHA256)
	}
}

func TestByHash(t *testing.T) {
	s := newSite(t)
	s.suite.Head += "Acquire-By-Hash: yes\n"
	s.write()
	// Under its name there is a newer index already.
	s.edit("main/binary-amd64/Packages.gz", func(b []byte) []byte { b[4] ^= 1; return b })
	if _, err := s.load(now); err != nil {
		t.Errorf("Load: %v, want the index by its digest", err)
	}
}

// TestNotes shows that what an archive doesn't have is left out and said.
func TestNotes(t *testing.T) {
	s := newSite(t)
	s.source.Components = []string{"main", "extra", "main"}
	arm := s.source
	arm.Suite, arm.Components, arm.Arches = "stable", []string{"other"}, []string{"arm64"}
	got, err := s.load(now, s.source, arm)
	must(t, err)
	host := strings.TrimSuffix(s.url, "/")
	want := []string{host + "/ stable extra has no packages for amd64", host + "/ stable is not for amd64"}
	if diff := cmp.Diff(want, got.Notes); diff != "" || len(got.Indexes) != 1 {
		t.Errorf("%d indexes, notes (-want +got):\n%s", len(got.Indexes), diff)
	}
}

// TestFlat reads an archive without components.
func TestFlat(t *testing.T) {
	for _, suite := range []string{"/", "./", "stable/", "$(ARCH)/"} {
		s := newSite(t)
		root := filepath.Dir(filepath.Dir(s.dir))
		s.suite.Indexes = map[string]string{".": git}
		s.dir = filepath.Join(root, strings.ReplaceAll(suite, "$(ARCH)", "amd64"))
		s.write()
		s.source.Suite, s.source.Components = suite, nil
		got, err := s.load(now)
		if err != nil || len(got.Indexes) != 1 {
			t.Errorf("suite %q: %v, %v, want one index", suite, got, err)
		}
	}
}

// TestForEveryArchitecture reads the index of packages that fit every
// architecture, where an archive keeps it apart.
func TestForEveryArchitecture(t *testing.T) {
	for head, want := range map[string]int{
		"Architectures: all amd64\n": 2,
		"Architectures: amd64\n":     1,
		"Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\n": 1,
	} {
		s := newSite(t)
		s.suite.Head = head
		s.suite.Indexes["main/binary-all"] = "Package: doc\nVersion: 1\nArchitecture: all\n"
		s.write()
		got, err := s.load(now)
		must(t, err)
		if len(got.Indexes) != want {
			t.Errorf("with %q: %d indexes, want %d", head, len(got.Indexes), want)
		}
	}
}

// TestNoSecrets shows that user and password of a source are in no error, note
// or name in the cache.
func TestNoSecrets(t *testing.T) {
	s := newSite(t)
	s.source.URL = strings.Replace(s.url, "http://", "http://user:secret@", 1)
	s.source.Components = []string{"main", "none"}
	got, err := s.load(now)
	must(t, err)
	if strings.Contains(strings.Join(got.Notes, ""), "secret") {
		t.Errorf("notes %q hold the password", got.Notes)
	}
	s.edit("InRelease", func(b []byte) []byte { return append(b, 'x') })
	if _, err = s.load(now); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v, want one without the password", err)
	}
}
