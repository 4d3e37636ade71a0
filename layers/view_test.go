// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inlay/layers"
)

func TestStack(t *testing.T) {
	lower := []item{dir("a"), file("a/x", "1"), file("a/y", "1"), dir("a/d"), file("a/d/z", "1"), symlink("to-a", "a"), file("f", "1")}
	tests := []struct {
		name  string
		upper []item
		want  []string // of the names in the tree, with the content
	}{
		{"nothing", nil, []string{"a/d/z=1", "a/x=1", "a/y=1", "f=1", "to-a"}},
		{"a file again", []item{file("a/x", "2")}, []string{"a/d/z=1", "a/x=2", "a/y=1", "f=1", "to-a"}},
		{"a directory again", []item{dir("a")}, []string{"a/d/z=1", "a/x=1", "a/y=1", "f=1", "to-a"}},
		{"whiteout of a file", []item{file("a/.wh.x", "")}, []string{"a/d/z=1", "a/y=1", "f=1", "to-a"}},
		{"whiteout of a directory", []item{file("a/.wh.d", "")}, []string{"a/x=1", "a/y=1", "f=1", "to-a"}},
		{"whiteout of what is not there", []item{file("b/.wh.x", ""), file(".wh.c", "")}, []string{"a/d/z=1", "a/x=1", "a/y=1", "f=1", "to-a"}},
		{"whiteout through a link", []item{file("to-a/.wh.x", "")}, []string{"a/d/z=1", "a/y=1", "f=1", "to-a"}},
		{"whiteout and the same name before it", []item{file("a/x", "2"), file("a/.wh.x", "")}, []string{"a/d/z=1", "a/x=2", "a/y=1", "f=1", "to-a"}},
		{"whiteout of everything", []item{file(".wh.a", ""), file(".wh.f", ""), file(".wh.to-a", "")}, nil},
		{"opaque directory", []item{dir("a"), file("a/new", "2"), file("a/.wh..wh..opq", "")}, []string{"a/new=2", "f=1", "to-a"}},
		{"opaque root", []item{file(".wh..wh..opq", ""), file("new", "2")}, []string{"new=2"}},
		{"file over directory", []item{file("a", "2")}, []string{"a=2", "f=1", "to-a"}},
		{"directory over file", []item{dir("f"), file("f/x", "2")}, []string{"a/d/z=1", "a/x=1", "a/y=1", "f/x=2", "to-a"}},
		{"directory over file, unsaid", []item{file("f/x", "2")}, []string{"a/d/z=1", "a/x=1", "a/y=1", "f/x=2", "to-a"}},
		{"directory over link", []item{dir("to-a"), file("to-a/x", "2")}, []string{"a/d/z=1", "a/x=1", "a/y=1", "f=1", "to-a/x=2"}},
		{"file through a link", []item{file("to-a/x", "2")}, []string{"a/d/z=1", "a/x=2", "a/y=1", "f=1", "to-a"}},
		{"hard link to a lower file", []item{hardLink("h", "a/x"), file(".wh.to-a", "")}, []string{"a/d/z=1", "a/x=1", "a/y=1", "f=1", "h=1"}},
		{"hard link to what is replaced later", []item{hardLink("h", "a/x"), file("a/x", "2")}, []string{"a/d/z=1", "a/x=2", "a/y=1", "f=1", "h=1", "to-a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := stack(t, scan(t, lower...), scan(t, tt.upper...))
			var got []string
			err := fs.WalkDir(v, ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				if b, ok := v.Kept(name); ok && d.Type() == 0 {
					name += "=" + string(b)
				}
				got = append(got, name)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Stack: (-want +got)\n%s", diff)
			}
		})
	}
}

