// SPDX-License-Identifier: Apache-2.0

package code_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"inlay/resolve/code"
	"inlay/resolve/plan"
)

// A container is a directory that stands for /app, and how the entrypoint runs
// there.
type container struct {
	t      *testing.T
	python string
	script string
	app    string
}

func newContainer(t *testing.T) *container {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 on this machine")
	}
	c := &container{t: t, python: python, script: filepath.Join(t.TempDir(), "fetch.py"), app: filepath.Join(t.TempDir(), "app")}
	if err := os.Mkdir(c.app, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.script, []byte(code.Entrypoint()[0].Text), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs a command after the source was fetched.
func (c *container) start(location string, command ...string) (stdout, stderr string) {
	return c.startWith(nil, location, command...)
}

func (c *container) startWith(env []string, location string, command ...string) (stdout, stderr string) {
	c.t.Helper()
	words := code.Command(c.python, c.app)
	words[slices.Index(words, code.EntrypointDir+"/fetch.py")] = c.script
	cmd := exec.CommandContext(c.t.Context(), words[0], append(words[1:], command...)...)
	cmd.Dir, cmd.Env = c.app, append([]string{"PATH=" + os.Getenv("PATH"), code.Variable + "=" + location}, env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	_ = cmd.Run() // what it prints tells
	return out.String(), problems.String()
}

// list is a command that prints the files of a source.
var list = []string{"sh", "-c", `find . -mindepth 1 \( -type l -printf '%P -> %l\n' -o -type f -printf '%P %m\n' \) | sort`}

// pack makes an archive and returns it with its digest.
func pack(t *testing.T, headers ...tar.Header) ([]byte, string) {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, h := range headers {
		content := h.Linkname
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if w.Close() != nil || gz.Close() != nil {
		t.Fatal("closing the archive")
	}
	return b.Bytes(), fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
}

// TestArchive holds that the entrypoint unpacks what the digest names, and
// nothing outside of the source's directory.
func TestArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o644}
	}
	link := func(name, to string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
	}
	program := file("run.sh", "#!/bin/sh\n")
	program.Mode = 0o755
	for _, tt := range []struct {
		name    string
		members []tar.Header
		want    string // that is printed, or of the error
	}{
		{"files", []tar.Header{file("a b/ü.py", "1"), link("link", "a b/ü.py"), program}, "a b/ü.py 644\nlink -> a b/ü.py\nrun.sh 755\n"},
		{"a path that leads out", []tar.Header{file("../out", "")}, "'../out' is no path for a file of a source"},
		{"a path from the root", []tar.Header{file("/out", "")}, "'/out' is no path for a file of a source"},
		{"a link in the way", []tar.Header{link("d", dir), file("d/out", "1")}, "d/out 644\n"},
		{"a link in place", []tar.Header{link("f", dir+"/out"), file("f", "1")}, "f 644\n"},
		{"a device", []tar.Header{{Typeflag: tar.TypeFifo, Name: "pipe"}}, "'pipe' is neither a file nor a link"},
		{"a hard link", []tar.Header{{Typeflag: tar.TypeLink, Name: "pipe", Linkname: "/etc/passwd"}}, "'pipe' is neither a file nor a link"},
		{"hooks of git", []tar.Header{file(".git/hooks/x", "")}, "'.git/hooks/x' is no path for a file of a source"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t)
			b, sum := pack(t, tt.members...)
			if err := os.WriteFile(filepath.Join(dir, sum), b, 0o600); err != nil {
				t.Fatal(err)
			}
			out, problem := c.start("file://"+dir+"/"+sum+"#sha256="+sum, list...)
			if out != tt.want && (!strings.Contains(problem, tt.want) || out != "") {
				t.Errorf("it prints %q and says %q, want %q", out, problem, tt.want)
			}
			if _, err := os.Lstat(filepath.Join(dir, "out")); err == nil {
				t.Error("it writes outside of the source's directory")
			}
		})
	}
}

