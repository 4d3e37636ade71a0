// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// These tests ask a real uv, which INLAY_TEST_UV names or the PATH has, about an
// index that they serve themselves on the loopback interface.

// A site serves files as package indexes do (PEP 503, PEP 691, PEP 658).
type site struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte // by file name
	html  bool
	fresh bool // nothing of it may be cached
	bare  bool // it has no METADATA beside wheels
}

func newIndex(t *testing.T, files map[string][]byte) *site {
	t.Helper()
	ix := &site{files: maps.Clone(files)}
	ix.Server = httptest.NewServer(ix)
	t.Cleanup(ix.Close)
	return ix
}

func (ix *site) url() string { return ix.URL + "/simple" }

func (ix *site) add(name string, content []byte) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.files[name] = content
}

func (ix *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.fresh {
		w.Header().Set("Cache-Control", "no-store")
	}
	if project, ok := strings.CutPrefix(r.URL.Path, "/simple/"); ok {
		ix.page(w, r, strings.Trim(project, "/"))
		return
	}
	name := path.Base(r.URL.Path)
	content, ok := ix.files[name]
	if wheel, is := strings.CutSuffix(name, ".metadata"); is && ix.files[wheel] != nil && !ix.bare {
		content, ok = member(ix.files[wheel], "METADATA"), true
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(content)
}

func (ix *site) page(w http.ResponseWriter, r *http.Request, project string) {
	type file struct {
		Filename string            `json:"filename"`
		URL      string            `json:"url"`
		Hashes   map[string]string `json:"hashes"`
		Size     int               `json:"size"`
		Metadata bool              `json:"core-metadata"`
		Yanked   bool              `json:"yanked"`
	}
	files := []file{}
	for _, name := range slices.Sorted(maps.Keys(ix.files)) {
		if distribution, _, _ := strings.Cut(name, "-"); distribution == project {
			content := ix.files[name]
			files = append(files, file{
				Filename: name, URL: "../../files/" + name, Size: len(content), Metadata: strings.HasSuffix(name, ".whl") && !ix.bare,
				Hashes: map[string]string{"sha256": fmt.Sprintf("%x", sha256.Sum256(content))}, Yanked: strings.HasPrefix(name, "yanked-"),
			})
		}
	}
	switch {
	case len(files) == 0:
		http.NotFound(w, r)
	case ix.html:
		w.Header().Set("Content-Type", "text/html")
		for _, f := range files {
			_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html><body><a href=\"%s#sha256=%s\">%s</a></body></html>\n", f.URL, f.Hashes["sha256"], f.Filename)
		}
	default:
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		_ = json.NewEncoder(w).Encode(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "name": project, "files": files, "versions": []string{}})
	}
}

// member returns the member of a wheel whose name ends so.
func member(wheel []byte, suffix string) []byte {
	z, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		return nil
	}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, suffix) {
			r, err := f.Open()
			if err != nil {
				return nil
			}
			var b bytes.Buffer
			_, _ = b.ReadFrom(r)
			return b.Bytes()
		}
	}
	return nil
}

// sdistFile makes a source archive of a package at version 1.0.
func sdistFile(name, pkgInfo, pyproject string) (string, []byte) {
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for file, content := range map[string]string{"PKG-INFO": pkgInfo, "pyproject.toml": pyproject, "backend.py": ""} {
		_ = w.WriteHeader(&tar.Header{Name: name + "-1.0/" + file, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg})
		_, _ = w.Write([]byte(content))
	}
	_ = w.Close()
	_ = gz.Close()
	return name + "-1.0.tar.gz", buf.Bytes()
}

func packages() map[string][]byte {
	files := map[string][]byte{}
	for name, requires := range map[string][]string{
		"alpha-1.0-py3-none-any.whl": {"beta"},
		"alpha-2.0-py3-none-any.whl": {"beta>=1", `native; python_version < "3.12" and sys_platform == "linux"`, `windows-only; sys_platform == "win32"`},
		"beta-1.0-py3-none-any.whl":  nil,
		"beta-1.5-py3-none-any.whl":  nil,
		"native-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": nil,
		"native-1.0-cp311-cp311-manylinux_2_35_x86_64.whl":                      nil,
		"native-1.0-cp311-cp311-manylinux_2_39_x86_64.whl":                      nil,
		"native-1.0-cp311-cp311-manylinux_2_17_aarch64.whl":                     nil,
		"native-1.0-cp311-cp311-musllinux_1_1_x86_64.whl":                       nil,
		"native-1.0-cp314-cp314t-manylinux_2_17_x86_64.whl":                     nil,
		"native-1.0-cp314-cp314-manylinux_2_17_x86_64.whl":                      nil,
		"native-1.0-cp311-cp311-linux_armv7l.whl":                               nil,
		"local-1.0+cpu.1-py3-none-any.whl":                                      nil,
		"conflict-1.0-py3-none-any.whl":                                         {"beta<1"},
		"yanked-1.0-py3-none-any.whl":                                           nil,
	} {
		file, content := pythontest.Wheel(name, requires...)
		files[file] = content
	}
	static, content := sdistFile("static", "Metadata-Version: 2.2\nName: static\nVersion: 1.0\n", "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n")
	files[static] = content
	dynamic, content := sdistFile("dynamic", "Metadata-Version: 2.1\nName: dynamic\nVersion: 1.0\n", "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n")
	files[dynamic] = content
	return files
}

