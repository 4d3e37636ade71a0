// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// addSources puts a source distribution of version 1.0 into the index, built by
// setuptools.
func (ix *privateIndex) addSources(t *testing.T, name string, files map[string]string) {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	all := map[string]string{
		"PKG-INFO":       "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n",
		"pyproject.toml": "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n",
	}
	maps.Copy(all, files)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		h := &tar.Header{Name: name + "-1.0/" + file, Mode: 0o644, Size: int64(len(all[file])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(all[file])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(ix.dir, "files", name+"-1.0.tar.gz"), buf.String())
}

// treeName is that of an unpacked layer.
var treeName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// A module in C, and one in Python whose version only its code tells.
var (
	inC = map[string]string{
		"setup.py": "from setuptools import setup, Extension\nsetup(name='quick', version='1.0', ext_modules=[Extension('quick', ['quick.c'])])\n",
		"quick.c": `#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "quick", NULL, -1, methods};
PyMODINIT_FUNC PyInit_quick(void) { return PyModule_Create(&module); }
`,
	}
	inPython = map[string]string{
		"setup.py": "import os\nfrom setuptools import setup\nassert not [v for v in os.environ.values() if 'corp.example' in v]\n" +
			"setup(name='plainly', version=open('VERSION').read().strip(), py_modules=['plainly'], install_requires=['six'])\n",
		"VERSION":     "1.0\n",
		"MANIFEST.in": "include VERSION\n",
		"plainly.py":  "import six\n",
	}
	nosy = map[string]string{
		"setup.py": "import urllib.request\nurllib.request.urlopen('https://files.example.com/more')\nfrom setuptools import setup\nsetup(name='nosy', version='1.0')\n",
	}
)

// TestE2ESources installs what a private index has sources of only: in Python,
// and in C with a compiler of apt packages. It is built once, the password is
// nowhere, and a build reaches nothing but the index, as does the command that
// installs the source.
func TestE2ESources(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	ix := newPrivateIndex(t)
	must(t, nil, "python3", "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", filepath.Join(ix.dir, "files"), "setuptools")
	ix.addSources(t, "quick", inC)
	ix.addSources(t, "plainly", inPython)
	ix.addSources(t, "nosy", nosy)
	settings := func(more string) string {
		return "settings:\n  docker:\n    parent_image: " + e.parent("debian") + "\n    indexes: [{name: corp, url: " + ix.URL + "/simple, default: true, auth: env:CORP_LOGIN}]\n" + more
	}
	made := t.TempDir()
	env := ix.environ(t, made+"/cache", "CORP_LOGIN="+indexUser+":"+indexPassword)
	dir := project(t, settings("    apt_packages: [gcc, libc6-dev, libpython3.11-dev]\n    requirements: [quick, plainly]\n    local_project_install_command: python3 install.py\n"), map[string]string{
		"install.py": "import os, urllib.request\nopen('page', 'wb').write(urllib.request.urlopen(os.environ['PIP_INDEX_URL'] + '/six/').read())\n",
		"main.py":    "import quick, plainly\nprint(quick.answer(), plainly.six.__name__, 'six-' in open('page').read())\n",
	})
	build := func(args ...string) outcome {
		return must(t, env, e.program, slices.Concat([]string{"build", "-o", "oci:" + made + "/image"}, args, []string{dir})...)
	}
	first := build()
	planned := must(t, env, e.program, "plan", dir)
	again := build("--offline")
	for name, o := range map[string]outcome{"build": first, "plan": planned, "again": again} {
		write(t, made+"/logs/"+name, o.stdout+o.stderr)
	}
	if got := e.podman(t, made+"/image", "python3", "main.py"); got.err != nil || got.stdout != "42 six True\n" {
		t.Errorf("the image prints %q, %v %s", got.stdout, got.err, got.stderr)
	}
	for _, want := range []string{"quick==1.0 was built from quick-1.0.tar.gz, in the sandbox; the build asked " + strings.TrimPrefix(ix.URL, "https://")} {
		if !strings.Contains(first.stderr, want) {
			t.Errorf("the build doesn't say %q: %s", want, first.stderr)
		}
	}
	for _, want := range []string{"built in the sandbox: plainly 1.0, by `uv build --wheel plainly-1.0.tar.gz`", "built in the sandbox: quick 1.0"} {
		if !strings.Contains(planned.stdout, want) {
			t.Errorf("the plan doesn't say %q: %s", want, planned.stdout)
		}
	}
	if again.stdout != first.stdout || strings.Contains(again.stderr, "was built") || again.wall > first.wall/4 {
		t.Errorf("a build with no change took %v of %v and says %s", again.wall, first.wall, again.stderr)
	}
	host := strings.TrimPrefix(ix.URL, "https://")
	id := strings.TrimSpace(must(t, env, "sh", "-c", e.program+" builds list | sed -n '2s/ .*//p'").stdout)
	shown := strings.Join(strings.Fields(must(t, env, e.program, "builds", "show", id).stdout), " ")
	for _, want := range []string{"built quick 1.0 of quick-1.0.tar.gz; asked " + host, "asked " + host + " (GET, "} {
		if !strings.Contains(shown, want) {
			t.Errorf("of build %s is shown %s, want %q", id, shown, want)
		}
	}
	e.report(t, "two packages built from sources, with gcc of apt packages: the first build %.1f s, with no change %.2f s", first.wall.Seconds(), again.wall.Seconds())
	e.sourcesAsUser(t, made, ix, dir)
	// The trees are those of layers, which are searched, and nothing else.
	trees, err := filepath.Glob(made + "/cache/trees/*")
	if err != nil || len(trees) == 0 {
		t.Fatalf("unpacked are %q, %v", trees, err)
	}
	for _, tree := range trees {
		if !treeName.MatchString(filepath.Base(tree)) {
			t.Errorf("a build left %s", tree)
		}
	}
	if err := os.Rename(made+"/cache/trees", t.TempDir()+"/trees"); err != nil {
		t.Fatal(err)
	}
	if files := searchAll(t, made); files < 100 {
		t.Errorf("only %d files were searched", files)
	}
	t.Run("of this machine", func(t *testing.T) { ownSources(t, e, ix, env, settings) })
	t.Run("in a container", func(t *testing.T) { inContainers(t, e, ix, env, settings) })
	t.Run("refused", func(t *testing.T) {
		dir := project(t, settings("    requirements: [nosy]\n"), nil)
		r := command(t, env, e.program, "plan", dir)
		want := "hint: to allow that, give `--allow-host files.example.com`"
		if r.err == nil || !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, "building nosy==1.0 from its sources") {
			t.Errorf("a build that asks another host says %s, want %q", r.stderr, want)
		}
	})
}

