// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestE2EReproducible(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	builds := []struct {
		name  string
		umask string
		env   []string
		cold  bool
	}{
		{"a cold cache", "022", nil, true},
		{"a warm cache", "022", nil, false},
		{"another umask", "077", nil, true},
		{"another time zone", "022", []string{"TZ=Pacific/Apia"}, true},
		{"one processor", "022", []string{"GOMAXPROCS=1"}, true},
		{"eight processors", "002", []string{"GOMAXPROCS=8", "TZ=Asia/Kathmandu"}, true},
	}
	cache := t.TempDir()
	digests := make(map[string][]string)
	for _, b := range builds {
		if b.cold {
			cache = t.TempDir()
		}
		out := t.TempDir()
		// The shell makes the project too, so that its files have the umask's modes.
		script := `umask "$1"; cp -r "$2" "$3/project"; exec "$4" build --parent-image "$5" -o "oci:$3/image" "$3/project"`
		dir := project(t, "settings:\n  docker:\n    requirements: [numpy==2.1.0, requests==2.32.3, greenlet==3.1.1]\n",
			map[string]string{"a.py": "print(1)\n", "b/c.txt": "c\n", "b/run.sh": "#!/bin/sh\n"})
		if err := os.Chmod(filepath.Join(dir, "b/run.sh"), 0o755); err != nil {
			t.Fatal(err)
		}
		r := must(t, append(b.env, "INLAY_CACHE_DIR="+cache), "sh", "-c", script, "sh", b.umask, dir, out, e.program, e.parent("debian"))
		digest := digestOf(t, r.stdout)
		digests[digest] = append(digests[digest], b.name)
	}
	if len(digests) != 1 {
		t.Errorf("%d builds gave %d digests, want one: %v", len(builds), len(digests), digests)
	}
	e.report(t, "%d builds, one digest", len(builds))
}

// digestOf returns the digest in the one line that build prints.
func digestOf(t *testing.T, stdout string) string {
	t.Helper()
	_, after, ok := strings.Cut(strings.TrimSpace(stdout), "sha256:")
	if !ok || len(after) != 64 || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("build printed %q, want one line that ends in a digest", stdout)
	}
	return "sha256:" + after
}

func TestE2EParents(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	show := "import sys, numpy, idna; print(sys.executable, numpy.__version__, numpy.__file__)"
	// The "#!" lines are those that uv writes: sys.executable as uv finds it.
	tests := []struct{ parent, setting, python, shebang, want string }{
		{"debian", "", "python3", "/usr/bin/python3", "/usr/bin/python3 2.1.0 /usr/local/lib/python3.11/dist-packages/numpy/__init__.py\n"},
		{"local", "", "python3", "/usr/local/bin/python", "/usr/local/bin/python3 2.1.0 /usr/local/lib/python3.11/site-packages/numpy/__init__.py\n"},
		{"venv", "", "python3", "/opt/venv/bin/python", "/opt/venv/bin/python3 2.1.0 /opt/venv/lib/python3.11/site-packages/numpy/__init__.py\n"},
		{"elsewhere", "    python: /srv/python/bin/python3\n", "/srv/python/bin/python3", "/srv/python/bin/python3", "/srv/python/bin/python3 2.1.0 /srv/python/lib/python3.11/site-packages/numpy/__init__.py\n"},
		{"oldnumpy", "", "python3", "/usr/bin/python3", "/usr/bin/python3 2.1.0 /usr/local/lib/python3.11/dist-packages/numpy/__init__.py\n"},
	}
	for _, tt := range tests {
		t.Run(tt.parent, func(t *testing.T) {
			dir := project(t, "settings:\n  docker:\n    requirements: [numpy==2.1.0, idna]\n"+tt.setting, nil)
			out := t.TempDir()
			e.inlay(t, "build", "--parent-image", e.parent(tt.parent), "-o", "oci:"+out+"/image", dir)
			got := e.podman(t, out+"/image", tt.python, "-c", show)
			if got.err != nil || got.stdout != tt.want {
				t.Errorf("numpy is %q (%v %s), want %q", got.stdout, got.err, got.stderr, tt.want)
			}
			got = e.podman(t, out+"/image", "sh", "-c", "find / -xdev -name 'numpy-*.dist-info' -o -xdev -name 'numpy.libs' | wc -l")
			if strings.TrimSpace(got.stdout) != "2" {
				t.Errorf("the image holds %s of numpy's dist-info and libs, want 2: one numpy", strings.TrimSpace(got.stdout))
			}
			script := "F=$(find / -xdev -path '*/bin/f2py') && head -1 $F | cut -c3- && $F -v"
			got = e.podman(t, out+"/image", "sh", "-c", script)
			if got.err != nil || got.stdout != tt.shebang+"\n2.1.0\n" {
				t.Errorf("f2py: %q (%v %s), want one that %s runs", got.stdout, got.err, got.stderr, tt.shebang)
			}
		})
	}
}

