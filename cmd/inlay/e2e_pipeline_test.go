// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestE2EManySteps builds a pipeline of 200 steps with 10 different settings: it
// takes no more than one and a half times the CPU of 10 builds, as each image is
// resolved and made once.
func TestE2EManySteps(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	pins := []string{"six==1.17.0", "six==1.16.0", "six==1.15.0", "six==1.14.0", "idna==3.10", "idna==3.9", "idna==3.8", "iniconfig==2.0.0", "iniconfig==1.1.1", "toml==0.10.2"}
	head := "settings: {docker: {parent_image: " + e.parent("debian") + "%s}}\n"
	var b strings.Builder
	fmt.Fprintf(&b, "name: many\n"+head+"steps:\n", "")
	for i := range 200 {
		fmt.Fprintf(&b, "  s%d: {settings: {docker: {requirements: [%s]}}}\n", i, pins[i%10])
	}
	dir, cold := t.TempDir(), func() []string { return []string{"INLAY_CACHE_DIR=" + t.TempDir()} }
	write(t, filepath.Join(dir, "inlay.yaml"), b.String())
	all := must(t, cold(), e.program, "build", "-q", "-o", "oci:"+t.TempDir()+"/all", dir)
	if n := strings.Count(all.stdout, "\n"); n != 11 {
		t.Errorf("%d images were made, want 11: the pipeline's own and 10", n)
	}
	var sum time.Duration
	single := cold()
	for _, pin := range pins {
		one := t.TempDir()
		write(t, filepath.Join(one, "inlay.yaml"), fmt.Sprintf(head, ", requirements: ["+pin+"]"))
		sum += must(t, single, e.program, "build", "-q", "-o", "oci:"+one+"-out", one).cpu
	}
	e.report(t, "200 steps with 10 settings: %.2f CPU seconds, 10 builds %.2f", all.cpu.Seconds(), sum.Seconds())
	if all.cpu > sum*3/2 {
		t.Errorf("200 steps with 10 settings took %v of CPU, 10 builds %v", all.cpu, sum)
	}
}