// sourcesAsUser builds once more what root has built in made, as a user who is not:
// with root's cache, but for what was resolved, built of sources and unpacked. All layers
// are the same, that of a compiler's work too, and the image works.
func (e env) sourcesAsUser(t *testing.T, made string, ix *privateIndex, project string) {
	t.Helper()
	if os.Getuid() != 0 {
		return // all of this is as a user
	}
	dir, asUser := e.asUser(t)
	cache := filepath.Join(dir, "user", "cache")
	must(t, nil, "cp", "-r", made+"/cache", cache)
	for _, kind := range []string{"trees", "wheels", "resolutions", "records"} {
		must(t, nil, "find", filepath.Join(cache, kind), "-mindepth", "1", "-delete")
	}
	must(t, nil, "cp", "-r", project, filepath.Join(dir, "src"))
	must(t, nil, "cp", ix.ca, filepath.Join(dir, "ca.pem"))
	must(t, nil, "chown", "-R", "e2e:", filepath.Join(dir, "user"), filepath.Join(dir, "src"))
	out := filepath.Join(dir, "user", "image")
	env := append(ix.environ(t, "", "CORP_LOGIN="+indexUser+":"+indexPassword), "SSL_CERT_FILE="+filepath.Join(dir, "ca.pem"))
	r := asUser(env, "build", "--parent-image", "oci:"+filepath.Join(dir, "parent"), "-o", "oci:"+out, "--metadata-file", out+".json", filepath.Join(dir, "src"))
	if !strings.Contains(r.stderr, "quick==1.0 was built from") || strings.Contains(r.stderr, "commands are isolated as root") {
		t.Errorf("the user's build says %s", r.stderr)
	}
	if got := e.podman(t, out, "python3", "main.py"); got.err != nil || got.stdout != "42 six True\n" {
		t.Errorf("the user's image prints %q, %v %s", got.stdout, got.err, got.stderr)
	}
	var m struct{ Layers []struct{ Name string } }
	if err := json.Unmarshal([]byte(read(t, out+".json")), &m); err != nil {
		t.Fatal(err)
	}
	theirs, ours := layerDigests(t, made+"/image"), layerDigests(t, out)
	if len(theirs) != len(ours) || len(m.Layers) != len(ours)-1 {
		t.Fatalf("root's build has %d layers, the user's %d, of which %d are its own", len(theirs), len(ours), len(m.Layers))
	}
	equal := 0
	for i, l := range m.Layers {
		if theirs[i+1] != ours[i+1] {
			t.Errorf("the layer %s is %s in root's build and %s in the user's", l.Name, theirs[i+1], ours[i+1])
			continue
		}
		equal++
	}
	e.report(t, "root's and the user's build have %d of %d layers in common", equal, len(m.Layers))
}

