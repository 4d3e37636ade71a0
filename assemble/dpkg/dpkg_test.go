// SPDX-License-Identifier: Apache-2.0

package dpkg_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb"
	"inlay/assemble/deb/debtest"
	"inlay/assemble/dpkg"
	"inlay/assemble/overlay"
	"inlay/layers"
)

// parentImage is a small merged system with a shell and dpkg, and files more.
func parentImage(t *testing.T, more ...debtest.File) *layers.View {
	t.Helper()
	files := []debtest.File{
		{Name: "usr/"},
		{Name: "usr/bin/"},
		{Name: "usr/lib/"},
		{Name: "bin", Link: "usr/bin"},
		{Name: "lib", Link: "usr/lib"},
		{Name: "etc/"},
		{Name: "etc/dpkg/"},
		{Name: "var/"},
		{Name: "var/lib/"},
		{Name: "var/lib/dpkg/"},
		{Name: "var/lib/dpkg/info/"},
		{Name: "var/lib/dpkg/triggers/"},
		{Name: "tmp/", Mode: 0o777},
		{Name: "etc/passwd", Body: "root:x:0:0::/:/bin/sh\nmail:x:8:8::/:\n"},
		{Name: "etc/group", Body: "root:x:0:\nmail:x:12:\n"},
		{Name: "var/lib/dpkg/status", Body: "Package: old\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nConffiles:\n /etc/old.conf " +
			"1bb4e2a2b1cb4a35b7f1d07ec9d7c1f4\nDescription: one that was there\n\n"},
		{Name: "var/lib/dpkg/info/old.list", Body: "/.\n/etc\n/etc/old.conf\n/usr\n/usr/bin\n/usr/bin/old\n/usr/bin/gone\n/usr/gone\n/usr/gone/deep\n"},
		{Name: "etc/old.conf", Body: "changed\n"},
		{Name: "usr/bin/old", Body: "old"},
		{Name: "usr/bin/gone", Body: "x"},
		{Name: "usr/gone/"},
		{Name: "usr/gone/deep", Body: "x"},
	}
	for _, name := range []string{"rm", "mkdir", "ln", "cat", "chmod", "update-alternatives", "dpkg-divert", "dpkg-statoverride", "dpkg-trigger", "dpkg"} {
		files = append(files, debtest.File{Name: "usr/bin/" + name, Body: "\x7fELF", Mode: 0o755})
	}
	ix, err := layers.Scan(t.Context(), bytes.NewReader(debtest.Tar(append(files, more...))), dpkg.Keep)
	must(t, err)
	view, err := layers.Stack(ix)
	must(t, err)
	return view
}

// made turns packages of debtest into some to install.
func made(t *testing.T, debs ...debtest.Deb) []dpkg.Package {
	t.Helper()
	store := deb.NewStore(t.TempDir(), 2)
	var out []dpkg.Package
	for _, d := range debs {
		b := d.Bytes()
		name := filepath.Join(t.TempDir(), "x.deb")
		must(t, os.WriteFile(name, b, 0o600))
		sum := sha256.Sum256(b)
		p, err := store.Package(t.Context(), d.Name, hex.EncodeToString(sum[:]), func(context.Context) (*os.File, error) { return os.Open(name) })
		must(t, err)
		version, arch := d.Version, d.Arch
		if version == "" {
			version = "1"
		}
		if arch == "" {
			arch = "all"
		}
		out = append(out, dpkg.Package{Name: d.Name, Version: version, Arch: arch, Deb: p})
	}
	return out
}

// installed installs packages on a small parent.
func installed(t *testing.T, view *layers.View, o dpkg.Options, debs ...debtest.Deb) (*overlay.Tree, *dpkg.Report) {
	t.Helper()
	tree := overlay.New(view)
	report, err := dpkg.Install(t.Context(), tree, made(t, debs...), o)
	must(t, err)
	return tree, report
}

