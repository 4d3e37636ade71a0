// SPDX-License-Identifier: Apache-2.0

package step_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb"
	"inlay/assemble/deb/debtest"
	"inlay/assemble/step"
	"inlay/layers"
	"inlay/resolve/plan"
)

// TestEveryKind fails when plan.Step gets a kind that Write doesn't know.
func TestEveryKind(t *testing.T) {
	kinds := 0
	for f := range reflect.TypeFor[plan.Step]().Fields() {
		if f.Type.Kind() != reflect.Pointer {
			continue
		}
		kinds++
		var s plan.Step
		reflect.ValueOf(&s).Elem().FieldByIndex(f.Index).Set(reflect.New(f.Type.Elem()))
		if _, err := step.Write(t.Context(), io.Discard, s, step.Tools{}); err != nil {
			t.Errorf("Write of an empty %s step: %v", f.Name, err)
		}
	}
	if kinds == 0 {
		t.Error("plan.Step has no kinds: is it still a struct of pointers?")
	}
	if _, err := step.Write(t.Context(), io.Discard, plan.Step{Name: "x"}, step.Tools{}); err == nil {
		t.Error("Write of a step of no kind succeeded, want an error")
	}
}

// list writes s and returns a line for each entry of the layer.
func list(t *testing.T, s plan.Step, tools step.Tools) []string {
	t.Helper()
	var buf bytes.Buffer
	if _, err := step.Write(t.Context(), &buf, s, tools); err != nil {
		t.Fatalf("Write(%+v): %v", s, err)
	}
	zr, err := gzip.NewReader(&buf)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%04o %d:%d %d %s", h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.Name)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if len(body) > 0 && len(body) < 40 {
			line += fmt.Sprintf(" %q", body)
		}
		lines = append(lines, line)
	}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

var source = fstest.MapFS{
	"a.py":     {Data: []byte("a")},
	"data/b":   {Data: []byte("bb")},
	"man/x.1":  {Data: []byte("m")},
	"run.sh":   {Data: []byte("#!")},
	"changed":  {Data: []byte("now")},
	"grown":    {Data: []byte("12345")},
	"shrunken": {Data: []byte("1")},
}

func TestFiles(t *testing.T) {
	f := &plan.Files{
		Base: plan.Base{
			Links: []plan.Link{{Path: "/app/man", Target: "/usr/share/man"}},
			Dirs:  []plan.Dir{{Path: "/usr/share", Mode: fs.ModeSetgid | 0o775, GID: 50}},
		},
		Target: "/app", Mode: 0o666, UID: 1000, GID: 100, ModTime: 7,
		Files: []plan.File{
			{Path: "a.py", Mode: 0o644, Size: 1, Digest: digest("a")},
			{Path: "data", Mode: fs.ModeDir | 0o755},
			{Path: "data/b", Mode: 0o644, Size: 2, Digest: digest("bb")},
			{Path: "link", Mode: fs.ModeSymlink | 0o777, Link: "a.py"},
			{Path: "man", Mode: fs.ModeDir | 0o755},
			{Path: "man/x.1", Mode: 0o644, Size: 1, Digest: digest("m")},
			{Path: "run.sh", Mode: 0o755, Size: 2, Digest: digest("#!")},
		},
	}
	want := []string{
		"0777 1000:100 7 app/",
		`0644 1000:100 7 app/a.py "a"`,
		"0755 1000:100 7 app/data/",
		`0644 1000:100 7 app/data/b "bb"`,
		"0777 1000:100 7 app/link -> a.py",
		`0755 1000:100 7 app/run.sh "#!"`,
		"0755 0:0 7 usr/",
		"2775 0:50 7 usr/share/",
		"0755 0:0 7 usr/share/man/",
		`0644 1000:100 7 usr/share/man/x.1 "m"`,
	}
	if diff := cmp.Diff(want, list(t, plan.Step{Name: "source", Files: f}, step.Tools{Context: source})); diff != "" {
		t.Errorf("the layer of files (-want +got):\n%s", diff)
	}
}

// TestFilesBehindLinks holds that a directory of the parent outside the target
// stays what it is when a link in the target leads to it.
func TestFilesBehindLinks(t *testing.T) {
	f := &plan.Files{
		Base: plan.Base{
			Links: []plan.Link{{Path: "/app/data", Target: "/mnt/data"}, {Path: "/app/tmp", Target: "/tmp"}},
			Dirs:  []plan.Dir{{Path: "/mnt/data/b", Mode: 0o700, UID: 7, GID: 7}, {Path: "/tmp", Mode: fs.ModeSticky | 0o777}},
		},
		Target: "/app", UID: 1000, GID: 100, ModTime: 7,
		Files: []plan.File{
			{Path: "data", Mode: fs.ModeDir | 0o755},
			{Path: "data/b", Mode: fs.ModeDir | 0o755},
			{Path: "data/c", Mode: fs.ModeDir | 0o755},
			{Path: "tmp", Mode: fs.ModeDir | 0o755},
			{Path: "tmp/x", Mode: fs.ModeDir | 0o755},
		},
	}
	want := []string{
		"0755 1000:100 7 app/",
		"0755 0:0 7 mnt/",
		"0755 0:0 7 mnt/data/",
		"0700 7:7 7 mnt/data/b/",
		"0755 1000:100 7 mnt/data/c/",
		"1777 0:0 7 tmp/",
		"0755 1000:100 7 tmp/x/",
	}
	if diff := cmp.Diff(want, list(t, plan.Step{Name: "source", Files: f}, step.Tools{Context: source})); diff != "" {
		t.Errorf("the layer of files (-want +got):\n%s", diff)
	}
}

