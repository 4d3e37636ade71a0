// SPDX-License-Identifier: Apache-2.0

package apt_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"

	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/resolve/apt"
	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/setup"
)

const small = `
-- request --
app
-- options --
allow_remove
-- status --
Package: lib
Version: 1

Package: foe
Version: 1
-- stable --
Package: app
Version: 1
Depends: lib (>= 2), new
Conflicts: foe

Package: new
Version: 1
Architecture: all

Package: lib
Version: 2
`

// TestResolved shows all that a result says.
func TestResolved(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte(small)))
	r, err := w.resolve(t)
	must(t, err)
	x := r.Indexes[0]
	if len(r.Indexes) != 1 || !x.Date.Equal(released) || len(x.SignedBy) != 40 || len(x.InReleaseSHA256) != 64 || len(x.PackagesSHA256) != 64 {
		t.Errorf("indexes %+v", r.Indexes)
	}
	url := "file:" + w.archive + "/"
	deb := func(p apt.Package) apt.Package {
		p.Archive, p.Suite, p.Component = url, "stable", "main"
		p.Filename = "pool/" + p.Name + "_" + p.Version + "_" + p.Arch + ".deb"
		p.Size = int64(len(filepath.Base(p.Filename)))
		p.SHA256 = digest(filepath.Base(p.Filename))
		return p
	}
	want := &apt.Resolved{
		Arch: "amd64", StatusSHA256: digest(readFile(t, filepath.Join(w.dir, "var/lib/dpkg/status"))), Requested: []string{"app"},
		Solver: "apt-2.6", Indexes: r.Indexes,
		Packages: []apt.Package{
			deb(apt.Package{Name: "app", Version: "1", Arch: "amd64", Why: apt.Why{Requested: true}}),
			deb(apt.Package{Name: "lib", Version: "2", Arch: "amd64", Replaces: "1", Why: apt.Why{Package: "app", Relation: "Depends: lib (>= 2)"}}),
			deb(apt.Package{Name: "new", Version: "1", Arch: "all", Auto: true, Why: apt.Why{Package: "app", Relation: "Depends: new"}}),
		},
		Removed: []apt.Removal{{Name: "foe", Version: "1", Why: apt.Why{Package: "app", Relation: "Conflicts: foe"}}},
	}
	if diff := gocmp.Diff(want, r); diff != "" {
		t.Errorf("resolved (-want +got):\n%s", diff)
	}
	var back apt.Resolved
	b, err := json.Marshal(r)
	must(t, err)
	must(t, json.Unmarshal(b, &back))
	if diff := gocmp.Diff(*r, back); diff != "" {
		t.Errorf("through JSON (-before +after):\n%s", diff)
	}
}

// TestLock shows the form of a lock, which files keep.
func TestLock(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte(small)))
	r, err := w.resolve(t)
	must(t, err)
	b, err := yaml.Marshal(r.Lock())
	must(t, err)
	got := strings.NewReplacer(w.archive, "DIR", r.Indexes[0].SignedBy, "KEY", r.Indexes[0].InReleaseSHA256, "INRELEASE",
		r.Indexes[0].PackagesSHA256, "PACKAGES", r.StatusSHA256, "STATUS", r.Packages[0].SHA256, "APP", r.Packages[1].SHA256, "LIB", r.Packages[2].SHA256, "NEW").Replace(string(b))
	want := `version: 1
arch: amd64
parent_status_sha256: STATUS
requested:
    - app
recommends: false
solver: apt-2.6
sources:
    - archive: file:DIR/
      suite: stable
      component: main
      date: 2026-01-02T03:04:05Z
      inrelease_sha256: INRELEASE
      packages_sha256: PACKAGES
      signed_by: KEY
packages:
    - name: app
      version: "1"
      arch: amd64
      size: 15
      sha256: APP
      filename: pool/app_1_amd64.deb
      source: 0
      auto: false
    - name: new
      version: "1"
      arch: all
      size: 13
      sha256: NEW
      filename: pool/new_1_all.deb
      source: 0
      auto: true
upgrades:
    - name: lib
      version: "2"
      arch: amd64
      size: 15
      sha256: LIB
      filename: pool/lib_2_amd64.deb
      source: 0
      auto: false
      replaces: "1"
removes:
    - name: foe
      version: "1"
`
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("lock (-want +got):\n%s", diff)
	}
}

// TestTamperedDeb shows that a .deb file is what the index says or nothing.
func TestTamperedDeb(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte(small)))
	r, err := w.resolve(t)
	must(t, err)
	p := r.Packages[0]
	name := filepath.Join(w.archive, p.Filename)
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	for content, good := range map[string]bool{"app_1_amd64.deb": true, "app_1_amd64.dec": false, "app_1_amd64.deb ": false} {
		must(t, os.WriteFile(name, []byte(content), 0o644))
		f, err := (&fetch.Store{Dir: t.TempDir()}).Open(t.Context(), p.File())
		var mismatch *fetch.MismatchError
		switch {
		case good && err != nil:
			t.Errorf("a good file: %v", err)
		case good:
			must(t, f.Close())
		case !errors.As(err, &mismatch):
			t.Errorf("the file %q: %v, want a *MismatchError", content, err)
		}
	}
}