// ask returns a resolver that asks the real uv.
func ask(t *testing.T) *python.Resolver {
	t.Helper()
	uv := pythontest.UV(t)
	r := resolver(t, python.Exec{})
	r.UV = func(context.Context) (python.UV, error) { return uv, nil }
	r.Env = append(r.Env, "UV_HTTP_RETRIES=0")
	return r
}

func names(r *python.Resolution) (names []string) {
	for _, w := range r.Wheels {
		names = append(names, w.File)
	}
	return names
}

// A choosing is a request and the files of packages() that meet it.
type choosing struct {
	name  string
	inv   *parent.Inventory
	lines []string
	want  []string
}

// choices are those on which uv and pip agree; server has the files.
func choices(server string) []choosing {
	musl, arm, arm32, threaded := pythontest.Debian(), pythontest.Debian(), pythontest.Debian(), pythontest.Debian()
	musl.Libc = parent.Libc{Family: "musl", Major: 1, Minor: 2}
	arm.Python.Arch, arm32.Python.Arch = "aarch64", "armv7l"
	threaded.Python.Version, threaded.Python.FreeThreaded = "3.14.0", true
	return []choosing{
		{"markers and the newest", pythontest.Debian(), []string{"alpha"}, []string{"alpha-2.0-py3-none-any.whl", "beta-1.5-py3-none-any.whl", "native-1.0-cp311-cp311-manylinux_2_35_x86_64.whl"}},
		{"a pin", pythontest.Debian(), []string{"Alpha==1.0", "beta<1.5"}, []string{"alpha-1.0-py3-none-any.whl", "beta-1.0-py3-none-any.whl"}},
		{"a marker that doesn't hold", pythontest.Debian(), []string{`alpha; python_version < "3"`, "beta"}, []string{"beta-1.5-py3-none-any.whl"}},
		{"a local version", pythontest.Debian(), []string{"local"}, []string{"local-1.0+cpu.1-py3-none-any.whl"}},
		{"musl", musl, []string{"native"}, []string{"native-1.0-cp311-cp311-musllinux_1_1_x86_64.whl"}},
		{"aarch64", arm, []string{"native"}, []string{"native-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"}},
		{"32 bits", arm32, []string{"native"}, []string{"native-1.0-cp311-cp311-linux_armv7l.whl"}},
		{"free-threaded", threaded, []string{"native"}, []string{"native-1.0-cp314-cp314t-manylinux_2_17_x86_64.whl"}},
		{"a URL", pythontest.Debian(), []string{"beta @ " + server + "/files/beta-1.0-py3-none-any.whl", "alpha==1.0"}, []string{"alpha-1.0-py3-none-any.whl", "beta-1.0-py3-none-any.whl"}},
		{"two URLs, one holds", pythontest.Debian(), []string{
			"beta @ " + server + "/files/beta-1.0-py3-none-any.whl ; sys_platform == 'win32'",
			"beta @ " + server + "/files/beta-1.5-py3-none-any.whl ; sys_platform == 'linux'",
		}, []string{"beta-1.5-py3-none-any.whl"}},
	}
}

// check compares w with the file that the index has.
func (ix *site) check(t *testing.T, test string, w plan.Wheel) {
	t.Helper()
	content := ix.files[w.File]
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(content)); w.Digest != want {
		t.Errorf("%s: %s has the digest %s, want %s", test, w.File, w.Digest, want)
	}
	if want := ix.URL + "/files/" + strings.ReplaceAll(w.File, "+", "%2B"); strings.ReplaceAll(w.URL, "+", "%2B") != want {
		t.Errorf("%s: the URL is %s, want %s", test, w.URL, want)
	}
	if w.Size != int64(len(content)) && w.Size != 0 {
		t.Errorf("%s: %s has %d bytes, want %d or 0", test, w.File, w.Size, len(content))
	}
}