// content returns a file's content, or what is wrong.
func content(tree *overlay.Tree, name string) string {
	b, err := tree.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestUnpackRules(t *testing.T) {
	view := parentImage(t, debtest.File{Name: "etc/dpkg/dpkg.cfg", Body: "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n"},
		debtest.File{Name: "var/lib/dpkg/diversions", Body: "/usr/bin/tool\n/usr/bin/tool.other\nvim\n"},
		debtest.File{Name: "var/lib/dpkg/statoverride", Body: "mail root 2711 /usr/bin/owned\n"})
	tree, _ := installed(t, view, dpkg.Options{Scripts: dpkg.Native}, debtest.Deb{
		Name: "x", Control: map[string]string{"conffiles": "/etc/x.conf\n", "md5sums": "0  usr/bin/x\n"},
		Files: []debtest.File{
			{Name: "./"},
			{Name: "./bin/"},
			{Name: "./bin/x", Body: "x", Mode: 0o755, Owner: "mail", Group: "mail"},
			{Name: "./bin/y", Hard: "./bin/x"},
			{Name: "./etc/"},
			{Name: "./etc/x.conf", Body: "conf\n"},
			{Name: "./tmp/", Mode: 0o700},
			{Name: "./usr/"},
			{Name: "./usr/bin/"},
			{Name: "./usr/bin/tool", Body: "tool"},
			{Name: "./usr/bin/owned", Body: "o"},
			{Name: "./usr/share/"},
			{Name: "./usr/share/doc/"},
			{Name: "./usr/share/doc/x/"},
			{Name: "./usr/share/doc/x/copyright", Body: "c"},
			{Name: "./usr/share/doc/x/changelog", Body: "c"},
			{Name: "./usr/share/x", Hard: "./usr/share/doc/x/changelog"},
		},
	})
	changes, err := tree.Changes()
	must(t, err)
	want := []string{
		"etc", "etc/x.conf", "usr", "usr/bin", "usr/bin/owned", "usr/bin/tool.other", "usr/bin/x", "usr/bin/y", "usr/share", "usr/share/doc",
		"usr/share/doc/x", "usr/share/doc/x/copyright", "usr/share/x", "var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/info",
		"var/lib/dpkg/info/x.conffiles", "var/lib/dpkg/info/x.list", "var/lib/dpkg/info/x.md5sums", "var/lib/dpkg/status",
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("the layer's paths (-want +got):\n%s", diff)
	}
	if f, err := tree.Stat("/usr/bin/x"); err != nil || f.UID != 8 || f.GID != 12 || f.Time != 1_000_000_000 {
		t.Errorf("/usr/bin/x is %+v, %v; want the owner by name and the package's time", f, err)
	}
	if f, err := tree.Stat("/usr/bin/owned"); err != nil || f.UID != 8 || f.Mode != 0o711|fs.ModeSetgid {
		t.Errorf("/usr/bin/owned is %+v, %v; want what the override says", f, err)
	}
	if f, _ := tree.Stat("/tmp"); f.Mode.Perm() != 0o777 {
		t.Errorf("/tmp has the mode %v, want that of the parent", f.Mode)
	}
	list := "/.\n/bin\n/bin/x\n/bin/y\n/etc\n/etc/x.conf\n/tmp\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/bin/owned\n/usr/share\n/usr/share/doc\n/usr/share/doc/x\n" +
		"/usr/share/doc/x/copyright\n/usr/share/doc/x/changelog\n/usr/share/x\n"
	if diff := cmp.Diff(list, content(tree, "var/lib/dpkg/info/x.list")); diff != "" {
		t.Errorf("x.list (-want +got):\n%s", diff)
	}
	status := "Package: x\nStatus: install ok installed\nInstalled-Size: 10\nMaintainer: Nobody <nobody@example.org>\nArchitecture: all\nVersion: 1\n" +
		"Conffiles:\n /etc/x.conf 5aa40c9ae9a7a2bdd41fbe15bbfc8bce\nDescription: made for a test\n\n"
	if got := content(tree, "var/lib/dpkg/status"); !strings.HasSuffix(got, "\n\n"+regexpConf(status, got)) || !strings.HasPrefix(got, "Package: old\n") {
		t.Errorf("status is\n%s\nwant it to end in\n%s", got, status)
	}
}

// regexpConf puts the sum that got has into want: what md5sum says is not this
// test's matter.
func regexpConf(want, got string) string {
	const at = "/etc/x.conf "
	i, j := strings.Index(want, at)+len(at), strings.Index(got, at)+len(at)
	if j < len(at) || len(got) < j+32 {
		return want
	}
	return want[:i] + got[j:j+32] + want[i+32:]
}

func TestUpgrade(t *testing.T) {
	tree, report := installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.Native}, debtest.Deb{
		Name: "old", Version: "2", Control: map[string]string{"conffiles": "/etc/old.conf\n"},
		Files: []debtest.File{{Name: "./"}, {Name: "./etc/"}, {Name: "./etc/old.conf", Body: "new\n"}, {Name: "./usr/"}, {Name: "./usr/bin/"}, {Name: "./usr/bin/old", Body: "new"}},
	})
	changes, err := tree.Changes()
	must(t, err)
	for _, want := range []string{"usr/bin/gone -", "usr/gone -", "usr/bin/old", "etc/old.conf.dpkg-dist"} {
		if !slices.Contains(changes, want) {
			t.Errorf("the layer's paths %q lack %q", changes, want)
		}
	}
	if got := content(tree, "etc/old.conf"); got != "changed\n" {
		t.Errorf("a conffile that was changed is %q now", got)
	}
	if lines := strings.Join(report.Lines(), "\n"); !strings.Contains(lines, "/etc/old.conf was changed in the parent image and stays so") {
		t.Errorf("the report does not tell of the conffile:\n%s", lines)
	}
	if got := content(tree, "var/lib/dpkg/status"); strings.Count(got, "Package: old\n") != 1 || !strings.Contains(got, "Version: 2\n") {
		t.Errorf("status is\n%s", got)
	}
}

