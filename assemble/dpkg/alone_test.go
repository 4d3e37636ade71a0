// SPDX-License-Identifier: Apache-2.0

package dpkg_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb/debtest"
	"inlay/assemble/dpkg"
	"inlay/assemble/overlay"
	"inlay/layers"
)

// TestWithoutDpkg installs into an image that has a file for each package, as
// distroless ones do.
func TestWithoutDpkg(t *testing.T) {
	ix, err := layers.Scan(t.Context(), bytes.NewReader(debtest.Tar([]debtest.File{
		{Name: "usr/"},
		{Name: "usr/lib/"},
		{Name: "usr/lib/liba.so.1", Body: "1"},
		{Name: "usr/lib/gone", Body: "1"},
		{Name: "var/"},
		{Name: "var/lib/"},
		{Name: "var/lib/dpkg/"},
		{Name: "var/lib/dpkg/status.d/"},
		{Name: "var/lib/dpkg/status.d/liba", Body: "Package: liba\nVersion: 1\nArchitecture: all\n"},
		{Name: "var/lib/dpkg/status.d/liba.md5sums", Body: "0  usr/lib/liba.so.1\n0  usr/lib/gone\n0  not/there\n"},
	})), dpkg.Keep)
	must(t, err)
	view, err := layers.Stack(ix)
	must(t, err)
	liba := debtest.Deb{
		Name: "liba", Version: "2", Control: map[string]string{"md5sums": "1  usr/lib/liba.so.1\n", "postinst": "#!/bin/sh\nexit 1\n"},
		Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/lib/"}, {Name: "./usr/lib/liba.so.1", Body: "2"}},
	}
	libb := debtest.Deb{Name: "libb", Fields: "Depends: liba\n", Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/lib/"}, {Name: "./usr/lib/libb.so.1", Body: "1"}}}
	tree, report := installed(t, view, dpkg.Options{Scripts: dpkg.Native}, liba, libb)
	changes, err := tree.Changes()
	must(t, err)
	want := []string{
		"usr", "usr/lib", "usr/lib/gone -", "usr/lib/liba.so.1", "usr/lib/libb.so.1", "var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/status.d",
		"var/lib/dpkg/status.d/liba", "var/lib/dpkg/status.d/liba.md5sums", "var/lib/dpkg/status.d/libb",
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("the layer's paths (-want +got):\n%s", diff)
	}
	if got := content(tree, "var/lib/dpkg/status.d/liba"); !strings.HasPrefix(got, "Package: liba\nVersion: 2\n") {
		t.Errorf("status.d/liba is\n%s", got)
	}
	lines := []string{"2 packages, 0 of 1 postinst run", "liba: postinst NOT run (needs: a parent image with dpkg). The package is unpacked, not configured"}
	if diff := cmp.Diff(lines, report.Lines()); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	var unconfigured *dpkg.UnconfiguredError
	if _, err := dpkg.Install(t.Context(), overlay.New(view), made(t, liba), dpkg.Options{Scripts: dpkg.RequireAll}); !errors.As(err, &unconfigured) {
		t.Errorf("with require-all Install = %v, want an *UnconfiguredError", err)
	}
}

// TestStaysInTheTree unpacks links that lead out, and files behind them: all end
// in the image.
func TestStaysInTheTree(t *testing.T) {
	host := t.TempDir()
	tree, _ := installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.Native}, debtest.Deb{Name: "x", Files: []debtest.File{
		{Name: "." + host + "/"},
		{Name: "./usr/"},
		{Name: "./usr/lib/"},
		{Name: "./usr/lib/out", Link: "../../../../../.." + host},
		{Name: "./usr/lib/abs", Link: host},
		{Name: "./usr/lib/out/deep/"},
		{Name: "./usr/lib/out/deep/a", Body: "a"},
		{Name: "./usr/lib/abs/b", Body: "b"},
		{Name: "./usr/lib/loop", Link: "loop"},
	}})
	for name, want := range map[string]string{host + "/deep/a": "a", host + "/b": "b"} {
		if got := content(tree, name); got != want {
			t.Errorf("in the image %s is %q, want %q", name, got, want)
		}
	}
	if left, err := os.ReadDir(host); err != nil || len(left) > 0 {
		t.Errorf("on the host there is %v, %v", left, err)
	}
	into := debtest.Deb{Name: "x", Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/lib/"}, {Name: "./usr/lib/loop", Link: "loop"}, {Name: "./usr/lib/loop/a", Body: "a"}}}
	if _, err := dpkg.Install(t.Context(), overlay.New(parentImage(t)), made(t, into), dpkg.Options{}); !errors.Is(err, overlay.ErrLoop) {
		t.Errorf("Install through a link to itself = %v, want overlay.ErrLoop", err)
	}
}