func TestUVChooses(t *testing.T) {
	r := ask(t)
	ix := newIndex(t, packages())
	for _, html := range []bool{false, true} {
		ix.html = html
		for _, tt := range choices(ix.URL) {
			got, err := r.Resolve(t.Context(), python.Request{
				Inventory: tt.inv, View: view(t, nil), Groups: group(t, tt.lines...), Index: at(t, ix.url()), Refresh: true,
			})
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if diff := cmp.Diff(tt.want, names(got)); diff != "" {
				t.Errorf("%s, html %v (-want +got):\n%s", tt.name, html, diff)
			}
			for _, w := range got.Wheels {
				ix.check(t, tt.name, w)
			}
		}
	}
}

// What uv warns of is passed on.
func TestUVWarns(t *testing.T) {
	got, err := ask(t).Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "yanked==1.0", "beta[typo]"), Index: at(t, newIndex(t, packages()).url()),
	})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(got.Notes, "\n")
	if !strings.Contains(notes, "`yanked==1.0` is yanked") || !strings.Contains(notes, "does not have an extra named `typo`") {
		t.Errorf("Notes are %q, want one about the yanked release and one about the extra", got.Notes)
	}
}

// An index that forbids caching is asked twice.
func TestUVWithoutCache(t *testing.T) {
	ix := newIndex(t, packages())
	ix.fresh = true
	got, err := ask(t).Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "beta"), Index: at(t, ix.url()),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"beta-1.5-py3-none-any.whl"}, names(got)); diff != "" {
		t.Errorf("Resolve (-want +got):\n%s", diff)
	}
}

// An inParent is a request for a parent that has some packages.
type inParent struct {
	name   string
	dists  []parent.Dist
	lines  []string
	want   []string
	remove []parent.Dist
}

// files are those of the parent.
func (p inParent) files() map[string]string {
	if p.name == "installed for editing" {
		return map[string]string{distPackages[1:] + "beta.egg-link": "/src/beta\n.", "src/beta/beta.egg-info/PKG-INFO": "Metadata-Version: 1.0\nName: beta\nVersion: 1.2\n"}
	}
	return metadata(p.dists...)
}

// inParents are those on which uv and pip agree.
func inParents() []inParent {
	return []inParent{
		{"an older one that satisfies", []parent.Dist{dist("beta", "1.0")}, []string{"alpha==1.0"}, []string{"alpha-1.0-py3-none-any.whl"}, nil},
		{"all satisfied", []parent.Dist{dist("beta", "1.0")}, []string{"beta"}, nil, nil},
		{"a version that no index has", []parent.Dist{dist("beta", "1.9a0+git")}, []string{"beta"}, nil, nil},
		{"installed for editing", []parent.Dist{{Name: "beta", Version: "1.2", Path: distPackages + "beta.egg-link"}}, []string{"alpha==1.0"}, []string{"alpha-1.0-py3-none-any.whl"}, nil},
		{"too old", []parent.Dist{dist("beta", "0.5"), dist("native", "1.0")}, []string{"alpha"}, []string{"alpha-2.0-py3-none-any.whl", "beta-1.5-py3-none-any.whl"}, []parent.Dist{dist("beta", "0.5")}},
		{"another version is asked for", []parent.Dist{dist("beta", "1.0")}, []string{"beta==1.5"}, []string{"beta-1.5-py3-none-any.whl"}, []parent.Dist{dist("beta", "1.0")}},
	}
}

