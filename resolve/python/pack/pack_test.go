// SPDX-License-Identifier: Apache-2.0

package pack_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/python/pack"
)

// project writes a project in a directory of its own.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func archive(t *testing.T, p pack.Project) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pack.Write(t.Context(), p, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// list returns what an archive has, a line for each.
func list(t *testing.T, b []byte) (lines []string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(r)
		lines = append(lines, fmt.Sprintf("%s %o %d %s%s", h.Name, h.Mode, h.ModTime.Unix(), h.Linkname, content))
	}
}

// An archive has the sources below one directory, links as links, and nothing
// that is no source.
func TestWrite(t *testing.T) {
	dir := project(t, map[string]string{
		"pyproject.toml": "p", "app/run.sh": "r", "app/__pycache__/x.pyc": "", "app/y.pyc": "", ".git/config": "", ".venv/x": "", "env/pyvenv.cfg": "",
		"cache/CACHEDIR.TAG": "", "node_modules/x": "", "sub/.git": "gitdir: x", "sub/.gitignore": "g", "data/.keep": "",
	})
	for _, err := range []error{
		os.Chmod(filepath.Join(dir, "app/run.sh"), 0o700), os.Symlink("/etc/passwd", filepath.Join(dir, "app/link")),
		syscall.Mkfifo(filepath.Join(dir, "app/pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"a/ 755 315532800 ", "a/app/ 755 315532800 ", "a/app/link 644 315532800 /etc/passwd", "a/app/run.sh 755 315532800 r",
		"a/data/ 755 315532800 ", "a/data/.keep 644 315532800 ", "a/pyproject.toml 644 315532800 p", "a/sub/ 755 315532800 ", "a/sub/.gitignore 644 315532800 g",
	}
	if diff := cmp.Diff(want, list(t, archive(t, pack.Project{Dir: dir, Name: "a"}))); diff != "" {
		t.Errorf("the archive (-want +got):\n%s", diff)
	}
}

// Equal trees give equal archives, whatever their times and umask.
func TestSame(t *testing.T) {
	files := map[string]string{"b": "1", "a/c": "2", "setup.py": "3"}
	one, other := project(t, files), project(t, files)
	if err := os.Chtimes(filepath.Join(other, "b"), time.Unix(5, 0), time.Unix(5, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(other, "a/c"), 0o604); err != nil {
		t.Fatal(err)
	}
	first, second := archive(t, pack.Project{Dir: one, Name: "x"}), archive(t, pack.Project{Dir: other, Name: "x"})
	if !bytes.Equal(first, second) {
		t.Error("the archives of equal trees differ")
	}
	if err := os.WriteFile(filepath.Join(other, "b"), []byte("9"), 0o600); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, archive(t, pack.Project{Dir: other, Name: "x"})) {
		t.Error("the archives of different trees are equal")
	}
}

// A version that only the history knows stands in the archive, unless that says
// one itself.
func TestVersion(t *testing.T) {
	dir := project(t, map[string]string{"setup.py": ""})
	want := []string{"x/ 755 315532800 ", "x/setup.py 644 315532800 ", "x/PKG-INFO 644 315532800 Metadata-Version: 2.1\nName: x\nVersion: 1.5\n"}
	if diff := cmp.Diff(want, list(t, archive(t, pack.Project{Dir: dir, Name: "x", Version: "1.5"}))); diff != "" {
		t.Errorf("the archive (-want +got):\n%s", diff)
	}
	dir = project(t, map[string]string{"PKG-INFO": "own"})
	if diff := cmp.Diff([]string{"x/ 755 315532800 ", "x/PKG-INFO 644 315532800 own"}, list(t, archive(t, pack.Project{Dir: dir, Name: "x", Version: "1.5"}))); diff != "" {
		t.Errorf("the archive of one with a PKG-INFO (-want +got):\n%s", diff)
	}
	for text, want := range map[string]bool{"requires = ['setuptools_scm']": true, "requires = ['hatch-vcs']": true, "requires = ['setuptools']": false} {
		if got := pack.ByHistory(project(t, map[string]string{"pyproject.toml": text})); got != want {
			t.Errorf("ByHistory of %s = %v", text, got)
		}
	}
}

func TestErrors(t *testing.T) {
	if err := pack.Write(t.Context(), pack.Project{Dir: filepath.Join(t.TempDir(), "none"), Name: "x"}, io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Write of nothing: %v, want %v", err, os.ErrNotExist)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pack.Write(ctx, pack.Project{Dir: t.TempDir(), Name: "x"}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Write that is cancelled: %v, want %v", err, context.Canceled)
	}
}
