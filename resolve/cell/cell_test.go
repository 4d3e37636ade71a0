// SPDX-License-Identifier: Apache-2.0

package cell_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inlay/resolve/cell"
	"inlay/resolve/egress"
	"inlay/resolve/egress/egresstest"
	"inlay/resolve/index"
	"inlay/resolve/python"
	"inlay/resolve/sandbox"
)

// acting makes the test program an installer, which does what its arguments say.
const acting = "INLAY_CELL_TEST"

func TestMain(m *testing.M) {
	sandbox.Init(nil)
	if os.Getenv(acting) != "" {
		for _, a := range os.Args[1:] {
			act(a)
		}
		os.Exit(0)
	}
	os.Exit(egresstest.Run(m))
}

// act does one thing, and prints what came of it.
func act(a string) {
	verb, what, _ := strings.Cut(a, " ")
	what = os.ExpandEnv(what)
	var b []byte
	var err error
	switch verb {
	case "read":
		b, err = os.ReadFile(what)
	case "write":
		err = os.WriteFile(what, []byte("written"), 0o600)
	case "env":
		b = []byte(strings.Join(os.Environ(), " "))
	case "get", "tunnel":
		c := &http.Client{}
		if verb == "tunnel" { // for loopback, which no client asks a proxy about
			proxy, _ := url.Parse(os.Getenv("HTTPS_PROXY"))
			c.Transport = &http.Transport{Proxy: http.ProxyURL(proxy)}
		}
		var resp *http.Response
		if resp, err = c.Get(what); err == nil {
			b, err = io.ReadAll(resp.Body)
			b = fmt.Appendf(nil, "%d %s", resp.StatusCode, b)
			resp.Body.Close()
		}
	}
	fmt.Printf("%s: %s %v\n", verb, bytes.ReplaceAll(b, []byte("\n"), nil), err)
}

const password = "s3cr3t/p@ss"

// newIndex serves an index over TLS that wants a password.
func newIndex(t *testing.T) (*httptest.Server, *index.Set) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pw, _ := r.BasicAuth(); pw != password {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/simple/") {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<a href='/files/six-1.0.tar.gz'>six</a>")
			return
		}
		fmt.Fprint(w, "content of "+r.URL.Path)
	}))
	t.Cleanup(s.Close)
	set, err := index.Gather(t.Context(), index.Options{Default: withUser(s.URL) + "/simple"})
	if err != nil {
		t.Fatal(err)
	}
	return s, set
}

func withUser(url string) string {
	return strings.Replace(url, "://", "://ann:s3cr3t%2Fp%40ss@", 1)
}

// isolation returns one over the sandbox of this machine.
func isolation(t *testing.T) *cell.Isolation {
	t.Helper()
	r, err := sandbox.Choose(t.Context(), t.TempDir(), "")
	if err == nil {
		err = cell.Try(t.Context(), r, t.TempDir())
	}
	if err != nil {
		t.Skipf("there is no sandbox here: %v", err)
	}
	return &cell.Isolation{Open: func(context.Context) (cell.Sandbox, error) { return r, nil }, Files: t.TempDir()}
}

// do lets the installer do things in a cell, and returns what it says.
func do(t *testing.T, c python.Cell, things ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	exit, err := c.Run(t.Context(), python.Command{Path: self, Args: things, Env: c.Env(), Stdout: &out, Stderr: &out})
	if err != nil || exit != 0 {
		t.Fatalf("running %q: %d, %v, %s", things, exit, err, &out)
	}
	return strings.TrimSpace(out.String())
}

