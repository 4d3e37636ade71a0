// SPDX-License-Identifier: Apache-2.0

package sdist_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/resolve/egress"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/python"
	"inlay/resolve/sandbox"
	"inlay/resolve/sdist"
)

const password = "s3cr3t-p4ssword"

// A box stands for a sandbox: it looks at what a command is given, and answers as
// the command would. That commands are isolated the tests of the sandbox show,
// and the end-to-end tests that wheels are built.
type box struct {
	t     *testing.T
	build func(b *box, c sandbox.Command) (says string, exit int)
	sends string // what the command says that sends the wheel
	seen  string // all that the build was given, but for the directories of layers
	ports []string

	unpacks int // status of unpacking the sources
}

func (b *box) Remove(context.Context, ...string) error { return nil }

func (b *box) Run(_ context.Context, c sandbox.Command) (sandbox.Result, error) {
	if len(c.Args) > 3 && c.Args[3] == "/.inlay/source/demo-1.0.tar.gz" { // unpacks it
		return sandbox.Result{Exit: b.unpacks}, nil
	}
	if c.Path != "/.inlay/uv" {
		_, err := io.WriteString(c.Stdout, b.sends)
		return sandbox.Result{}, err
	}
	var mounts []string
	for _, m := range c.Mounts {
		mounts = append(mounts, fmt.Sprintf("%s %v", m.Target, m.Writable))
		_ = filepath.WalkDir(m.Source, func(path string, d os.DirEntry, _ error) error {
			if content, err := os.ReadFile(path); err == nil && m.Target != "/.inlay/uv" {
				mounts = append(mounts, d.Name()+": "+string(content))
			}
			return nil
		})
	}
	b.seen = strings.Join(slices.Concat([]string{c.Path}, c.Args, c.Env, mounts), "\n")
	b.ports = nil
	for _, p := range c.Ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { p.Serve(l); close(done) }()
		defer func() { l.Close(); <-done }()
		b.ports = append(b.ports, p.Inside+"="+l.Addr().String())
	}
	says, exit := b.build(b, c)
	if _, err := io.WriteString(c.Stderr, says); err != nil {
		return sandbox.Result{}, err
	}
	return sandbox.Result{Exit: exit}, nil
}

// get asks for a URL as a program in the sandbox sees it.
func (b *box) get(raw string) string {
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		for _, p := range b.ports {
			if inside, at, _ := strings.Cut(p, "="); inside == address {
				return (&net.Dialer{}).DialContext(ctx, "tcp", at)
			}
		}
		return nil, errors.New("nothing listens at " + address)
	}
	proxy, _ := url.Parse("http://127.0.0.1:3128")
	tr := &http.Transport{DialContext: dial, Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "127.0.0.1" && strings.HasPrefix(r.URL.Port(), "40") {
			return nil, nil
		}
		return proxy, nil
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get(raw)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func (b *box) variable(name string) string {
	for line := range strings.Lines(b.seen) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return value
		}
	}
	return ""
}

func builder(t *testing.T, b *box) *sdist.Builder {
	b.t = t
	return &sdist.Builder{
		Open: func(context.Context, *parent.Inventory) (sdist.Sandbox, []string, error) {
			return b, []string{"/layer"}, nil
		},
		UV: func(context.Context, *parent.Inventory) (python.UV, error) {
			return python.UV{Path: "/usr/bin/uv", Version: "0.13.9"}, nil
		},
		Temp: t.TempDir(), Files: t.TempDir(),
	}
}

