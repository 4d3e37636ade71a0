// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
	"inlay/resolve/python/reqfile"
)

// A torchUV is a Runner that chooses as uv does: releases of the package index,
// or with --torch-backend those of that build.
type torchUV struct {
	index []string // of the package index: "torch==2.9.0"
	down  bool     // builds can't be reached
	asked []string // each --torch-backend of a dry run, "" for none
}

func (u *torchUV) Run(_ context.Context, c python.Command) (int, error) {
	backend := ""
	for _, a := range c.Args {
		if b, ok := strings.CutPrefix(a, "--torch-backend="); ok {
			backend = b
		}
	}
	if c.Args[1] == "compile" {
		return 0, u.lock(c)
	}
	u.asked = append(u.asked, backend)
	if backend != "" && u.down {
		_, err := io.WriteString(c.Stderr, "error: Request failed after 3 retries\n  cause: Failed to fetch: `https://builds.example.com/whl/cpu/torch/`\n")
		return 2, err
	}
	var changes []string
	for _, r := range u.index {
		switch name, _, _ := strings.Cut(r, "=="); {
		case backend == "":
			changes = append(changes, " + "+r)
		case strings.HasPrefix(name, "torch"):
			changes = append(changes, " + "+r+"+"+backend)
		case !strings.HasPrefix(name, "nvidia-"):
			changes = append(changes, " + "+r)
		}
	}
	_, err := io.WriteString(c.Stderr, dryRun(changes...))
	return 0, err
}

// lock says where the pins are.
func (u *torchUV) lock(c python.Command) error {
	b, err := os.ReadFile(filepath.Join(c.Dir, "pins.txt"))
	if err != nil {
		return err
	}
	fmt.Fprintln(c.Stdout, "lock-version = \"1.0\"")
	for pin := range strings.FieldsSeq(string(b)) {
		name, version, _ := strings.Cut(pin, "==")
		file := strings.ReplaceAll(name, "-", "_") + "-" + strings.ReplaceAll(version, "+", "%2B") + "-py3-none-any.whl"
		fmt.Fprintf(c.Stdout, "[[packages]]\nname = %q\nversion = %q\nwheels = [{ url = \"https://example.com/%s\", hashes = { sha256 = %q } }]\n", name, version, file, sumA)
	}
	return nil
}

// cuda is a parent with CUDA.
func cuda(version string, dists ...parent.Dist) *parent.Inventory {
	inv := pythontest.Debian(dists...)
	inv.Config.Config.Env = []string{"PATH=/usr/bin", "CUDA_VERSION=" + version}
	return inv
}

