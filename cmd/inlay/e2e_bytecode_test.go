// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"
)

// TestE2EBytecode builds with bytecode: Python uses it and compiles nothing of
// the wheels, its layers are the same each time, and those of the wheels are what
// they are without.
func TestE2EBytecode(t *testing.T) {
	e := e2e(t)
	out := t.TempDir()
	build := func(name string, args ...string) outcome {
		dir := project(t, "settings:\n  docker:\n    parent_image: "+e.parent("debian")+"\n    requirements: [requests==2.32.3, pyyaml==6.0.2]\n",
			map[string]string{"main.py": "import requests, yaml\n", ".dockerignore": "inlay.yaml\n"})
		return e.inlay(t, append(append([]string{"build", "-o", "oci:" + out + "/" + name}, args...), dir)...)
	}
	on := []string{"--set", "settings.docker.bytecode=unchecked-hash"}
	build("plain")
	first := build("first", on...)
	again := build("again", append(on, "--no-cache", "--jobs", "1")...)
	if digestOf(t, first.stdout) != digestOf(t, again.stdout) {
		t.Errorf("two builds give %s and %s", first.stdout, again.stdout)
	}
	plain, compiled := layerDigests(t, out+"/plain"), layerDigests(t, out+"/first")
	for _, d := range plain {
		if !slices.Contains(compiled, d) {
			t.Errorf("the layer %s of the image without bytecode is not in that with it", d)
		}
	}
	if got := e.inlay(t, "inspect", "oci:"+out+"/first"); strings.Count(got.stdout, "bytecode of ") != len(compiled)-len(plain) || len(compiled) == len(plain) {
		t.Errorf("of %d layers, %d without bytecode, inspect says\n%s", len(compiled), len(plain), got.stdout)
	}
	const script = `import sys, requests, yaml
for m in [m for m in sys.modules.values() if "/usr/local/" in (getattr(m, "__file__", None) or "") and m.__file__.endswith(".py")]:
    head = open(m.__cached__, "rb").read(8)
    assert head[4:] == b"\1\0\0\0", (m.__cached__, head)
print(requests.get.__code__.co_filename)`
	got := e.podman(t, out+"/first", "python3", "-v", "-c", script)
	said := strings.Split(got.stderr, "\n")
	if got.err != nil || got.stdout != "/usr/local/lib/python3.11/dist-packages/requests/api.py\n" ||
		!slices.Contains(said, "# code object from '/usr/local/lib/python3.11/dist-packages/requests/__pycache__/api.cpython-311.pyc'") ||
		strings.Contains(got.stderr, "# code object from /usr/local/lib/python3.11/dist-packages/") || strings.Contains(got.stderr, "# wrote '/usr/local") {
		t.Errorf("the image prints %q, %v %s", got.stdout, got.err, got.stderr)
	}
	const timed = "import time; begin = time.perf_counter(); import requests, yaml; print(time.perf_counter() - begin)"
	before, after := e.podman(t, out+"/plain", "python3", "-c", timed), e.podman(t, out+"/first", "python3", "-c", timed)
	e.report(t, "importing requests and yaml takes %s s, with bytecode %s s", strings.TrimSpace(before.stdout), strings.TrimSpace(after.stdout))
}
