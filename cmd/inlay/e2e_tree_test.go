// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sets are requirement sets of different kinds.
var sets = map[string][]string{
	"data science":       {"numpy", "pandas", "scikit-learn", "matplotlib"},
	"web":                {"fastapi", "uvicorn", "gunicorn", "jinja2", "sqlalchemy", "httpx"},
	"cloud SDK":          {"boto3", "azure-storage-blob", "google-cloud-storage"},
	"Jupyter":            {"jupyterlab"},
	"namespace packages": {"azure-identity", "azure-keyvault-secrets", "google-cloud-bigquery", "opentelemetry-sdk", "zope.interface"},
	"headers":            {"greenlet", "gevent"},
	"scripts":            {"ruff", "docutils", "awscli", "jmespath", "pipx"},
	"data files":         {"pyarrow", "jupyter-core", "widgetsnbextension", "tqdm"},
	"binaries":           {"cryptography", "orjson", "grpcio", "protobuf", "lxml", "pillow"},
	"command lines":      {"black", "mypy", "pytest", "tox", "ansible-core"},
}

// differences lists how our tree may differ from the one uv leaves, and why.
// A path matches a pattern as a whole.
var differences = []struct {
	path, reason string
	same         func(uv, ours node) bool // nil: whatever the difference is
}{
	{`.*\.dist-info/INSTALLER`, "names the installer", nil},
	{`.*\.dist-info/REQUESTED`, "uv marks every distribution, also those nobody asked for: it says nothing", nil},
	{`.*\.dist-info/uv_cache\.json`, "is uv's own note", nil},
	{`.*\.dist-info/RECORD`, "lists the two files above", sameRecord},
	{`(.*/)?__pycache__(/.*)?`, "bytecode that running uv's own scripts left behind", nil},
}

func sameRecord(uv, ours node) bool {
	return uv.Mode == ours.Mode && slices.Equal(rows(uv.body), rows(ours.body))
}

// rows returns those of a RECORD without those of files that name the
// installer.
func rows(b []byte) []string {
	var kept []string
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(line, ".dist-info/INSTALLER,") && !strings.Contains(line, ".dist-info/REQUESTED,") {
			kept = append(kept, line)
		}
	}
	return kept
}

// listing is what both trees are made of: everything an installer may touch.
const listing = "tar -C / --sort=name -cf - usr/local usr/include opt srv"

func TestE2ESameTree(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	uv := e.uv(t)
	for _, kind := range slices.Sorted(maps.Keys(sets)) {
		t.Run(kind, func(t *testing.T) {
			locked, want := e.reference(t, uv, sets[kind])
			dir := project(t, "settings:\n  docker:\n    requirements: r.txt\n    parent_image: "+e.parent("debian")+"\n",
				map[string]string{"r.txt": locked})
			out := t.TempDir()
			e.inlay(t, "build", "-o", "oci:"+out+"/image", dir)
			ours := treeOf(t, e.store(), filepath.Join(e.scripts, "run.sh"), out+"/image", "--", "sh", "-c", listing)
			delete(ours, "app")
			e.report(t, "%d paths, %d allowed differences", len(want), withUV.compare(t, want, ours))
		})
	}
}

// sameNode compares all but owners.
func sameNode(a, b node) bool {
	return a.Type == b.Type && a.Mode == b.Mode && a.Link == b.Link && a.Digest == b.Digest
}

// A comparison says what two trees may differ in.
type comparison struct {
	with  string // what made the other
	least int    // the paths that it has at least: with fewer it can't be right
	same  func(want, got node) bool
	may   func(path string, want, got node) bool
}

// compare fails the test for each difference that isn't allowed, and counts
// those that are.
func (c comparison) compare(t *testing.T, want, got map[string]node) (allowed int) {
	t.Helper()
	if len(want) < c.least {
		t.Fatalf("the reference holds %d paths: it can't be right", len(want))
	}
	paths := maps.Clone(want)
	maps.Copy(paths, got)
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		w, inWant := want[p]
		g, inGot := got[p]
		if inWant && inGot && c.same(w, g) {
			continue
		}
		if c.may(p, w, g) {
			allowed++
			continue
		}
		t.Errorf("%s: %s left %s of %s, we left %s of %s", p, c.with, describe(w, inWant), w.Owner, describe(g, inGot), g.Owner)
	}
	return allowed
}

// withUV compares with what uv installs.
var withUV = comparison{with: "uv", least: 100, same: sameNode, may: mayDiffer}

func mayDiffer(p string, want, got node) bool {
	for _, d := range differences {
		if regexp.MustCompile("^(?:"+d.path+")$").MatchString(p) && (d.same == nil || d.same(want, got)) {
			return true
		}
	}
	return false
}

func describe(n node, there bool) string {
	if !there {
		return "nothing"
	}
	return fmt.Sprintf("%c %#o %s %.12s %.80q", n.Type, n.Mode, n.Link, n.Digest, n.body)
}

// uv returns the uv that inlay itself uses.
func (e env) uv(t *testing.T) string {
	t.Helper()
	dir := project(t, "", map[string]string{"r.txt": "six\n"})
	e.inlay(t, "plan", "--refresh", "--parent-image", e.parent("debian"), "--requirements", filepath.Join(dir, "r.txt"), dir)
	found, err := filepath.Glob(filepath.Join(e.cache, "uv", "*", "uv"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath("uv")
	if err != nil {
		t.Fatal("inlay found a uv that is neither in its cache nor on the PATH")
	}
	return path
}

// reference installs groups of requirements with uv in the parent, run by podman,
// one after the other, and returns what it locked and the tree it left.
func (e env) reference(t *testing.T, uv string, groups ...[]string) (locked string, left map[string]node) {
	t.Helper()
	script := ""
	for _, requirements := range groups {
		script += "uv pip install -q --system --break-system-packages --link-mode copy " + strings.Join(requirements, " ") + " >&2 && "
	}
	script += "uv -q pip freeze --system >/out/locked.txt && " + listing
	out := t.TempDir()
	extra := append(e.store(), "NETWORK=host", "RUN_ARGS="+strings.Join([]string{
		"-v " + uv + ":/bin/uv:ro", "-v " + out + ":/out", "-v " + path.Join(e.dir, "uvcache") + ":/uvcache",
		"-v /etc/ssl/certs:/etc/ssl/certs:ro", "-e UV_CACHE_DIR=/uvcache", "-e SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
	}, " "))
	write(t, path.Join(e.dir, "uvcache", ".keep"), "")
	left = treeOf(t, extra, filepath.Join(e.scripts, "run.sh"), strings.TrimPrefix(e.parent("debian"), "oci:"), "--", "sh", "-c", script)
	return read(t, filepath.Join(out, "locked.txt")), left
}
