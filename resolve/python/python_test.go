// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/layers"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

var update = flag.Bool("update", false, "write testdata anew")

// What uv 0.13.9 says about numpy>=1.24 and idna where numpy 1.23.0 and idna
// 3.4 are installed.
const (
	upgradeLog = `DEBUG uv 0.13.9 (x86_64-unknown-linux-gnu)
Using Python 3.11.2 environment at: {root}/usr
DEBUG Selecting: numpy==2.4.6 [compatible] (numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl)
DEBUG Selecting: idna==3.4 [installed] (installed)
Resolved 2 packages in 141ms
DEBUG Requirement installed, but mismatched:
  Installed: InstalledDist { kind: Registry(InstalledRegistryDist { name: PackageName("numpy"), version: "1.23.0" }) }
Would download 1 package
Would uninstall 1 package
Would install 1 package
 - numpy==1.23.0
 + numpy==2.4.6
`
	upgradeLock = `lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.11.2"

[[packages]]
name = "numpy"
version = "2.4.6"
sdist = { url = "https://example.com/numpy-2.4.6.tar.gz", upload-time = 2023-09-16T20:12:58Z, size = 15633455, hashes = { sha256 = "` + sumB + `" } }
wheels = [
    { url = "https://example.com/numpy-2.4.6-cp311-cp311-manylinux_2_17_x86_64.whl", size = 7, hashes = { sha256 = "` + sumB + `" } },
    { url = "https://example.com/numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl#x=y", upload-time = 2023-09-16T20:02:49Z, size = 18178118, hashes = { sha256 = "` + sumA + `" } },
]
`
)

func numpyWheel() plan.Wheel {
	return plan.Wheel{
		Name: "numpy", Version: "2.4.6", File: "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
		URL:    "https://example.com/numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
		Digest: "sha256:" + sumA, Size: 18178118,
	}
}

