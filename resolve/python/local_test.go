// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
	"inlay/resolve/python/reqfile"
)

// localGroup reads lines of a requirements file in dir.
func localGroup(t *testing.T, dir string, lines ...string) python.Group {
	t.Helper()
	r := reqfile.Reader{Open: func(p string) (io.ReadCloser, error) { return os.Open(p) }, Dir: dir}
	g, err := r.Text("requirements.txt", strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// putWheel writes a wheel into dir, and returns what a plan says of it.
func putWheel(t *testing.T, dir, name string, requires ...string) plan.Wheel {
	t.Helper()
	file, content := pythontest.Wheel(name, requires...)
	path := filepath.Join(dir, file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(name, "-")
	return plan.Wheel{
		Name: parts[0], Version: parts[1], File: file, URL: "file://" + strings.ReplaceAll(path, " ", "%20"),
		Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(content)), Size: int64(len(content)),
	}
}

// A wheel of this machine is taken as it is, in whatever way it is named, and
// what it requires comes from the index. Its path decides nothing, its content
// does.
func TestUVLocalWheel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b")
	own := putWheel(t, filepath.Join(dir, "dist"), "own-1.0-py3-none-any.whl", "beta>=1", `native; extra == "fast"`+"\nProvides-Extra: fast")
	other := putWheel(t, filepath.Join(dir, "other"), "own-2.0-py3-none-any.whl")
	ix := newIndex(t, packages())
	tests := []struct {
		name   string
		groups [][]string
		want   []string
	}{
		{"a path", [][]string{{"./dist/own-1.0-py3-none-any.whl"}}, []string{"beta-1.5", "own-1.0"}},
		{"a path with an extra", [][]string{{"dist/own-1.0-py3-none-any.whl[fast]"}}, []string{"beta-1.5", "native-1.0", "own-1.0"}},
		{"a URL", [][]string{{"own @ " + own.URL}}, []string{"beta-1.5", "own-1.0"}},
		{"its hash", [][]string{{"own @ " + own.URL + "#sha256=" + own.Digest[7:]}}, []string{"beta-1.5", "own-1.0"}},
		{"a path and a pin of what it requires", [][]string{{"./dist/own-1.0-py3-none-any.whl", "beta==1.0"}}, []string{"beta-1.0", "own-1.0"}},
		{"one of two", [][]string{{
			"./other/own-2.0-py3-none-any.whl ; sys_platform == 'win32'", "./dist/own-1.0-py3-none-any.whl ; sys_platform == 'linux'",
		}}, []string{"beta-1.5", "own-1.0"}},
		{"of two groups the later", [][]string{{"./dist/own-1.0-py3-none-any.whl"}, {"./other/own-2.0-py3-none-any.whl"}}, []string{"beta-1.5", "own-2.0"}},
		{"in both groups", [][]string{{"./dist/own-1.0-py3-none-any.whl"}, {"./dist/own-1.0-py3-none-any.whl"}}, []string{"beta-1.5", "own-1.0"}},
		{"a path, then its name", [][]string{{"./dist/own-1.0-py3-none-any.whl"}, {"own"}}, []string{"beta-1.5", "own-1.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := ask(t)
			w := &twin{t: t}
			r.Runner = w
			var groups []python.Group
			for _, lines := range tt.groups {
				groups = append(groups, localGroup(t, dir, lines...))
			}
			got, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: groups, Index: at(t, ix.url())})
			if err != nil {
				t.Fatal(err)
			}
			var wheels []string
			for _, w := range got.Wheels {
				wheels = append(wheels, w.Name+"-"+w.Version)
				for _, local := range []plan.Wheel{own, other} {
					if diff := cmp.Diff(local, w); w.File == local.File && diff != "" {
						t.Errorf("the wheel (-want +got):\n%s", diff)
					}
				}
			}
			if diff := cmp.Diff(tt.want, wheels); diff != "" {
				t.Errorf("Wheels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(w.left(), netted(nil, got)); diff != "" {
				t.Errorf("installed in the end (-by uv +by Resolve):\n%s", diff)
			}
		})
	}
}

// A changed wheel is another question, at the same path too; an unchanged one
// is answered from the store.
func TestLocalWheelChanges(t *testing.T) {
	dir := t.TempDir()
	first := putWheel(t, dir, "six-1.0-py3-none-any.whl")
	run := &script{install: said{stderr: dryRun(" + six==1.0 (from " + first.URL + ")")}}
	r := resolver(t, run)
	req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: []python.Group{localGroup(t, dir, "./six-1.0-py3-none-any.whl")}}
	resolve := func(want plan.Wheel, calls int) {
		t.Helper()
		run.calls = nil
		got, err := r.Resolve(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]plan.Wheel{want}, got.Wheels); diff != "" {
			t.Errorf("Wheels (-want +got):\n%s", diff)
		}
		if len(run.calls) != calls {
			t.Errorf("uv was called %d times, want %d: it need not look a local wheel up", len(run.calls), calls)
		}
	}
	resolve(first, 1)
	resolve(first, 0)
	resolve(putWheel(t, dir, "six-1.0-py3-none-any.whl", "idna"), 1)
}

func TestLocalWheelRefused(t *testing.T) {
	dir := t.TempDir()
	w := putWheel(t, dir, "six-1.0-py3-none-any.whl")
	tests := []struct{ name, line, want string }{
		{"another digest", "six @ " + w.URL + "#sha256=" + sumA, "six-1.0-py3-none-any.whl of six==1.0 has " + w.Digest + ", its requirement allows only sha256:" + sumA},
		{"a directory", "./dir-1.0-py3-none-any.whl", "is not a regular file"},
		{"gone", "./gone-1.0-py3-none-any.whl", `requirements.txt:1: "./gone-1.0-py3-none-any.whl": there is no file ` + dir},
	}
	if err := os.Mkdir(filepath.Join(dir, "dir-1.0-py3-none-any.whl"), 0o700); err != nil {
		t.Fatal(err)
	}
	gone := putWheel(t, dir, "gone-1.0-py3-none-any.whl")
	for _, tt := range tests {
		g := localGroup(t, dir, tt.line)
		if tt.name == "gone" {
			if err := os.Remove(strings.TrimPrefix(gone.URL, "file://")); err != nil {
				t.Fatal(err)
			}
		}
		_, err := resolver(t, &script{}).Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: []python.Group{g}})
		var hint interface {
			error
			Hint() string
		}
		if !errors.As(err, &hint) || !strings.Contains(err.Error(), tt.want) || hint.Hint() == "" {
			t.Errorf("%s: Resolve: %v, want %q and a hint", tt.name, err, tt.want)
		}
	}
}
