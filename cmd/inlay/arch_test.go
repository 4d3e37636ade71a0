// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"maps"
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

// arrows lists what each package imports of ours. A change here is a change of
// the architecture: say why in the commit.
var arrows = map[string]string{
	"assemble":           "assemble/image assemble/output assemble/step cache layers resolve/plan",
	"assemble/image":     "resolve/plan",
	"assemble/output":    "cache/disk cache/registry layers",
	"assemble/record":    "resolve/plan",
	"assemble/step":      "assemble/wheel layers resolve/plan",
	"assemble/wheel":     "layers",
	"cache":              "cache/disk layers",
	"cache/disk":         "",
	"cache/fetch":        "cache/disk",
	"cache/registry":     "",
	"cmd/inlay":          "assemble assemble/output assemble/record assemble/step cache cache/disk cache/fetch cache/registry cmd/inlay/complete cmd/inlay/progress layers resolve resolve/parent resolve/plan resolve/python resolve/settings resolve/source resolve/tree",
	"cmd/inlay/complete": "",
	"cmd/inlay/progress": "",
	"ignore":             "",
	"layers":             "layers/inflate",
	"layers/inflate":     "",
	"resolve":            "ignore layers resolve/parent resolve/plan resolve/python resolve/settings resolve/source resolve/tree",
	"resolve/index":      "",
	"resolve/parent":     "layers resolve/plan",
	"resolve/plan":       "",
	"resolve/python":     "cache/disk cache/fetch layers resolve/parent resolve/plan",
	"resolve/settings":   "",
	"resolve/source":     "cache/registry layers",
	"resolve/tree":       "ignore resolve/plan",
}

func TestArrows(t *testing.T) {
	got := imports(t)
	if diff := cmp.Diff(arrows, got); diff != "" {
		t.Errorf("the imports are not the arrows (-arrows +imports):\n%s", diff)
	}
	for _, from := range slices.Sorted(maps.Keys(got)) {
		for to := range strings.FieldsSeq(got[from]) {
			if top(from) > top(to) {
				t.Errorf("%s imports %s, which is to the left of it", from, to)
			}
			if top(from) == top("assemble") && strings.HasPrefix(to, "resolve") && to != "resolve/plan" {
				t.Errorf("%s imports %s: of resolve, the back end sees only the plan", from, to)
			}
		}
	}
}

// top returns the position of a package's folder from the left.
func top(pkg string) int {
	folder, _, _ := strings.Cut(pkg, "/")
	return slices.Index(folders, folder)
}

// imports returns what each package imports of ours, tests excepted.
func imports(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		var ours []string
		for _, i := range p.Imports {
			if to, ok := strings.CutPrefix(i, module); ok {
				ours = append(ours, to)
			}
		}
		slices.Sort(ours)
		all[strings.TrimPrefix(p.ImportPath, module)] = strings.Join(ours, " ")
	}
	return all
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
		for _, name := range regexp.MustCompile("`([a-z/]+)`").FindAllStringSubmatch(row[1], -1) {
			named[name[1]] = true
		}
	}
	exist := map[string]bool{}
	for name := range arrows {
		exist[name] = true
	}
	if diff := cmp.Diff(exist, named); diff != "" {
		t.Errorf("ARCHITECTURE.md lists other packages than there are (-exist +listed):\n%s", diff)
	}
}