// build builds demo 1.0 with the indexes of set.
func build(t *testing.T, b *sdist.Builder, set *index.Set, edit ...func(*python.Build)) (out, asked string, err error) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(source, []byte("sources"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x := python.Build{
		Inventory: &parent.Inventory{
			Platform: "linux/amd64", Python: &parent.Python{Interpreter: "/opt/bin/python3"},
			Config: v1.ConfigFile{Config: v1.Config{Env: []string{"PATH=/opt/bin", "PIP_INDEX_URL=https://other.example", "LANG=C", "https_proxy=http://elsewhere"}}},
		},
		Package: python.Package{Name: "demo", Version: "1.0"}, Source: f, File: "demo-1.0.tar.gz", Index: set,
	}
	for _, e := range edit {
		e(&x)
	}
	out = t.TempDir()
	asked, err = b.Build(t.Context(), x, out)
	return out, asked, err
}

// privateIndex is one that wants a password.
func privateIndex(t *testing.T) *index.Set {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pw, _ := r.BasicAuth(); pw != password {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "page %s", r.URL.Path)
	}))
	t.Cleanup(s.Close)
	set, err := index.Gather(t.Context(), index.Options{Default: strings.Replace(s.URL, "://", "://ann:"+password+"@", 1) + "/simple"})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A build has the sources, the index and the image's environment, and no
// credential anywhere.
func TestBuild(t *testing.T) {
	set := privateIndex(t)
	b := &box{sends: "demo-1.0-py3-none-any.whl\nwheel", build: func(b *box, _ sandbox.Command) (string, int) {
		if got, want := b.get(b.variable("UV_DEFAULT_INDEX")+"/six/"), "200 page /simple/six/"; got != want {
			t.Errorf("the index says %q, want %q", got, want)
		}
		return "", 0
	}}
	out, asked, err := build(t, builder(t, b), set, func(x *python.Build) {
		x.Arguments, x.Constraints, x.Links = []string{"--config-setting=a=b"}, []string{"setuptools<80"}, []string{t.TempDir()}
	})
	if err != nil {
		t.Fatal(err)
	}
	if wheel, err := os.ReadFile(filepath.Join(out, "demo-1.0-py3-none-any.whl")); string(wheel) != "wheel" {
		t.Errorf("the wheel is %q, %v", wheel, err)
	}
	if files, _ := os.ReadDir(out); len(files) != 1 {
		t.Errorf("there are %v beside the wheel", files)
	}
	for _, want := range []string{
		"/.inlay/uv\nbuild\n--wheel\n--no-config\n--python\n/opt/bin/python3\n", "--build-constraint\n/.inlay/source/build-constraints.txt\n--find-links\n/.inlay/links/0\n--config-setting=a=b\n/.inlay/work/source\n",
		"\nPATH=/opt/bin\n", "\nLANG=C\n", "\nHTTPS_PROXY=http://127.0.0.1:3128\n", "\ndemo-1.0.tar.gz: sources", "\nbuild-constraints.txt: setuptools<80\n",
		"/.inlay/uv false\n", "/.inlay/source false\n", "/.inlay/links/0 false",
	} {
		if !strings.Contains(b.seen, want) {
			t.Errorf("the build lacks %q, it has:\n%s", want, b.seen)
		}
	}
	for _, secret := range []string{password, "ann", "other.example", "elsewhere"} {
		if strings.Contains(b.seen, secret) {
			t.Errorf("the build has %q:\n%s", secret, b.seen)
		}
	}
	if at, _ := url.Parse(set.Default()); !strings.Contains(asked, at.Host+" (GET, 1×") {
		t.Errorf("asked is %q, want %s in it", asked, at.Host)
	}
}

// What Python can't unpack is uv's to unpack.
func TestNotUnpacked(t *testing.T) {
	b := &box{unpacks: 1, sends: "demo-1.0-py3-none-any.whl\nwheel", build: func(*box, sandbox.Command) (string, int) { return "", 0 }}
	if _, _, err := build(t, builder(t, b), privateIndex(t)); err != nil {
		t.Fatal(err)
	}
	if want := "\n/.inlay/source/demo-1.0.tar.gz\n"; !strings.Contains(b.seen, want) {
		t.Errorf("the build lacks %q, it has:\n%s", want, b.seen)
	}
}

