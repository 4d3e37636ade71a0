// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/parent"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// These tests ask a real pip about an index that they serve themselves on the
// loopback interface: the one that the Python on the PATH has, or the wheel of
// one that INLAY_TEST_PIP names.

func realPip(t *testing.T) python.Pip {
	t.Helper()
	if wheel := os.Getenv("INLAY_TEST_PIP"); wheel != "" {
		program, err := exec.LookPath("python3")
		if err != nil {
			t.Fatal(err)
		}
		return python.Pip{Python: program, Wheel: wheel, Version: "test"}
	}
	pip, err := python.FindPip(t.Context(), python.FindOptions{
		LookPath: exec.LookPath, Runner: python.Exec{}, Env: os.Environ(), Dir: t.TempDir(), Files: offline(),
	})
	if err != nil {
		t.Skipf("there is no pip to test with: install one, or name the wheel of one in INLAY_TEST_PIP (%v)", err)
	}
	return pip
}

// askPip returns a resolver that asks the real pip.
func askPip(t *testing.T) *python.Resolver {
	t.Helper()
	pip := realPip(t)
	r := resolver(t, python.Exec{})
	r.Pip = func(context.Context) (python.Pip, error) { return pip, nil }
	r.PipDir = t.TempDir()
	r.Env = append(os.Environ(), "PIP_RETRIES=0")
	return r
}

