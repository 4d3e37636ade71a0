// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"inlay/resolve/plan"
)

// A scene is what a hermetic test of the program has: a directory of its own
// with a cache, a parent, a source, and wheels that a server on loopback has.
type scene struct {
	dir    string
	wheels sync.Map // the []byte of each file name
	said   string   // the file that errors are told in, see mainWithHints
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{dir: t.TempDir(), said: filepath.Join(t.TempDir(), "errors")}
	if err := writeParent(filepath.Join(s.dir, "parent"), []string{"etc/", "etc/passwd="}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "src", "main.py"), "print(1)\n")
	return s
}

// index serves the wheels.
func (s *scene) index(w http.ResponseWriter, r *http.Request) {
	b, ok := s.wheels.Load(path.Base(r.URL.Path))
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.([]byte)))
}

// serve starts a server for the length of the test and returns its address.
func serve(t *testing.T, h http.HandlerFunc) (address string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// wheel makes a wheel of some files, "path=content", and says how a plan names
// it; address is the server's.
func (s *scene) wheel(t *testing.T, address, name string, files ...string) plan.Wheel {
	t.Helper()
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	info := name + "-1.0.dist-info/"
	for _, f := range append(files, info+"METADATA=Name: "+name+"\nVersion: 1.0\n", info+"WHEEL=Wheel-Version: 1.0\nRoot-Is-Purelib: true\n", info+"RECORD=") {
		file, body, _ := strings.Cut(f, "=")
		w, err := zw.Create(file)
		if err == nil {
			_, err = io.WriteString(w, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return s.put(address, name, buf.Bytes())
}

// put puts a wheel on the server.
func (s *scene) put(address, name string, b []byte) plan.Wheel {
	file := name + "-1.0-py3-none-any.whl"
	s.wheels.Store(file, b)
	return plan.Wheel{
		Name: name, Version: "1.0", File: file, URL: "http://" + address + "/" + file,
		Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(b)), Size: int64(len(b)),
	}
}

// plan writes a plan that installs wheels, a layer for each list of them, below
// what the source's plan has, and returns its file.
func (s *scene) plan(t *testing.T, groups ...[]plan.Wheel) string {
	t.Helper()
	r := s.run(t, "plan", "--format", "json", "--parent-image", "oci:parent", "src")
	p, err := plan.Decode(strings.NewReader(r.stdout))
	if err != nil {
		t.Fatalf("planning: %v\n%s", err, r.stderr)
	}
	stage := &p.Stages[len(p.Stages)-1]
	var steps []plan.Step
	for _, g := range groups {
		steps = append(steps, plan.Step{Name: g[0].Name, Python: &plan.Python{Wheels: g, Scheme: plan.Scheme{
			Purelib: "/usr/lib/python3/dist-packages", Platlib: "/usr/lib/python3/dist-packages", Scripts: "/usr/bin",
			Data: "/usr", Headers: "/usr/include", Interpreter: "/usr/bin/python3", Version: "3.11",
		}}})
	}
	stage.Steps = append(steps, stage.Steps...)
	var b bytes.Buffer
	if err := p.Encode(&b); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(s.dir, fmt.Sprintf("plan-%x.json", sha256.Sum256(b.Bytes())))
	write(t, name, b.String())
	return name
}

// command is the program with arguments, run in the scene's directory.
func (s *scene) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "inlay", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "ERRORS="+s.said, "INLAY_CACHE_DIR="+filepath.Join(s.dir, "cache"), "DOCKER_CONFIG="+s.dir)
	return cmd
}

func (s *scene) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return finish(s.command(t.Context(), args...))
}

// finish runs a command to its end.
func finish(cmd *exec.Cmd) outcome {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return outcome{stdout: stdout.String(), stderr: stderr.String(), err: err}
}

// status is the exit status, -1 if there is none.
func (o outcome) status() int {
	var exit *exec.ExitError
	switch {
	case o.err == nil:
		return 0
	case errors.As(o.err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}

// noCache matches what is said of a directory that isn't this program's cache.
var noCache = regexp.MustCompile("there is no cache in|was not made by inlay|is of another version of inlay")

// verify checks that the cache is whole and holds nothing half made.
func (s *scene) verify(t *testing.T) {
	t.Helper()
	if r := s.run(t, "cache", "verify"); r.err != nil && !noCache.MatchString(r.stderr) {
		t.Errorf("cache verify: %v\n%s%s", r.err, r.stdout, r.stderr)
	}
	err := filepath.WalkDir(filepath.Join(s.dir, "cache"), func(name string, _ os.DirEntry, err error) error {
		if base := filepath.Base(name); strings.HasPrefix(base, ".tmp-") || strings.HasPrefix(base, "scratch-") {
			t.Errorf("%s is left in the cache", base)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}

// digestIn returns the digest of the image that a layout calls latest.
func digestIn(t *testing.T, dir string) string {
	t.Helper()
	ix, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ix.IndexManifest()
	if err != nil || len(m.Manifests) != 1 {
		t.Fatalf("the index of %s: %+v, %v, want one image", dir, m, err)
	}
	return m.Manifests[0].Digest.String()
}