// A newer version than the parent's replaces it: one wheel, and the old files
// to white out.
func TestResolveUpgrade(t *testing.T) {
	old := dist("numpy", "1.23.0")
	run := &script{install: said{stderr: upgradeLog}, compile: said{stdout: upgradeLock}}
	inv := pythontest.Debian(dist("idna", "3.4"), old)
	inv.Python.ExternallyManaged = true
	r := resolver(t, run)
	var tasks []string
	r.Progress = func(task string, _ int64) (func(int64), func(error)) {
		return func(int64) {}, func(err error) { tasks = append(tasks, fmt.Sprint(task, ": ", err)) }
	}
	got, err := r.Resolve(t.Context(), python.Request{
		Inventory: inv, View: view(t, metadata(inv.Python.Dists...)), Groups: group(t, "numpy>=1.24", "idna"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"resolving requirements: <nil>"}, tasks); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	if !slices.Contains(got.RemovePaths, old.Path) {
		t.Errorf("RemovePaths are %v, want %s among them", got.RemovePaths, old.Path)
	}
	if len(got.Notes) == 0 || !strings.Contains(got.Notes[0], "PEP 668") {
		t.Errorf("Notes are %q, want one about PEP 668", got.Notes)
	}
	got.RemovePaths, got.Notes = nil, nil
	want := &python.Resolution{Wheels: []plan.Wheel{numpyWheel()}, Remove: []parent.Dist{old}, Installer: "uv 0.13.9"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Resolve (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"numpy>=1.24\nidna\n", "numpy==2.4.6\n"}, run.input); diff != "" {
		t.Errorf("uv was asked (-want +got):\n%s", diff)
	}
}

// Requirements that the parent satisfies need nothing: no wheel, no second
// question.
func TestResolveSatisfied(t *testing.T) {
	run := &script{install: said{stderr: "Checked 1 package in 0.72ms\nWould make no changes\n"}}
	inv := pythontest.Debian(dist("idna", "3.4"))
	got, err := resolver(t, run).Resolve(t.Context(), python.Request{
		Inventory: inv, View: view(t, metadata(inv.Python.Dists...)), Groups: group(t, "idna"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&python.Resolution{Installer: "uv 0.13.9"}, got); diff != "" {
		t.Errorf("Resolve (-want +got):\n%s", diff)
	}
}

func TestResolveNothing(t *testing.T) {
	for _, groups := range [][]python.Group{nil, {{Name: "r.txt"}}, {{Name: "r.txt"}, {Name: "requirements"}}} {
		got, err := resolver(t, nil).Resolve(t.Context(), python.Request{Inventory: &parent.Inventory{}, Groups: groups})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&python.Resolution{}, got); diff != "" {
			t.Errorf("Resolve(%v) (-want +got):\n%s", groups, diff)
		}
	}
}

// uv sees the parent's metadata at the image's paths, and no other file of it.
func TestSkeleton(t *testing.T) {
	egg := parent.Dist{Name: "old", Version: "1", Path: distPackages + "old-1.egg-info"}
	link := parent.Dist{Name: "own", Version: "2", Path: distPackages + "own.egg-link"}
	inv := pythontest.Debian(dist("idna", "3.4"), egg, link)
	files := metadata(inv.Python.Dists[0])
	files[strings.TrimPrefix(link.Path, "/")] = "/src/own\n."
	files["src/own/own.egg-info/PKG-INFO"] = "Name: own\nVersion: 2\n"
	files["src/own/secret.py"] = ""
	files[strings.TrimPrefix(egg.Path, "/")] = "Name: old\n"
	var got []string
	run := &script{install: said{stderr: "Would make no changes\n"}, look: func(c python.Command) {
		root := os.DirFS(strings.TrimSuffix(python3(c), inv.Python.Interpreter))
		err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				got = append(got, name)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		b, err := fs.ReadFile(root, strings.TrimPrefix(link.Path, "/"))
		if project, _, _ := strings.Cut(string(b), "\n"); err != nil || project != strings.TrimSuffix(python3(c), inv.Python.Interpreter)+"/src/own" {
			t.Errorf("the .egg-link leads to %q, %v, want a directory of the skeleton", project, err)
		}
	}}
	r := resolver(t, run)
	if _, err := r.Resolve(t.Context(), python.Request{Inventory: inv, View: view(t, files), Groups: group(t, "idna")}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"src/own/own.egg-info/PKG-INFO",
		"usr/bin/python3.11",
		"usr/local/lib/python3.11/dist-packages/idna-3.4.dist-info/METADATA",
		"usr/local/lib/python3.11/dist-packages/idna-3.4.dist-info/WHEEL",
		"usr/local/lib/python3.11/dist-packages/old-1.egg-info",
		"usr/local/lib/python3.11/dist-packages/own.egg-link",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the skeleton (-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(r.Temp); err != nil || len(left) > 0 {
		t.Errorf("after the call %s holds %v, %v, want nothing", r.Temp, left, err)
	}
}

// The stand-in answers uv's question with all that any tested uv wants, and
// refuses to do anything else.
func TestProbe(t *testing.T) {
	musl := pythontest.Debian()
	musl.Libc = parent.Libc{Family: "musl", Major: 1, Minor: 2}
	musl.Python.Version, musl.Python.Arch, musl.Python.FreeThreaded = "3.14.0rc1", "armv7l", true
	venv := pythontest.Debian()
	venv.Python.Prefix, venv.Python.Scheme.Platlib = "/opt/venv", "/usr/local/lib64/python3.11/dist-packages"
	tests := []struct {
		name string
		inv  *parent.Inventory
		want string
	}{
		{"debian", pythontest.Debian(), "testdata/debian.json"},
		{"musl, 32 bits, free-threaded", musl, "testdata/musl.json"},
		{"venv, purelib is not platlib", venv, "testdata/venv.json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var answer, root string
			run := &script{install: said{stderr: "Would make no changes\n"}, look: func(c python.Command) {
				exe := python3(c)
				root = strings.TrimSuffix(exe, "/usr/bin/python3.11")
				out, err := exec.CommandContext(t.Context(), exe, "-I", "-B", "-c", "import sys; from python.get_interpreter_info import main; main()").Output()
				if err != nil {
					t.Errorf("running the stand-in: %v", err)
				}
				answer = string(out)
				err = exec.CommandContext(t.Context(), exe, "-c", "import get_interpreter_info").Run()
				if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 86 {
					t.Errorf("running something else than the probe: %v, want exit code 86", err)
				}
			}}
			if _, err := resolver(t, run).Resolve(t.Context(), python.Request{Inventory: tt.inv, View: view(t, nil), Groups: group(t, "idna")}); err != nil {
				t.Fatal(err)
			}
			got := indent(t, strings.ReplaceAll(answer, root, "S"))
			if *update {
				if err := os.WriteFile(tt.want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
		})
	}
}

func indent(t *testing.T, doc string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// uv sees how to reach the network and nothing that changes its decisions.
func TestEnvironment(t *testing.T) {
	run := &script{install: said{stderr: "Would make no changes\n"}}
	var env []string
	run.look = func(c python.Command) {
		for _, kv := range c.Env {
			env = append(env, strings.NewReplacer(c.Dir, "DIR").Replace(kv))
		}
	}
	r := resolver(t, run)
	r.Dir = "/cache/uv"
	r.Env = []string{
		"PATH=/bin", "HOME=/home/u", "https_proxy=http://127.0.0.1:1", "NO_PROXY=example.com", "SSL_CERT_FILE=/ca.pem", "UV_HTTP_TIMEOUT=5",
		"TMPDIR=/elsewhere", "UV_CACHE_DIR=/home/u/.cache/uv", "UV_PREVIEW=1", "UV_INDEX_URL=https://example.com", "UV_EXCLUDE_NEWER=2020",
		"RUST_LOG=trace", "FORCE_COLOR=1", "VIRTUAL_ENV=/v", "PYTHONPATH=/p", "AWS_SECRET_ACCESS_KEY=x", "PIP_INDEX_URL=https://example.com",
	}
	_, err := r.Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "idna"),
		Index: at(t, "https://example.com/simple", "https://a.example.com", "https://b.example.com"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"PATH=/bin", "HOME=/home/u", "https_proxy=http://127.0.0.1:1", "NO_PROXY=example.com", "SSL_CERT_FILE=/ca.pem", "UV_HTTP_TIMEOUT=5",
		"TMPDIR=DIR/tmp", "NO_COLOR=1", "UV_NO_PROGRESS=1", "UV_NO_CONFIG=1", "UV_PYTHON_DOWNLOADS=never", "UV_CACHE_DIR=/cache/uv",
		"UV_DEFAULT_INDEX=https://example.com/simple", "UV_INDEX=https://a.example.com https://b.example.com",
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("the environment of uv (-want +got):\n%s", diff)
	}
	if args := strings.Join(run.calls[0], " "); strings.Contains(args, "example.com") {
		t.Errorf("the arguments of uv name an index: %s", args)
	}
}

// The same question is answered from the store: no uv, no network, no view.
func TestResolveStored(t *testing.T) {
	old := dist("numpy", "1.23.0")
	run := &script{install: said{stderr: upgradeLog}, compile: said{stdout: upgradeLock}}
	r := resolver(t, run)
	request := func(edit func(*python.Request)) python.Request {
		inv := pythontest.Debian(old, dist("idna", "3.4"))
		req := python.Request{Inventory: inv, View: view(t, metadata(inv.Python.Dists...)), Groups: group(t, "numpy>=1.24", "idna")}
		edit(&req)
		return req
	}
	first, err := r.Resolve(t.Context(), request(func(*python.Request) {}))
	if err != nil {
		t.Fatal(err)
	}
	noView := func(context.Context) (*layers.View, error) { return nil, errors.New("the view was opened") }
	tests := []struct {
		name string
		edit func(*python.Request)
		want int // calls of uv
	}{
		{"the same", func(req *python.Request) { req.View = noView }, 0},
		{"offline", func(req *python.Request) { req.View, req.Offline = noView, true }, 0},
		{"comments and spaces", func(req *python.Request) { req.View, req.Groups = noView, group(t, "numpy>=1.24 # x", "", "  idna") }, 0},
		{"the order of what is installed", func(req *python.Request) { req.View = noView; slices.Reverse(req.Inventory.Python.Dists) }, 0},
		{"another image with the same Python", func(req *python.Request) { req.Inventory.Digest = "sha256:d2" }, 0},
		{"refresh", func(req *python.Request) { req.Refresh = true }, 2},
		{"another requirement", func(req *python.Request) { req.Groups = group(t, "numpy>=1.25", "idna") }, 2},
		{"another index", func(req *python.Request) { req.Index = at(t, "https://example.com") }, 2},
		{"an extra index", func(req *python.Request) { req.Index = at(t, "", "https://example.com") }, 2},
		{"another Python", func(req *python.Request) { req.Inventory.Python.Version = "3.11.3" }, 2},
		{"another libc", func(req *python.Request) { req.Inventory.Libc.Minor = 35 }, 2},
		{"another architecture", func(req *python.Request) { req.Inventory.Python.Arch = "aarch64" }, 2},
		{"another package in the parent", func(req *python.Request) { req.Inventory.Python.Dists[1].Version = "3.5" }, 2},
	}
	for _, tt := range tests {
		run.calls = nil
		got, err := r.Resolve(t.Context(), request(tt.edit))
		if tt.name == "another package in the parent" && err != nil {
			err = nil // its metadata isn't in the view
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if len(run.calls) != tt.want && tt.name != "another package in the parent" {
			t.Errorf("%s: uv was called %d times, want %d", tt.name, len(run.calls), tt.want)
		}
		if recalled := tt.want == 0; got.Recalled != recalled && tt.name != "another package in the parent" {
			t.Errorf("%s: Recalled = %v, want %v", tt.name, got.Recalled, recalled)
		}
		got.Recalled = first.Recalled
		if diff := cmp.Diff(first, got); diff != "" && tt.want == 0 {
			t.Errorf("%s (-first +got):\n%s", tt.name, diff)
		}
	}
}

// What is whited out depends on the files of the parent, not only on the
// packages in it, so it is looked up again for another image.
func TestResolveStoredForAnotherParent(t *testing.T) {
	old := dist("numpy", "1.23.0")
	r := resolver(t, &script{install: said{stderr: upgradeLog}, compile: said{stdout: upgradeLock}})
	req := python.Request{Inventory: pythontest.Debian(old), View: view(t, metadata(old)), Groups: group(t, "numpy")}
	req.Inventory.Python.ExternallyManaged = true
	first, err := r.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	open := req.View
	req.View = func(ctx context.Context) (*layers.View, error) { opened++; return open(ctx) }
	req.Inventory.Digest = "sha256:d2"
	for range 2 {
		got, err := r.Resolve(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		got.Recalled = first.Recalled
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("Resolve for another image with the same files (-first +got):\n%s", diff)
		}
	}
	if opened != 1 {
		t.Errorf("the view of another parent was opened %d times in two calls, want 1", opened)
	}
}

// A damaged answer is no answer.
func TestResolveDamagedStore(t *testing.T) {
	r := resolver(t, &script{install: said{stderr: upgradeLog}, compile: said{stdout: upgradeLock}})
	req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "numpy")}
	want, err := r.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	store := r.Store.(*memory)
	for name := range store.values {
		store.values[name] = []byte("{")
	}
	got, err := r.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Resolve with a damaged store (-want +got):\n%s", diff)
	}
}

func TestResolveCancelled(t *testing.T) {
	sleep := filepath.Join(t.TempDir(), "uv")
	if err := os.WriteFile(sleep, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := resolver(t, python.Exec{})
	r.UV = func(context.Context) (python.UV, error) { cancel(); return python.UV{Path: sleep}, nil }
	_, err := r.Resolve(ctx, python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "numpy")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Resolve: %v, want %v", err, context.Canceled)
	}
	if left, err := os.ReadDir(r.Temp); err == nil && len(left) > 0 {
		t.Errorf("after the call %s holds %v, want nothing", r.Temp, left)
	}
}