// What a build may not reach is named by the error of a build that fails, with
// the flag; one that doesn't mind goes on.
func TestRefused(t *testing.T) {
	set := privateIndex(t)
	exit := 2
	b := &box{sends: "demo-1.0-py3-none-any.whl\nwheel", build: func(b *box, _ sandbox.Command) (string, int) {
		if got := b.get("http://files.example.com/x"); !strings.HasPrefix(got, "403 ") {
			t.Errorf("another host: %q, want 403", got)
		}
		return "first\nerror: no " + password + " here\n", exit
	}}
	_, _, err := build(t, builder(t, b), set)
	var denied *egress.DeniedError
	if !errors.As(err, &denied) || !strings.Contains(denied.Hint(), "`--allow-host files.example.com:80`") {
		t.Errorf("Build = %v, want a *egress.DeniedError", err)
	}
	if !strings.Contains(err.Error(), "exit code 2\nfirst\nerror: no ") || strings.Contains(err.Error(), password) {
		t.Errorf("Build = %v, want what the build said, without the password", err)
	}
	exit = 0
	if _, asked, err := build(t, builder(t, b), set); err != nil || !strings.Contains(asked, "files.example.com:80 (GET, refused)") {
		t.Errorf("Build = %q, %v", asked, err)
	}
}

// What code of a package leaves is believed in nothing.
func TestCollect(t *testing.T) {
	set := privateIndex(t)
	for _, sends := range []string{"", "x", "../../x.whl\nw", "/x.whl\nw", "x.zip\nw", "..\nw", strings.Repeat("x", 300) + ".whl\nw"} {
		b := &box{sends: sends, build: func(*box, sandbox.Command) (string, int) { return "", 0 }}
		out, _, err := build(t, builder(t, b), set)
		if err == nil {
			t.Errorf("sent %q: no error", sends)
		}
		if files, _ := filepath.Glob(out + "/*.whl"); len(files) > 0 {
			t.Errorf("sent %q: there is %q", sends, files)
		}
	}
}

// Without a sandbox nothing is built, and the reason is kept.
func TestNoSandbox(t *testing.T) {
	b := builder(t, &box{})
	b.Open = func(context.Context, *parent.Inventory) (sdist.Sandbox, []string, error) {
		return nil, nil, &sandbox.NoRungError{Tried: []sandbox.Rung{{Name: "root", Why: "no user namespaces", Fix: "run as root"}}}
	}
	_, _, err := build(t, b, privateIndex(t))
	var none *python.NoBuildError
	if !errors.As(err, &none) || !strings.Contains(err.Error(), "no user namespaces") {
		t.Errorf("Build = %v, want a *python.NoBuildError", err)
	}
}

// Where no index is named, uv says which is its own.
func TestOwnIndex(t *testing.T) {
	asked := ""
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked += r.URL.Path }))
	defer s.Close()
	b := &box{sends: "demo-1.0-py3-none-any.whl\nw", build: func(b *box, _ sandbox.Command) (string, int) {
		b.get(b.variable("UV_DEFAULT_INDEX") + "/six/")
		return "", 0
	}}
	x := builder(t, b)
	x.Runner = says("The default package index (by default: <" + s.URL + "/own>) [env: UV_DEFAULT_INDEX]")
	if _, _, err := build(t, x, nil); err != nil || asked != "/own/six/" {
		t.Errorf("Build = %v, asked was %q, want /own/six/", err, asked)
	}
	x.Runner = says("something new")
	var own *python.OwnIndexError
	if _, _, err := build(t, x, nil); !errors.As(err, &own) {
		t.Errorf("Build = %v, want a *OwnIndexError", err)
	}
}

type says string

func (s says) Run(_ context.Context, c python.Command) (int, error) {
	_, err := io.WriteString(c.Stdout, string(s))
	return 0, err
}

// Of a build for another machine the error says that it can't run here.
func TestForeign(t *testing.T) {
	b := &box{build: func(*box, sandbox.Command) (string, int) {
		return "error: Failed to query Python interpreter\n  cause: Exec format error (os error 8)\n", 2
	}}
	for platform, want := range map[string]bool{"linux/" + runtime.GOARCH: false, "linux/riscv64": true} {
		_, _, err := build(t, builder(t, b), privateIndex(t), func(x *python.Build) { x.Inventory.Platform = platform })
		var foreign *sdist.ForeignError
		if errors.As(err, &foreign) != want {
			t.Errorf("over %s: %v, a *ForeignError: %v, want %v", platform, err, !want, want)
		}
	}
}
