// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// staging is one of a file of that content.
func staging(t *testing.T, name string, content []byte) python.Staging {
	t.Helper()
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	inv := pythontest.Debian()
	return python.Staging{Inventory: inv, Scheme: inv.Python.Scheme, Wheel: plan.Wheel{Name: "demo", Version: "1.0", File: name}, File: f}
}

const demoWheel = "demo-1.0-py3-none-any.whl"

// TestStage shows uv a wheel and nothing else, and drops the tree when told to.
func TestStage(t *testing.T) {
	var said []string
	run := &script{look: func(c python.Command) {
		for _, e := range c.Env {
			if !strings.HasPrefix(e, "PATH=") {
				said = append(said, strings.ReplaceAll(e, c.Dir, "DIR"))
			}
		}
		said = append(said, strings.ReplaceAll(strings.Join(c.Args, " "), c.Dir, "DIR"))
		answer, err := os.ReadFile(python3(c))
		if err != nil || !strings.Contains(string(answer), `"sys_executable":"/usr/bin/python3.11"`) || !strings.Contains(string(answer), `"scripts":"`+c.Dir+`/root/usr/local/bin"`) {
			t.Errorf("the interpreter's stand-in says %s (%v), want the image's path of itself, and the tree's of scripts", answer, err)
		}
		if b, err := os.ReadFile(filepath.Join(c.Dir, "wheel", demoWheel)); string(b) != "content" {
			t.Errorf("uv is shown the wheel %q (%v)", b, err)
		}
		if err := os.WriteFile(filepath.Join(c.Dir, "root", "file"), []byte("installed"), 0o644); err != nil {
			t.Error(err)
		}
	}}
	r := resolver(t, run)
	r.Env = append(r.Env, "UV_INDEX=http://user:secret@example.com", "UV_NO_SYSTEM=1")
	tree, remove, err := r.Stage(t.Context(), staging(t, demoWheel, []byte("content")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"UV_CACHE_DIR=DIR/cache", "TMPDIR=DIR/tmp", "NO_COLOR=1", "UV_NO_PROGRESS=1", "UV_NO_CONFIG=1",
		"UV_PYTHON_DOWNLOADS=never", "UV_NO_INSTALLER_METADATA=1",
		"pip install --quiet --offline --no-index --no-deps --no-build --break-system-packages --link-mode copy --python DIR/bin/python DIR/wheel/" + demoWheel,
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("uv is told (-want +got):\n%s", diff)
	}
	if b, err := fs.ReadFile(tree, "file"); string(b) != "installed" {
		t.Errorf("the tree holds %q (%v)", b, err)
	}
	remove()
	wantNothing(t, r.Temp)
}

// wantNothing checks that a directory is empty.
func wantNothing(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) || len(left) > 0 {
		t.Errorf("%v (%v) is left behind, want nothing", left, err)
	}
}

// TestStageFails leaves nothing behind and says why.
func TestStageFails(t *testing.T) {
	broken := errors.New("out of luck")
	refusal := said{exit: 2, stderr: "error: Failed to read `demo @ file://{dir}/wheel/" + demoWheel + "`\n  cause: The wheel is invalid: no luck\n"}
	tests := []struct {
		name, file string
		say        said
		uv         error
		want       string
	}{
		{"no uv", demoWheel, said{}, broken, "out of luck"},
		{"uv refuses", demoWheel, refusal, nil, "uv 0.13.9 refuses it: failed to read `demo @ file://wheel/" + demoWheel + "`: The wheel is invalid: no luck"},
		{"uv is silent", demoWheel, said{exit: 2}, nil, "uv 0.13.9 refuses it: it doesn't say why"},
		{"a name that leads elsewhere", "../" + demoWheel, said{}, nil, `preparing to install ../` + demoWheel + `: "../` + demoWheel + `" is no file name`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := resolver(t, &script{install: tt.say})
			if tt.uv != nil {
				r.UV = func(context.Context) (python.UV, error) { return python.UV{}, tt.uv }
			}
			_, _, err := r.Stage(t.Context(), staging(t, tt.file, nil))
			if err == nil || err.Error() != tt.want {
				t.Errorf("Stage = %v, want %s", err, tt.want)
			}
			wantNothing(t, r.Temp)
		})
	}
}

// TestUVStages lets a real uv install a wheel that is compressed with zstd.
func TestUVStages(t *testing.T) {
	uv := pythontest.UV(t)
	r := resolver(t, python.Exec{})
	r.UV = func(context.Context) (python.UV, error) { return uv, nil }
	tree, remove, err := r.Stage(t.Context(), staging(t, demoWheel, zstdWheel(t)))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	err = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(name, ".dist-info/") && !strings.HasSuffix(name, "/RECORD") {
			return err
		}
		b, err := fs.ReadFile(tree, name)
		line, _, _ := strings.Cut(string(b), "\n")
		got[name] = line
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	lib := strings.TrimPrefix(distPackages, "/")
	want := map[string]string{
		lib + "demo.py": "print(1)", "usr/local/share/demo": "data",
		"usr/local/bin/run": "#!/usr/bin/python3.11", "usr/local/bin/tool": "#!/usr/bin/python3.11",
		lib + "demo-1.0.dist-info/RECORD": got[lib+"demo-1.0.dist-info/RECORD"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uv leaves (-want +got):\n%s", diff)
	}
	remove()
	wantNothing(t, r.Temp)
}

// zstdWheel writes a wheel whose members are compressed with zstd.
func zstdWheel(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	w.RegisterCompressor(zstd.ZipMethodWinZip, zstd.ZipCompressor())
	for _, f := range [][2]string{
		{"demo.py", "print(1)\n"},
		{"demo-1.0.data/scripts/run", "#!python\nprint(2)\n"},
		{"demo-1.0.data/data/share/demo", "data"},
		{"demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"},
		{"demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{"demo-1.0.dist-info/entry_points.txt", "[console_scripts]\ntool = demo:main\n"},
		{"demo-1.0.dist-info/RECORD", ""},
	} {
		m, err := w.CreateHeader(&zip.FileHeader{Name: f[0], Method: zstd.ZipMethodWinZip})
		if err == nil {
			_, err = m.Write([]byte(f[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