// A parent without CUDA gets none, and one with CUDA gets its own, unless the
// user says otherwise. Requirements without torch are none of this.
func TestTorch(t *testing.T) {
	withCUDA := []string{"torch==2.9.0", "nvidia-cuda-runtime-cu12==12.8.90", "sympy==1.0"}
	arm := pythontest.Debian()
	arm.Python.Arch = "aarch64"
	tests := []struct {
		name   string
		inv    *parent.Inventory
		chosen string
		index  []string
		lines  []string
		asked  []string
		want   string
	}{
		{"no CUDA", pythontest.Debian(), "", withCUDA, []string{"torch"}, []string{"", "cpu"}, "torch 2.9.0: CPU"},
		{"by way of another", pythontest.Debian(), "", withCUDA, []string{"lightning"}, []string{"", "cpu"}, "torch 2.9.0: CPU"},
		{"no torch", pythontest.Debian(), "", []string{"sympy==1.0"}, []string{"sympy"}, []string{""}, ""},
		{"no CUDA, another machine", arm, "", []string{"torch==2.9.0"}, []string{"torch"}, []string{""}, "torch 2.9.0: CPU"},
		{"the same CUDA", cuda("12.8.1"), "", withCUDA, []string{"torch"}, []string{""}, "torch 2.9.0: CUDA 12.8"},
		{"an older CUDA", cuda("12.5.0"), "", withCUDA, []string{"torch"}, []string{"", "cu124"}, "torch 2.9.0: CUDA 12.4"},
		{"CUDA, another machine", cuda("13.0.0"), "", []string{"torch==2.9.0"}, []string{"torch"}, []string{"", "cu130"}, "torch 2.9.0: CUDA 13.0"},
		{"the parent's is replaced", cuda("12.9.0", dist("torch", "2.0.0+cu126")), "", withCUDA, []string{"torch>=2.9"}, []string{"", "cu126"}, "torch 2.9.0: CUDA 12.6"},
		{"the parent's stays", pythontest.Debian(dist("torch", "2.9.0+cpu")), "", []string{"torchvision==0.24.0"}, []string{"torchvision"}, []string{"", "cpu"}, ""},
		{"the parent's stays and is unknown", pythontest.Debian(dist("torch", "2.9.0")), "", []string{"torchvision==0.24.0"}, []string{"torchvision"}, []string{""}, ""},
		{"none chosen", pythontest.Debian(), "none", withCUDA, []string{"torch"}, []string{""}, "torch 2.9.0: CUDA 12.8"},
		{"auto is the parent's", pythontest.Debian(), "auto", withCUDA, []string{"torch"}, []string{"", "cpu"}, "torch 2.9.0: CPU"},
		{"CUDA chosen", pythontest.Debian(), "cu126", withCUDA, []string{"torch"}, []string{"cu126"}, "torch 2.9.0: CUDA 12.6"},
		{"ROCm chosen", pythontest.Debian(), "rocm6.4", withCUDA, []string{"torch"}, []string{"rocm6.4"}, "torch 2.9.0: ROCm 6.4"},
		{"a local version", pythontest.Debian(), "", []string{"torch==2.9.0+cu128", "nvidia-cuda-runtime-cu12==12.8.90"}, []string{"torch==2.9.0+cu128"}, []string{""}, "torch 2.9.0: CUDA 12.8"},
		{"a package of CUDA's", pythontest.Debian(), "", withCUDA, []string{"torch", "nvidia-cuda-runtime-cu12==12.8.90"}, []string{""}, "torch 2.9.0: CUDA 12.8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			uv := &torchUV{index: tt.index}
			r := resolver(t, uv)
			req := python.Request{
				Inventory: tt.inv, View: view(t, metadata(tt.inv.Python.Dists...)), Groups: group(t, tt.lines...),
				Arguments: python.Arguments{Torch: tt.chosen},
			}
			got, err := r.Resolve(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.asked, uv.asked); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
			if got.Torch != tt.want {
				t.Errorf("Torch is %q, want %q", got.Torch, tt.want)
			}
			if again, err := r.Resolve(t.Context(), req); err != nil || !again.Recalled || again.Torch != tt.want {
				t.Errorf("once more: %+v, %v, want the stored answer", again, err)
			}
		})
	}
}

// An index of one build is a choice, whatever uv finds there.
func TestTorchIndex(t *testing.T) {
	for url, asked := range map[string][]string{
		"https://builds.example.com/whl/cu128": {""}, "https://builds.example.com/whl/cpu/": {""},
		"https://example.com/simple": {"", "cpu"}, "https://example.com/cuda/simple": {"", "cpu"},
	} {
		set, err := index.Gather(t.Context(), index.Options{Extra: []string{url}})
		if err != nil {
			t.Fatal(err)
		}
		uv := &torchUV{index: []string{"torch==2.9.0", "nvidia-cuda-runtime==13.0.48"}}
		_, err = resolver(t, uv).Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "torch"), Index: set})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asked, uv.asked); diff != "" {
			t.Errorf("with %s, asked for (-want +got):\n%s", url, diff)
		}
	}
}

// Where the build can't be had the error says so and names both ways out.
func TestTorchUnreachable(t *testing.T) {
	uv := &torchUV{index: []string{"torch==2.9.0", "nvidia-cuda-runtime-cu12==12.8.90"}, down: true}
	_, err := resolver(t, uv).Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "torch")})
	var bad *python.TorchError
	if !errors.As(err, &bad) || !errors.As(err, new(*python.IndexError)) {
		t.Fatalf("Resolve: %v, want a *TorchError because of an *IndexError", err)
	}
	const want = "the package index has the CUDA 12.8 build of torch 2.9.0, and the parent has no CUDA; the CPU build can't be had: asking the package index: request failed after 3 retries"
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Resolve: %v, want %s", err, want)
	}
	for _, way := range []string{"`torch-backend: none`", "`indexes`"} {
		if !strings.Contains(bad.Hint(), way) {
			t.Errorf("the hint is %q, want %s in it", bad.Hint(), way)
		}
	}
}