// enter opens a cell that has what the installer of these tests needs.
func enter(t *testing.T, i *cell.Isolation, n python.Needs) python.Cell {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.Read, n.Env = append(n.Read, self), append(n.Env, acting+"=1")
	c, err := i.Enter(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// An installer reads what it needs and writes what it may, and sees nothing else
// of this machine.
func TestFiles(t *testing.T) {
	i := isolation(t)
	given, own, other := t.TempDir(), t.TempDir(), t.TempDir()
	for _, dir := range []string{given, own, other} {
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := filepath.Join(given, "in")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	c := enter(t, i, python.Needs{
		Read: []string{given}, Write: []string{own, in}, Offline: true,
		Env: []string{"HOME=" + other, "NETRC=" + other + "/file", "https_proxy=http://ann:hush@proxy.example.com", "UV_HTTP_TIMEOUT=5"},
	})
	for thing, want := range map[string]string{
		"read " + given + "/file":  "read: content <nil>",
		"read " + own + "/file":    "read: content <nil>",
		"read " + other + "/file":  "no such file or directory",
		"read /etc/shadow":         "no such file or directory",
		"read /proc/1/environ":     "read: ",
		"read $HOME/file":          "no such file or directory",
		"write " + given + "/new":  "read-only file system",
		"write " + own + "/new":    "write:  <nil>",
		"write " + in + "/new":     "write:  <nil>",
		"write " + other + "/new":  "no such file or directory",
		"write /usr/bin/inlay-new": "read-only file system",
	} {
		got := do(t, c, thing)
		if !strings.Contains(got, want) || strings.Contains(got, "hush") {
			t.Errorf("%s: %q, want %q", thing, got, want)
		}
	}
	env := do(t, c, "env")
	if !strings.Contains(env, "UV_HTTP_TIMEOUT=5") || strings.Contains(env, "hush") || strings.Contains(env, other) {
		t.Errorf("the environment is %s", env)
	}
	if b, err := os.ReadFile(filepath.Join(own, "new")); err != nil || string(b) != "written" {
		t.Errorf("what was written is %q, %v", b, err)
	}
}

// TestLinks shows files by links that lead out of what is shown with them, as
// the program of a virtual environment does, whatever the order.
func TestLinks(t *testing.T) {
	i := isolation(t)
	dir := t.TempDir()
	var read []string
	for _, far := range []string{"a", "z"} { // before and after the links, by name
		lib, env := filepath.Join(dir, far), filepath.Join(dir, "m", far)
		for _, d := range []string{lib, env} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(lib, "python3.11"), []byte("program "+far), 0o644); err != nil {
			t.Fatal(err)
		}
		for name, to := range map[string]string{"python": "python3", "python3": filepath.Join(lib, "python3"), "../../" + far + "/python3": "python3.11"} {
			if err := os.Symlink(to, filepath.Join(env, name)); err != nil {
				t.Fatal(err)
			}
		}
		read = append(read, filepath.Join(env, "python"), env)
	}
	for _, read := range [][]string{read, append(read, filepath.Join(dir, "a"), filepath.Join(dir, "z"))} {
		c := enter(t, i, python.Needs{Read: read})
		for _, far := range []string{"a", "z"} {
			if said := do(t, c, "read "+filepath.Join(dir, "m", far, "python")); said != "read: program "+far+" <nil>" {
				t.Errorf("with %q the program's link leads elsewhere: %s", read, said)
			}
		}
	}
}

// What is shown behind the link of a directory is there by both its names, as
// the loader of a Python's program may know its library by the other.
func TestLinksOfDirectories(t *testing.T) {
	i := isolation(t)
	dir := t.TempDir()
	far := filepath.Join(dir, "data", "far")
	if err := os.MkdirAll(far, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(far, "library"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"home": "data", "opt": filepath.Join(dir, "home")} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := enter(t, i, python.Needs{Read: []string{filepath.Join(dir, "opt", "far")}})
	for _, p := range []string{"opt", "home", "data"} {
		if said := do(t, c, "read "+filepath.Join(dir, p, "far", "library")); said != "read: content <nil>" {
			t.Errorf("by %s: %s", p, said)
		}
	}
}

// An installer reaches the indexes and the files that requirements name, without
// the credentials; what it says of them is as outside.
func TestNetwork(t *testing.T) {
	i := isolation(t)
	s, set := newIndex(t)
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "torch") }))
	defer other.Close()
	file := withUser(s.URL) + "/own/app-1.0-py3-none-any.whl"
	set = set.WithFiles(file)
	page := s.URL + "/simple/wheels.html"
	c := enter(t, i, python.Needs{Index: set, URLs: []string{file}, Pages: []string{page}})
	if got := do(t, c, "get "+c.Inside(page)); got != `get: 200 <a href="`+s.URL+`/files/six-1.0.tar.gz">six</a> <nil>` {
		t.Errorf("a page of links is %q", got)
	}
	if got := do(t, c, "get $UV_DEFAULT_INDEX/six/"); got != `get: 200 <a href="`+s.URL+`/files/six-1.0.tar.gz">six</a> <nil>` {
		t.Errorf("the page is %q", got)
	}
	if got := do(t, c, "get "+c.Inside(file)); got != "get: 200 content of /own/app-1.0-py3-none-any.whl <nil>" {
		t.Errorf("a file that is named is %q", got)
	}
	if got := c.Outside("see " + c.Inside(file)); got != "see "+s.URL+"/own/app-1.0-py3-none-any.whl" {
		t.Errorf("Outside = %q", got)
	}
	if env := do(t, c, "env"); strings.Contains(env+c.Inside(file), "s3cr3t") || !strings.Contains(env, "PIP_INDEX_URL="+s.URL) {
		t.Errorf("the environment is %s", env)
	}
	if err := c.Refused(); err != nil {
		t.Errorf("Refused = %v, though nothing was", err)
	}
	if got := do(t, c, "get https://files.example.com/x"); !strings.Contains(got, "Forbidden") {
		t.Errorf("another host: %q, want it refused", got)
	}
	var denied *egress.DeniedError
	if err := c.Refused(); !errors.As(err, &denied) || !strings.Contains(denied.Hint(), "files.example.com") {
		t.Errorf("Refused = %v, want it to name the host", err)
	}
	// What uv knows of and nobody told is reached by the proxy, and TLS ends inside.
	torch := enter(t, i, python.Needs{Index: set, Torch: other.URL + "/whl/cpu", Env: []string{"SSL_CERT_FILE=" + os.Getenv("SSL_CERT_FILE")}})
	if got := do(t, torch, "tunnel "+other.URL+"/whl/cpu/torch/"); got != "tunnel: 200 torch <nil>" {
		t.Errorf("an index that uv knows of: %q", got)
	}
	if got := do(t, c, "tunnel "+other.URL+"/whl/cpu/torch/"); !strings.Contains(got, "Forbidden") {
		t.Errorf("the same where it isn't asked: %q, want it refused", got)
	}
	without := enter(t, i, python.Needs{Index: set, Offline: true})
	if got := do(t, without, "get $UV_DEFAULT_INDEX/six/"); !strings.Contains(got, "connection refused") {
		t.Errorf("without a network: %q", got)
	}
}

// Where nothing isolates, installers run as they are if that was not forbidden,
// and who builds is told why.
func TestWithout(t *testing.T) {
	none := &sandbox.NoRungError{Tried: []sandbox.Rung{{Name: "root", Why: "denied"}}}
	i := &cell.Isolation{Open: func(context.Context) (cell.Sandbox, error) { return nil, none }}
	if works, err := i.Works(t.Context()); works || !errors.Is(err, none) {
		t.Errorf("Works = %v, %v, want the error", works, err)
	}
	var told error
	i.Without = func(err error) { told = err }
	if works, err := i.Works(t.Context()); works || err != nil || !errors.Is(told, none) {
		t.Errorf("Works = %v, %v, and it says %v", works, err, told)
	}
}
