// SPDX-License-Identifier: Apache-2.0

package dpkg_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb/debtest"
	"inlay/assemble/dpkg"
	"inlay/assemble/overlay"
)

// leaving is a parent with packages to remove: top needs old, which has a
// configuration file and scripts; plain has neither.
func leaving() []debtest.File {
	const log = "echo \"$DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME $*\" >>/etc/log\n"
	return []debtest.File{
		{Name: "var/lib/dpkg/status", Body: "Package: old\nEssential: no\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nConffiles:\n /etc/old.conf " +
			"1bb4e2a2b1cb4a35b7f1d07ec9d7c1f4\nDescription: one that was there\n\n" +
			"Package: plain\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nDescription: plain\n\n" +
			"Package: stays\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nDescription: stays\n\n" +
			"Package: top\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nDepends: old\nDescription: top\n\n"},
		{Name: "var/lib/dpkg/info/old.prerm", Body: "#!/bin/sh\nset -e\ntest -e /usr/bin/old\n" + log, Mode: 0o755},
		{Name: "var/lib/dpkg/info/old.postrm", Body: "#!/bin/sh\nset -e\n! test -e /usr/bin/old\n" + log, Mode: 0o755},
		{Name: "var/lib/dpkg/info/old.md5sums", Body: "x\n"},
		{Name: "var/lib/dpkg/info/old.triggers", Body: "interest-noawait /usr/x\n"},
		{Name: "var/lib/dpkg/triggers/File", Body: "/usr/share stays/noawait\n/usr/x old/noawait\n"},
		{Name: "var/lib/dpkg/info/plain.list", Body: "/.\n/usr\n/usr/share\n/usr/share/both\n/usr/share/plain\n/usr/share/plain/a\n/usr/share/filled\n/usr/lib/link\n"},
		{Name: "var/lib/dpkg/info/plain.md5sums", Body: "x\n"},
		{Name: "var/lib/dpkg/info/stays.list", Body: "/.\n/usr\n/usr/share\n/usr/share/both\n/etc\n"},
		{Name: "var/lib/dpkg/info/stays.postinst", Body: "#!/bin/sh\n" + log, Mode: 0o755},
		{Name: "var/lib/dpkg/info/top.list", Body: "/.\n/usr\n/usr/bin\n/usr/bin/top\n"},
		{Name: "var/lib/dpkg/info/top.prerm", Body: "#!/bin/sh\n" + log, Mode: 0o755},
		{Name: "usr/bin/top", Body: "top"},
		{Name: "usr/share/"},
		{Name: "usr/share/both/"},
		{Name: "usr/share/plain/"},
		{Name: "usr/share/plain/a", Body: "a"},
		{Name: "usr/share/filled/"},
		{Name: "usr/share/filled/by", Body: "somebody else"},
		{Name: "usr/lib/link", Link: "../share"},
	}
}

