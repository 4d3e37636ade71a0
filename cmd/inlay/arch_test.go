// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "inlay/"

// folders lists the top folders. A package may import from its own folder and
// from those to the right of it.
var folders = []string{"cmd", "assemble", "resolve", "cache", "layers", "ignore"}

// arrows lists what each package imports of ours, sorted, an arrow a line. A
// change here is a change of the architecture: say why in the commit.
const arrows = `
assemble -> assemble/artifact
assemble -> assemble/image
assemble -> assemble/output
assemble -> assemble/step
assemble -> cache
assemble -> layers
assemble -> layers/leak
assemble -> resolve/plan
assemble/artifact -> cache/disk
assemble/deb -> cache/disk
assemble/deb/debtest -> nothing
assemble/debian -> assemble/overlay
assemble/debian -> assemble/script
assemble/debian -> layers/pattern
assemble/dpkg -> assemble/deb
assemble/dpkg -> assemble/debian
assemble/dpkg -> assemble/overlay
assemble/dpkg -> assemble/script
assemble/dpkg -> layers
assemble/dpkg -> layers/version
assemble/image -> resolve/plan
assemble/output -> cache/disk
assemble/output -> cache/registry
assemble/output -> layers
assemble/output -> layers/pattern
assemble/overlay -> layers
assemble/record -> resolve/plan
assemble/rootfs -> cache/disk
assemble/rootfs -> layers
assemble/script -> assemble/overlay
assemble/script -> layers
assemble/script -> layers/pattern
assemble/step -> assemble/deb
assemble/step -> assemble/dpkg
assemble/step -> assemble/overlay
assemble/step -> assemble/rootfs
assemble/step -> assemble/wheel
assemble/step -> cache/disk
assemble/step -> layers
assemble/step -> layers/hint
assemble/step -> layers/leak
assemble/step -> layers/pattern
assemble/step -> resolve/plan
assemble/step -> resolve/sandbox
assemble/wheel -> layers
assemble/wheel -> layers/pattern
cache -> cache/disk
cache -> layers
cache/disk -> layers/pattern
cache/fetch -> cache/disk
cache/fetch -> layers/sleep
cache/registry -> layers/pattern
cache/registry -> layers/sleep
cmd/bench -> cache/fetch
cmd/bench -> resolve/plan
cmd/bench -> resolve/python
cmd/inlay -> assemble
cmd/inlay -> assemble/artifact
cmd/inlay -> assemble/deb
cmd/inlay -> assemble/output
cmd/inlay -> assemble/record
cmd/inlay -> assemble/rootfs
cmd/inlay -> assemble/step
cmd/inlay -> cache
cmd/inlay -> cache/disk
cmd/inlay -> cache/fetch
cmd/inlay -> cache/registry
cmd/inlay -> cmd/inlay/complete
cmd/inlay -> cmd/inlay/doctor
cmd/inlay -> cmd/inlay/launch
cmd/inlay -> cmd/inlay/login
cmd/inlay -> cmd/inlay/progress
cmd/inlay -> layers
cmd/inlay -> layers/hint
cmd/inlay -> layers/leak
cmd/inlay -> layers/pattern
cmd/inlay -> resolve
cmd/inlay -> resolve/apt
cmd/inlay -> resolve/apt/archive
cmd/inlay -> resolve/apt/login
cmd/inlay -> resolve/apt/setup
cmd/inlay -> resolve/catalog
cmd/inlay -> resolve/cell
cmd/inlay -> resolve/code
cmd/inlay -> resolve/compare
cmd/inlay -> resolve/egress
cmd/inlay -> resolve/git
cmd/inlay -> resolve/index
cmd/inlay -> resolve/lock
cmd/inlay -> resolve/parent
cmd/inlay -> resolve/pipeline
cmd/inlay -> resolve/plan
cmd/inlay -> resolve/pyproject
cmd/inlay -> resolve/python
cmd/inlay -> resolve/recipe
cmd/inlay -> resolve/sandbox
cmd/inlay -> resolve/sdist
cmd/inlay -> resolve/settings
cmd/inlay -> resolve/source
cmd/inlay -> resolve/tree
cmd/inlay/complete -> nothing
cmd/inlay/doctor -> cache
cmd/inlay/doctor -> cache/disk
cmd/inlay/doctor -> layers/hint
cmd/inlay/doctor -> resolve/cell
cmd/inlay/doctor -> resolve/sandbox
cmd/inlay/launch -> resolve/sandbox
cmd/inlay/login -> cache/registry
cmd/inlay/progress -> nothing
ignore -> nothing
layers -> layers/inflate
layers/hint -> nothing
layers/inflate -> nothing
layers/leak -> layers/pattern
layers/pattern -> nothing
layers/sleep -> nothing
layers/version -> nothing
resolve -> cache/fetch
resolve -> cache/registry
resolve -> ignore
resolve -> layers
resolve -> layers/hint
resolve -> layers/pattern
resolve -> resolve/apt
resolve -> resolve/apt/setup
resolve -> resolve/code
resolve -> resolve/dockerfile
resolve -> resolve/index
resolve -> resolve/lock
resolve -> resolve/parent
resolve -> resolve/plan
resolve -> resolve/pyproject
resolve -> resolve/python
resolve -> resolve/python/arguments
resolve -> resolve/python/reqfile
resolve -> resolve/recipe
resolve -> resolve/settings
resolve -> resolve/source
resolve -> resolve/tree
resolve/apt -> cache/fetch
resolve/apt -> layers/version
resolve/apt -> resolve/apt/archive
resolve/apt -> resolve/apt/deb822
resolve/apt -> resolve/apt/setup
resolve/apt/archive -> cache/fetch
resolve/apt/archive -> resolve/apt/deb822
resolve/apt/archive -> resolve/apt/setup
resolve/apt/archive/archivetest -> nothing
resolve/apt/deb822 -> nothing
resolve/apt/login -> cache/fetch
resolve/apt/setup -> resolve/apt/deb822
resolve/catalog -> resolve/yamlfile
resolve/cell -> layers/pattern
resolve/cell -> resolve/egress
resolve/cell -> resolve/index
resolve/cell -> resolve/python
resolve/cell -> resolve/sandbox
resolve/code -> layers/hint
resolve/code -> layers/pattern
resolve/code -> resolve/catalog
resolve/code -> resolve/plan
resolve/code -> resolve/python
resolve/code -> resolve/settings
resolve/compare -> layers
resolve/compare -> resolve/parent
resolve/dockerfile -> layers/pattern
resolve/dockerfile -> resolve/plan
resolve/egress -> cache/fetch
resolve/egress -> layers/pattern
resolve/egress -> resolve/index
resolve/egress/egresstest -> nothing
resolve/git -> layers/pattern
resolve/git -> resolve/python
resolve/git -> resolve/python/reqfile
resolve/index -> layers/pattern
resolve/lock -> layers/pattern
resolve/lock -> resolve/yamlfile
resolve/parent -> layers
resolve/parent -> layers/pattern
resolve/parent -> resolve/apt/setup
resolve/parent -> resolve/plan
resolve/parent/parenttest -> nothing
resolve/pipeline -> resolve/catalog
resolve/pipeline -> resolve/settings
resolve/pipeline -> resolve/yamlfile
resolve/plan -> nothing
resolve/pyproject -> layers/pattern
resolve/pyproject -> resolve/python
resolve/pyproject -> resolve/python/reqfile
resolve/python -> cache/disk
resolve/python -> cache/fetch
resolve/python -> layers
resolve/python -> layers/hint
resolve/python -> layers/pattern
resolve/python -> layers/sleep
resolve/python -> resolve/index
resolve/python -> resolve/parent
resolve/python -> resolve/plan
resolve/python -> resolve/python/arguments
resolve/python -> resolve/python/pack
resolve/python -> resolve/python/reqfile
resolve/python/arguments -> layers/pattern
resolve/python/pack -> layers/pattern
resolve/python/pythontest -> cache/fetch
resolve/python/pythontest -> resolve/parent
resolve/python/pythontest -> resolve/plan
resolve/python/pythontest -> resolve/python
resolve/python/reqfile -> layers/pattern
resolve/recipe -> resolve/apt/setup
resolve/recipe -> resolve/dockerfile
resolve/recipe -> resolve/parent
resolve/recipe -> resolve/plan
resolve/sandbox -> layers
resolve/sandbox -> resolve/sandbox/changes
resolve/sandbox -> resolve/sandbox/seccomp
resolve/sandbox/changes -> layers
resolve/sandbox/sandboxtest -> resolve/sandbox
resolve/sandbox/sandboxtest -> resolve/sandbox/seccomp
resolve/sandbox/seccomp -> nothing
resolve/sdist -> cache/disk
resolve/sdist -> layers/pattern
resolve/sdist -> resolve/egress
resolve/sdist -> resolve/index
resolve/sdist -> resolve/parent
resolve/sdist -> resolve/python
resolve/sdist -> resolve/python/reqfile
resolve/sdist -> resolve/sandbox
resolve/settings -> layers/pattern
resolve/settings -> resolve/yamlfile
resolve/source -> cache/registry
resolve/source -> layers
resolve/source -> layers/pattern
resolve/tree -> ignore
resolve/tree -> resolve/plan
resolve/yamlfile -> layers/pattern
`

