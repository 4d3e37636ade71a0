// SPDX-License-Identifier: Apache-2.0

package dpkg_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb/debtest"
	"inlay/assemble/dpkg"
	"inlay/layers"
)

// later are packages of which dpkg has to configure some: one whose script calls
// what nobody knows, one that depends on it, one that makes a cache of programs.
var later = []debtest.Deb{
	{
		Name: "odd", Control: map[string]string{"postinst": "#!/bin/sh\nset -e\nrm /etc/passwd\nunheard-of\n", "conffiles": "/etc/odd.conf\n"},
		Files: []debtest.File{{Name: "./etc/"}, {Name: "./etc/odd.conf", Body: "odd\n"}, {Name: "./usr/"}, {Name: "./usr/bin/"}, {Name: "./usr/bin/unheard-of", Body: "\x7fELF", Mode: 0o755}},
	},
	{Name: "upon", Fields: "Depends: odd\n", Control: map[string]string{"postinst": "#!/bin/sh\nrm -r /usr\n"}},
	{Name: "plain", Control: map[string]string{"postinst": "#!/bin/sh\nln -s x /etc/plain\n"}},
	{
		Name: "schemas", Control: map[string]string{"postinst": "#!/bin/sh\n[ \"$1\" != triggered ] || glib-compile-schemas x\n", "triggers": "interest-noawait /etc/plain.d\n"},
		Files: []debtest.File{{Name: "./usr/"}, {Name: "./usr/bin/"}, {Name: "./usr/bin/glib-compile-schemas", Body: "\x7fELF", Mode: 0o755}},
	},
	{Name: "zz", Files: []debtest.File{{Name: "./etc/"}, {Name: "./etc/plain.d/"}, {Name: "./etc/plain.d/x", Body: "x"}}},
	{Name: "accepted", Control: map[string]string{"postinst": "#!/bin/sh\nunheard-of\n"}},
	{Name: "old", Version: "2", Control: map[string]string{"postinst": "#!/bin/sh\nunheard-of\n"}},
	{Name: "early", Control: map[string]string{"preinst": "#!/bin/sh\nunheard-of\n"}},
}

// TestSandbox leaves to dpkg what can't be interpreted, in the state that dpkg
// itself would have left it in.
func TestSandbox(t *testing.T) {
	unheardOf := debtest.File{Name: "usr/bin/unheard-of", Body: "\x7fELF", Mode: 0o755}
	tree, report := installed(t, parentImage(t, unheardOf), dpkg.Options{Scripts: dpkg.Sandbox, Unconfigured: []string{"accepted"}}, later...)
	status := content(tree, "var/lib/dpkg/status")
	for _, want := range []string{
		"Package: accepted\nStatus: install ok installed\n",
		"Package: early\nStatus: install ok unpacked\n",
		"Package: odd\nStatus: install ok unpacked\n",
		"Conffiles:\n /etc/odd.conf newconffile\n",
		"Package: old\nStatus: install ok unpacked\n", "Version: 2\nConfig-Version: 1\n",
		"Package: plain\nStatus: install ok installed\n",
		"Package: schemas\nStatus: install ok triggers-pending\n", "\nTriggers-Pending: /etc/plain.d\n",
		"Package: upon\nStatus: install ok unpacked\n",
		"Package: zz\nStatus: install ok installed\n",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %q:\n%s", want, status)
		}
	}
	if got := content(tree, "etc/odd.conf.dpkg-new"); got != "odd\n" || tree.Exists("/etc/odd.conf") {
		t.Errorf("odd.conf.dpkg-new holds %q, and odd.conf is there: %v", got, tree.Exists("/etc/odd.conf"))
	}
	if !tree.Exists("/etc/passwd") || !tree.Exists("/usr") {
		t.Error("what scripts did that dpkg has to run is still done")
	}
	want := []string{
		"8 packages, 2 of 6 postinst run, for the sandbox: odd (needs: unheard-of), old (needs: unheard-of), schemas (needs: glib-compile-schemas) and 1 after them",
		"early: preinst NOT run (needs: unheard-of). The package is configured in the sandbox without it",
		"accepted: postinst NOT run (needs: unheard-of). The package counts as configured",
	}
	if diff := cmp.Diff(want, report.Lines()); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	var b bytes.Buffer
	w := layers.NewWriter(&b, layers.Options{})
	must(t, tree.Write(t.Context(), w))
	_, err := w.Close()
	must(t, err)
	ix, err := layers.Scan(t.Context(), &b, dpkg.KeepStatus)
	must(t, err)
	view, err := layers.Stack(ix)
	must(t, err)
	left, err := dpkg.Unfinished(view)
	must(t, err)
	if diff := cmp.Diff([]string{"early", "odd", "old", "schemas", "upon"}, left); diff != "" {
		t.Errorf("what dpkg has to do (-want +got):\n%s", diff)
	}
}

// TestNativeConfigVersion says in the status file which version of a package was
// configured, as long as the one that is there is not.
func TestNativeConfigVersion(t *testing.T) {
	tree, _ := installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.None}, later[6])
	if got := content(tree, "var/lib/dpkg/status"); !strings.Contains(got, "Version: 2\nConfig-Version: 1\n") {
		t.Errorf("of an upgrade that is not configured status says\n%s", got)
	}
	tree, _ = installed(t, parentImage(t), dpkg.Options{Scripts: dpkg.Native}, debtest.Deb{Name: "old", Version: "2"})
	if got := content(tree, "var/lib/dpkg/status"); strings.Contains(got, "Config-Version") {
		t.Errorf("of an upgrade that is configured status says\n%s", got)
	}
	if left, err := dpkg.Unfinished(parentImage(t)); err != nil || left != nil {
		t.Errorf("Unfinished of the parent = %q, %v", left, err)
	}
}
