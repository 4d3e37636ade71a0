// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/csv"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// installed are requirement sets, the modules that they must give, and the
// distributions in which uv and pip differ on the Debian parent.
var installed = map[string]struct {
	requirements, modules string
	differ                map[string]string // by name: why
}{
	"data science":       {"numpy pandas scikit-learn", "numpy pandas sklearn", nil},
	"web":                {"fastapi uvicorn sqlalchemy httpx", "fastapi uvicorn sqlalchemy httpx", nil},
	"cloud":              {"boto3 azure-storage-blob", "boto3 azure.storage.blob", nil},
	"binaries":           {"cryptography orjson pillow lxml", "cryptography orjson PIL lxml.etree", nil},
	"command lines":      {"black mypy pytest", "black mypy pytest", nil},
	"extras":             {"requests[socks] sqlalchemy[asyncio]", "requests socks greenlet", nil},
	"bounds and markers": {"requests<2.32 urllib3<2 tomli;python_version<'3.12' colorama;sys_platform=='win32'", "requests urllib3 tomli", nil},
	"what apt has as well": {"setuptools pluggy", "setuptools pluggy", map[string]string{
		"setuptools": "packages of Debian's apt, in `/usr/lib/python3/dist-packages`",
	}},
}

// uv and pip give images that import, and differ in what docs/installers.md says.
func TestE2EInstallers(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	docs := read(t, "docs/installers.md")
	for _, kind := range slices.Sorted(maps.Keys(installed)) {
		t.Run(kind, func(t *testing.T) {
			set := installed[kind]
			for _, why := range set.differ {
				if !strings.Contains(docs, "| "+why+" |") {
					t.Errorf("docs/installers.md has no row %q", why)
				}
			}
			requirements := strings.ReplaceAll(set.requirements, " ", "\n") + "\n"
			dir := project(t, "settings:\n  docker:\n    requirements: r.txt\n    parent_image: "+e.parent("debian")+"\n", map[string]string{"r.txt": requirements})
			trees := map[string]map[string]node{}
			for _, installer := range []string{"uv", "pip"} {
				image := filepath.Join(t.TempDir(), installer)
				e.inlay(t, "build", "--installer", installer, "-o", "oci:"+image, dir)
				program := "import " + strings.ReplaceAll(set.modules, " ", ", ")
				if got := e.podman(t, image, "python3", "-c", program); got.err != nil {
					t.Errorf("by %s, %s: %v\n%s", installer, program, got.err, got.stderr)
				}
				trees[installer] = treeOf(t, e.store(), filepath.Join(e.scripts, "run.sh"), image, "--", "sh", "-c", listing)
			}
			e.sameInstalled(t, trees["uv"], trees["pip"], set.differ)
		})
	}
}

// sameInstalled compares two trees: their distributions and their files, but for
// those of distributions that may differ.
func (e env) sameInstalled(t *testing.T, uv, pip map[string]node, differ map[string]string) {
	t.Helper()
	left, right := distributions(uv), distributions(pip)
	if len(left) == 0 {
		t.Fatal("uv's tree has no distributions")
	}
	names := maps.Clone(left)
	maps.Copy(names, right)
	mine := map[string]bool{} // paths of what differs
	seen := 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if left[name].version == right[name].version {
			continue
		}
		if differ[name] == "" {
			t.Errorf("%s: uv installs %q, pip %q", name, left[name].version, right[name].version)
		}
		seen++
		for _, p := range append(left[name].paths, right[name].paths...) {
			for ; p != "." && p != "/"; p = path.Dir(p) {
				mine[p] = true
			}
		}
	}
	if seen != len(differ) {
		t.Errorf("%d distributions differ, want all of %v", seen, differ)
	}
	for _, p := range slices.Sorted(maps.Keys(merged(uv, pip))) {
		a, b := uv[p], pip[p]
		if !mine[p] && (a.Type != b.Type || a.Mode != b.Mode || a.Link != b.Link || a.Digest != b.Digest) {
			_, inUV := uv[p]
			_, inPip := pip[p]
			t.Errorf("%s: with uv %s, with pip %s", p, describe(a, inUV), describe(b, inPip))
		}
	}
	e.report(t, "%d distributions, %d files, %d distributions differ", len(left), len(uv), seen)
}

func merged(a, b map[string]node) map[string]node {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// A distribution is one that a tree has.
type distribution struct {
	version string
	paths   []string
}

var infoDir = regexp.MustCompile(`^(.*/(?:dist|site)-packages/)([^/]+)-([^/-]+)\.dist-info/RECORD$`)

// distributions lists what a tree has installed.
func distributions(tree map[string]node) map[string]distribution {
	all := map[string]distribution{}
	for p, n := range tree {
		m := infoDir.FindStringSubmatch(p)
		if m == nil {
			continue
		}
		rows, _ := csv.NewReader(strings.NewReader(string(n.body))).ReadAll()
		d := distribution{version: m[3]}
		for _, row := range rows {
			d.paths = append(d.paths, path.Join(m[1], row[0]))
		}
		all[strings.ReplaceAll(strings.ToLower(m[2]), "_", "-")] = d
	}
	return all
}

// What torch is, is printed, and without torch's own index the error names both
// ways out.
func TestE2ETorch(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	dir := project(t, "settings:\n  docker:\n    requirements: [torch]\n    parent_image: "+e.parent("debian")+"\n", nil)
	const none = "settings.docker.python_package_installer_args={torch-backend: none}"
	// By uv: pip fetches the 3 GB of CUDA's wheels to read what they require.
	got := e.inlay(t, "plan", "--set", none, "--refresh", dir)
	if !regexp.MustCompile(`(?m)^note: torch \S+: (CUDA \d+\.\d+|CPU)$`).MatchString(got.stderr) {
		t.Errorf("nothing says which torch it is:\n%s", got.stderr)
	}
	got = command(t, []string{"INLAY_CACHE_DIR=" + e.cache}, e.program, "plan", "--refresh", dir)
	reached := got.err == nil && strings.Contains(got.stderr, ": CPU\n") && !strings.Contains(got.stdout, "nvidia-")
	refused := got.err != nil && strings.Contains(got.stderr, "`torch-backend: none`") && strings.Contains(got.stderr, "`indexes`")
	if !reached && !refused {
		t.Errorf("plan: %v\n%s\n%s\nwant torch for CPU, or an error with both ways out", got.err, got.stdout, got.stderr)
	}
	e.report(t, "torch's own index reached: %v", reached)
}