// Origin tells the layer and the name of what holds the content.
func TestOrigin(t *testing.T) {
	v := stack(t,
		scan(t, dir("a"), file("a/x", "1"), file("f", "1")),
		scan(t, hardLink("h", "a/x"), file("f", "2")),
		scan(t, hardLink("i", "h"), file("a/x", "2")))
	for name, want := range map[string]string{"h": "0 a/x", "i": "0 a/x", "a/x": "2 a/x", "f": "1 f", "a": "0 a"} {
		e, layer, err := v.Origin(name)
		if got := fmt.Sprint(layer, " ", e.Path); err != nil || got != want {
			t.Errorf("Origin(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	if _, _, err := v.Origin("zzz"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Origin of nothing = %v, want fs.ErrNotExist", err)
	}
}

func TestStackModes(t *testing.T) {
	v := stack(t,
		scan(t, special(tar.TypeDir, "./", 0o750, 1, 1), special(tar.TypeDir, "a/", 0o700, 7, 7), file("b/c", "")),
		scan(t, special(tar.TypeDir, "a/", 0o1777, 8, 9)))
	want := []string{"dtrwxrwxrwx 8:9 0 a", "drwxr-xr-x 0:0 0 b", `-rw-r--r-- 0:0 0 b/c ""`}
	if diff := cmp.Diff(want, list(t, v)); diff != "" {
		t.Errorf("Stack: (-want +got)\n%s", diff)
	}
	root, err := v.Lstat(".")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(layers.Entry{Path: ".", Mode: fs.ModeDir | 0o750, UID: 1, GID: 1}, root.Sys()); diff != "" {
		t.Errorf("Lstat(.): (-want +got)\n%s", diff)
	}
}

func TestStackRejectsLinksToNothing(t *testing.T) {
	for _, items := range [][]item{
		{hardLink("a", "b")},
		{hardLink("a", "b"), file("b", "")}, // only what stands before counts
		{dir("b"), hardLink("a", "b")},
		{hardLink("a", "a")},
	} {
		_, err := layers.Stack(scan(t), scan(t, items...))
		if ee := (*layers.EntryError)(nil); !errors.As(err, &ee) || ee.Name != "a" || !strings.Contains(err.Error(), "layer 2 of 2") {
			t.Errorf("Stack(%v) = %v, want an EntryError for a in layer 2 of 2", items[0].Name, err)
		}
	}
}

func links(tb testing.TB) *layers.View {
	tb.Helper()
	items := []item{
		dir("usr/bin"), file("usr/bin/python3.11", "elf"), symlink("usr/bin/python3", "python3.11"), symlink("bin", "usr/bin"),
		symlink("abs", "/bin/python3"), symlink("out", "../../../usr/./bin//python3"), symlink("usr/bin/up", "../../bin/.."),
		symlink("loop", "loop"), symlink("ping", "pong"), symlink("pong", "ping"), symlink("dangling", "nowhere"), symlink("through", "abs/x"),
		symlink("n0", "usr"),
	}
	for i := range 41 {
		items = append(items, symlink(fmt.Sprintf("n%d", i+1), fmt.Sprintf("n%d", i)))
	}
	return stack(tb, scan(tb, items...))
}

func TestResolve(t *testing.T) {
	tests := []struct{ name, want, err string }{
		{name: ".", want: "."},
		{name: "usr/bin/python3.11", want: "usr/bin/python3.11"},
		{name: "bin/python3", want: "usr/bin/python3.11"},
		{name: "abs", want: "usr/bin/python3.11"},
		{name: "out", want: "usr/bin/python3.11"},
		{name: "usr/bin/up", want: "usr"},
		{name: "bin/up/bin/up/bin", want: "usr/bin"},
		{name: "n39", want: "usr"},
		{name: "n40", err: "resolve n40: too many levels of symbolic links"},
		{name: "loop", err: "resolve loop: too many levels of symbolic links"},
		{name: "ping/x", err: "resolve ping/x: too many levels of symbolic links"},
		{name: "dangling", err: "resolve dangling: file does not exist"},
		{name: "through", err: "resolve through: file does not exist"},
		{name: "../usr", err: "resolve ../usr: invalid argument"},
		{name: "/usr", err: "resolve /usr: invalid argument"},
	}
	v := links(t)
	for _, tt := range tests {
		got, err := v.Resolve(tt.name)
		msg := ""
		if err != nil {
			msg = err.Error()
		}
		if got != tt.want || msg != tt.err {
			t.Errorf("Resolve(%q) = %q, %q; want %q, %q", tt.name, got, msg, tt.want, tt.err)
		}
	}
}

func TestViewLinks(t *testing.T) {
	v := links(t)
	if got, err := v.ReadLink("bin/python3"); got != "python3.11" || err != nil {
		t.Errorf("ReadLink(bin/python3) = %q, %v", got, err)
	}
	if got, err := v.ReadLink("bin/python3.11"); err == nil {
		t.Errorf("ReadLink of a file = %q, want an error", got)
	}
	info, err := v.Stat("abs")
	if err != nil {
		t.Fatal(err)
	}
	want := layers.Entry{Path: "usr/bin/python3.11", Mode: 0o644, Size: 3}
	if diff := cmp.Diff(want, info.Sys()); diff != "" || info.Name() != "abs" {
		t.Errorf("Stat(abs) has the name %q and (-want +got)\n%s", info.Name(), diff)
	}
	if info, err := v.Lstat("bin/python3"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("Lstat(bin/python3) = %v, %v; want a link", info, err)
	}
	if b, ok := v.Kept("out"); !ok || string(b) != "elf" {
		t.Errorf("Kept(out) = %q, %v", b, ok)
	}
	if _, ok := v.Kept("usr"); ok {
		t.Error("Kept(usr) of a directory")
	}
	if _, err := v.ReadDir("abs"); err == nil {
		t.Error("ReadDir of a file succeeded")
	}
}

func TestViewIsFS(t *testing.T) {
	v := stack(t, scan(t, dir("a"), file("a/x", "one"), file("a/b/c/y", "two"), symlink("a/l", "x"), hardLink("h", "a/x"), file("empty", "")),
		scan(t, file("a/.wh.b", ""), file("z/z", "three")))
	if err := fstest.TestFS(v, "a/x", "a/l", "h", "empty", "z/z"); err != nil {
		t.Error(err)
	}
}

func TestOpenWithoutContent(t *testing.T) {
	ix, err := layers.Scan(t.Context(), strings.NewReader(string(makeTar(t, file("a", "x")))), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stack(t, ix).Open("a")
	if got := fmt.Sprint(err); got != "open a: its content was not kept when the layer was scanned" {
		t.Errorf("Open(a) = %v", got)
	}
}

func TestViewLayer(t *testing.T) {
	v := stack(t,
		scan(t, dir("a"), file("a/x", "1"), file("a/y", "1"), file("f", "1")),
		scan(t, dir("a"), file("a/y", "2"), symlink("l", "f"), file(".wh.f", "")),
	)
	for name, want := range map[string]int{"a": 1, "a/x": 0, "a/y": 1, "l": 1} {
		if got, err := v.Layer(name); err != nil || got != want {
			t.Errorf("Layer(%s) = %d, %v, want %d", name, got, err, want)
		}
	}
	if got, err := v.Layer("f"); err == nil {
		t.Errorf("Layer(f) = %d, want an error: the upper layer removes it", got)
	}
}
