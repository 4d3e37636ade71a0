// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// An engineUnderTest is a container engine of this machine.
type engineUnderTest struct {
	name  string
	needs []string // programs
	// start returns the environment by which inlay and the engine's own program
	// find it.
	start func(t *testing.T, e env) []string
	// run runs a program in an image that the engine has.
	run func(t *testing.T, e env, environ []string, image string, args ...string) outcome
}

var enginesUnderTest = []engineUnderTest{
	{
		"docker",
		[]string{"docker", "dockerd", "containerd"},
		func(t *testing.T, e env) []string {
			return []string{"DOCKER_HOST=unix://" + e.daemon(t, "docker")}
		},
		func(t *testing.T, _ env, environ []string, image string, args ...string) outcome {
			return command(t, environ, "docker", append([]string{"run", "--rm", "--network", "none", image}, args...)...)
		},
	},
	{
		"containerd",
		[]string{"ctr", "containerd"},
		func(t *testing.T, e env) []string {
			return []string{"CONTAINERD_ADDRESS=" + e.daemon(t, "containerd")}
		},
		func(t *testing.T, _ env, environ []string, image string, args ...string) outcome {
			return command(t, environ, "ctr", append([]string{"run", "--rm", image, "test"}, args...)...)
		},
	},
	{
		"podman",
		[]string{"podman"},
		func(t *testing.T, e env) []string {
			// The store that run.sh uses.
			dir := filepath.Join(e.dir, "engine-store")
			must(t, nil, "mkdir", "-p", dir)
			driver := "overlay"
			if must(t, nil, "stat", "-fc", "%T", dir).stdout == "overlayfs\n" {
				driver = "vfs"
			}
			conf := filepath.Join(dir, "storage.conf")
			write(t, conf, "[storage]\ndriver = \""+driver+"\"\ngraphroot = \""+dir+"/root\"\nrunroot = \""+dir+"/run\"\n")
			t.Cleanup(func() {
				clean := exec.Command(filepath.Join(e.scripts, "run.sh"), "--clean")
				clean.Env = append(os.Environ(), "E2E_STORE="+dir)
				if err := clean.Run(); err != nil {
					t.Errorf("cleaning podman's store: %v", err)
				}
			})
			return []string{"CONTAINERS_STORAGE_CONF=" + conf, "E2E_STORE=" + dir}
		},
		func(t *testing.T, e env, environ []string, image string, args ...string) outcome {
			return command(t, environ, filepath.Join(e.scripts, "run.sh"), append([]string{image, "--"}, args...)...)
		},
	},
}

// daemon starts an engine that stops with the test, and returns its socket.
func (e env) daemon(t *testing.T, kind string) string {
	t.Helper()
	// Not t.TempDir: a socket's path must be short.
	dir, err := os.MkdirTemp("", "inlay-e2e-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(e.scripts, "engine.sh")
	t.Cleanup(func() {
		if err := exec.Command(script, "stop", dir).Run(); err != nil {
			t.Errorf("stopping %s: %v", kind, err)
		}
		os.RemoveAll(dir)
	})
	return strings.TrimSpace(must(t, nil, script, "start", kind, dir).stdout)
}

// What --output engine prints is what that engine runs, whatever the
// compression, and its names mean the image that was built last.
func TestE2EEngines(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("engines of their own can be started by root only")
	}
	for _, engine := range enginesUnderTest {
		t.Run(engine.name, func(t *testing.T) {
			for _, program := range engine.needs {
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("there is no %s here: testdata/e2e/setup.sh installs it", program)
				}
			}
			environ := engine.start(t, e)
			for compression, words := range map[string][]string{"gzip": {"first", "second"}, "zstd": {"third"}} {
				for _, word := range words {
					dir := project(t, "settings:\n  docker:\n    requirements: [idna]\n",
						map[string]string{"show.py": "import idna, os; print('" + word + "', os.getcwd(), idna.encode('ä').decode())\n"})
					built := must(t, append(environ, "INLAY_CACHE_DIR="+e.cache), e.program, "build", "--parent-image", e.parent("debian"),
						"--compression", compression, "-t", "example.com/app:"+compression, "-o", "engine:"+engine.name, dir)
					digestOf(t, built.stdout)
					got := engine.run(t, e, environ, strings.TrimSpace(built.stdout), "python3", "show.py")
					if want := word + " /app xn--4ca\n"; got.err != nil || got.stdout != want {
						t.Errorf("%s: %s with %s prints %q (%v %s), want %q", engine.name, built.stdout, compression, got.stdout, got.err, got.stderr, want)
					}
					if engine.name == "podman" {
						continue // run.sh pulls names from registries
					}
					if named := engine.run(t, e, environ, "example.com/app:"+compression, "python3", "show.py"); named.stdout != got.stdout {
						t.Errorf("%s: by its name the image prints %q (%v %s), want %q", engine.name, named.stdout, named.err, named.stderr, got.stdout)
					}
				}
			}
			e.report(t, "loads, names and runs images with gzip and with zstd")
		})
	}
}

// An image with layers of zstd goes through a registry to podman and skopeo.
func TestE2EZstd(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	address, _ := e.registry(t)
	sizes := map[string]int64{}
	for _, compression := range []string{"gzip", "zstd"} {
		dir := project(t, "settings:\n  docker:\n    requirements: [numpy==2.1.0, idna]\n    compression: "+compression+"\n",
			map[string]string{"show.py": "import numpy, idna; print(numpy.arange(5).sum())\n"})
		ref := address + "/team/app:" + compression
		e.inlay(t, "build", "--parent-image", e.parent("debian"), "--push", "-t", ref, dir)
		if got := e.podman(t, ref, "python3", "show.py"); got.err != nil || got.stdout != "10\n" {
			t.Errorf("%s: podman prints %q (%v %s), want 10", compression, got.stdout, got.err, got.stderr)
		}
		out := t.TempDir()
		must(t, nil, "skopeo", "copy", "--src-tls-verify=false", "docker://"+ref, "oci:"+out+"/copied:v1")
		sizes[compression] = layersSize(t, ref)
	}
	if sizes["zstd"] >= sizes["gzip"] {
		t.Errorf("the layers have %d bytes with zstd and %d with gzip, want less", sizes["zstd"], sizes["gzip"])
	}
	e.report(t, "numpy: %d bytes of layers with gzip, %d with zstd", sizes["gzip"], sizes["zstd"])
}

// layersSize returns how many bytes the layers of an image in a registry have.
func layersSize(t *testing.T, ref string) (n int64) {
	t.Helper()
	img, err := remote.Image(mustRef(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}