// TestRemove removes packages as dpkg --remove does.
func TestRemove(t *testing.T) {
	tree, report := installed(t, parentImage(t, leaving()...), dpkg.Options{Scripts: dpkg.Native, Remove: []string{"old", "plain", "top"}},
		debtest.Deb{Name: "new", Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/bin/"}, {Name: "./usr/bin/old", Body: "new"}}})
	changes, err := tree.Changes()
	must(t, err)
	var gone []string
	for _, c := range changes {
		if name, ok := strings.CutSuffix(c, " -"); ok {
			gone = append(gone, name)
		}
	}
	want := []string{
		"usr/bin/gone", "usr/bin/top", "usr/gone", "usr/lib/link", "usr/share/plain",
		"var/lib/dpkg/info/old.md5sums", "var/lib/dpkg/info/old.prerm", "var/lib/dpkg/info/old.triggers",
		"var/lib/dpkg/info/plain.list", "var/lib/dpkg/info/plain.md5sums", "var/lib/dpkg/info/top.list", "var/lib/dpkg/info/top.prerm",
	}
	if diff := cmp.Diff(want, gone); diff != "" {
		t.Errorf("what the layer removes (-want +got):\n%s", diff)
	}
	for file, want := range map[string]string{
		"etc/log":                    "top prerm remove\nold prerm remove\nold postrm remove\nstays postinst triggered /usr/share\n",
		"etc/old.conf":               "changed\n",
		"usr/bin/old":                "new",
		"var/lib/dpkg/info/old.list": "/etc\n/etc/old.conf\n/usr\n/usr/bin\n", // others are in it, but none that is of a package
		"var/lib/dpkg/triggers/File": "/usr/share stays/noawait\n",
	} {
		if got := content(tree, file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	status := content(tree, "var/lib/dpkg/status")
	if !strings.Contains(status, "Package: old\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\nConfig-Version: 1\nConffiles:\n /etc/old.conf ") ||
		strings.Contains(status, "Package: plain\n") || strings.Contains(status, "Package: top\n") || !strings.Contains(status, "Package: stays\nStatus: install ok installed\n") {
		t.Errorf("status is\n%s", status)
	}
	if got := report.Lines()[0]; got != "1 packages, 0 of 0 postinst run, removed: old, plain, top" {
		t.Errorf("the report begins with %q", got)
	}
}

// TestRemoveWithoutScript removes a package one of whose scripts can't be run, and
// says so.
func TestRemoveWithoutScript(t *testing.T) {
	files := append(leaving(), debtest.File{Name: "var/lib/dpkg/info/old.prerm", Body: "#!/usr/bin/perl\n", Mode: 0o755})
	tree, report := installed(t, parentImage(t, files...), dpkg.Options{Scripts: dpkg.Native, Remove: []string{"top", "old"}})
	if tree.Exists("/usr/bin/old") {
		t.Error("the package is still there")
	}
	const want = "old: prerm NOT run (needs: /usr/bin/perl). The package is removed, what the script would have undone is not"
	if !slices.Contains(report.Lines(), want) {
		t.Errorf("the report is %q, want among others %q", report.Lines(), want)
	}
	_, err := dpkg.Install(t.Context(), overlay.New(parentImage(t, files...)), nil, dpkg.Options{Scripts: dpkg.RequireAll, Remove: []string{"top", "old"}})
	if unconfigured := (*dpkg.UnconfiguredError)(nil); !errors.As(err, &unconfigured) || unconfigured.Script != "prerm" {
		t.Errorf("Install where all scripts have to run = %v, want an *UnconfiguredError", err)
	}
	_, err = dpkg.Install(t.Context(), overlay.New(parentImage(t)), nil, dpkg.Options{Remove: []string{"absent"}})
	if absent := (*dpkg.AbsentError)(nil); !errors.As(err, &absent) {
		t.Errorf("Install that removes what isn't there = %v, want an *AbsentError", err)
	}
}

// TestCleanPython runs the prerm of packages with modules of Python.
func TestCleanPython(t *testing.T) {
	const dir = "usr/lib/python3/dist-packages/"
	files := append(leaving(),
		debtest.File{Name: "var/lib/dpkg/info/top.prerm", Body: "#!/bin/sh\nset -e\npy3clean -p top\n", Mode: 0o755},
		debtest.File{Name: "var/lib/dpkg/info/top.list", Body: "/.\n/" + dir + "top.py\n"},
		debtest.File{Name: "usr/bin/py3clean", Body: "#! /usr/bin/python3\n", Mode: 0o755},
		debtest.File{Name: "usr/lib/python3/"}, debtest.File{Name: dir}, debtest.File{Name: dir + "__pycache__/"},
		debtest.File{Name: dir + "top.py"}, debtest.File{Name: dir + "__pycache__/top.cpython-311.pyc", Body: "x"},
		debtest.File{Name: dir + "__pycache__/topmost.cpython-311.pyc", Body: "x"})
	tree, report := installed(t, parentImage(t, files...), dpkg.Options{Scripts: dpkg.Native, Remove: []string{"top"}})
	if tree.Exists(dir+"__pycache__/top.cpython-311.pyc") || !tree.Exists(dir+"__pycache__/topmost.cpython-311.pyc") {
		t.Errorf("py3clean left what it had to remove, or removed more: %q", report.Lines())
	}
}