func TestE2EParentSatisfies(t *testing.T) {
	e := e2e(t)
	dir := project(t, "settings:\n  docker:\n    requirements: [\"numpy>=1.20\"]\n", map[string]string{"a.py": ""})
	out := t.TempDir()
	e.inlay(t, "build", "--parent-image", e.parent("oldnumpy"), "-o", "oci:"+out+"/image", dir)
	var was, is struct{ Layers []json.RawMessage }
	for name, v := range map[string]any{filepath.Join(e.dir, "oldnumpy"): &was, out + "/image": &is} {
		r := must(t, nil, "skopeo", "inspect", "--raw", "oci:"+name)
		if err := json.Unmarshal([]byte(r.stdout), v); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(is.Layers) - len(was.Layers); got != 1 {
		t.Errorf("the image has %d layers more than its parent, want 1: the source alone", got)
	}
}

func TestE2EErrors(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	tests := []struct{ name, settings, want string }{
		{"an sdist that needs a compiler", "requirements: [python-ldap==3.4.4]", "python-ldap"},
		{"unsatisfiable", "requirements: [numpy==2.1.0, numpy==2.0.0]", "numpy"},
		{"unknown user", "user: nobdy", "nobdy"},
		{"another architecture", "build_config: {build_options: {platform: linux/s390x}}", "linux/amd64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := project(t, "settings:\n  docker:\n    "+tt.settings+"\n", nil)
			out := t.TempDir()
			r := command(t, []string{"INLAY_CACHE_DIR=" + e.cache}, e.program, "build", "--parent-image", e.parent("debian"), "-o", "oci:"+out+"/image", dir)
			var exit *exec.ExitError
			if !asExit(r.err, &exit) || exit.ExitCode() != 1 || r.stdout != "" || !strings.Contains(r.stderr, tt.want) || !strings.Contains(r.stderr, "hint: ") {
				t.Errorf("build: %v, %q, %q, want exit status 1, an error that names %s and a hint", r.err, r.stdout, r.stderr, tt.want)
			}
			if _, err := os.Stat(out + "/image"); err == nil {
				t.Error("a build that failed left an image")
			}
		})
	}
}

func asExit(err error, target **exec.ExitError) bool {
	exit, ok := err.(*exec.ExitError) //nolint:errorlint // exec returns it as it is
	*target = exit
	return ok
}

// incremental is a project whose builds the test below repeats.
func incremental(t *testing.T, pandas string) string {
	t.Helper()
	files := map[string]string{"main.py": "print('hello')\n", ".dockerignore": "inlay.yaml\n"}
	for i := range 500 {
		files[fmt.Sprintf("pkg/m%d.py", i)] = fmt.Sprintf("X = %d\n", i)
	}
	return project(t, "settings:\n  docker:\n    requirements: [numpy==2.1.0, pandas=="+pandas+", requests, pydantic, scikit-learn==1.5.2]\n", files)
}

