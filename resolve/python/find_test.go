// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"inlay/cache/fetch"
	"inlay/resolve/python"
)

func offline() *fetch.Store { return &fetch.Store{Offline: true} }

// program writes a shell script into dir.
func program(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// in finds programs in dir only.
func in(dir string) func(string) (string, error) {
	return func(name string) (string, error) { return exec.LookPath(filepath.Join(dir, name)) }
}

// The uv on the PATH is taken if its version was tested.
func TestFindUVOnPath(t *testing.T) {
	tests := []struct {
		says string
		want string // its version, "" if it isn't taken
	}{
		{"echo uv 0.6.15", "0.6.15"},
		{"echo 'uv 0.13.9 (x86_64-unknown-linux-musl)'", "0.13.9"},
		{"echo 'uv 0.13.99 (abc 2026-10-01)'", "0.13.99"},
		{"echo uv 0.9.0", "0.9.0"},
		{"echo uv 0.6.14", ""},
		{"echo uv 0.5.99", ""},
		{"echo uv 0.14.0", ""},
		{"echo uv 1.0.0", ""},
		{"echo uvw 0.13.9", ""},
		{"echo uv 0.13.9; exit 1", ""},
		{"echo uv 0.13.9-alpha", ""},
		{"", ""},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		program(t, dir, "uv", tt.says)
		got, err := python.FindUV(t.Context(), python.FindOptions{LookPath: in(dir), Runner: python.Exec{}, Dir: t.TempDir(), Files: offline()})
		var none *python.NoUVError
		switch {
		case tt.want == "" && !errors.As(err, &none):
			t.Errorf("FindUV with a uv that does %q = %+v, %v, want a *NoUVError", tt.says, got, err)
		case tt.want != "" && (err != nil || got != python.UV{Path: filepath.Join(dir, "uv"), Version: tt.want}):
			t.Errorf("FindUV with a uv that does %q = %+v, %v, want version %s", tt.says, got, err, tt.want)
		}
	}
}

// counting is a Runner that counts.
type counting struct{ runs int }

func (c *counting) Run(ctx context.Context, x python.Command) (int, error) {
	c.runs++
	_, err := io.WriteString(x.Stdout, "uv 0.13.9\n")
	return 0, err
}

// A uv isn't run for its version while it is the same file, which scripts and
// links to programs of other names don't tell.
func TestFindUVRemembers(t *testing.T) {
	for _, tt := range []struct {
		name, file, content string
		want                int // runs, of two and one more when it was changed
	}{
		{"a program", "uv", "\x7fELF", 2},
		{"a script", "uv", "#!/bin/sh", 3},
		{"a link to a manager of versions", "manager", "\x7fELF", 3},
	} {
		dir, run := t.TempDir(), &counting{}
		file := filepath.Join(dir, "to", tt.file)
		if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file, filepath.Join(dir, "uv")); err != nil {
			t.Fatal(err)
		}
		o := python.FindOptions{LookPath: in(dir), Runner: run, Store: &memory{}, Dir: t.TempDir(), Files: offline()}
		for _, content := range []string{tt.content, tt.content, tt.content + "changed"} {
			if old, err := os.ReadFile(file); err != nil || string(old) != content {
				if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if uv, err := python.FindUV(t.Context(), o); err != nil || uv.Version != "0.13.9" {
				t.Errorf("%s: FindUV = %+v, %v", tt.name, uv, err)
			}
		}
		if run.runs != tt.want {
			t.Errorf("%s is run %d times for its version, want %d", tt.name, run.runs, tt.want)
		}
	}
}

// Without any uv the error says all that was tried and what to do.
func TestFindUVNone(t *testing.T) {
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/json/uv/"):
			w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			_, _ = fmt.Fprint(w, "{")
		case strings.HasPrefix(r.URL.Path, "/private/uv/"):
			http.Error(w, "no", http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/old/uv/"):
			_, _ = fmt.Fprint(w, `<a href="uv-0.1.0-py3-none-any.whl">uv-0.1.0-py3-none-any.whl</a>`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(bad.Close)
	pip := t.TempDir()
	program(t, pip, "pip3", "echo 'ERROR: first' >&2; echo 'ERROR: no network, https://u:secret@example.com' >&2; exit 1")
	tests := []struct {
		name, dir, index string
		offline          bool
		want             string
	}{
		{"offline", t.TempDir(), "", true, "uv is not on the PATH; none was fetched yet, and now there is no network"},
		{"no pip", t.TempDir(), "", false, "uv is not on the PATH; there is no pip on the PATH"},
		{"a pip that fails", pip, "", false, "pip3 can't download uv: no network, https://****@example.com"},
		{"an index without uv", t.TempDir(), bad.URL + "/empty/", false, "/empty/uv/: 404 Not Found; there is no pip on the PATH"},
		{"an index with old ones", t.TempDir(), bad.URL + "/old", false, "/old/uv/ doesn't list uv-0.13.9-py3-none-"},
		{"an index that makes no sense", t.TempDir(), bad.URL + "/json", false, "unexpected EOF"},
		{"an index that refuses the password", t.TempDir(), strings.Replace(bad.URL, "://", "://u:secret@", 1) + "/private", false, "/private/uv/: 401 Unauthorized"},
	}
	for _, tt := range tests {
		_, err := python.FindUV(t.Context(), python.FindOptions{
			LookPath: in(tt.dir), Runner: python.Exec{}, Dir: t.TempDir(), Index: at(t, tt.index),
			Files: &fetch.Store{Dir: t.TempDir(), Offline: tt.offline},
		})
		var none *python.NoUVError
		if !errors.As(err, &none) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: FindUV: %v, want a *NoUVError with %q", tt.name, err, tt.want)
			continue
		}
		if !strings.Contains(none.Hint(), "install uv 0.6.15 or newer") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: FindUV: %v, hint %q", tt.name, err, none.Hint())
		}
	}
}

// A file that isn't the pinned one is never unpacked, whoever delivers it.
func TestFindUVWrongFile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/simple/uv/" {
			_, _ = fmt.Fprint(w, "not what was pinned")
			return
		}
		for _, f := range []string{
			"uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl", "uv-0.13.9-py3-none-macosx_11_0_arm64.whl", "uv-0.13.9-py3-none-macosx_10_12_x86_64.whl",
			"uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
		} {
			_, _ = fmt.Fprintf(w, "<a class=x href='../../files/%s#sha256=%s'>%s</a>\n", f, sumA, f)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	_, err := python.FindUV(t.Context(), python.FindOptions{
		LookPath: in(t.TempDir()), Runner: python.Exec{}, Dir: dir, Index: at(t, server.URL+"/simple"), Files: &fetch.Store{Dir: t.TempDir()},
	})
	if none := new(*python.NoUVError); !errors.As(err, none) || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("FindUV with a changed file: %v, want a *NoUVError about its sha256", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "0.13.9", "uv")); err == nil {
		t.Error("a uv was unpacked")
	}
}