// spying fails to build if it finds anything of the machine that builds it.
const spying = `import os, socket
from setuptools import setup
found = [p for p in ['SECRET', os.path.expanduser('~/.netrc'), '/proc/1/root/SECRET'] if os.path.exists(p)]
found += [k for k in os.environ if k.startswith('CORP_')]
try:
    socket.create_connection(('127.0.0.1', PORT), 3)
    found.append('a server of the machine')
except OSError:
    pass
assert not found, found
setup(name='spy', version='1.0', py_modules=[])
`

// ownSources builds a project and a commit of this machine. The metadata of what
// is built is made by its own code, which sees nothing of the machine.
func ownSources(t *testing.T, e env, ix *privateIndex, env []string, settings func(string) string) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, indexPassword)
	_, port, err := net.SplitHostPort(ix.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ix.addSources(t, "spy", map[string]string{"setup.py": strings.NewReplacer("SECRET", secret, "PORT", port).Replace(spying)})
	repo := t.TempDir()
	const build = "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n"
	write(t, repo+"/pyproject.toml", build+"[project]\nname = 'committed'\nversion = '2.0'\n[tool.setuptools]\npy-modules = ['committed']\n")
	write(t, repo+"/committed.py", "WORD = 'first'\n")
	git := func(args ...string) string {
		who := []string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-C", repo}
		return strings.TrimSpace(must(t, nil, "git", append(who, args...)...).stdout)
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	commit := git("rev-parse", "HEAD")
	dir := project(t, settings("    requirements: r.txt\n"), map[string]string{
		"r.txt":              "-e ./lib\nspy\ncommitted @ git+file://" + repo + "@main\n",
		"lib/pyproject.toml": build + "[project]\nname = 'own'\nversion = '1.0'\ndependencies = ['six']\n",
		"lib/own.py":         "WORD = 'own'\n",
		"main.py":            "import own, committed, six\nprint(own.WORD, committed.WORD)\n",
	})
	made := t.TempDir()
	must(t, env, e.program, "lock", dir)
	write(t, repo+"/committed.py", "WORD = 'second'\n")
	git("commit", "-q", "-a", "-m", "two")
	must(t, env, e.program, "build", "-o", "oci:"+made+"/image", dir)
	if got := e.podman(t, made+"/image", "python3", "main.py"); got.err != nil || got.stdout != "own first\n" {
		t.Errorf("the image prints %q, %v %s", got.stdout, got.err, got.stderr)
	}
	planned := must(t, env, e.program, "plan", "--format", "json", dir)
	if want := "git+file://" + repo + "@" + commit; !strings.Contains(planned.stdout, want) {
		t.Errorf("the plan doesn't name %s: %s", want, planned.stdout)
	}
}