// TestStart holds what the entrypoint does beside unpacking: a container can start
// twice, its command sees the container as it would without, and a mistake is
// told.
func TestStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, sum := pack(t, tar.Header{Typeflag: tar.TypeReg, Name: "main.py", Linkname: "print(1)", Mode: 0o644})
	two, other := pack(t, tar.Header{Typeflag: tar.TypeReg, Name: "main.py", Linkname: "print(2)", Mode: 0o644})
	for name, b := range map[string][]byte{"one": one, "two": two} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newContainer(t)
	for _, tt := range []struct {
		name, location string
		command        []string
		stdout, stderr string
	}{
		{"a program", "file://" + dir + "/one#sha256=" + sum, []string{c.python, "main.py"}, "1\n", ""},
		{"the same again", "file://" + dir + "/one#sha256=" + sum, []string{c.python, "main.py"}, "1\n", ""},
		{"another source of the same size", "file://" + dir + "/two#sha256=" + other, []string{c.python, "main.py"}, "2\n", ""},
		{"its environment", "file://" + dir + "/one#sha256=" + sum, []string{"sh", "-c", "env | cut -d= -f1 | grep -v -e ^_ -e SHLVL -e PYENV -e LD_ -e OLDPWD | sort | tr '\n' ' '; trap"}, "INLAY_CODE PATH PWD ", ""},
		{"a status", "file://" + dir + "/one#sha256=" + sum, []string{"sh", "-c", "yes | head -1; exit 3"}, "y\n", ""},
		{"no such program", "file://" + dir + "/one#sha256=" + sum, []string{"no-such"}, "", "inlay: no-such: No such file or directory\n"},
		{"no location", "", []string{"sh"}, "", "INLAY_CODE doesn't say where the source is"},
		{"no command", "file:///x", nil, "", "there is no command to run"},
		{"no digest", "file://" + dir + "/one", []string{"sh"}, "", "has no #sha256=... of what it names"},
		{"another digest", "file://" + dir + "/one#sha256=" + other, []string{"sh"}, "", "is not what was uploaded: its sha256 is " + sum},
		{"no file", "file://" + dir + "/lost#sha256=" + other, []string{"sh"}, "", "mount the store at " + dir},
		{"a store without its library", "gs://bucket/x#sha256=" + other, []string{"sh"}, "", "install the integration of the store"},
		{"no commit", "git+https://a.example/x@main", []string{"sh"}, "", "'main' is no full name of a commit"},
	} {
		if tt.name == "a store without its library" && exec.CommandContext(t.Context(), c.python, "-c", "import fsspec").Run() == nil {
			continue // this machine's Python has it
		}
		out, problem := c.start(tt.location, tt.command...)
		if out != tt.stdout || !strings.Contains(problem, tt.stderr) || tt.stderr == "" && problem != "" {
			t.Errorf("%s: it prints %q and says %q, want %q and %q", tt.name, out, problem, tt.stdout, tt.stderr)
		}
	}
}

// TestWeb holds that archives come from the web too, with the login that is for
// its host alone, and that failures that pass are tried again.
func TestWeb(t *testing.T) {
	t.Parallel()
	b, sum := pack(t, tar.Header{Typeflag: tar.TypeReg, Name: "main.py", Linkname: "1", Mode: 0o644})
	var asked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, "other "+r.Header.Get("Authorization"))
		_, _ = w.Write(b)
	}))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked = append(asked, user+":"+password)
		switch {
		case len(asked) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case r.URL.Path == "/lost":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write(b)
		}
	}))
	defer server.Close()
	c := newContainer(t)
	login := []string{"INLAY_CODE_TOKEN=hunter2", "INLAY_CODE_USER=me"}
	for _, path := range []string{"/here", "/moved"} {
		if out, problem := c.startWith(login, server.URL+path+"#sha256="+sum, "cat", "main.py"); out != "1" {
			t.Errorf("from %s it prints %q and says %s", path, out, problem)
		}
	}
	if _, problem := c.startWith(login, server.URL+"/lost#sha256="+sum, "true"); !strings.Contains(problem, "404 Not Found: check INLAY_CODE") || strings.Contains(problem, "hunter2") {
		t.Errorf("of what isn't there it says %q", problem)
	}
	if got, want := strings.Join(asked, ", "), "me:hunter2, me:hunter2, me:hunter2, other , me:hunter2"; got != want {
		t.Errorf("the servers were asked by %q, want %q", got, want)
	}
}

