// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"inlay/resolve/plan"
)

// A stage is a moment in the life of a build at which it is interrupted.
type stage struct {
	name string
	fits func(r *http.Request) bool // the request that gets no answer
	nth  int                        // which of them, from 1
	args []string                   // of build; HOST is the server
}

// TestInterrupt interrupts builds at chosen moments, by Ctrl-C and as init
// systems do. The build ends at once, with the status 130; it leaves nothing
// behind, and the next one does as if it had not been.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	stages := []stage{
		{"the parent is opened", manifest, 1, []string{"--parent-image", "HOST/team/base:v1", "-o", "oci:out/image", "src"}},
		{"a parent's layer is read", blob, 2, []string{"--parent-image", "HOST/team/base:v1", "-o", "oci:out/image", "src"}},
		{"a wheel is downloaded", wheelFile, 1, []string{"--plan", "PLAN", "-o", "oci:out/image", "src"}},
		{"a layer is pushed", part, 1, []string{"--parent-image", "oci:parent", "--push", "-t", "HOST/team/app:v1", "src"}},
		{"the manifest is pushed", anyPut, 1, []string{"--parent-image", "oci:parent", "--push", "-t", "HOST/team/app:v1", "src"}},
		{"a layout is written", blob, 3, []string{"--parent-image", "HOST/team/base:v1", "-o", "oci:out/image", "src"}},
		{"an OCI archive is written", blob, 3, []string{"--parent-image", "HOST/team/base:v1", "-o", "oci-archive:out/image.tar", "src"}},
		{"a docker archive is written", blob, 3, []string{"--parent-image", "HOST/team/base:v1", "-o", "docker-archive:out/image.tar", "src"}},
	}
	for _, st := range stages {
		for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			t.Run(st.name+" "+sig.String(), func(t *testing.T) {
				t.Parallel()
				st.interrupt(t, sig)
			})
		}
	}
}

func (st stage) interrupt(t *testing.T, sig os.Signal) {
	s := newScene(t)
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	everything := func(w http.ResponseWriter, r *http.Request) {
		if wheelFile(r) {
			s.index(w, r)
		} else {
			images.ServeHTTP(w, r)
		}
	}
	reached := make(chan struct{})
	host := serve(t, held(st.fits, st.nth, reached, http.HandlerFunc(everything)))
	pushTo(t, serve(t, images.ServeHTTP)+"/team/base:v1", s.parentImage(t))
	if err := os.Mkdir(filepath.Join(s.dir, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"build"}
	for _, a := range st.args {
		if a == "PLAN" {
			a = s.plan(t, []plan.Wheel{s.wheel(t, host, "idna", "idna/__init__.py=")})
		}
		args = append(args, strings.Replace(a, "HOST", host, 1))
	}
	s.interrupted(t, s.command(t.Context(), args...), sig, reached)
	rec := httptest.NewRecorder()
	images.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v2/team/app/manifests/v1", nil))
	if rec.Code == http.StatusOK {
		t.Error("the tag is there")
	}
	if r := s.run(t, args...); r.err != nil { // only one request had no answer
		t.Errorf("the next build: %v\n%s", r.err, r.stderr)
	}
}

// held answers all but one request: the nth that fits closes reached, and then
// waits until whoever asked has gone.
func held(fits func(*http.Request) bool, nth int, reached chan struct{}, next http.Handler) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		hold := false
		if fits(r) {
			n++
			hold = n == nth
		}
		mu.Unlock()
		if !hold {
			next.ServeHTTP(w, r)
			return
		}
		close(reached)
		_, _ = io.Copy(io.Discard, r.Body) // only then is it told that the other side hung up
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// interrupted runs a command, sends it a signal once it has come that far, and
// checks how it ends and what it leaves.
func (s *scene) interrupted(t *testing.T, cmd *exec.Cmd, sig os.Signal, reached <-chan struct{}) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-reached:
	case err := <-ended:
		t.Fatalf("the build ended before it was interrupted: %v\n%s", err, stderr.String())
	}
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	r := outcome{err: <-ended} // before that the output is still being read
	r.stdout = stdout.String()
	if r.status() != 130 || stdout.Len() > 0 {
		t.Errorf("an interrupted build ended with %v and printed %q, want status 130 and nothing\n%s", r.err, stdout.String(), stderr.String())
	}
	const words = "interrupted: nothing was left half made\n"
	if cmd.Stderr == &stderr && !strings.HasSuffix(stderr.String(), words) {
		t.Errorf("an interrupted build says %q, want %q in the end", stderr.String(), words)
	}
	s.nothingLeft(t)
	s.verify(t)
}

