// SPDX-License-Identifier: Apache-2.0

package lock_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/lock"
)

func withPackages() lock.Image {
	im := amd64()
	im.Packages = &lock.Packages{
		Requested: []string{"git", "curl=7.88"}, Recommends: true, AllowRemove: true,
		Sources: []lock.Source{{Archive: "http://deb.example.com/debian/", Suite: "bookworm", Component: "main", Date: "2026-01-02T03:04:05Z", InRelease: sum, SignedBy: "AB"}},
		Debs: []lock.Deb{
			{Name: "git", Version: "1:2.39.5-0+deb12u3", Arch: "amd64", URL: "http://deb.example.com/debian/pool/git.deb", SHA256: sum, Size: 7, Replaces: "1:2.39.2"},
			{Name: "libstdc++6", Version: "12~1", Arch: "amd64", URL: "file:///srv/pool/libstdc++6.deb", SHA256: sum, Size: 8, Auto: true},
		},
		Gone: []lock.Gone{{Name: "wget", Version: "1.21-1"}},
	}
	return im
}

// Packages are written and read as they are.
func TestPackages(t *testing.T) {
	want := &lock.File{Version: 1, Images: []lock.Image{withPackages()}}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := lock.Decode("inlay.lock", strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Decode of what Encode wrote (-want +got):\n%s", diff)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"name: git", "name: Git", `"Git" is not the name of a package`},
		{"name: libstdc++6", "name: git", "a second package git"},
		{"version: 1:2.39.5-0+deb12u3", "version: ../1", `"../1" is not a version`},
		{"name: wget", "name: git", "a second package git"},
		{"version: 1.21-1", "version: ../1", `"../1" is not a version`},
		{"arch: amd64", "arch: a/b", `"a/b" is not an architecture`},
		{"size: 8", "size: 0", "a size below 1"},
		{"http://deb.example.com/debian/pool", "http://u:p@deb.example.com/debian/pool", "a URL with credentials"},
		{"file:///srv", "ftp://srv", "want an http, https or file URL"},
		{"sha256: " + sum + "\n          size: 8", "sha256: short\n          size: 8", `"short" is not a sha256`},
	} {
		text := strings.Replace(string(b), tt.old, tt.new, 1)
		if _, err := lock.Decode("inlay.lock", strings.NewReader(text)); text == string(b) || err == nil || !strings.HasSuffix(err.Error(), ": "+tt.want) {
			t.Errorf("Decode with %q = %v, want %s", tt.new, err, tt.want)
		}
	}
}

func TestChangesOfPackages(t *testing.T) {
	tests := []struct {
		edit func(*lock.Image)
		want []string
	}{
		{func(*lock.Image) {}, nil},
		{func(im *lock.Image) { im.Packages.Debs, im.Packages.Sources = nil, nil }, nil},
		{func(im *lock.Image) { im.Packages.Requested = []string{"git"} }, []string{"apt_packages: curl=7.88 removed"}},
		{func(im *lock.Image) { im.Packages.Recommends = false }, []string{"`apt.recommends`"}},
		{func(im *lock.Image) { im.Packages.AllowRemove = false }, []string{"`apt.allow_remove`"}},
		{func(im *lock.Image) { im.Packages = nil }, []string{"apt_packages: git removed", "apt_packages: curl=7.88 removed"}},
	}
	for _, tt := range tests {
		was, now := withPackages(), withPackages()
		tt.edit(&now)
		if diff := cmp.Diff(tt.want, was.Changes(&now)); diff != "" {
			t.Errorf("Changes (-want +got):\n%s", diff)
		}
	}
}