func TestReplaces(t *testing.T) {
	file := []debtest.File{{Name: "./usr/"}, {Name: "./usr/bin/"}, {Name: "./usr/bin/gone", Body: "mine"}}
	tree, _ := installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.Native}, debtest.Deb{Name: "x", Fields: "Replaces: old (<< 2)\n", Files: file})
	if got := content(tree, "usr/bin/gone"); got != "mine" {
		t.Errorf("the file is %q", got)
	}
	if got := content(tree, "var/lib/dpkg/info/old.list"); strings.Contains(got, "/usr/bin/gone\n") {
		t.Errorf("the loser still has it:\n%s", got)
	}
	_, err := dpkg.Install(t.Context(), overlay.New(parentImage(t)), made(t, debtest.Deb{Name: "x", Files: file}), dpkg.Options{Scripts: dpkg.Native})
	var collision *dpkg.CollisionError
	if !errors.As(err, &collision) || collision.Path != "/usr/bin/gone" || collision.Owner != "old" {
		t.Errorf("Install without Replaces = %v, want a *CollisionError", err)
	}
}

func TestScripts(t *testing.T) {
	tree, report := installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.Native},
		debtest.Deb{Name: "good", Control: map[string]string{
			"preinst":  "#!/bin/sh\nset -e\necho \"$1 $# $DPKG_MAINTSCRIPT_PACKAGE\" >/etc/good\n",
			"postinst": "#!/bin/sh\nset -e\necho \"$1 [$2] $#\" >>/etc/good\nupdate-alternatives --install /usr/bin/ed ed /usr/bin/good 10\ndpkg-trigger wake\n",
		}, Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/bin/"}, {Name: "./usr/bin/good", Body: "x"}}},
		debtest.Deb{Name: "bad", Control: map[string]string{"postinst": "#!/bin/sh\nrm -rf /etc\ncat /usr/bin/cat >/dev/null || rm -r /usr\n"}},
		debtest.Deb{Name: "failing", Control: map[string]string{"postinst": "#!/bin/sh\nrm /etc/passwd\necho no >&2\nexit 1\n"}},
		debtest.Deb{Name: "perl", Control: map[string]string{"postinst": "#!/usr/bin/perl\n"}},
		debtest.Deb{Name: "waiting", Control: map[string]string{
			"triggers": "interest-noawait wake\ninterest-noawait /usr/bin\n",
			"postinst": "#!/bin/sh\n[ \"$1\" = triggered ] && echo $2 >/etc/woken\nexit 0\n",
		}})
	if got := content(tree, "etc/good"); got != "install 1 good\nconfigure [] 2\n" {
		t.Errorf("the scripts left %q", got)
	}
	if f, err := tree.Lstat("/etc/alternatives/ed"); err != nil || f.Link != "/usr/bin/good" {
		t.Errorf("the alternative is %+v, %v", f, err)
	}
	if got := content(tree, "etc/woken"); got != "wake\n" {
		t.Errorf("the trigger left %q", got)
	}
	if got := content(tree, "var/lib/dpkg/triggers/File"); got != "/usr/bin waiting/noawait\n" {
		t.Errorf("triggers/File is %q", got)
	}
	if !tree.Exists("/etc/passwd") {
		t.Error("what a script did that was not run to its end is still done")
	}
	want := []string{
		"5 packages, 2 of 5 postinst run",
		"bad: postinst NOT run (needs: the content of the parent's /usr/bin/cat is not at hand). The package is unpacked, not configured",
		"failing: postinst NOT run (needs: it fails with exit status 1: no). The package is unpacked, not configured",
		"perl: postinst NOT run (needs: /usr/bin/perl). The package is unpacked, not configured",
	}
	if diff := cmp.Diff(want, report.Lines()); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	status := content(tree, "var/lib/dpkg/status")
	if n := strings.Count(status, "Status: install ok unpacked\n"); n != 3 {
		t.Errorf("%d packages are unpacked, want 3:\n%s", n, status)
	}
}

