// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// walls are an Isolation whose cells are of paper.
type walls struct {
	*script
	needs   []python.Needs
	closed  int
	listed  map[string]python.Listed
	refused error
	fails   error
}

func (w *walls) Works(context.Context) (bool, error) { return w.fails == nil, w.fails }

func (w *walls) Enter(_ context.Context, n python.Needs) (python.Cell, error) {
	w.needs = append(w.needs, n)
	return w, nil
}

func (w *walls) Env() []string { return []string{"IN=1"} }
func (w *walls) Inside(url string) string {
	return strings.Replace(url, "https://u:pw@", "http://inside/", 1)
}
func (w *walls) Outside(text string) string               { return text }
func (w *walls) Refused() error                           { return w.refused }
func (w *walls) Listed([]string) map[string]python.Listed { return w.listed }
func (w *walls) Close()                                   { w.closed++ }

// A resolution runs uv in a cell with what it needs, and what requirements name
// by a URL as it is inside; one that is known runs nothing.
func TestCell(t *testing.T) {
	const file = "https://u:pw@files.example.com/idna-3.10-py3-none-any.whl"
	run := &script{install: said{stderr: "Would make no changes\n"}}
	w := &walls{script: run}
	run.look = func(c python.Command) {
		if !slices.Equal(c.Env, []string{"IN=1"}) {
			t.Errorf("uv has the environment %q, want that of the cell", c.Env)
		}
	}
	bare := &script{}
	r := resolver(t, bare)
	r.Isolation = w
	req := python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "idna @ "+file), Index: at(t, "https://example.com/simple"),
	}
	if _, err := r.Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if len(bare.calls) != 0 || len(run.calls) != 1 || w.closed != 1 || len(w.needs) != 1 {
		t.Fatalf("on the machine ran %q, in %d cells, of which %d were closed, %q", bare.calls, len(w.needs), w.closed, run.calls)
	}
	n := w.needs[0]
	if n.Index.Default() != "https://example.com/simple" || !slices.Equal(n.URLs, []string{file}) || !slices.Contains(n.Read, "uv") || len(n.Write) != 3 || n.Offline {
		t.Errorf("the cell has %+v", n)
	}
	if want := "idna @ http://inside/files.example.com/idna-3.10-py3-none-any.whl\n"; run.input[0] != want {
		t.Errorf("the requirements are %q, want %q", run.input[0], want)
	}
	w.fails = errors.New("no more")
	if got, err := r.Resolve(t.Context(), req); err != nil || !got.Recalled {
		t.Errorf("once more: %+v, %v, want what is known, without a cell", got, err)
	}
	req.Refresh = true
	if _, err := r.Resolve(t.Context(), req); !errors.Is(err, w.fails) {
		t.Errorf("refreshed: %v, want %v", err, w.fails)
	}
}

// A failure after something was refused names that.
func TestCellRefused(t *testing.T) {
	run := &script{install: said{exit: 2, stderr: "error: Request failed after 3 retries\n  cause: Failed to fetch: `https://files.example.com/x`\n"}}
	refused := errors.New("files.example.com was asked for")
	r := resolver(t, &script{})
	r.Isolation = &walls{script: run, refused: refused}
	_, err := r.Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "idna"), Index: at(t, "https://example.com/simple"),
	})
	var down *python.IndexError
	if !errors.Is(err, refused) || !errors.As(err, &down) || !strings.Contains(err.Error(), "files.example.com was asked for") {
		t.Errorf("Resolve = %v, want the failure and what was refused", err)
	}
}

// pip has in its cell the libraries of its Python, wherever they are, and the
// variable by which a script that starts the Python may say so.
func TestCellPip(t *testing.T) {
	dir := t.TempDir()
	lib := filepath.Join(dir, "lib.so")
	if err := os.WriteFile(lib, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	program(t, dir, "python3", fmt.Sprintf(`echo loading modules; echo 'inlay {"executable": "/real/python3", "dirs": ["/real"], "libs": ["", "linux-vdso.so.1", %q], "path": "/by/script", "index": "https://example.com/simple"}'`, lib))
	r := resolver(t, python.Exec{})
	r.Env = []string{"LD_LIBRARY_PATH=/before"}
	r.Pip = func(context.Context) (python.Pip, error) {
		return python.Pip{Python: filepath.Join(dir, "python3"), Version: "26.3"}, nil
	}
	run := &script{}
	w := &walls{script: run}
	r.Isolation = w
	_, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "idna"), Installer: "pip"})
	if len(w.needs) != 1 {
		t.Fatalf("Resolve opened %d cells: %v", len(w.needs), err)
	}
	n := w.needs[0]
	for _, p := range []string{"/real/python3", "/real", lib} {
		if !slices.Contains(n.Read, p) {
			t.Errorf("the cell has %q, without %s", n.Read, p)
		}
	}
	if slices.Contains(n.Read, "linux-vdso.so.1") || slices.Contains(n.Read, "") {
		t.Errorf("the cell has %q", n.Read)
	}
	program(t, dir, "python3", "echo no module named json >&2; exit 1")
	var broken *python.BrokenPythonError
	_, err = r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "idna"), Installer: "pip"})
	if !errors.As(err, &broken) || broken.Says != "no module named json" || !strings.Contains(broken.Hint(), "--installer uv") {
		t.Errorf("with a Python that is broken: %v", err)
	}
	if !slices.Contains(n.Env, "LD_LIBRARY_PATH=/by/script") || slices.Contains(n.Env, "LD_LIBRARY_PATH=/before") {
		t.Errorf("its environment is %q", n.Env)
	}
}
