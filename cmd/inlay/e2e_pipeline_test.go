// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"inlay/assemble/record"
)

// TestE2EPipeline builds a pipeline of four steps whose requirements contradict
// each other: each image holds what its steps ask for, has the name that the
// settings give it and the record tells, and runs.
func TestE2EPipeline(t *testing.T) {
	e := e2e(t)
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "images")
	write(t, filepath.Join(dir, "main.py"), "import six, sys; print(six.__version__, sys.argv[1:])\n")
	write(t, filepath.Join(dir, "inlay.yaml"), fmt.Sprintf(`
name: four steps
settings:
  docker: {parent_image: %q, requirements: [six==1.17.0], entrypoint: [python3, main.py]}
steps:
  load: {}
  train: {settings: {docker: {requirements: [six==1.16.0], cmd: [train]}}}
  eval: {settings: {docker: {requirements: [six==1.16.0], cmd: [train]}}}
  serve: {settings: {docker: {requirements: ["six<1.16"], cmd: [serve], user: "1000"}}}
`, e.parent("debian")))
	built := e.inlay(t, "build", "-o", "oci:"+out, dir)
	if n := strings.Count(built.stdout, "\n"); n != 3 {
		t.Fatalf("the build prints %d images, want 3:\n%s", n, built.stdout)
	}
	for tag, want := range map[string]string{
		"foursteps-orchestrator": "1.17.0 []", "foursteps-train-orchestrator": "1.16.0 ['train']", "foursteps-serve-orchestrator": "1.15.0 ['serve']",
	} {
		if got := e.podman(t, out+":"+tag).stdout; strings.TrimSpace(got) != want {
			t.Errorf("%s prints %s, want %s", tag, got, want)
		}
	}
	text := e.inlay(t, "builds", "list", "--filter", "context="+dir, "--format", "json").stdout
	var builds []record.Build
	if err := json.Unmarshal([]byte(text), &builds); err != nil || len(builds) != 1 {
		t.Fatalf("builds list: %v\n%s", err, text)
	}
	var keys []string
	for _, im := range builds[0].Images {
		keys = append(keys, strings.Join(im.Keys, "+")+" "+im.Wheels[0].Version)
	}
	if got, want := strings.Join(keys, ", "), "orchestrator 1.17.0, train.orchestrator+eval.orchestrator 1.16.0, serve.orchestrator 1.15.0"; got != want {
		t.Errorf("the record has %s, want %s", got, want)
	}
}
