// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inlay/ignore"
	"inlay/resolve/plan"
	"inlay/resolve/tree"
)

// open opens a directory as a context for the time of the test.
func open(t testing.TB, dir string) *tree.Dir {
	t.Helper()
	d, err := tree.Open(dir)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// snapshot lists a context that has no problems.
func snapshot(t testing.TB, o tree.Options) []plan.File {
	t.Helper()
	files, err := tree.Snapshot(t.Context(), o)
	if err != nil {
		t.Fatalf("Snapshot: %v", err)
	}
	return files.Files
}

func write(t testing.TB, name, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func digest(content string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
}

func file(path, content string, mode fs.FileMode) plan.File {
	return plan.File{Path: path, Mode: mode, Size: int64(len(content)), Digest: digest(content)}
}

func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.py"), "print()\n", 0o644)
	write(t, filepath.Join(dir, "bin/run"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(dir, "bin.txt"), "", 0o644)
	write(t, filepath.Join(dir, "left/out.pyc"), "x", 0o644)
	write(t, filepath.Join(dir, ".dockerignore"), "**/*.pyc\n", 0o644)
	check(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	check(t, os.Symlink("main.py", filepath.Join(dir, "link")))
	check(t, os.Link(filepath.Join(dir, "main.py"), filepath.Join(dir, "hard.py")))
	rules, err := ignore.Parse(strings.NewReader("**/*.pyc\n"))
	check(t, err)

	got, err := tree.Snapshot(t.Context(), tree.Options{FS: open(t, dir), Rules: rules, Target: "/app", UID: 1000, GID: 100, ModTime: 7, Jobs: 2})
	if err != nil {
		t.Fatalf("Snapshot: %v", err)
	}
	want := &plan.Files{Target: "/app", UID: 1000, GID: 100, ModTime: 7, Files: []plan.File{
		file(".dockerignore", "**/*.pyc\n", 0o644),
		{Path: "bin", Mode: fs.ModeDir | 0o755},
		file("bin.txt", "", 0o644),
		file("bin/run", "#!/bin/sh\n", 0o755),
		{Path: "empty", Mode: fs.ModeDir | 0o755},
		file("hard.py", "print()\n", 0o644),
		{Path: "left", Mode: fs.ModeDir | 0o755},
		{Path: "link", Mode: fs.ModeSymlink | 0o777, Link: "main.py"},
		file("main.py", "print()\n", 0o644),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Snapshot (-want +got):\n%s", diff)
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	got := snapshot(t, tree.Options{FS: open(t, t.TempDir())})
	if got == nil || len(got) != 0 {
		t.Errorf("Snapshot of an empty directory lists %#v, want an empty list that is not nil", got)
	}
}

func TestModes(t *testing.T) {
	tests := []struct{ mode, want fs.FileMode }{
		{0o644, 0o644},
		{0o600, 0o644},
		{0o664, 0o644},
		{0o666, 0o644},
		{0o400, 0o644},
		{0o640, 0o644},
		{0o755, 0o755},
		{0o700, 0o755},
		{0o775, 0o755},
		{0o777, 0o755},
		{0o410, 0o755},
		{0o401, 0o755},
		{fs.ModeSetuid | 0o755, 0o755},
	}
	dir := t.TempDir()
	var want []plan.File
	for i, tt := range tests {
		name := fmt.Sprintf("%02d", i)
		write(t, filepath.Join(dir, name), "", 0o600)
		check(t, os.Chmod(filepath.Join(dir, name), tt.mode))
		want = append(want, file(name, "", tt.want))
	}
	for i, mode := range []fs.FileMode{0o700, 0o777, fs.ModeSticky | 0o770, fs.ModeSetgid | 0o755} {
		name := fmt.Sprintf("d%d", i)
		check(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		check(t, os.Chmod(filepath.Join(dir, name), mode))
		want = append(want, plan.File{Path: name, Mode: fs.ModeDir | 0o755})
	}
	if diff := cmp.Diff(want, snapshot(t, tree.Options{FS: open(t, dir)})); diff != "" {
		t.Errorf("Snapshot (-want +got):\n%s", diff)
	}
}

// The same source checked out under another umask, with other times and in
// another order is the same list, whatever number of CPUs and jobs.
func TestSnapshotIsReproducible(t *testing.T) {
	names := []string{"a/x", "a.b", "a/b/c", "z", "é/ü", "a-b"}
	checkout := func(umask int, names []string) *tree.Dir {
		dir := t.TempDir()
		defer syscall.Umask(syscall.Umask(umask))
		for i, name := range names {
			path := filepath.Join(dir, name)
			check(t, os.MkdirAll(filepath.Dir(path), 0o777))
			mode := fs.FileMode(0o666)
			if name == "z" {
				mode = 0o777
			}
			check(t, os.WriteFile(path, []byte(name), mode))
			if i%2 == umask%2 {
				check(t, os.Chtimes(path, fileTime(umask), fileTime(i)))
			}
		}
		return open(t, dir)
	}
	want := snapshot(t, tree.Options{FS: checkout(0o022, names)})
	slices.Reverse(names)
	other := checkout(0o077, names)
	for _, cpus := range []int{1, 8} {
		for _, jobs := range []int{0, 1, 8} {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cpus))
			if diff := cmp.Diff(want, snapshot(t, tree.Options{FS: other, Jobs: jobs})); diff != "" {
				t.Errorf("Snapshot with %d CPUs and %d jobs (-want +got):\n%s", cpus, jobs, diff)
			}
		}
	}
}

func TestOddNames(t *testing.T) {
	names := []string{
		" ", " lead", "trail ", "-rf", "new\nline", "tab\there", `back\slash`, `"quoted"`, "'", "*", "[a]", "a:b", "~", "#", "!",
		"ünï", "日本語", "e\u0301", "\u00e9", "🐍.py", "...", "..a", ".hidden", strings.Repeat("n", 255), "\x01", "\u2028", "\uFFFD",
	}
	dir := t.TempDir()
	var want []plan.File
	slices.Sort(names)
	for _, name := range names {
		write(t, filepath.Join(dir, name), name, 0o644)
		want = append(want, file(name, name, 0o644))
	}
	if diff := cmp.Diff(want, snapshot(t, tree.Options{FS: open(t, dir), Jobs: 4})); diff != "" {
		t.Errorf("Snapshot (-want +got):\n%s", diff)
	}
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d/file"), "content", 0o644)
	links := map[string]string{
		"absolute": "/etc/passwd", "dangling": "nowhere/to be found", "dir": "d", "escape": "../../../etc", "loop1": "loop2", "loop2": "loop1", "self": "self", "unclean": "./d//../d/file", "d/up": "..",
	}
	want := []plan.File{{Path: "d", Mode: fs.ModeDir | 0o755}, file("d/file", "content", 0o644)}
	for name, target := range links {
		check(t, os.Symlink(target, filepath.Join(dir, name)))
		want = append(want, plan.File{Path: name, Mode: fs.ModeSymlink | 0o777, Link: target})
	}
	slices.SortFunc(want, func(a, b plan.File) int { return strings.Compare(a.Path, b.Path) })

	context := filepath.Join(t.TempDir(), "context")
	check(t, os.Symlink(dir, context))
	for _, name := range []string{dir, context} {
		if diff := cmp.Diff(want, snapshot(t, tree.Options{FS: open(t, name)})); diff != "" {
			t.Errorf("Snapshot of %s (-want +got):\n%s", filepath.Base(name), diff)
		}
	}
}

// A path may be longer than any system call takes.
func TestLongPath(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	check(t, err)
	defer root.Close()
	deep := strings.Repeat(strings.Repeat("d", 99)+"/", 60)
	check(t, root.MkdirAll(strings.TrimSuffix(deep, "/"), 0o755))
	check(t, root.WriteFile(deep+"file", []byte("deep"), 0o644))

	got := snapshot(t, tree.Options{FS: open(t, dir)})
	if want := file(deep+"file", "deep", 0o644); len(got) != 61 || got[60] != want {
		t.Errorf("Snapshot lists %d files, want 61 with one at the end of a path of %d bytes", len(got), len(want.Path))
	}
}

func TestNotUTF8(t *testing.T) {
	tests := []struct {
		name, path, link string
		message, rule    string
	}{
		{"a file", "caf\xe9.txt", "", `the name "caf\xe9.txt" is not UTF-8`, "/caf?.txt"},
		{"a file in a directory", "a/b\n\xff\xfe[1]", "", `the name "a/b\n\xff\xfe[1]" is not UTF-8`, "/a/b????1?"},
		{"a link", "link", "caf\xe9", `the target of symbolic link "link" is not UTF-8: "caf\xe9"`, "/link"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.link != "" {
				check(t, os.Symlink(tt.link, filepath.Join(dir, tt.path)))
			} else {
				write(t, filepath.Join(dir, tt.path), "", 0o644)
			}
			_, err := tree.Snapshot(t.Context(), tree.Options{FS: open(t, dir)})
			var got *tree.NameError
			if !errors.As(err, &got) || got.Error() != tt.message {
				t.Fatalf("Snapshot = %v, want %s", err, tt.message)
			}
			if want := "add `" + tt.rule + "` to .dockerignore"; !strings.HasSuffix(got.Hint(), want) {
				t.Errorf("Hint() = %s, want the end %s", got.Hint(), want)
			}
			rules, err := ignore.Parse(strings.NewReader(tt.rule))
			check(t, err)
			for _, f := range snapshot(t, tree.Options{FS: open(t, dir), Rules: rules}) {
				if !f.Mode.IsDir() {
					t.Errorf("Snapshot with the hint's rule lists %q", f.Path)
				}
			}
		})
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d/file"), "content", 0o644)
	write(t, filepath.Join(dir, "empty"), "", 0o755)
	check(t, os.Symlink("d/file", filepath.Join(dir, "inside")))
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret", 0o644)
	d := open(t, dir)
	if err := fstest.TestFS(d, "d/file", "empty", "inside"); err != nil {
		t.Error(err)
	}
	check(t, os.Symlink(outside, filepath.Join(dir, "out")))
	for _, name := range []string{"out/secret", "out", "../x", "/etc/passwd"} {
		if f, err := d.Open(name); err == nil {
			t.Errorf("Open(%s) = %v, want an error: that leads out of the context", name, f)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "", 0o644)
	for name, problem := range map[string]string{
		filepath.Join(dir, "missing"): "does not exist",
		filepath.Join(dir, "file"):    "is not a directory",
	} {
		_, err := tree.Open(name)
		var got *tree.ContextError
		if want := fmt.Sprintf("build context %q %s", name, problem); !errors.As(err, &got) || got.Error() != want {
			t.Errorf("Open = %v, want %s", err, want)
		} else if !strings.Contains(got.Hint(), "`inlay build .`") {
			t.Errorf("Hint() = %s, want a command", got.Hint())
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, fsys := range map[string]fs.FS{"empty": fstest.MapFS{}, "one file": fstest.MapFS{"a": {Data: []byte("a")}}} {
		if _, err := tree.Snapshot(ctx, tree.Options{FS: fsys}); !errors.Is(err, context.Canceled) {
			t.Errorf("Snapshot of %s, cancelled = %v, want context.Canceled", name, err)
		}
	}
}

func TestProgress(t *testing.T) {
	fsys := fstest.MapFS{"a": {Data: make([]byte, 1<<20)}, "b/c": {Data: []byte("four")}, "d": {Mode: fs.ModeDir | 0o755}}
	var log []string
	progress := func(task string, total int64) (func(int64), func(error)) {
		read := int64(0)
		return func(n int64) { read += n }, func(err error) {
			log = append(log, fmt.Sprintf("%s: %d of %d, %v", task, read, total, err))
		}
	}
	snapshot(t, tree.Options{FS: fsys, Progress: progress})
	snapshot(t, tree.Options{FS: fstest.MapFS{}, Progress: progress})
	if diff := cmp.Diff([]string{"reading the source: 1048580 of 1048580, <nil>"}, log); diff != "" {
		t.Errorf("Progress (-want +got):\n%s", diff)
	}
}

// An image doesn't hold what its own build writes: it would grow with each one.
func TestSnapshotWithoutWritten(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"main.py", "out/index.json", "out/blobs/x", "outer.py", "dist/image.tar", "dist/a.py"} {
		write(t, filepath.Join(dir, name), "x", 0o644)
	}
	var notes []string
	got := snapshot(t, tree.Options{
		FS: open(t, dir), Written: []string{"out", "dist/image.tar", "later"},
		Note: func(s string) { notes = append(notes, s) },
	})
	var paths []string
	for _, f := range got {
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{"dist", "dist/a.py", "main.py", "outer.py"}, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	slices.Sort(notes)
	want := []string{`"dist/image.tar" is left out: the build writes there`, `"out" is left out: the build writes there`}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}
