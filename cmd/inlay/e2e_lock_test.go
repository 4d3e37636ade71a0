// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// groupsProject is a project with requirements of its own and others on top,
// of which one is a wheel of this machine.
func groupsProject(t *testing.T, e env, groups ...[]string) string {
	t.Helper()
	return project(t, "settings:\n  docker:\n    parent_image: "+e.parent("debian")+"\n"+
		"    pyproject_path: pyproject.toml\n    pyproject_export_command: [\"printf '%s\\\\n' "+strings.Join(groups[0], " ")+"\"]\n"+
		"    requirements: ["+strings.Join(groups[1], ", ")+"]\n",
		map[string]string{
			"pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n", "main.py": "", ".dockerignore": "dist\n",
			"dist/own-1.0-py3-none-any.whl": ownWheel(t),
		})
}

// ownWheel is a wheel that no index has.
func ownWheel(t *testing.T) string {
	t.Helper()
	const info = "own-1.0.dist-info/"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range [][2]string{
		{"own.py", "WORD = 'mine'\n"},
		{info + "METADATA", "Metadata-Version: 2.1\nName: own\nVersion: 1.0\nRequires-Dist: idna>=3.5\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "RECORD", "own.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"},
	} {
		w, err := z.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestE2EGroups holds that two groups leave the tree that two calls of uv leave
// in the same parent, and that what breaks is told.
func TestE2EGroups(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	groups := [][]string{{"requests==2.31.0", "idna==3.4", "numpy==1.26.4"}, {"'idna==3.10'", "'urllib3<2.5'", "numpy==2.0.2"}}
	_, want := e.reference(t, e.uv(t), groups...)
	dir := groupsProject(t, e, groups...)
	out := t.TempDir()
	built := e.inlay(t, "build", "-o", "oci:"+out+"/image", dir)
	ours := treeOf(t, e.store(), filepath.Join(e.scripts, "run.sh"), out+"/image", "--", "sh", "-c", listing)
	delete(ours, "app")
	e.report(t, "%d paths, %d allowed differences", len(want), withUV.compare(t, want, ours))
	for _, broken := range []string{"idna==3.4, but you have idna 3.10", "numpy==1.26.4, but you have numpy 2.0.2"} {
		if !strings.Contains(built.stderr, "warning: the export of pyproject.toml:") || !strings.Contains(built.stderr, broken) {
			t.Errorf("the build says %q, want a warning of %q", built.stderr, broken)
		}
	}
	if strict := command(t, nil, e.program, "plan", "--strict", "--cache-dir", e.cache, dir); strict.err == nil || !strings.Contains(strict.stderr, "error: resolving requirements: what was installed first is broken") {
		t.Errorf("plan --strict: %v %s", strict.err, strict.stderr)
	}
}

// TestE2ELock locks a project on one machine and builds it on another: with an
// empty cache, in another directory and without an index.
func TestE2ELock(t *testing.T) {
	e := e2e(t)
	dir := groupsProject(t, e, []string{"requests==2.31.0"}, []string{"./dist/own-1.0-py3-none-any.whl"})
	locked := strings.TrimSpace(e.inlay(t, "lock", dir).stdout)
	first := read(t, locked)
	if strings.Contains(first, dir) || strings.Contains(first, "file://") || !strings.Contains(first, "path: dist/own-1.0-py3-none-any.whl") {
		t.Errorf("the lock file names this machine's paths:\n%s", first)
	}
	e.inlay(t, "lock", "--refresh", dir)
	if again := read(t, locked); again != first {
		t.Errorf("locked again the file is\n%s\nbefore it was\n%s", again, first)
	}
	out := t.TempDir()
	want := digestOf(t, e.inlay(t, "build", "-o", "oci:"+out+"/1", dir).stdout)
	elsewhere := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(elsewhere, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	noIndex := []string{"INLAY_CACHE_DIR=" + t.TempDir(), "UV_DEFAULT_INDEX=http://127.0.0.1:9/simple", "PATH=/usr/bin:/bin"}
	if got := digestOf(t, must(t, noIndex, e.program, "build", "-o", "oci:"+out+"/2", elsewhere).stdout); got != want {
		t.Errorf("elsewhere the digest is %s, want %s", got, want)
	}
	if got := digestOf(t, must(t, noIndex, e.program, "build", "--offline", "-o", "oci:"+out+"/3", elsewhere).stdout); got != want {
		t.Errorf("offline the digest is %s, want %s", got, want)
	}
	got := e.podman(t, out+"/2", "python3", "-c", "import own, requests; print(own.WORD, requests.__version__)")
	if got.err != nil || got.stdout != "mine 2.31.0\n" {
		t.Errorf("the image prints %q (%v %s)", got.stdout, got.err, got.stderr)
	}
	plan := e.inlay(t, "plan", "--format", "json", dir).stdout
	write(t, filepath.Join(out, "plan.json"), plan)
	if err := os.Remove(filepath.Join(dir, "dist/own-1.0-py3-none-any.whl")); err != nil {
		t.Fatal(err)
	}
	moved := command(t, []string{"INLAY_CACHE_DIR=" + t.TempDir()}, e.program, "build", "--plan", filepath.Join(out, "plan.json"), "-o", "oci:"+out+"/4", dir)
	if moved.err == nil || !strings.Contains(moved.stderr, "there is no "+dir+"/dist/own-1.0-py3-none-any.whl here") {
		t.Errorf("building a plan without its wheel: %v %s", moved.err, moved.stderr)
	}
}
