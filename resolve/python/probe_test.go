// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inlay/layers"
	"inlay/resolve/parent"
)

// What stands in for the interpreter answers wherever it lies, and without a
// PATH.
func TestStandIn(t *testing.T) {
	py := &parent.Python{Interpreter: "/usr/bin/python3", Version: "3.11.2", Arch: "x86_64", Prefix: "/usr"}
	py.Scheme.Purelib, py.Scheme.Platlib = "/lib", "/lib"
	dir := filepath.Join(t.TempDir(), `it's %s "so" $HOME \n`)
	if err := os.MkdirAll(filepath.Join(dir, outDir), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := writeSkeleton(dir, py, parent.Libc{Family: "glibc", Major: 2, Minor: 36}, &layers.View{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(code string) (int, []byte) {
		var out bytes.Buffer
		exit, err := Exec{}.Run(t.Context(), Command{Path: s.python, Args: []string{"-I", "-B", "-c", code}, Env: []string{"PATH="}, Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		return exit, out.Bytes()
	}
	var got info
	if exit, out := ask("from python.get_interpreter_info import main"); exit != 0 || json.Unmarshal(out, &got) != nil || got.Executable != s.python {
		t.Errorf("it answers with status %d: %s", exit, out)
	}
	if exit, out := ask("import setuptools"); exit != 86 || len(out) > 0 {
		t.Errorf("asked to build it ends with status %d: %s", exit, out)
	}
	if b, err := left(dir, buildsName); err != nil || len(b) == 0 {
		t.Errorf("what it notes of the build is %q, %v", b, err)
	}
}

// A directory where no program runs is named, with the way out.
func TestMayRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, nil, 0o644); err != nil { // to run, as good as one on a file system with noexec
		t.Fatal(err)
	}
	var no *NoExecError
	if err := mayRun(file); !errors.As(err, &no) || no.Dir != filepath.Dir(file) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(no.Hint(), "--cache-dir") {
		t.Errorf("mayRun = %v, want a *NoExecError", err)
	}
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mayRun(file); err != nil {
		t.Errorf("mayRun = %v", err)
	}
}