// uv before 0.7.14 takes --torch-backend as a preview only.
func TestTorchPreview(t *testing.T) {
	for version, preview := range map[string]bool{"0.7.13": true, "0.7.14": false} {
		var args []string
		run := &script{install: said{stderr: "Would make no changes\n"}, look: func(c python.Command) { args = c.Args }}
		r := resolver(t, run)
		r.UV = func(context.Context) (python.UV, error) { return python.UV{Path: "uv", Version: version}, nil }
		req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "torch"), Arguments: python.Arguments{Torch: "cpu"}}
		if _, err := r.Resolve(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(args, "--preview") != preview || !slices.Contains(args, "--torch-backend=cpu") {
			t.Errorf("uv %s is called with %q, want --torch-backend=cpu, and --preview %v", version, args, preview)
		}
	}
}

// Parts of CUDA that come without torch are named.
func TestCUDAWithoutTorch(t *testing.T) {
	uv := &torchUV{index: []string{"xgboost==3.0.0", "nvidia-nccl-cu12==2.28.3"}}
	got, err := resolver(t, uv).Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "xgboost")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"the requirements bring parts of CUDA: nvidia-nccl-cu12 2.28.3"}, got.Notes); diff != "" {
		t.Errorf("Notes (-want +got):\n%s", diff)
	}
}

// The user's arguments reach uv, each the calls that it concerns, and are part
// of the question.
func TestArguments(t *testing.T) {
	uv := &script{install: said{stderr: dryRun(" + six==1.0")}, compile: said{stdout: lockOf("six-1.0-py3-none-any.whl")}}
	var env []string
	uv.look = func(c python.Command) { env = c.Env }
	r := resolver(t, uv)
	req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "six"), Arguments: python.Arguments{
		Flags: []string{"--no-deps"}, Both: []string{"--index-strategy=unsafe-best-match"}, Env: []string{"UV_HTTP_TIMEOUT=5"},
		Constraints: group(t, "six<2")[0].Lines, Overrides: group(t, "idna<3")[0].Lines,
	}}
	r.Env = append(r.Env, "UV_HTTP_TIMEOUT=99")
	if _, err := r.Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	has := func(call int, flag string) bool { return slices.Contains(uv.calls[call], flag) }
	for _, c := range []struct {
		flag            string
		decides, places bool
	}{{"--no-deps", true, true}, {"--index-strategy=unsafe-best-match", true, true}, {"--constraint", true, false}, {"--override", true, false}} {
		if has(0, c.flag) != c.decides || has(1, c.flag) != c.places {
			t.Errorf("uv is called with %q and %q, want %s: %v and %v", uv.calls[0], uv.calls[1], c.flag, c.decides, c.places)
		}
	}
	if diff := cmp.Diff([]string{"six\n", "six<2\n", "idna<3\n", "six==1.0\n"}, uv.input); diff != "" {
		t.Errorf("uv was asked (-want +got):\n%s", diff)
	}
	if !slices.Contains(env, "UV_HTTP_TIMEOUT=5") || slices.Contains(env, "UV_HTTP_TIMEOUT=99") {
		t.Errorf("uv's environment is %q, want the timeout of the settings", env)
	}
	with := req
	with.Groups = []python.Group{req.Groups[0]}
	with.Groups[0].Options = []reqfile.Option{{Name: "pre"}}
	if got, err := r.Resolve(t.Context(), with); err != nil || got.Recalled {
		t.Errorf("with an option in the file: %+v, %v, want another answer", got, err)
	}
	for name, edit := range map[string]func(*python.Arguments){
		"a flag": func(a *python.Arguments) { a.Flags = []string{"--pre"} }, "a constraint": func(a *python.Arguments) { a.Constraints = nil },
		"an override": func(a *python.Arguments) { a.Overrides = nil }, "a build of torch": func(a *python.Arguments) { a.Torch = "cpu" },
	} {
		other := req
		edit(&other.Arguments)
		if got, err := r.Resolve(t.Context(), other); err != nil || got.Recalled {
			t.Errorf("with %s changed: %+v, %v, want another answer", name, got, err)
		}
	}
}