// uv keeps what satisfies the requirements and replaces what doesn't.
func TestUVSeesTheParent(t *testing.T) {
	r := ask(t)
	ix := newIndex(t, packages())
	for _, tt := range inParents() {
		got, err := r.Resolve(t.Context(), python.Request{
			Inventory: pythontest.Debian(tt.dists...), View: view(t, tt.files()), Groups: group(t, tt.lines...), Index: at(t, ix.url()),
		})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, names(got)); diff != "" {
			t.Errorf("%s: wheels (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.remove, got.Remove); diff != "" {
			t.Errorf("%s: removed (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestUVFails(t *testing.T) {
	r := ask(t)
	ix := newIndex(t, packages())
	closed := httptest.NewServer(nil)
	closed.Close()
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(down.Close)
	tests := []struct {
		name  string
		lines []string
		index string
		as    any
		want  string
	}{
		{"a conflict", []string{"alpha", "conflict"}, ix.url(), new(*python.UnsatisfiableError), "conflict"},
		{"a version that isn't there", []string{"beta>9"}, ix.url(), new(*python.UnsatisfiableError), "you require beta>9"},
		{"an unknown package", []string{"gamma"}, ix.url(), new(*python.UnsatisfiableError), "gamma was not found"},
		{"no wheel for the platform", []string{"windows-only"}, ix.url(), new(*python.UnsatisfiableError), "windows-only"},
		{"bad syntax", []string{"beta", "", "alpha beta"}, ix.url(), new(*python.RequirementError), `requirements.txt:3: "alpha beta": expected`},
		{"a bad marker", []string{"beta", `alpha; python_version >> "3"`}, ix.url(), new(*python.RequirementError), `requirements.txt:2: "alpha; python_version >> \"3\"": expected`},
		{"sources with static metadata", []string{"static", "beta"}, ix.url(), new(*python.SdistError), "static==1.0 has no wheel"},
		{"sources that must be run", []string{"dynamic"}, ix.url(), new(*python.SdistError), "dynamic==1.0 has no wheel"},
		{"the wrong hash", []string{"beta==1.0 --hash=sha256:" + sumA}, ix.url(), new(*python.HashError), "its requirement allows only sha256:" + sumA},
		{"an index that is gone", []string{"beta"}, closed.URL, new(*python.IndexError), "asking the package index"},
		{"an index that fails", []string{"beta"}, down.URL, new(*python.IndexError), "500"},
		{"a URL that is gone", []string{"beta @ " + closed.URL + "/beta-1.0-py3-none-any.whl"}, ix.url(), new(*python.IndexError), "asking the package index"},
	}
	for _, tt := range tests {
		_, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, tt.lines...), Index: at(t, tt.index)})
		if err == nil || !errors.As(err, tt.as) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Resolve: %v, want a %T with %q", tt.name, err, tt.as, tt.want)
			continue
		}
		if strings.Contains(err.Error(), r.Temp) || strings.Contains(err.Error(), "DEBUG") {
			t.Errorf("%s: the error tells of our own files: %v", tt.name, err)
		}
	}
}

// An answer stays until it is refreshed, and both it and uv's cache do without
// the network.
func TestUVOffline(t *testing.T) {
	r := ask(t)
	ix := newIndex(t, packages())
	resolve := func(edit func(*python.Request)) (*python.Resolution, error) {
		req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "beta"), Index: at(t, ix.url())}
		edit(&req)
		return r.Resolve(t.Context(), req)
	}
	check := func(step, want string, edit func(*python.Request)) {
		t.Helper()
		got, err := resolve(edit)
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if diff := cmp.Diff([]string{want}, names(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
	}
	check("at first", "beta-1.5-py3-none-any.whl", func(*python.Request) {})
	ix.add(pythontest.Wheel("beta-2.0-py3-none-any.whl"))
	check("with a new version", "beta-1.5-py3-none-any.whl", func(*python.Request) {})
	check("refreshed", "beta-2.0-py3-none-any.whl", func(req *python.Request) { req.Refresh = true })
	ix.Close()
	check("stored, offline", "beta-2.0-py3-none-any.whl", func(req *python.Request) { req.Offline = true })
	r.Store = &memory{}
	check("from uv's cache, offline", "beta-2.0-py3-none-any.whl", func(req *python.Request) { req.Offline = true })
	_, err := resolve(func(req *python.Request) { req.Offline, req.Groups = true, group(t, "alpha") })
	if missing := new(*python.OfflineError); !errors.As(err, missing) {
		t.Errorf("from no cache, offline: %v, want a *OfflineError", err)
	}
}

// Resolutions at once in one cache don't disturb each other.
func TestUVAtOnce(t *testing.T) {
	r := ask(t)
	ix := newIndex(t, packages())
	lines := []string{"alpha", "alpha==1.0", "beta", "native"}
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			got, err := r.Resolve(t.Context(), python.Request{
				Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, lines[i%len(lines)]), Index: at(t, ix.url()), Refresh: i%2 == 0,
			})
			if err == nil && len(got.Wheels) == 0 {
				err = errors.New("there are no wheels")
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// A uv says which index is its own, where nobody names another.
func TestUVOwnIndex(t *testing.T) {
	uv := pythontest.UV(t)
	set, err := python.WithOwnIndex(t.Context(), python.Exec{}, uv, nil)
	if err != nil || !strings.HasPrefix(set.Default(), "https://") {
		t.Errorf("WithOwnIndex = %q, %v, want a URL", set.Default(), err)
	}
	if set, err = python.WithOwnIndex(t.Context(), python.Exec{}, uv, at(t, "https://index.example.com/simple")); err != nil || set.Default() != "https://index.example.com/simple" {
		t.Errorf("WithOwnIndex = %q, %v, want the one that there is", set.Default(), err)
	}
}
