// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/wheel"
)

// rewritten is the first line of scripts whose first line is replaced.
const rewritten = "#!/usr/bin/python3.11\n"

// TestInstalled lays out wheels with what real ones have in them.
func TestInstalled(t *testing.T) {
	const data = "demo-1.0.data/"
	tests := []struct {
		name  string
		parts []part
		want  map[string]string // beside .dist-info
	}{
		{
			"modules",
			[]part{{name: "demo/__init__.py", body: "1"}, {name: "six.py", body: "2"}},
			map[string]string{lib + "demo/__init__.py": "0644 1", lib + "six.py": "0644 2"},
		},
		{
			"platform wheel",
			[]part{{name: "demo/x.so", body: "ELF"}, {name: "demo-1.0.dist-info/WHEEL", body: "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"}},
			map[string]string{"/usr/lib64/python3.11/site-packages/demo/x.so": "0644 ELF"},
		},
		{
			"neither said",
			[]part{{name: "demo/x.so", body: "ELF"}, {name: "demo-1.0.dist-info/WHEEL", body: "Wheel-Version: 1.0\n"}},
			map[string]string{"/usr/lib64/python3.11/site-packages/demo/x.so": "0644 ELF"},
		},
		{
			"True",
			[]part{{name: "demo/x.py"}, {name: "demo-1.0.dist-info/WHEEL", body: "wheel-version: 1.9\r\nRoot-Is-Purelib: True\r\n"}},
			map[string]string{lib + "demo/x.py": "0644 "},
		},
		{
			"broken tags",
			[]part{{name: "demo/x.py"}, {name: "demo-1.0.dist-info/WHEEL", body: "Wheel-Version: 1.0\nTag: py3\n-none-any\nTag\n: x\nRoot-Is-Purelib: true\n"}},
			map[string]string{lib + "demo/x.py": "0644 "},
		},
		{
			"directories",
			[]part{{name: "demo/", mode: 0o040755, stored: true}, {name: "empty/"}, {name: "demo/x.py"}, {name: data + "scripts/sub/"}},
			map[string]string{lib + "demo/x.py": "0644 "},
		},
		{"modes", []part{
			{name: "a", mode: 0o100600},
			{name: "b", mode: 0o100640},
			{name: "c", mode: 0o100700},
			{name: "d", mode: 0o100001},
			{name: "e", mode: 0o644},
			{name: "f", mode: 0o755},
			{name: "g", bare: true},
			{name: "h", mode: 0o104755},
			{name: "i", edit: func(_, c []byte) { c[5] = 0; c[40], c[41] = 0xed, 0x81 }},
		}, map[string]string{
			lib + "a": "0644 ", lib + "b": "0644 ", lib + "c": "0755 ", lib + "d": "0755 ",
			lib + "e": "0644 ", lib + "f": "0755 ", lib + "g": "0644 ", lib + "h": "0755 ", lib + "i": "0755 ",
		}},
		{
			"names",
			[]part{{name: "demo/x.py"}, {name: "demo/X.py"}, {name: "demo/ü.py"}, {name: "demo/ a,b\"c.py"}, {name: "demo/.x..py"}},
			map[string]string{
				lib + "demo/x.py": "0644 ", lib + "demo/X.py": "0644 ", lib + "demo/ü.py": "0644 ",
				lib + "demo/ a,b\"c.py": "0644 ", lib + "demo/.x..py": "0644 ",
			},
		},
		{
			"bytecode and paths",
			[]part{{name: "demo/__pycache__/x.cpython-311.pyc", body: "pyc"}, {name: "demo-nspkg.pth", body: "import sys\n"}},
			map[string]string{lib + "demo/__pycache__/x.cpython-311.pyc": "0644 pyc", lib + "demo-nspkg.pth": "0644 import sys\n"},
		},
		{
			"vendored distribution",
			[]part{{name: "demo/_vendor/x-2.dist-info/RECORD", body: "r"}, {name: "demo/_vendor/x-2.dist-info/entry_points.txt", body: "[console_scripts]\nx=x:x\n"}},
			map[string]string{lib + "demo/_vendor/x-2.dist-info/RECORD": "0644 r", lib + "demo/_vendor/x-2.dist-info/entry_points.txt": "0644 [console_scripts]\nx=x:x\n"},
		},
		{"data", []part{
			{name: data + "purelib/p.py", body: "p"},
			{name: data + "platlib/q.so", body: "q"},
			{name: data + "data/share/man/man1/x.1", body: "m"},
			{name: data + "data/etc/x", body: "e", mode: 0o100755},
			{name: data + "headers/sub/x.h", body: "h"},
			{name: data + "scripts/run", body: "#!/bin/sh\n"},
		}, map[string]string{
			lib + "p.py": "0644 p", "/usr/lib64/python3.11/site-packages/q.so": "0644 q", "/usr/share/man/man1/x.1": "0644 m",
			"/usr/etc/x": "0755 e", "/usr/include/python3.11/demo/sub/x.h": "0644 h", "/usr/bin/run": "0755 #!/bin/sh\n",
		}},
		{
			"data of others",
			[]part{{name: "other-1.0.data/purelib/x.py"}, {name: "demo-2.data/scripts/x"}, {name: "demo-1.0.data"}},
			map[string]string{lib + "other-1.0.data/purelib/x.py": "0644 ", lib + "demo-2.data/scripts/x": "0644 ", lib + "demo-1.0.data": "0644 "},
		},
		{
			"data over root",
			[]part{{name: "x.py", body: "root"}, {name: data + "purelib/x.py", body: "data"}},
			map[string]string{lib + "x.py": "0644 data"},
		},
		{"scripts", []part{
			{name: data + "scripts/a", body: "#!python\nimport a\n"},
			{name: data + "scripts/b", body: "#!pythonw\nb"},
			{name: data + "scripts/c", body: "#!python3 -E\nc"},
			{name: data + "scripts/d", body: "#!python\r\nd\r\n"},
			{name: data + "scripts/e", body: "#!python"},
			{name: data + "scripts/f", body: "#!/usr/bin/python\nf"},
			{name: data + "scripts/g", body: "#! python\ng"},
			{name: data + "scripts/h", body: ""},
			{name: data + "scripts/i", body: "\x7fELF" + strings.Repeat("\x00", 100_000)},
			{name: data + "scripts/j", body: "print()\n"},
			{name: data + "scripts/k", body: "#!python" + strings.Repeat(" ", 10_000) + "\nk"},
			{name: data + "scripts/l", body: "#!python\nl", stored: true, mode: 0o100600},
		}, map[string]string{
			"/usr/bin/a": "0755 " + rewritten + "import a\n", "/usr/bin/b": "0755 " + rewritten + "b",
			"/usr/bin/c": "0755 " + rewritten + "c", "/usr/bin/d": "0755 " + rewritten + "d\r\n",
			"/usr/bin/e": "0755 " + rewritten, "/usr/bin/f": "0755 #!/usr/bin/python\nf",
			"/usr/bin/g": "0755 #! python\ng", "/usr/bin/h": "0755 ",
			"/usr/bin/i": "0755 \x7fELF" + strings.Repeat("\x00", 100_000), "/usr/bin/j": "0755 print()\n",
			"/usr/bin/k": "0755 " + rewritten + "k", "/usr/bin/l": "0755 " + rewritten + "l",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := open(t, demo(tt.parts...))
			if w.Name != "demo" || w.Version != "1.0" {
				t.Errorf("it is %s %s, want demo 1.0", w.Name, w.Version)
			}
			if !slices.IsSortedFunc(w.Files, func(a, b wheel.File) int { return strings.Compare(a.Path, b.Path) }) {
				t.Error("the files are not sorted by path")
			}
			if diff := cmp.Diff(tt.want, installed(t, w)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// TestScriptStreams checks that a script that is a large program can be
// transplanted, and one that was rewritten can't.
func TestScriptStreams(t *testing.T) {
	w := open(t, demo(
		part{name: "demo-1.0.data/scripts/ruff", body: "\x7fELF" + strings.Repeat("ruff", 100_000)},
		part{name: "demo-1.0.data/scripts/run", body: "#!python\n"},
		part{name: "demo-1.0.dist-info/entry_points.txt", body: "[console_scripts]\ndemo = demo:main\n"},
	))
	want := map[string]bool{"/usr/bin/ruff": true, "/usr/bin/run": false, "/usr/bin/demo": false}
	got := make(map[string]bool)
	for i := range w.Files {
		if _, ok := want[w.Files[i].Path]; ok {
			_, deflated := w.Files[i].Deflated()
			got[w.Files[i].Path] = deflated
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("transplantable scripts (-want +got):\n%s", diff)
	}
}

// TestRecord checks the RECORD that is installed for those that real wheels
// have, right or wrong.
func TestRecord(t *testing.T) {
	const (
		x     = "demo/x.py"
		self  = "demo-1.0.dist-info/RECORD,,\n"
		meta  = "demo-1.0.dist-info/METADATA,,46\n"
		wheel = "demo-1.0.dist-info/WHEEL,,75\n"
		hex   = "sha256=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	)
	script := []part{{name: "demo-1.0.data/scripts/run", body: "#!python\n"}, {name: "demo-1.0.data/data/share/x", body: "x"}}
	tests := []struct {
		name   string
		record string // of the wheel
		parts  []part
		want   string
	}{
		{"empty", "", nil, meta + self + wheel + "demo/x.py,,1\n"},
		{"right", x + "," + hashOf("x") + ",1\n" + self, nil, meta + self + wheel + x + "," + hashOf("x") + ",1\n"},
		{"CRLF", x + ",sha256=a,1\r\ndemo-1.0.dist-info/RECORD,,\r\n", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{"hexadecimal digests", x + "," + hex + ",1\n", nil, meta + self + wheel + x + "," + hex + ",1\n"},
		{"padded digests", x + "," + hashOf("x") + "=,1\n", nil, meta + self + wheel + x + "," + hashOf("x") + "=,1\n"},
		{"other digests", x + ",sha384=abc,1\n", nil, meta + self + wheel + x + ",sha384=abc,1\n"},
		{"wrong size", x + ",sha256=a,77\n", nil, meta + self + wheel + x + ",sha256=a,77\n"},
		{"no size", x + ",sha256=a,\n", nil, meta + self + wheel + x + ",sha256=a,\n"},
		{"size that is none", x + ",sha256=a,-1\n", nil, meta + self + wheel + x + ",sha256=a,\n"},
		{"size with zeros", x + ",sha256=a,0001\n", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{"absolute", "/demo/x.py,sha256=a,1\n", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{"dot", "./demo//x.py,sha256=a,1\n", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{"quoted", `"demo/x.py","sha256=a","1"` + "\n", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{"quotes not closed", x + `,"sha256=a` + "\n", nil, meta + self + wheel + x + ",,1\n"},
		{"two cells", x + ",sha256=a\n", nil, meta + self + wheel + x + ",,1\n"},
		{"four cells", x + ",sha256=a,1,more\n", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{"file that isn't there", "demo/y.py,sha256=a,1\n", nil, meta + self + wheel + x + ",,1\n"},
		{"file outside", "../../../../etc/passwd,sha256=a,1\n", nil, meta + self + wheel + x + ",,1\n"},
		{"two rows", x + ",sha256=b,2\n" + x + ",sha256=a,1\n", nil, meta + self + wheel + x + ",sha256=b,2\n"},
		{"digest of itself", "demo-1.0.dist-info/RECORD,sha256=a,1\n", nil, meta + self + wheel + x + ",,1\n"},
		{"long row", strings.Repeat("x", 70_000) + ",,\n" + x + ",sha256=a,1\n", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{"no last line feed", x + ",sha256=a,1", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{"blank lines", "\n\n" + x + ",sha256=a,1\n\n", nil, meta + self + wheel + x + ",sha256=a,1\n"},
		{
			"signatures", "",
			[]part{{name: "demo-1.0.dist-info/RECORD.jws", body: "{}", stored: true}, {name: "demo-1.0.dist-info/RECORD.p7s"}},
			meta + self + wheel + x + ",,1\n",
		},
		{
			"quoting", `"demo/a,b.py",sha256=a,0` + "\n" + `"demo/a""b.py",sha256=b,0` + "\n" + `demo/ c.py,"sha256=c,d",0` + "\n",
			[]part{{name: "demo/a,b.py"}, {name: `demo/a"b.py`}, {name: "demo/ c.py"}},
			meta + self + wheel + `demo/ c.py,"sha256=c,d",0` + "\n" + `"demo/a""b.py",sha256=b,0` + "\n" + `"demo/a,b.py",sha256=a,0` + "\n" + x + ",,1\n",
		},
		{
			"moved files", "demo-1.0.data/scripts/run,sha256=a,9\ndemo-1.0.data/data/share/x,sha256=b,1\n", script,
			"../../../bin/run," + hashOf(rewritten) + ",22\n../../../share/x,sha256=b,1\n" + meta + self + wheel + x + ",,1\n",
		},
		{
			"moved files without rows", "", script,
			"../../../bin/run," + hashOf(rewritten) + ",22\n../../../share/x,,1\n" + meta + self + wheel + x + ",,1\n",
		},
		{
			"to the other library", "",
			[]part{{name: "demo-1.0.data/platlib/y.so", body: "y"}},
			"../../../lib64/python3.11/site-packages/y.so,,1\n" + meta + self + wheel + x + ",,1\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parts := append(tt.parts, part{name: x, body: "x"}, part{name: "demo-1.0.dist-info/RECORD", body: tt.record})
			w := open(t, demo(parts...))
			if diff := cmp.Diff(tt.want, recordOf(t, w)); diff != "" {
				t.Errorf("RECORD (-want +got):\n%s", diff)
			}
			if len(w.Files) != len(parts)+2 {
				t.Errorf("%d files are installed, want all %d", len(w.Files), len(parts)+2)
			}
		})
	}
}

// TestInfo checks what is installed into .dist-info: what stands there, in the
// mode it has, and INSTALLER if the scheme has one.
func TestInfo(t *testing.T) {
	const info = lib + "demo-1.0.dist-info/"
	s := scheme
	s.Installer = "inlay\n"
	b := zipOf(demo(part{name: "demo-1.0.dist-info/INSTALLER", body: "pip"}, part{name: "demo-1.0.dist-info/licenses/LICENSE", body: "free"},
		part{name: "demo-1.0.dist-info/RECORD", mode: 0o100755}), ending{})
	for _, tt := range []struct {
		name   string
		scheme wheel.Scheme
		want   map[string]string
	}{
		{"with an installer", s, map[string]string{
			info + "INSTALLER": "0644 inlay\n",
			info + "RECORD": "0755 demo-1.0.dist-info/INSTALLER," + hashOf("inlay\n") + ",6\ndemo-1.0.dist-info/METADATA,,46\n" +
				"demo-1.0.dist-info/RECORD,,\ndemo-1.0.dist-info/WHEEL,,75\ndemo-1.0.dist-info/licenses/LICENSE,,4\n",
		}},
		{"without", scheme, map[string]string{
			info + "INSTALLER": "0644 pip",
			info + "RECORD": "0755 demo-1.0.dist-info/INSTALLER,,3\ndemo-1.0.dist-info/METADATA,,46\n" +
				"demo-1.0.dist-info/RECORD,,\ndemo-1.0.dist-info/WHEEL,,75\ndemo-1.0.dist-info/licenses/LICENSE,,4\n",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]string{info + "METADATA": "0644 " + metadata, info + "WHEEL": "0644 " + format, info + "licenses/LICENSE": "0644 free"}
			maps.Copy(want, tt.want)
			w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, tt.scheme)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, contents(t, w)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefused refuses zips that are no wheels.
func TestRefused(t *testing.T) {
	const info = "demo-1.0.dist-info/"
	tests := []struct {
		name            string
		parts           []part
		member, problem string
	}{
		{"no .dist-info", []part{{name: "x"}}, "", "it has no .dist-info directory"},
		{"only a vendored one", []part{{name: "x/demo-1.0.dist-info/METADATA"}}, "", "it has no .dist-info directory"},
		{"another's .dist-info", []part{{name: "other-1.0.dist-info/METADATA"}}, "", "other-1.0.dist-info is not the .dist-info directory of demo"},
		{"longer name", []part{{name: "demography-1.0.dist-info/METADATA"}}, "", "demography-1.0.dist-info is not the .dist-info directory of demo"},
		{"two", demo(part{name: "other-1.0.dist-info/x"}), "", "it has two .dist-info directories, other-1.0.dist-info and demo-1.0.dist-info"},
		{"two of the name", demo(part{name: "demo-1.dist-info/x"}), "", "it has two .dist-info directories, demo-1.dist-info and demo-1.0.dist-info"},
		{"no METADATA", []part{{name: info + "WHEEL", body: format}}, "", "demo-1.0.dist-info/METADATA is missing"},
		{"no WHEEL", []part{{name: info + "METADATA", body: metadata}}, "", "demo-1.0.dist-info/WHEEL is missing"},
		{"no RECORD", []part{{name: info + "METADATA", body: metadata}, {name: info + "WHEEL", body: format}}, "", "demo-1.0.dist-info/RECORD is missing"},
		{"another's METADATA", demo(part{name: info + "METADATA", body: "Name: other\nVersion: 1.0\n"}), info + "METADATA", `it is of "other" "1.0", not of the demo 1.0 that the file's name says`},
		{"another version's METADATA", demo(part{name: info + "METADATA", body: "Name: demo\nVersion: 1.1\n"}), info + "METADATA", `it is of "demo" "1.1", not of the demo 1.0 that the file's name says`},
		{"name in the description", demo(part{name: info + "METADATA", body: "Version: 1.0\n\nName: demo\n"}), info + "METADATA", `it is of "" "1.0", not of the demo 1.0 that the file's name says`},
		{"format 2", demo(part{name: info + "WHEEL", body: "Wheel-Version: 2.0\n"}), info + "WHEEL", `Wheel-Version is "2.0", not 1.0`},
		{"no format", demo(part{name: info + "WHEEL", body: "Root-Is-Purelib: true\n"}), info + "WHEEL", `Wheel-Version is "", not 1.0`},
		{"large WHEEL", demo(part{name: info + "WHEEL", raw: make([]byte, 20<<10), declare: 17 << 20}), info + "WHEEL", "it holds 17825792 bytes, more than the 16777216 that inlay reads"},
		{"large entry points", demo(part{name: entryPoints, body: strings.Repeat("x", 1<<20+1)}), entryPoints, "it holds 1048577 bytes, more than the 1048576 that inlay reads"},
		{"large RECORD", demo(part{name: info + "RECORD", raw: make([]byte, 70<<10), declare: 65 << 20}), info + "RECORD", "it holds 68157440 bytes, more than the 67108864 that inlay reads"},
		{"WHEEL of wrong CRC", demo(part{name: info + "WHEEL", body: "x", crc: 1}), info + "WHEEL", "its CRC-32 is 8cdc1683, not the 8cdc1684 that the zip's directory says"},
		{"RECORD of wrong CRC", demo(part{name: info + "RECORD", body: "x", crc: 1}), info + "RECORD", "its CRC-32 is 8cdc1683, not the 8cdc1684 that the zip's directory says"},
		{"script of wrong CRC", demo(part{name: "demo-1.0.data/scripts/x", body: "#!python\n", crc: 1}), "demo-1.0.data/scripts/x", "its CRC-32 is 020cfeeb, not the 020cfeec that the zip's directory says"},
		{"data without a key", demo(part{name: "demo-1.0.data/x"}), "demo-1.0.data/x", "it stands in no directory of .data"},
		{"unknown key", demo(part{name: "demo-1.0.data/include/x"}), "demo-1.0.data/include/x", `"include" is no directory that .data may have`},
		{"directory of scripts", demo(part{name: "demo-1.0.data/scripts/sub/x"}), "demo-1.0.data/scripts/sub/x", "it stands in a directory of scripts"},
		{"script python", demo(part{name: "demo-1.0.data/scripts/python"}), "demo-1.0.data/scripts/python", "/usr/bin/python would take the place of the interpreter"},
		{"data python", demo(part{name: "demo-1.0.data/data/bin/Python3.12"}), "demo-1.0.data/data/bin/Python3.12", "/usr/bin/Python3.12 would take the place of the interpreter"},
		{"two to one path", demo(part{name: "demo-1.0.data/scripts/x"}, part{name: "demo-1.0.data/data/bin/x"}), "demo-1.0.data/data/bin/x", `/usr/bin/x would be installed twice, also from "demo-1.0.data/scripts/x"`},
		{"file and directory", demo(part{name: "x"}, part{name: "demo-1.0.data/purelib/x/y"}), "", "/usr/lib/python3.11/site-packages/x would be a file and a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := refusal(t, zipOf(tt.parts, ending{}))
			want := &wheel.FormatError{File: demoFile, Member: tt.member, Problem: tt.problem}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