// pip chooses for the parent's platform as uv does.
func TestPipChooses(t *testing.T) {
	r := askPip(t)
	ix := newIndex(t, packages())
	for _, html := range []bool{false, true} {
		ix.html = html
		for _, tt := range choices(ix.URL) {
			got, err := r.Resolve(t.Context(), python.Request{
				Inventory: tt.inv, View: view(t, nil), Installer: "pip", Groups: group(t, tt.lines...), Index: at(t, ix.url()), Refresh: true,
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
				if direct := strings.Contains(strings.Join(tt.lines, " "), w.File); !html && !direct && w.Size == 0 {
					t.Errorf("%s: the size of %s is lost", tt.name, w.File)
				}
			}
		}
	}
}

// pip keeps what satisfies the requirements and replaces what doesn't.
func TestPipSeesTheParent(t *testing.T) {
	r := askPip(t)
	ix := newIndex(t, packages())
	for _, tt := range inParents() {
		got, err := r.Resolve(t.Context(), python.Request{
			Inventory: pythontest.Debian(tt.dists...), View: view(t, tt.files()), Installer: "pip", Groups: group(t, tt.lines...), Index: at(t, ix.url()),
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

// What Debian's apt has installed counts for pip, and stays.
func TestPipSeesAptsPackages(t *testing.T) {
	r := askPip(t)
	ix := newIndex(t, packages())
	const lib = "usr/lib/python3/dist-packages/"
	files := map[string]string{
		lib + "beta-1.0.dist-info/METADATA":   "Metadata-Version: 2.1\nName: beta\nVersion: 1.0\n",
		lib + "native-0.5.egg-info/PKG-INFO":  "Metadata-Version: 1.0\nName: native\nVersion: 0.5\n",
		lib + "conflict-0.1.egg-info":         "Metadata-Version: 1.0\nName: conflict\nVersion: 0.1\n",
		"usr/lib/python3/dist-packages/x.txt": "",
	}
	got, err := r.Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(), View: view(t, files), Installer: "pip", Groups: group(t, "alpha==1.0", "native>=1", "conflict"), Index: at(t, ix.url()),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"alpha-1.0-py3-none-any.whl", "native-1.0-cp311-cp311-manylinux_2_35_x86_64.whl"}, names(got)); diff != "" || len(got.Remove) > 0 {
		t.Errorf("Resolve removes %v and installs (-want +got):\n%s", got.Remove, diff)
	}
}

func TestPipFails(t *testing.T) {
	r := askPip(t)
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
		{"a conflict", []string{"alpha", "conflict"}, ix.url(), new(*python.UnsatisfiableError), "conflict 1.0 depends on beta<1"},
		{"a version that isn't there", []string{"beta>9"}, ix.url(), new(*python.UnsatisfiableError), "beta>9 (there are 1.0, 1.5)"},
		{"an unknown package", []string{"gamma>=1"}, ix.url(), new(*python.UnsatisfiableError), "gamma was not found in the package registry"},
		{"no wheel for the platform", []string{"windows-only"}, ix.url(), new(*python.UnsatisfiableError), "windows-only"},
		{"bad syntax", []string{"beta", "", "alpha beta"}, ix.url(), new(*python.RequirementError), `requirements.txt:3: "alpha beta": expected`},
		{"a bad marker", []string{"beta", `alpha; python_version >> "3"`}, ix.url(), new(*python.RequirementError), `requirements.txt:2: "alpha; python_version >> \"3\"": expected`},
		{"sources with static metadata", []string{"static", "beta"}, ix.url(), new(*python.SdistError), "static==1.0 has no wheel"},
		{"sources that must be run", []string{"dynamic"}, ix.url(), new(*python.SdistError), "dynamic==1.0 has no wheel"},
		{"a hash that isn't the file's", []string{"beta==1.0 --hash=sha256:" + strings.Repeat("0", 64)}, ix.url(), new(*python.InstallerError), "Expected sha256 0000"},
		{"an index that is gone", []string{"beta"}, closed.URL, new(*python.IndexError), "refused"},
		{"an index that fails", []string{"beta"}, down.URL, new(*python.IndexError), "500"},
		{"a URL that is gone", []string{"beta @ " + closed.URL + "/beta-1.0-py3-none-any.whl"}, ix.url(), new(*python.IndexError), "refused"},
	}
	for _, tt := range tests {
		_, err := r.Resolve(t.Context(), python.Request{
			Inventory: pythontest.Debian(), View: view(t, nil), Installer: "pip", Groups: group(t, tt.lines...), Index: at(t, tt.index),
		})
		if err == nil || !errors.As(err, tt.as) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Resolve: %v, want a %T with %q", tt.name, err, tt.as, tt.want)
			continue
		}
		if strings.Contains(err.Error(), r.Temp) || strings.Contains(err.Error(), "WARNING") {
			t.Errorf("%s: the error tells of our own files: %v", tt.name, err)
		}
	}
}

// What pip warns of is passed on; pip's name and its constraints are kept.
func TestPipWarns(t *testing.T) {
	r := askPip(t)
	groups := group(t, "yanked==1.0", "beta[typo]")
	groups[0].Constraints = group(t, "beta<1.5")[0].Lines
	got, err := r.Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Installer: "pip", Groups: groups, Index: at(t, newIndex(t, packages()).url()),
	})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(got.Notes, "\n")
	if !strings.Contains(notes, "`yanked==1.0` is yanked") || !strings.Contains(notes, "does not provide the extra 'typo'") || strings.Contains(notes, "http") {
		t.Errorf("Notes are %q, want one about the yanked release and one about the extra", got.Notes)
	}
	if diff := cmp.Diff([]string{"beta-1.0-py3-none-any.whl", "yanked-1.0-py3-none-any.whl"}, names(got)); diff != "" {
		t.Errorf("Resolve (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(got.Installer, "pip ") {
		t.Errorf("the installer is %q, want pip", got.Installer)
	}
}