func TestE2EIncremental(t *testing.T) {
	e := e2e(t)
	address, log := e.registry(t)
	e.cache = t.TempDir() // earlier runs have left the layers in the shared one
	dir := incremental(t, "2.2.2")
	args := []string{"--parent-image", e.parent("debian"), "-t", address + "/app:latest", dir}
	build := func() (r outcome, uploads int) {
		before := strings.Count(log(), "PATCH /v2/")
		r = e.inlay(t, append([]string{"build", "--push"}, args...)...)
		return r, strings.Count(log(), "PATCH /v2/") - before
	}
	plan := func() string { return e.inlay(t, append([]string{"plan", "--push"}, args...)...).stdout }
	build()

	if p := plan(); strings.Contains(p, "make") || !strings.Contains(p, "a push would move no layer") {
		t.Errorf("with no change plan says:\n%s\nwant everything reused and nothing pushed", p)
	}
	cpu := time.Hour
	for range 5 { // the least of some runs: other programs share the machine
		r, uploads := build()
		cpu = min(cpu, r.cpu)
		if uploads != 0 {
			t.Errorf("a build with no change uploaded %d blobs, want none", uploads)
		}
	}
	e.report(t, "no change: %.3f CPU seconds", cpu.Seconds())
	if cpu > 200*time.Millisecond {
		t.Errorf("a build with no change took %v of CPU, want less than 0.2 s", cpu)
	}

	write(t, filepath.Join(dir, "main.py"), "print('changed')\n")
	if p := plan(); strings.Count(p, "make") != 1 || !strings.Contains(p, "main.py changed") {
		t.Errorf("with one source file changed plan says:\n%s\nwant one layer made, because main.py changed", p)
	}
	r, uploads := build()
	e.report(t, "one source file of 500: %.3f CPU seconds", r.cpu.Seconds())
	if uploads != 2 { // the layer and the configuration
		t.Errorf("a build with one source file changed uploaded %d blobs, want its layer and the configuration", uploads)
	}

	settings := filepath.Join(dir, "inlay.yaml")
	write(t, settings, strings.ReplaceAll(read(t, settings), "pandas==2.2.2", "pandas==2.2.3"))
	if p := plan(); strings.Count(p, "make") != 1 || !strings.Contains(p, "pandas 2.2.2 → 2.2.3") {
		t.Errorf("with pandas bumped plan says:\n%s\nwant one layer made, because pandas changed", p)
	}
	r, uploads = build()
	e.report(t, "one requirement bumped (pandas, 13 MB): %.3f CPU seconds", r.cpu.Seconds())
	if uploads != 2 {
		t.Errorf("a build with one requirement bumped uploaded %d blobs, want its layer and the configuration", uploads)
	}
}

func TestE2EOffline(t *testing.T) {
	e := e2e(t)
	dir := project(t, "settings:\n  docker:\n    requirements: [requests]\n", map[string]string{"a.py": ""})
	out := t.TempDir()
	args := []string{"build", "--parent-image", e.parent("debian"), "-o", "oci:" + out + "/image", dir}
	first := e.inlay(t, args...)
	// No network at all: a namespace of its own.
	r := must(t, []string{"INLAY_CACHE_DIR=" + e.cache}, "unshare", append([]string{"-r", "-n", e.program}, append(args, "--offline")...)...)
	if r.stdout != first.stdout {
		t.Errorf("offline the build gives %q, want %q", r.stdout, first.stdout)
	}
}

// TestE2ERegistryParent builds on a parent of the same registry: its layers are
// read once, for what they hold, and mounted for pushes.
func TestE2ERegistryParent(t *testing.T) {
	e := e2e(t)
	e.cache = t.TempDir()
	address, log := e.registry(t)
	parent := address + "/base/debian:py"
	must(t, nil, "skopeo", "copy", "-q", "--dest-tls-verify=false", e.parent("debian"), "docker://"+parent)
	dir := project(t, "settings:\n  docker:\n    requirements: [idna==3.10]\n", map[string]string{"a.py": ""})
	var manifest struct{ Layers []struct{ Digest string } }
	raw := must(t, nil, "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+parent)
	if err := json.Unmarshal([]byte(raw.stdout), &manifest); err != nil || len(manifest.Layers) != 1 {
		t.Fatalf("the parent's manifest: %v, %d layers, want one", err, len(manifest.Layers))
	}
	counts := func(repository string) (reads, mounts, uploads int) {
		before := log()
		e.inlay(t, "build", "--push", "--parent-image", parent, "-t", address+"/"+repository+":v1", dir)
		new := strings.TrimPrefix(log(), before)
		return strings.Count(new, "GET /v2/base/debian/blobs/"+manifest.Layers[0].Digest),
			strings.Count(new, "mount=sha256"), strings.Count(new, "PATCH /v2/")
	}
	if reads, mounts, uploads := counts("team/one"); reads != 1 || mounts == 0 || uploads != 3 {
		t.Errorf("the first build read %d layers of the parent, mounted %d, uploaded %d blobs; want 1, some, 3", reads, mounts, uploads)
	}
	if reads, mounts, _ := counts("team/two"); reads != 0 || mounts == 0 {
		t.Errorf("a build into another repository read %d layers of the parent, mounted %d, want none and some", reads, mounts)
	}
	got := e.podman(t, address+"/team/two:v1", "python3", "-c", "import idna; print(idna.__version__)")
	if got.err != nil || got.stdout != "3.10\n" {
		t.Errorf("the image prints %q (%v %s), want 3.10", got.stdout, got.err, got.stderr)
	}
}