// TestSystem shows that one answer doesn't change the next.
func TestSystem(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte(small)))
	resolver := &apt.Resolver{Archives: &archive.Client{Files: &fetch.Store{Dir: t.TempDir()}, Values: disk.Values{Dir: t.TempDir()}}}
	s, err := resolver.Open(t.Context(), w.request)
	must(t, err)
	first, err := s.Resolve([]string{"app"})
	must(t, err)
	if _, err := s.Resolve([]string{"lib=1"}); err != nil {
		t.Error(err)
	}
	if _, err := s.Resolve([]string{"none"}); err == nil {
		t.Error("found a package that isn't there")
	}
	again, err := s.Resolve([]string{"app"})
	must(t, err)
	if diff := gocmp.Diff(first, again); diff != "" {
		t.Errorf("the same request again (-first +second):\n%s", diff)
	}
}

// TestStatusDir reads a parent without dpkg.
func TestStatusDir(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte("-- request --\napp\n-- stable --\nPackage: app\nVersion: 1\nDepends: lib\n\nPackage: lib\nVersion: 1\n")))
	w.put(t, "var/lib/dpkg/status.d/lib", "Package: lib\nVersion: 1\nArchitecture: amd64\n")
	w.put(t, "var/lib/dpkg/status.d/lib.md5sums", "no stanza")
	r, err := w.resolve(t)
	must(t, err)
	if len(r.Packages) != 1 || !r.StatusDir {
		t.Errorf("resolved %+v, want app alone, in a parent of single files", r)
	}
}

// TestSourcesOfSettings shows that sources and keys can be given from outside,
// and that a mirror takes the place of the parent's archive only.
func TestSourcesOfSettings(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte("-- request --\napp\n-- stable --\nPackage: app\nVersion: 1\n")))
	keyring := readFile(t, filepath.Join(w.dir, "etc/apt/archive.gpg"))
	must(t, os.Remove(filepath.Join(w.dir, "etc/apt/sources.list")))
	must(t, os.Remove(filepath.Join(w.dir, "etc/apt/archive.gpg")))
	var missing *apt.NotFoundError
	if _, err := w.resolve(t); !errors.As(err, &missing) || !strings.Contains(err.Error(), "there are no sources") {
		t.Errorf("without sources: %v", err)
	}
	w.request.Sources = []setup.Source{{URL: "file:" + w.archive + "/", Suite: "stable", Components: []string{"main"}, SignedBy: []string{"/given.gpg"}, Where: "sources[0]"}}
	w.request.Keyrings = map[string][]byte{"given.gpg": []byte(keyring)}
	if r, err := w.resolve(t); err != nil || len(r.Packages) != 1 {
		t.Errorf("with a source of the settings: %+v, %v", r, err)
	}
	w.put(t, "etc/apt/sources.list", "deb [signed-by=/given.gpg] http://gone.invalid/debian stable main\n")
	w.request.Sources = nil
	w.request.Mirror = "file:" + w.archive
	if r, err := w.resolve(t); err != nil || len(r.Packages) != 1 {
		t.Errorf("with a mirror: %+v, %v", r, err)
	}
}

func TestReads(t *testing.T) {
	for name, want := range map[string]bool{
		"var/lib/dpkg/status": true, "var/lib/dpkg/status-old": false, "var/lib/dpkg/status.d/libc6": true, "var/lib/dpkg/status.d/libc6.md5sums": false,
		"etc/apt/sources.list": true, "etc/apt/sources.list.d/debian.sources": true, "etc/apt/apt.conf.d/docker-clean": true,
		"etc/apt/preferences.d/x": true, "etc/apt/trusted.gpg.d/a.asc": true, "usr/share/keyrings/debian-archive-keyring.gpg": true,
		"usr/share/keyrings/sub/a.gpg": false, "etc/passwd": false, "etc/apt/listchanges.conf": false,
	} {
		if got := apt.Reads(name); got != want {
			t.Errorf("Reads(%q) = %v, want %v", name, got, want)
		}
	}
}

// TestCancelled shows that a request that is cancelled ends.
func TestCancelled(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte(small)))
	w.put(t, "etc/apt/sources.list", "deb [signed-by=/etc/apt/archive.gpg] http://127.0.0.1:1/ stable main\n")
	resolver := &apt.Resolver{Archives: &archive.Client{Files: &fetch.Store{Dir: t.TempDir()}, Values: disk.Values{Dir: t.TempDir()}}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := resolver.Open(ctx, w.request); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want %v", err, context.Canceled)
	}
}

func digest(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return string(b)
}