func TestFilesThatChanged(t *testing.T) {
	tests := []struct {
		name string
		file plan.File
	}{
		{"another content", plan.File{Path: "changed", Size: 3, Digest: digest("was")}},
		{"a longer file", plan.File{Path: "grown", Size: 3, Digest: digest("123")}},
		{"a shorter file", plan.File{Path: "shrunken", Size: 3, Digest: digest("123")}},
		{"a missing file", plan.File{Path: "missing", Size: 3, Digest: digest("123")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &plan.Files{Target: "/app", Files: []plan.File{tt.file}}
			_, err := step.Write(t.Context(), io.Discard, plan.Step{Name: "source", Files: f}, step.Tools{Context: source})
			var changed *step.ChangedError
			if !errors.As(err, &changed) || changed.Path != tt.file.Path || changed.Hint() == "" {
				t.Errorf("Write = %v, want a ChangedError of %s with a hint", err, tt.file.Path)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	r := &plan.Remove{
		Base:  plan.Base{Links: []plan.Link{{Path: "/lib", Target: "/usr/lib"}}},
		Paths: []string{"/lib/python3/numpy", "/usr/bin/f2py", "/usr/lib/python3/numpy"},
	}
	want := []string{
		"0755 0:0 315532800 usr/",
		"0755 0:0 315532800 usr/bin/",
		"0755 0:0 315532800 usr/lib/",
		"0755 0:0 315532800 usr/lib/python3/",
	}
	got := list(t, plan.Step{Name: "remove", Remove: r}, step.Tools{})
	if diff := cmp.Diff(want, got[:min(4, len(got))]); diff != "" {
		t.Errorf("the directories of whiteouts (-want +got):\n%s", diff)
	}
	for _, path := range []string{"usr/bin/.wh.f2py", "usr/lib/python3/.wh.numpy"} {
		if n := strings.Count(strings.Join(got, "\n")+"\n", " "+path+"\n"); n != 1 {
			t.Errorf("the layer names %s %d times, want once:\n%s", path, n, strings.Join(got, "\n"))
		}
	}
}

// makeWheel writes a wheel of the given files, "path=content", and returns how
// a plan names it.
func makeWheel(t *testing.T, dir, name string, files ...string) plan.Wheel {
	t.Helper()
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	info := name + "-1.0.dist-info/"
	files = append(files, info+"METADATA=Name: "+name+"\nVersion: 1.0\n", info+"WHEEL=Wheel-Version: 1.0\nRoot-Is-Purelib: true\n", info+"RECORD=")
	for _, f := range files {
		path, body, _ := strings.Cut(f, "=")
		w, err := zw.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	w := plan.Wheel{Name: name, Version: "1.0", File: name + "-1.0-py3-none-any.whl", Digest: digest(buf.String())}
	if err := os.WriteFile(filepath.Join(dir, w.File), buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestPython(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("x", 20000)
	var notes []string
	tools := step.Tools{
		Wheel: func(_ context.Context, w plan.Wheel) (*os.File, error) { return os.Open(filepath.Join(dir, w.File)) },
		Note:  func(s string) { notes = append(notes, s) },
	}
	p := &plan.Python{
		Base: plan.Base{
			Links: []plan.Link{{Path: "/usr/man", Target: "/usr/share/man"}},
			Dirs:  []plan.Dir{{Path: "/usr/lib", Mode: 0o700}},
		},
		Scheme: plan.Scheme{Purelib: "/usr/lib", Platlib: "/usr/lib", Scripts: "/usr/bin", Data: "/usr", Headers: "/usr/include", Interpreter: "/usr/bin/python3", Version: "3.11"},
		Wheels: []plan.Wheel{
			makeWheel(t, dir, "a", "a.py=a", "shared.py=one", "big.py="+big, "a-1.0.data/data/man/a.1=m"),
			makeWheel(t, dir, "b", "b.py=b", "shared.py=two"),
		},
	}
	got := list(t, plan.Step{Name: "a, b", Python: p}, tools)
	for _, want := range []string{
		"0700 0:0 315532800 usr/lib/",
		"0755 0:0 315532800 usr/lib/a-1.0.dist-info/",
		`0644 0:0 315532800 usr/lib/shared.py "two"`,
		`0644 0:0 315532800 usr/share/man/a.1 "m"`,
		`0644 0:0 315532800 usr/lib/a-1.0.dist-info/INSTALLER "inlay\n"`,
		"0644 0:0 315532800 usr/lib/big.py",
	} {
		if strings.Count(strings.Join(got, "\n")+"\n", want+"\n") != 1 {
			t.Errorf("the layer lacks %q:\n%s", want, strings.Join(got, "\n"))
		}
	}
	if want := []string{"a and b install different /usr/lib/shared.py: b wins"}; !cmp.Equal(want, notes) {
		t.Errorf("the notes are %q, want %q", notes, want)
	}
}

func TestPythonWithoutWheel(t *testing.T) {
	gone := errors.New("gone")
	p := &plan.Python{Wheels: []plan.Wheel{{Name: "a", Version: "1.0"}}}
	tools := step.Tools{Wheel: func(context.Context, plan.Wheel) (*os.File, error) { return nil, gone }}
	_, err := step.Write(t.Context(), io.Discard, plan.Step{Name: "a 1.0", Python: p}, tools)
	if want := `making layer "a 1.0": a 1.0: gone`; !errors.Is(err, gone) || err.Error() != want {
		t.Errorf("Write = %v, want %s", err, want)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &plan.Files{Target: "/app", Files: []plan.File{{Path: "a.py", Size: 1, Digest: digest("a")}}}
	if _, err := step.Write(ctx, io.Discard, plan.Step{Files: f}, step.Tools{Context: source}); !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v, want context.Canceled", err)
	}
}

// TestApt installs a package on a parent, and gives the same layer again from
// what is kept unpacked.
func TestApt(t *testing.T) {
	ix, err := layers.Scan(t.Context(), bytes.NewReader(debtest.Tar([]debtest.File{
		{Name: "bin", Link: "usr/bin"},
		{Name: "usr/"},
		{Name: "usr/bin/", Mode: 0o711},
		{Name: "var/"},
		{Name: "var/lib/"},
		{Name: "var/lib/dpkg/"},
		{Name: "var/lib/dpkg/info/"},
		{Name: "var/lib/dpkg/status"},
	})), step.Keep)
	if err != nil {
		t.Fatal(err)
	}
	pkg := debtest.Deb{Name: "hi", Control: map[string]string{"postinst": "#!/bin/sh\nexit 1\n"}, Files: []debtest.File{
		{Name: "./"}, {Name: "./bin/"}, {Name: "./bin/hi", Body: "hello", Mode: 0o755},
	}}.Bytes()
	opened := 0
	tools := step.Tools{
		Debs:   deb.NewStore(t.TempDir(), 2),
		Parent: func(context.Context) (*layers.View, error) { return layers.Stack(ix) },
		Deb: func(_ context.Context, d plan.Deb) (*os.File, error) {
			opened++
			name := filepath.Join(t.TempDir(), d.File)
			if err := os.WriteFile(name, pkg, 0o600); err != nil {
				return nil, err
			}
			return os.Open(name)
		},
	}
	sum := sha256.Sum256(pkg)
	s := plan.Step{Name: "hi", Apt: &plan.Apt{Scripts: "native", Debs: []plan.Deb{
		{Name: "hi", Version: "1", Arch: "all", File: "hi.deb", Digest: "sha256:" + hex.EncodeToString(sum[:])},
	}}}
	first := list(t, s, tools)
	want := []string{
		"0755 0:0 315532800 usr/", "0711 0:0 315532800 usr/bin/", "0755 0:0 315532800 var/", "0755 0:0 315532800 var/lib/",
		"0755 0:0 315532800 var/lib/dpkg/", "0755 0:0 315532800 var/lib/dpkg/info/", "0644 0:0 315532800 var/lib/dpkg/info/hi.list: /.\n/bin\n/bin/hi\n",
	}
	if got := strings.Join(first, "\n"); !strings.Contains(got, "0755 0:0 1000000000 usr/bin/hi") || !strings.Contains(got, "var/lib/dpkg/info/hi.postinst") {
		t.Errorf("the layer holds\n%s\nwant among others\n%s", got, strings.Join(want[:2], "\n"))
	}
	if diff := cmp.Diff(want[:6], first[:6]); diff != "" {
		t.Errorf("the layer's directories (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(first, list(t, s, tools)); diff != "" {
		t.Errorf("the layer made again (-first +second):\n%s", diff)
	}
	if opened != 1 {
		t.Errorf("the .deb was opened %d times, want once", opened)
	}
	made, err := step.Write(t.Context(), io.Discard, s, tools)
	if err != nil || len(made.Report) != 2 || !strings.Contains(made.Report[1], "apt: hi: postinst NOT run") {
		t.Errorf("the report is %q, %v", made.Report, err)
	}
}