// A stored answer needs no network; another one is pip's to give, which needs
// it. The answers of uv are not pip's.
func TestPipOffline(t *testing.T) {
	r := askPip(t)
	r.UV = func(context.Context) (python.UV, error) { return python.UV{}, errors.New("uv was asked") }
	ix := newIndex(t, packages())
	req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Installer: "pip", Groups: group(t, "beta"), Index: at(t, ix.url())}
	if _, err := r.Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	ix.Close()
	req.Offline = true
	got, err := r.Resolve(t.Context(), req)
	if err != nil || !got.Recalled {
		t.Errorf("offline, Resolve = %+v, %v, want the stored answer", got, err)
	}
	other := req
	other.Groups = group(t, "alpha")
	if _, err := r.Resolve(t.Context(), other); !errors.As(err, new(*python.OfflineError)) {
		t.Errorf("offline, of something else: %v, want a *OfflineError", err)
	}
	req.Installer = "uv"
	if _, err := r.Resolve(t.Context(), req); err == nil || !strings.Contains(err.Error(), "uv was asked") {
		t.Errorf("of uv: %v, want no answer of pip's", err)
	}
}

func TestPipCancelled(t *testing.T) {
	r := askPip(t)
	ctx, cancel := context.WithCancel(t.Context())
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel(); <-ctx.Done() }))
	t.Cleanup(slow.Close)
	_, err := r.Resolve(ctx, python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Installer: "pip", Groups: group(t, "beta"), Index: at(t, slow.URL),
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Resolve: %v, want %v", err, context.Canceled)
	}
	left, err := os.ReadDir(r.Temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if e.IsDir() {
			t.Errorf("%s is left in Temp", e.Name())
		}
	}
}

// The pip of the first Python on the PATH that has a tested one is taken.
func TestFindPip(t *testing.T) {
	const wheel = "none was fetched yet, and now there is no network"
	tests := []struct {
		name            string
		python3, python string // what they print, "" if they aren't there
		want            python.Pip
		problem, hint   string
	}{
		{"a tested one", "inlay 3.11.2 25.3", "", python.Pip{Python: "python3", Version: "25.3"}, "", ""},
		{"the second", "inlay 3.11.2 23.0.1", "inlay 3.9.1 26.2.1", python.Pip{Python: "python", Version: "26.2.1"}, "", ""},
		{"none", "", "", python.Pip{}, "python3 is not on the PATH; python is not on the PATH", "install one, or use uv, which needs none, with `--installer uv`"},
		{"an old Python without one", "inlay 3.9.1 -", "", python.Pip{}, "(Python 3.9.1) has no pip", "Python 3.10 or newer"},
		{"an old pip", "inlay 3.11.2 25.2", "", python.Pip{}, "has pip 25.2, which was not tested: 25.3 to 26.3 were; python is not on the PATH; " + wheel, "install pip 25.3 or newer"},
		{"one to come", "inlay 3.11.2 27.0", "", python.Pip{}, "has pip 27.0, which was not tested", "install pip"},
		{"one in the making", "inlay 3.11.2 26.3.dev0", "", python.Pip{}, "has pip 26.3.dev0, which was not tested", "install pip"},
		{"no Python at all", "hello", "", python.Pip{}, "doesn't tell its version", "install one"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		for name, says := range map[string]string{"python3": tt.python3, "python": tt.python} {
			if says != "" {
				program(t, dir, name, "echo '"+says+"'")
			}
		}
		got, err := python.FindPip(t.Context(), python.FindOptions{LookPath: in(dir), Runner: python.Exec{}, Dir: t.TempDir(), Files: offline()})
		got.Python = strings.TrimPrefix(got.Python, dir+"/")
		if got != tt.want || (err == nil) != (tt.problem == "") {
			t.Errorf("%s: FindPip = %+v, %v, want %+v", tt.name, got, err, tt.want)
			continue
		}
		var none *python.NoPipError
		if err != nil && (!errors.As(err, &none) || !strings.Contains(err.Error(), tt.problem) || !strings.Contains(none.Hint(), tt.hint)) {
			t.Errorf("%s: FindPip: %v, want a *NoPipError with %q and a hint with %q", tt.name, err, tt.problem, tt.hint)
		}
	}
}

// Where the first Python can run no pip, one that it hides on the PATH does, or
// one whose name tells its version. Else no other is tried.
func TestFindOtherPip(t *testing.T) {
	tests := []struct {
		name, first  string
		second, also string // what python3 of another directory prints, and python3.12
		want, says   string
	}{
		{"a shim of no Python", "oops", "inlay 3.11.2 25.3", "", "second/python3", ""},
		{"an old one", "inlay 3.9.1 21.2", "", "inlay 3.12.1 25.3", "first/python3.12", ""},
		{"one that can run a pip", "inlay 3.11.2 23.0", "inlay 3.11.2 25.3", "", "", "first/python3 (Python 3.11.2) has pip 23.0"},
		{"none", "oops", "oops", "oops", "", "first/python3.12 doesn't tell its version"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		for name, says := range map[string]string{"first/python3": tt.first, "second/python3": tt.second, "first/python3.12": tt.also} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if says != "" {
				program(t, dir, name, "echo '"+says+"'")
			}
		}
		o := python.FindOptions{
			LookPath: func(name string) (string, error) {
				if filepath.IsAbs(name) {
					return exec.LookPath(name)
				}
				return in(filepath.Join(dir, "first"))(name)
			},
			Runner: python.Exec{}, Env: []string{"PATH=" + dir + "/first:relative:" + dir + "/second"}, Dir: t.TempDir(), Files: offline(),
		}
		got, err := python.FindPip(t.Context(), o)
		if strings.TrimPrefix(got.Python, dir+"/") != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: FindPip = %+v, %v, want %s, %q", tt.name, got, err, tt.want, tt.says)
		}
	}
}

