// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"inlay/assemble/wheel"
)

// zstdOf returns a member that is compressed with zstd.
func zstdOf(name, body string) part {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return part{name: name, body: body, method: 93, raw: w.EncodeAll([]byte(body), nil)}
}

// odd are zips of a form that is not read here but has one meaning, and what
// is said of them.
var odd = []struct {
	name            string
	parts           []part
	end             ending
	member, problem string
}{
	{"zstd", []part{zstdOf("demo/x", "hello")}, ending{}, "demo/x", "it is compressed with zstd, not stored or deflated"},
	{"zstd METADATA", []part{zstdOf("demo-1.0.dist-info/METADATA", metadata)}, ending{}, "demo-1.0.dist-info/METADATA", "it is compressed with zstd, not stored or deflated"},
	{"dot", []part{{name: "demo/./x", body: "x"}}, ending{}, "demo/x", "its name is not a clean path"},
	{"empty element", []part{{name: "demo//x", body: "x"}}, ending{}, "demo/x", "its name is not a clean path"},
	{"dot in front", []part{{name: "./demo/x", body: "x"}}, ending{}, "demo/x", "its name is not a clean path"},
	{"directory twice", []part{{name: "demo/d/"}, {name: "demo/d/"}}, ending{}, "demo/d/", "the directory stands twice"},
	{"directory with content", []part{{name: "demo/d/", body: "x"}}, ending{}, "demo/d/", "it is a directory with content"},
	{"other effort", []part{{name: "demo/x", body: "x", edit: func(l, _ []byte) { l[6] = 2 }}}, ending{}, "demo/x", "its local header has other flags than the zip's directory"},
	{"gap", []part{{name: "demo/x", body: "x", gap: "PK\x03\x04"}}, ending{}, "demo/x", "unknown bytes follow it"},
	{"bytes before the directory", nil, ending{gap: "x"}, "demo-1.0.dist-info/RECORD", "unknown bytes follow it"},
	{"bytes before it", nil, ending{prefix: "#!/bin/sh\n"}, "demo-1.0.dist-info/METADATA", "bytes stand before the first member"},
	{"zeros after it", nil, ending{suffix: "\x00\x00\x00"}, "", "zeros follow the zip's end record"},
	{"zeros after a comment", nil, ending{comment: "x", suffix: "\x00"}, "", "zeros follow the zip's end record"},
}