// nothingLeft checks that there is no output and no half of a file.
func (s *scene) nothingLeft(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(name string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.dir, name)
		half := strings.HasPrefix(e.Name(), ".tmp-") || strings.HasPrefix(e.Name(), "scratch-")
		if half || strings.HasPrefix(rel, "out/") {
			t.Errorf("%s is left", rel)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A build that is interrupted while uv runs takes uv, and what uv started, with
// it.
func TestInterruptUV(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	python := []string{"etc/passwd=", "usr/bin/python3=@3.11.2", "usr/lib/python3.11/os.py=", "usr/lib/python3.11/sysconfig.py=posix_local"}
	if err := writeParent(filepath.Join(s.dir, "python"), python); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	uv := filepath.Join(s.dir, "bin", "uv")
	if err := os.Mkdir(filepath.Dir(uv), 0o755); err != nil {
		t.Fatal(err)
	}
	mustRun(t, exec.Command("cp", self, uv))
	cmd := s.command(t.Context(), "build", "--parent-image", "oci:python", "-r", "idna", "-o", "oci:out/image", "src")
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"))
	reached := make(chan struct{})
	go func() {
		defer close(reached)
		until(t, func() bool { return len(running(t, uv)) == 2 })
	}()
	s.interrupted(t, cmd, os.Interrupt, reached)
	until(t, func() bool { return len(running(t, uv)) == 0 })
}

// waitingUV stands for a uv that waits for an index, and for what it started: a
// real one ends too soon. It is this program, called uv.
func waitingUV(args []string) {
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println("uv 0.13.9")
		return
	}
	if len(args) != 1 || args[0] != "started" {
		if err := exec.Command(os.Args[0], "started").Start(); err != nil {
			panic(err)
		}
	}
	time.Sleep(10 * time.Minute)
}

// running returns the processes of this machine that wait as waitingUV does, of
// the program called name. One that ended and nobody asked after has no arguments.
func running(t *testing.T, name string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		b, _ := os.ReadFile(p) // it may be over meanwhile
		if args := strings.Split(string(b), "\x00"); args[0] == name && args[1] != "--version" {
			pids = append(pids, p)
		}
	}
	return pids
}

// until waits for something that must come.
func until(t *testing.T, came func() bool) {
	for range 3000 {
		if came() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("what must come in 30 seconds has not come")
}

// A build that is interrupted in the middle of making a layer.
func TestInterruptLayer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	big := filepath.Join(s.dir, "src", "big")
	write(t, big, "")
	if err := os.Truncate(big, 512<<20); err != nil { // no bytes on disk, some seconds to compress
		t.Fatal(err)
	}
	cmd := s.command(t.Context(), "build", "--progress", "json", "--parent-image", "oci:parent", "-o", "oci:out/image", "src")
	begun := &waitFor{text: `"task":"layer source"`, reached: make(chan struct{})}
	cmd.Stderr = begun
	s.interrupted(t, cmd, os.Interrupt, begun.reached)
}

// A waitFor tells when a text was written.
type waitFor struct {
	text    string
	reached chan struct{}
	all     []byte
	done    bool
}

func (w *waitFor) Write(p []byte) (int, error) {
	w.all = append(w.all, p...)
	if !w.done && bytes.Contains(w.all, []byte(w.text)) {
		w.done = true
		close(w.reached)
	}
	return len(p), nil
}
