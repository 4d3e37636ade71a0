// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The end-to-end tests use real things: parents made of Debian's packages,
// wheels of the package index, a registry on loopback, podman, skopeo and
// umoci. `just e2e` makes the parents and the program and names their
// directory in INLAY_E2E.

// env is what the end-to-end tests share.
type env struct {
	dir     string // holds the parents, the cache and the report
	scripts string
	program string
	cache   string // kept from run to run, so that wheels move once
}

// e2e returns the environment of the end-to-end tests, or skips the test.
func e2e(t *testing.T) env {
	t.Helper()
	dir := os.Getenv("INLAY_E2E")
	if dir == "" {
		t.Skip("INLAY_E2E is not set: `just e2e` runs the end-to-end tests")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return env{
		dir:     dir,
		scripts: filepath.Join(root, "testdata", "e2e"),
		program: filepath.Join(root, "bin", "inlay"),
		cache:   filepath.Join(dir, "cache"),
	}
}

// parent names a parent image of the tests.
func (e env) parent(name string) string { return "oci:" + filepath.Join(e.dir, name) }

// result is what a command did.
type result struct {
	stdout, stderr string
	cpu, wall      time.Duration
	rss            int64 // peak resident set, in bytes
	err            error
}

// command runs a program with more environment variables.
func command(t *testing.T, extra []string, name string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), extra...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin := time.Now()
	err := cmd.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String(), err: err, wall: time.Since(begin)}
	if cmd.ProcessState != nil {
		r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			r.rss = u.Maxrss * 1024
		}
	}
	return r
}

// must runs a program and fails the test if it fails.
func must(t *testing.T, extra []string, name string, args ...string) result {
	t.Helper()
	r := command(t, extra, name, args...)
	if r.err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), r.err, r.stdout, r.stderr)
	}
	return r
}

// inlay runs the program with the shared cache.
func (e env) inlay(t *testing.T, args ...string) result {
	t.Helper()
	return must(t, []string{"INLAY_CACHE_DIR=" + e.cache}, e.program, args...)
}

// registry starts a registry on loopback and returns its address and its log.
func (e env) registry(t *testing.T) (address string, log func() string) {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(e.scripts, "registry.sh")
	r := must(t, nil, script, "start", dir)
	t.Cleanup(func() { exec.Command(script, "stop", dir).Run() })
	return strings.TrimSpace(r.stdout), func() string {
		return read(t, filepath.Join(dir, "log"))
	}
}

// podman runs a command in an image as its configuration says.
func (e env) podman(t *testing.T, image string, args ...string) result {
	t.Helper()
	return command(t, e.store(), filepath.Join(e.scripts, "run.sh"), append([]string{image, "--"}, args...)...)
}

// store says where podman keeps images during the tests.
func (e env) store() []string { return []string{"E2E_STORE=" + filepath.Join(e.dir, "store")} }

// project writes a settings file and source files, and returns the directory.
func project(t *testing.T, settings string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "inlay.yaml"), settings)
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reportLock keeps the lines of the report whole.
var reportLock sync.Mutex

// report adds a line to the tests' report and to their log.
func (e env) report(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	reportLock.Lock()
	defer reportLock.Unlock()
	f, err := os.OpenFile(filepath.Join(e.dir, "report.md"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "- %s: %s\n", t.Name(), line)
}

// A node is a file of a tree, as far as trees are compared.
type node struct {
	Type   byte
	Mode   int64
	Link   string
	Digest string
	body   []byte // of small files
}

// nodes reads a tar: path to node.
func nodes(t *testing.T, r io.Reader) map[string]node {
	t.Helper()
	found := make(map[string]node)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("reading a tree: %v", err)
		}
		n := node{Type: h.Typeflag, Mode: h.Mode, Link: h.Linkname}
		if h.Typeflag == tar.TypeReg {
			n.Digest, n.body = digest(t, tr, h.Size)
		}
		found[strings.TrimSuffix(h.Name, "/")] = n
	}
}

// digest hashes a file, and returns its content if it is small.
func digest(t *testing.T, r io.Reader, size int64) (string, []byte) {
	t.Helper()
	sum := sha256.New()
	var small bytes.Buffer
	w := io.Writer(sum)
	if size < 8<<20 {
		w = io.MultiWriter(sum, &small)
	}
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil)), small.Bytes()
}