func TestOdd(t *testing.T) {
	for _, tt := range odd {
		t.Run(tt.name, func(t *testing.T) {
			got := refusal(t, zipOf(demo(tt.parts...), tt.end))
			want := &wheel.FormatError{File: demoFile, Member: tt.member, Problem: tt.problem, Odd: true}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOddAndBad refuses odd zips with anything in them that is refused
// elsewhere: what follows an oddity is looked at all the same.
func TestOddAndBad(t *testing.T) {
	bomb := zstdOf("demo/bomb", strings.Repeat("x", 4<<20))
	liar := zstdOf("demo/liar", strings.Repeat("x", 4000))
	liar.declare = 40
	tests := []struct {
		name    string
		part    part
		problem string
	}{
		{"name that escapes", part{name: "../../etc/passwd", body: "x"}, "its name is not a clean path inside the wheel"},
		{"name that escapes, unclean", part{name: "demo/.././../x", body: "x"}, "its name is not a clean path inside the wheel"},
		{"name that stays, with dots", part{name: "demo/../x", body: "x"}, "its name is not a clean path inside the wheel"},
		{"absolute", part{name: "//etc/passwd", body: "x"}, "its name is not a clean path inside the wheel"},
		{"link", part{name: "demo/l", body: "/etc", mode: 0o120777}, "it is a link or a special file (mode 120777)"},
		{"the same name in other words", part{name: "demo//first", body: "y"}, "it stands twice"},
		{"bomb", bomb, fmt.Sprintf("%d bytes can't become %d", len(bomb.raw), 4<<20)},
		{"more than the directory says", liar, "it holds more than the 40 bytes that the zip's directory says"},
		{"wrong CRC", part{name: "demo/x", body: "x", crc: 1}, "its CRC-32 is 8cdc1683, not the 8cdc1684 that the zip's directory says"},
		{"no zstd", part{name: "demo/x", body: "x", method: 93, raw: []byte("xxxx")}, "it is no whole zstd stream"},
		{"zstd and more", part{name: "demo/x", body: "x", method: 93, raw: append(zstdOf("", "x").raw, "xxxx"...)}, "it is no whole zstd stream"},
		{"local name", part{name: "demo/x", body: "x", localName: "demo/y"}, "its local header differs from the zip's directory"},
		{"script in the interpreter's place", part{name: "demo-1.0.data/scripts/python3", body: "x"}, "/usr/bin/python3 would take the place of the interpreter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := refusal(t, zipOf(demo(zstdOf("demo/first", "x"), tt.part), ending{prefix: "junk"}))
			if got.Odd || got.Problem != tt.problem {
				t.Errorf("refused as %+v, want %q and not as odd", got, tt.problem)
			}
		})
	}
}

// stage lays out a good wheel as another program would: what the fast way
// installs, with more rows in RECORD and modes of another umask.
func stage(t *testing.T, w *wheel.Wheel) fstest.MapFS {
	t.Helper()
	tree := make(fstest.MapFS)
	for i := range w.Files {
		f := &w.Files[i]
		body := read(t, f)
		if strings.HasSuffix(f.Path, ".dist-info/RECORD") {
			body = append([]byte("gone.py,sha256=abc,3\n../../../bin/../bin/gone,,\n"), body...)
		}
		tree[f.Path[1:]] = &fstest.MapFile{Data: body, Mode: f.Mode &^ 0o077}
	}
	tree["usr/lib/python3.11/site-packages/empty"] = &fstest.MapFile{Mode: fs.ModeDir | 0o700}
	return tree
}

// TestStaged packs what another program left of a good wheel: it is what the
// fast way installs.
func TestStaged(t *testing.T) {
	for _, installer := range []string{"", "inlay\n"} {
		s := scheme
		s.Installer = installer
		b := zipOf(demo(
			part{name: "demo/x.py", body: "1"}, part{name: "demo/big.txt", body: strings.Repeat("x", 50_000)},
			part{name: "demo/run.sh", body: "#!/bin/sh\n", mode: 0o100755},
			part{name: "demo-1.0.data/scripts/run", body: "#!python\n"}, part{name: "demo-1.0.data/data/share/a,b", body: "d"},
			part{name: "demo-1.0.data/platlib/y.so", body: "so"}, part{name: "demo-1.0.dist-info/RECORD.jws", body: "{}"},
			part{name: entryPoints, body: "[console_scripts]\nx = m:f\n"},
		), ending{})
		fast, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, s)
		if err != nil {
			t.Fatal(err)
		}
		slow, err := wheel.Staged(stage(t, mustOpen(t, b)), demoFile, s)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(contents(t, fast), contents(t, slow)); diff != "" {
			t.Errorf("with INSTALLER %q (-fast +slow):\n%s", installer, diff)
		}
		if slow.Name != "demo" || slow.Version != "1.0" {
			t.Errorf("it is %s %s, want demo 1.0", slow.Name, slow.Version)
		}
		for i := range slow.Files {
			if _, ok := slow.Files[i].Deflated(); ok {
				t.Errorf("%s is a stream of a wheel", slow.Files[i].Path)
			}
		}
	}
}

func TestStagedRefusals(t *testing.T) {
	const info = "usr/lib/python3.11/site-packages/demo-1.0.dist-info"
	tests := []struct {
		name    string
		edit    func(fstest.MapFS)
		problem string
	}{
		{"nothing", func(tree fstest.MapFS) { clear(tree) }, "installing it made 0 .dist-info directories, not one"},
		{"two distributions", func(tree fstest.MapFS) {
			tree["usr/lib64/python3.11/site-packages/x-1.dist-info/METADATA"] = &fstest.MapFile{}
		}, "installing it made 2 .dist-info directories, not one"},
		{"link", func(tree fstest.MapFS) {
			tree["usr/lib/l"] = &fstest.MapFile{Data: []byte("/etc"), Mode: fs.ModeSymlink | 0o777}
		}, "installing it made a link or a special file"},
		{"interpreter", func(tree fstest.MapFS) { tree["usr/bin/python3"] = &fstest.MapFile{} }, "/usr/bin/python3 would take the place of the interpreter"},
		{"no RECORD", func(tree fstest.MapFS) { delete(tree, info+"/RECORD") }, "installing it made no demo-1.0.dist-info/RECORD"},
		{"no METADATA", func(tree fstest.MapFS) { delete(tree, info+"/METADATA") }, "installing it made no demo-1.0.dist-info/METADATA"},
		{"another version", func(tree fstest.MapFS) {
			tree[info+"/METADATA"] = &fstest.MapFile{Data: []byte("Name: demo\nVersion: 2\n")}
		}, `it is of "demo" "2", not of the demo 1.0 that the file's name says`},
		{"large RECORD", func(tree fstest.MapFS) { tree[info+"/RECORD"].Data = make([]byte, 65<<20) }, "it holds 68157440 bytes, more than the 67108864 that inlay reads"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := stage(t, open(t, demo(part{name: "demo/x.py", body: "1"})))
			tt.edit(tree)
			_, err := wheel.Staged(tree, demoFile, scheme)
			if got := asFormatError(err); got == nil || got.Problem != tt.problem || got.File != demoFile {
				t.Errorf("Staged = %v, want %q", err, tt.problem)
			}
		})
	}
}

// TestStagedThatChanges reads a tree that isn't any more what it was.
func TestStagedThatChanges(t *testing.T) {
	tree := stage(t, open(t, demo(part{name: "demo/x.py", body: "1"})))
	w, err := wheel.Staged(tree, demoFile, scheme)
	if err != nil {
		t.Fatal(err)
	}
	tree["usr/lib/python3.11/site-packages/demo/x.py"] = &fstest.MapFile{Data: []byte("2")}
	delete(tree, "usr/lib/python3.11/site-packages/demo-1.0.dist-info/WHEEL")
	var failed []string
	for i := range w.Files {
		r, err := w.Files[i].Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			failed = append(failed, w.Files[i].Path)
			if errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", w.Files[i].Path, err)
			}
		}
	}
	if want := []string{lib + "demo-1.0.dist-info/WHEEL", lib + "demo/x.py"}; !cmp.Equal(failed, want) {
		t.Errorf("what could not be read is %q, want %q", failed, want)
	}
}