func TestPolicies(t *testing.T) {
	bad := debtest.Deb{Name: "bad", Control: map[string]string{"postinst": "#!/bin/sh\nunheard-of\n"}, Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/bin/"}, {Name: "./usr/bin/unheard-of", Body: "\x7fELF", Mode: 0o755}}}
	_, err := dpkg.Install(t.Context(), overlay.New(parentImage(t)), made(t, bad), dpkg.Options{Scripts: dpkg.RequireAll})
	var unconfigured *dpkg.UnconfiguredError
	if !errors.As(err, &unconfigured) || unconfigured.Package != "bad" || unconfigured.Needs != "unheard-of" {
		t.Errorf("with require-all Install = %v, want an *UnconfiguredError", err)
	}
	tree, _ := installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.None}, bad, debtest.Deb{Name: "plain"})
	if got := content(tree, "var/lib/dpkg/status"); !strings.Contains(got, "Package: bad\nStatus: install ok unpacked\n") || !strings.Contains(got, "Package: plain\nStatus: install ok installed\n") {
		t.Errorf("with none status is\n%s", got)
	}
	tree, _ = installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.Native, Unconfigured: []string{"bad"}}, bad)
	if got := content(tree, "var/lib/dpkg/status"); !strings.Contains(got, "Package: bad\nStatus: install ok installed\n") {
		t.Errorf("accepted unconfigured status is\n%s", got)
	}
}

// TestBootstrap installs into nothing.
func TestBootstrap(t *testing.T) {
	tree, _ := installed(t, nil, dpkg.Options{Scripts: dpkg.Native},
		debtest.Deb{Name: "dpkg", Arch: "amd64", Files: []debtest.File{{Name: "./bin/"}, {Name: "./bin/dpkg", Body: "x"}}},
		debtest.Deb{Name: "libc6", Arch: "amd64", Files: []debtest.File{{Name: "./lib64/"}, {Name: "./lib64/ld.so", Body: "x"}}})
	for _, name := range []string{"usr/bin/dpkg", "usr/lib64/ld.so", "var/lib/dpkg/info/dpkg.list", "var/lib/dpkg/info/format"} {
		if f, err := tree.Lstat(name); err != nil || !f.Mode.IsRegular() {
			t.Errorf("%s: %v, %v", name, f.Mode, err)
		}
	}
	_, err := dpkg.Install(t.Context(), overlay.New(nil), made(t, debtest.Deb{Name: "x"}), dpkg.Options{})
	if err == nil {
		t.Error("Install into nothing of packages without dpkg succeeded")
	}
}

func TestRefuses(t *testing.T) {
	mismatch := made(t, debtest.Deb{Name: "x"})
	mismatch[0].Version = "2"
	_, err := dpkg.Install(t.Context(), overlay.New(parentImage(t)), mismatch, dpkg.Options{})
	var bad *deb.FormatError
	if !errors.As(err, &bad) {
		t.Errorf("Install of a package that is another = %v, want a *FormatError", err)
	}
	half := parentImage(t, debtest.File{Name: "var/lib/dpkg/status", Body: "Package: half\nStatus: install ok half-configured\nVersion: 1\nArchitecture: all\n"})
	var state *dpkg.StateError
	if _, err := dpkg.Install(t.Context(), overlay.New(half), nil, dpkg.Options{}); !errors.As(err, &state) {
		t.Errorf("Install on a parent that was left half done = %v, want a *StateError", err)
	}
}

// TestSameLayer writes equal layers, whatever the order of the packages.
func TestSameLayer(t *testing.T) {
	debs := []debtest.Deb{
		{Name: "a", Fields: "Depends: b\n", Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/a", Body: "a"}}},
		{Name: "b", Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/b", Body: "b"}}},
	}
	write := func() layers.Summary {
		tree, _ := installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.Native}, debs...)
		w := layers.NewWriter(&bytes.Buffer{}, layers.Options{})
		must(t, tree.Write(t.Context(), w))
		s, err := w.Close()
		must(t, err)
		return s
	}
	first := write()
	slices.Reverse(debs)
	if second := write(); first != second {
		t.Errorf("the layer is %v, and %v with the packages in another order", first, second)
	}
}
