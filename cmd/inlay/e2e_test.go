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

// outcome is what a command did.
type outcome struct {
	stdout, stderr string
	cpu, wall      time.Duration
	rss            int64 // peak resident set, in bytes
	err            error
}

// command runs a program with more environment variables.
func command(t *testing.T, extra []string, name string, args ...string) outcome {
	t.Helper()
	var stdout bytes.Buffer
	r := stream(t, &stdout, extra, name, args...)
	r.stdout = stdout.String()
	return r
}

// stream is command with the standard output going elsewhere.
func stream(t *testing.T, stdout io.Writer, extra []string, name string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), extra...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	begin := time.Now()
	r := outcome{err: cmd.Start()}
	if r.err == nil {
		peak := watch(cmd.Process.Pid)
		r.err = cmd.Wait()
		r.rss = peak()
		r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	r.stderr, r.wall = stderr.String(), time.Since(begin)
	return r
}

// watch follows the peak resident set of a process until the function it
// returns is called. (What wait4 says of it counts the memory of this process
// too, from before the exec.)
func watch(pid int) (peak func() int64) {
	stop, result := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				result <- most
				return
			case <-tick.C:
				most = max(most, highWater(pid))
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-result
	}
}

// highWater returns VmHWM of a process in bytes, 0 once it is gone.
func highWater(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		return 0
	}
	return kb * 1024
}

// must runs a program and fails the test if it fails.
func must(t *testing.T, extra []string, name string, args ...string) outcome {
	t.Helper()
	r := command(t, extra, name, args...)
	if r.err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), r.err, r.stdout, r.stderr)
	}
	return r
}

// inlay runs the program with the shared cache.
func (e env) inlay(t *testing.T, args ...string) outcome {
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
func (e env) podman(t *testing.T, image string, args ...string) outcome {
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

// treeOf runs a command that writes a tar, and reads it.
func treeOf(t *testing.T, extra []string, name string, args ...string) map[string]node {
	t.Helper()
	r, w := io.Pipe()
	var ran outcome
	done := make(chan struct{})
	go func() {
		defer close(done)
		ran = stream(t, w, extra, name, args...)
		w.Close()
	}()
	found := nodes(t, r)
	_, _ = io.Copy(io.Discard, r) // what follows the tar's end
	<-done
	if ran.err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), ran.err, ran.stderr)
	}
	return found
}

// A node is a file of a tree, as far as trees are compared.
type node struct {
	Type   byte
	Mode   int64
	Owner  string // "uid:gid"
	Link   string
	Digest string
	body   []byte // of a RECORD
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
			t.Errorf("reading a tree: %v", err)
			return found
		}
		n := node{Type: h.Typeflag, Mode: h.Mode, Owner: fmt.Sprintf("%d:%d", h.Uid, h.Gid), Link: h.Linkname}
		if h.Typeflag == tar.TypeReg {
			n.Digest, n.body = digest(t, tr, strings.HasSuffix(h.Name, "/RECORD"))
		}
		found[strings.TrimSuffix(h.Name, "/")] = n
	}
}

// digest hashes a file, and returns its content too if it is to be kept.
func digest(t *testing.T, r io.Reader, keep bool) (string, []byte) {
	t.Helper()
	sum := sha256.New()
	var kept bytes.Buffer
	w := io.Writer(sum)
	if keep {
		w = io.MultiWriter(sum, &kept)
	}
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil)), kept.Bytes()
}