// TestRepository holds that the entrypoint fetches a commit by HTTP as git has
// it: with deltas, from a directory of it, and that what it got is checked.
func TestRepository(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	top := filepath.Dir(c.dir)
	for i := range 30 {
		c.write(fmt.Sprintf("training/many/%d.txt", i), strings.Repeat(fmt.Sprintf("line %d\n", i%3), 500)+fmt.Sprint(i))
	}
	c.write("training/a b/ü.py", "print('ü')\n")
	c.write("training/run.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(c.dir, "training/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../README", filepath.Join(c.dir, "training/link")); err != nil {
		t.Fatal(err)
	}
	c.run("add", "-A")
	c.run("commit", "-q", "-m", "two")
	commit := c.run("rev-parse", "HEAD")
	c.run("commit", "-q", "--allow-empty", "-m", "three")
	c.run("push", "-q", "up", "main")
	c.dir = filepath.Join(top, "repository.git")
	c.run("gc", "-q")
	program := filepath.Join(c.run("--exec-path"), "git-http-backend")
	if _, err := os.Stat(program); err != nil {
		t.Skip("no git-http-backend on this machine")
	}
	var spoil atomic.Bool
	backend := &cgi.Handler{Path: program, Env: []string{"GIT_PROJECT_ROOT=" + top, "GIT_HTTP_EXPORT_ALL=1"}, Stderr: io.Discard, Logger: log.New(io.Discard, "", 0)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := *backend
		h.Env = append(slices.Clone(h.Env), "GIT_PROTOCOL="+r.Header.Get("Git-Protocol"))
		if !spoil.Load() || r.Method != http.MethodPost {
			h.ServeHTTP(w, r)
			return
		}
		whole := httptest.NewRecorder()
		h.ServeHTTP(whole, r)
		b := whole.Body.Bytes()
		if at := bytes.Index(b, []byte("PACK")) + 64; at < 64 || at >= len(b) {
			t.Errorf("the server sends no pack: %q", b)
		} else {
			b[at] ^= 1 // of an object
		}
		_, _ = w.Write(b)
	}))
	defer server.Close()
	at := func(commit, dir string) string {
		return code.CommitLocation(plan.Commit{URL: server.URL + "/repository.git", ID: commit, Subdirectory: dir})
	}

	app := newContainer(t)
	if out, problem := app.start(at(commit, ""), "diff", "-r", "--no-dereference", "--exclude=.git", filepath.Join(top, "checkout"), "."); out+problem != "" {
		t.Errorf("the commit has other files: %s%s", out, problem)
	}
	app = newContainer(t)
	out, problem := app.start(at(commit, "training/a b"), list...)
	if out != "ü.py 644\n" {
		t.Errorf("of a directory it prints %q and says %s", out, problem)
	}
	for _, tt := range []struct{ commit, dir, want string }{
		{commit, "lost", "has no directory lost"},
		{strings.Repeat("0", 40), "", "says: "},
	} {
		if _, problem := app.start(at(tt.commit, tt.dir), "true"); !strings.Contains(problem, tt.want) {
			t.Errorf("of %s in %s it says %q, want %q", tt.commit, tt.dir, problem, tt.want)
		}
	}
	spoil.Store(true)
	if out, problem := app.start(at(commit, ""), "echo", "ran"); out != "" || !strings.Contains(problem, "inlay: fetching the source: ") {
		t.Errorf("of a pack that is damaged it prints %q and says %q", out, problem)
	}
}

// TestLocation holds that what a location says is what the entrypoint reads.
func TestLocation(t *testing.T) {
	got := code.CommitLocation(plan.Commit{URL: "https://h/x.git", ID: "ab", Subdirectory: "a b/ü&#"})
	_, fragment, _ := strings.Cut(got, "#")
	if v, err := url.ParseQuery(fragment); err != nil || v.Get("subdirectory") != "a b/ü&#" {
		t.Errorf("CommitLocation = %s, which says %v (%v)", got, v, err)
	}
	if got, want := code.UploadLocation("s3://b/p", "n.tar.gz", "ab"), "s3://b/p/n.tar.gz#sha256=ab"; got != want {
		t.Errorf("UploadLocation = %s, want %s", got, want)
	}
}