func TestArrows(t *testing.T) {
	got := imports(t)
	if diff := cmp.Diff(strings.TrimSpace(arrows), strings.TrimSpace(got)); diff != "" {
		t.Errorf("the imports are not the arrows (-arrows +imports):\n%s", diff)
	}
	for line := range strings.Lines(got) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " -> ")
		if to == "nothing" {
			continue
		}
		if top(from) > top(to) {
			t.Errorf("%s imports %s, which is to the left of it", from, to)
		}
		if top(from) == top("assemble") && strings.HasPrefix(to, "resolve") && to != "resolve/plan" && to != "resolve/sandbox" {
			t.Errorf("%s imports %s: of resolve, the back end sees only the plan, and the sandbox", from, to)
		}
	}
}

// top returns the position of a package's folder from the left.
func top(pkg string) int {
	folder, _, _ := strings.Cut(pkg, "/")
	return slices.Index(folders, folder)
}

// imports returns what each package imports of ours, tests excepted, as arrows
// does.
func imports(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(p.ImportPath, module)
		before := len(lines)
		for _, i := range p.Imports {
			if to, ok := strings.CutPrefix(i, module); ok {
				lines = append(lines, from+" -> "+to)
			}
		}
		if len(lines) == before {
			lines = append(lines, from+" -> nothing")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// TestArchitectureNamesPackages checks that ARCHITECTURE.md lists each package
// and none that doesn't exist.
func TestArchitectureNamesPackages(t *testing.T) {
	b, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*`) \\|").FindAllStringSubmatch(string(b), -1) {
		for _, name := range regexp.MustCompile("`([a-z0-9/]+)`").FindAllStringSubmatch(row[1], -1) {
			named[name[1]] = true
		}
	}
	exist := map[string]bool{}
	for line := range strings.Lines(strings.TrimSpace(arrows)) {
		from, _, _ := strings.Cut(line, " ")
		exist[from] = true
	}
	if diff := cmp.Diff(exist, named); diff != "" {
		t.Errorf("ARCHITECTURE.md lists other packages than there are (-exist +listed):\n%s", diff)
	}
}
