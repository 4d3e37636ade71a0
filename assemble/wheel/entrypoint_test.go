// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/wheel"
)

// launcher is what uv 0.13.9 writes for the entry point "demo.cli:app.main".
const launcher = `#!/usr/bin/python3.11
# -*- coding: utf-8 -*-
import sys
from demo.cli import app
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit(app.main())
`

// calls returns the launcher of an object in module m.
func calls(object string) string {
	s := strings.ReplaceAll(launcher, "demo.cli import app", "m import "+strings.Split(object, ".")[0])
	return "0755 " + strings.ReplaceAll(s, "app.main()", object+"()")
}

const entryPoints = "demo-1.0.dist-info/entry_points.txt"

// TestLauncher checks the bytes of a launcher and of a script for
// interpreters of all kinds: they are what uv 0.13.9 writes.
func TestLauncher(t *testing.T) {
	fits := "/opt/" + strings.Repeat("x", 119) // a first line of 127 bytes
	long := fits + "x"
	tests := []struct{ name, interpreter, first string }{
		{"plain", "/usr/bin/python3.11", "#!/usr/bin/python3.11\n"},
		{"quote", "/opt/it's/python", "#!/opt/it's/python\n"},
		{"127 bytes", fits, "#!" + fits + "\n"},
		{"space", "/opt/my env/python", "#!/bin/sh\n'''exec' '/opt/my env/python' \"$0\" \"$@\"\n' '''\n"},
		{"space and quote", "/opt/it's my env/python", "#!/bin/sh\n'''exec' '/opt/it'\"'\"'s my env/python' \"$0\" \"$@\"\n' '''\n"},
		{"128 bytes", long, "#!/bin/sh\n'''exec' '" + long + "' \"$0\" \"$@\"\n' '''\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scheme
			s.Interpreter = tt.interpreter
			b := zipOf(demo(
				part{name: entryPoints, body: "[console_scripts]\ndemo = demo.cli:app.main\n"},
				part{name: "demo-1.0.data/scripts/run", body: "#!python -E\nimport demo\n"},
			), ending{})
			w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, s)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(launcher, "\n")
			want := map[string]string{"/usr/bin/demo": "0755 " + tt.first + rest, "/usr/bin/run": "0755 " + tt.first + "import demo\n"}
			if diff := cmp.Diff(want, installed(t, w)); diff != "" {
				t.Errorf("scripts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEntryPoints checks which scripts an entry_points.txt gives.
func TestEntryPoints(t *testing.T) {
	one := map[string]string{"/usr/bin/x": calls("f")}
	tests := []struct {
		name, text string
		want       map[string]string
	}{
		{"empty", "", map[string]string{}},
		{"console", "[console_scripts]\nx = m:f\n", one},
		{"graphical", "[gui_scripts]\nx = m:f\n", one},
		{"both", "[console_scripts]\nx = m:f\ny = m:f\n[gui_scripts]\nx = m:g\n", map[string]string{"/usr/bin/x": calls("g"), "/usr/bin/y": calls("f")}},
		{"attribute", "[console_scripts]\nx = m:a.b.c\n", map[string]string{"/usr/bin/x": calls("a.b.c")}},
		{"no spaces", "[console_scripts]\nx=m:f", one},
		{"spaces", "[console_scripts]\n x\t =  m : f  \n", one},
		{"CRLF", "[console_scripts]\r\nx = m:f\r\n", one},
		{"extras", "[console_scripts]\nx = m:f [a, b]\n", one},
		{"extras at once", "[console_scripts]\nx = m:f[a]\n", one},
		{"comments", "# a\n; b\n[console_scripts]\n  # c\nx = m:f\n    # d\n", one},
		{"after the header", "[console_scripts] # here\nx = m:f\n", one},
		{"indented", "[console_scripts]\n    x = m:f\n    y = m:g\n", map[string]string{"/usr/bin/x": calls("f"), "/usr/bin/y": calls("g")}},
		{"other sections", "[a.b]\nq = r\n  s\n\n  t\n[console_scripts]\nx = m:f\n[c]\nx = y z\n", one},
		{"case of sections", "[Console_Scripts]\ny = m:f\n[ console_scripts ]\ny = m:f\n[console_scripts]\nx = m:f\n", one},
		{"case of names", "[console_scripts]\nx = m:f\nX = m:g\n", map[string]string{"/usr/bin/x": calls("f"), "/usr/bin/X": calls("g")}},
		{"defaults", "[DEFAULT]\nx = m:f\ny = m:f\n[console_scripts]\ny = m:g\n", map[string]string{"/usr/bin/x": calls("f"), "/usr/bin/y": calls("g")}},
		{"defaults alone", "[DEFAULT]\nx = m:f\n", map[string]string{}},
		{"odd names", "[console_scripts]\na b = m:f\n# = m:f\nü;x = m:f\npython2 = m:f\npython3.999 = m:f\nactivate = m:f\n", map[string]string{
			"/usr/bin/a b": calls("f"), "/usr/bin/ü;x": calls("f"), "/usr/bin/python2": calls("f"), "/usr/bin/python3.999": calls("f"), "/usr/bin/activate": calls("f"),
		}},
		{"pip", "[console_scripts]\npip = m:f\npip3 = m:g\npip3.9 = m:h\n", map[string]string{
			"/usr/bin/pip": calls("f"), "/usr/bin/pip3": calls("g"), "/usr/bin/pip3.11": calls("g"),
		}},
		{"not quite pip", "[console_scripts]\npip3.x = m:f\npip3.300 = m:f\npip3.7.1 = m:f\npip4.1 = m:f\nx3.9 = m:f\n", map[string]string{
			"/usr/bin/pip3.x": calls("f"), "/usr/bin/pip3.300": calls("f"), "/usr/bin/pip3.7.1": calls("f"), "/usr/bin/pip4.1": calls("f"), "/usr/bin/x3.9": calls("f"),
		}},
		{"graphical pip", "[gui_scripts]\npip3 = m:f\npip3.9 = m:f\n", map[string]string{"/usr/bin/pip3": calls("f"), "/usr/bin/pip3.9": calls("f")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := open(t, demo(part{name: entryPoints, body: tt.text}))
			if diff := cmp.Diff(tt.want, installed(t, w)); diff != "" {
				t.Errorf("scripts of %q (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

// TestCopies skips the scripts that are copies of an entry point, as old
// setuptools made them, and no others. A data file takes its place.
func TestCopies(t *testing.T) {
	const scripts = "demo-1.0.data/scripts/"
	parts := []part{{name: entryPoints, body: "[console_scripts]\nx = m:f\n[gui_scripts]\ny = m:f\n"}}
	for _, name := range []string{"x", "x.exe", "x-script.py", "x.pya", "y-script.py", "x-script.pyw", "x.exe.exe", "x.py", "z.exe"} {
		parts = append(parts, part{name: scripts + name, body: name})
	}
	w := open(t, demo(parts...))
	want := map[string]string{
		"/usr/bin/x": calls("f"), "/usr/bin/y": calls("f"), "/usr/bin/x-script.pyw": "0755 x-script.pyw",
		"/usr/bin/x.exe.exe": "0755 x.exe.exe", "/usr/bin/x.py": "0755 x.py", "/usr/bin/z.exe": "0755 z.exe",
	}
	if diff := cmp.Diff(want, installed(t, w)); diff != "" {
		t.Errorf("scripts (-want +got):\n%s", diff)
	}
	if record := recordOf(t, w); strings.Contains(record, scripts) {
		t.Errorf("RECORD lists a script that is not installed:\n%s", record)
	}

	w = open(t, demo(parts[0], part{name: "demo-1.0.data/data/bin/x", body: "data"}))
	want = map[string]string{"/usr/bin/x": "0644 data", "/usr/bin/y": calls("f")}
	if diff := cmp.Diff(want, installed(t, w)); diff != "" {
		t.Errorf("data in place of a script (-want +got):\n%s", diff)
	}
}

// TestBadEntryPoints refuses those that uv refuses.
func TestBadEntryPoints(t *testing.T) {
	const section = "[console_scripts]\n"
	tests := []struct{ text, problem string }{
		{section + "x = m\n", `script x = "m" in console_scripts is not MODULE:OBJECT`},
		{section + "x = m:\n", `script x = "m:" in console_scripts is not MODULE:OBJECT`},
		{section + "x = :f\n", `script x = ":f" in console_scripts is not MODULE:OBJECT`},
		{section + "x =\n", `script x = "" in console_scripts is not MODULE:OBJECT`},
		{section + "x = m:f()\n", `script x = "m:f()" in console_scripts is not MODULE:OBJECT`},
		{section + "x = m:f:g\n", `script x = "m:f:g" in console_scripts is not MODULE:OBJECT`},
		{section + "x = m:f # here\n", `script x = "m:f # here" in console_scripts is not MODULE:OBJECT`},
		{section + "x = m:f [a\n", `script x = "m:f [a" in console_scripts is not MODULE:OBJECT`},
		{section + "x = m:f []\n", `script x = "m:f []" in console_scripts is not MODULE:OBJECT`},
		{section + "x = m:f\n  and more\n", `script x = "m:f\n" in console_scripts is not MODULE:OBJECT`},
		{section + "x = m; import os; os:f\n", `script x = "m; import os; os:f" in console_scripts is not MODULE:OBJECT`},
		{"[gui_scripts]\nx = m\n", `script x = "m" in gui_scripts is not MODULE:OBJECT`},
		{section + "../x = m:f\n", `script "../x" in console_scripts can't be a file's name`},
		{section + "a/x = m:f\n", `script "a/x" in console_scripts can't be a file's name`},
		{section + ".. = m:f\n", `script ".." in console_scripts can't be a file's name`},
		{section + "x\x00 = m:f\n", `script "x\x00" in console_scripts can't be a file's name`},
		{section + "python = m:f\n", "/usr/bin/python would take the place of the interpreter"},
		{section + "Python3 = m:f\n", "/usr/bin/Python3 would take the place of the interpreter"},
		{section + "pythonw = m:f\n", "/usr/bin/pythonw would take the place of the interpreter"},
		{section + "python3.12 = m:f\n", "/usr/bin/python3.12 would take the place of the interpreter"},
		{section + "x\n", "line 2 of entry_points.txt is no option of a section"},
		{section + "x: m:f\n", "line 2 of entry_points.txt is no option of a section"},
		{section + "= m:f\n", "line 2 of entry_points.txt is no option of a section"},
		{"x = m:f\n", "line 1 of entry_points.txt is no option of a section"},
		{"[console_scripts\nx = m:f\n", "line 1 of entry_points.txt is no option of a section"},
		{"[]\n", "line 1 of entry_points.txt is no option of a section"},
		{"[q]\n\nr\n", "line 3 of entry_points.txt is no option of a section"},
		{section + "x = m:f\nx = m:g\n", "line 3 of entry_points.txt repeats an option"},
		{section + "[q]\n" + section, "line 3 of entry_points.txt repeats a section"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got := refusal(t, zipOf(demo(part{name: entryPoints, body: tt.text}), ending{}))
			want := &wheel.FormatError{File: demoFile, Problem: tt.problem}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