func TestFindUVCancelled(t *testing.T) {
	dir := t.TempDir()
	program(t, dir, "uv", "exec sleep 60")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := python.FindUV(ctx, python.FindOptions{LookPath: in(dir), Runner: python.Exec{}, Dir: t.TempDir(), Files: offline()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("FindUV: %v, want %v", err, context.Canceled)
	}
}

func TestExec(t *testing.T) {
	dir := t.TempDir()
	program(t, dir, "say", `echo "$1 $A-$B"; pwd; echo oh >&2; exit 3`)
	t.Setenv("B", "inherited")
	var out, errs bytes.Buffer
	exit, err := python.Exec{}.Run(t.Context(), python.Command{
		Path: filepath.Join(dir, "say"), Args: []string{"x"}, Dir: dir, Env: []string{"A=1"}, Stdout: &out, Stderr: &errs,
	})
	if exit != 3 || err != nil {
		t.Errorf("Run = %d, %v, want 3", exit, err)
	}
	if want := "x 1-\n" + dir + "\n"; out.String() != want || errs.String() != "oh\n" {
		t.Errorf("Run printed %q and %q, want %q and %q", out.String(), errs.String(), want, "oh\n")
	}
	for name, script := range map[string]string{"absent": "", "killed": "kill -9 $$"} {
		if script != "" {
			program(t, dir, name, script)
		}
		if exit, err := (python.Exec{}).Run(t.Context(), python.Command{Path: filepath.Join(dir, name)}); err == nil {
			t.Errorf("Run of a program that is %s = %d, want an error", name, exit)
		}
	}
}

// A command that is cancelled takes along what it started.
func TestExecCancelled(t *testing.T) {
	dir := t.TempDir()
	program(t, dir, "start", `sleep 60 & echo $! >"$1/pid.new"; mv "$1/pid.new" "$1/pid"; wait`)
	ctx, cancel := context.WithCancel(t.Context())
	var pid int
	go func() {
		defer cancel()
		for range 1000 {
			if b, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
				_, _ = fmt.Sscan(string(b), &pid)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, err := python.Exec{}.Run(ctx, python.Command{
		Path: filepath.Join(dir, "start"), Args: []string{dir}, Env: []string{"PATH=" + os.Getenv("PATH")}, Stdout: io.Discard, Stderr: io.Discard,
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Run: %v, want %v", err, context.Canceled)
	}
	for range 100 {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(state, []byte(") Z ")) {
			return // gone, or dead and not yet reaped
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d, which the command started, still runs", pid)
}