// Groups are installed one after the other and the later wins, as by uv.
func TestPipGroups(t *testing.T) {
	r := askPip(t)
	ix := newIndex(t, groupPackages())
	url := "beta @ " + ix.URL + "/files/beta-1.0-py3-none-any.whl"
	for _, tt := range groupings(url) {
		t.Run(tt.name, func(t *testing.T) {
			got, err := r.Resolve(t.Context(), python.Request{
				Inventory: pythontest.Debian(tt.dists...), View: view(t, metadata(tt.dists...)), Installer: "pip", Groups: lists(t, tt.groups...), Index: at(t, ix.url()),
			})
			if err != nil {
				t.Fatal(err)
			}
			tt.check(t, got)
		})
	}
}

// A wheel of this machine is a requirement like any other.
func TestPipLocalWheel(t *testing.T) {
	ix := newIndex(t, packages())
	dir := t.TempDir()
	own := putWheel(t, dir, "own-1.0-py3-none-any.whl", "beta")
	got, err := askPip(t).Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Installer: "pip", Index: at(t, ix.url()),
		Groups: []python.Group{localGroup(t, dir, "./own-1.0-py3-none-any.whl"), localGroup(t, dir, "own")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"beta-1.5-py3-none-any.whl", "own-1.0-py3-none-any.whl"}, names(got)); diff != "" {
		t.Fatalf("Resolve (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(own, got.Wheels[1]); diff != "" {
		t.Errorf("the wheel (-want +got):\n%s", diff)
	}
}

// The inventory is as it was: what pip sees beyond it is not for others.
func TestPipLeavesTheInventory(t *testing.T) {
	inv := pythontest.Debian(parent.Dist{Name: "idna", Version: "3.4", Path: distPackages + "idna-3.4.dist-info"})
	run := &script{}
	r := resolver(t, run)
	r.Pip = func(context.Context) (python.Pip, error) { return python.Pip{}, errors.New("no pip") }
	if _, err := r.Resolve(t.Context(), python.Request{Inventory: inv, View: view(t, nil), Installer: "pip", Groups: group(t, "idna")}); err == nil {
		t.Error("Resolve without a pip works")
	}
	if len(inv.Python.Dists) != 1 {
		t.Errorf("the inventory lists %v", inv.Python.Dists)
	}
}
