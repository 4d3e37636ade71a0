// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/layers"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
	"inlay/resolve/python/reqfile"
)

// lists are groups of requirements called first, second and so on.
func lists(t *testing.T, texts ...string) (groups []python.Group) {
	t.Helper()
	for i, text := range texts {
		g, err := reqfile.Reader{Open: func(string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("beta<1.5")), nil
		}}.Text([]string{"first", "second", "third"}[i], strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	return groups
}

// groupPackages adds to packages() what groups are told apart by.
func groupPackages() map[string][]byte {
	files := packages()
	for name, requires := range map[string][]string{
		"beta-0.5-py3-none-any.whl":  nil,
		"picky-1.0-py3-none-any.whl": {"alpha", "beta<1"},
		"ext-1.0-py3-none-any.whl":   {"beta==1.0; extra == \"more\"\nProvides-Extra: more"},
	} {
		file, content := pythontest.Wheel(name, requires...)
		files[file] = content
	}
	return files
}

// A twin really installs into a copy of the skeleton whatever uv is asked to
// pretend.
type twin struct {
	t    *testing.T
	root string // of the copy; "" before the first call
}

func (w *twin) Run(ctx context.Context, c python.Command) (int, error) {
	if strings.Join(c.Args[:2], " ") == "pip install" {
		w.install(ctx, c)
	}
	return python.Exec{}.Run(ctx, c)
}

func (w *twin) install(ctx context.Context, c python.Command) {
	interpreter := python3(c)
	root, _, _ := strings.Cut(interpreter, "/usr/bin/")
	if w.root == "" {
		w.root = w.copy(root)
	}
	args := slices.DeleteFunc(slices.Clone(c.Args), func(a string) bool { return a == "--dry-run" || a == "--verbose" })
	for i, a := range args {
		args[i] = strings.Replace(a, root, w.root, 1)
	}
	c.Args, c.Stdout, c.Stderr = args, io.Discard, io.Discard
	if exit, err := (python.Exec{}).Run(ctx, c); exit != 0 || err != nil {
		w.t.Errorf("really installing: exit %d, %v", exit, err)
	}
}

// copy copies the skeleton at root and gives its distributions a RECORD, or uv
// would not remove them.
func (w *twin) copy(root string) string {
	to := w.t.TempDir()
	if err := os.CopyFS(to, os.DirFS(root)); err != nil {
		w.t.Fatal(err)
	}
	exe := filepath.Join(to, "usr/bin/python3.11")
	b, err := os.ReadFile(exe)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(exe, []byte(strings.ReplaceAll(string(b), root, to)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	infos, err := filepath.Glob(to + distPackages + "*.dist-info")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, dir := range infos {
		name := filepath.Base(dir)
		if err := os.WriteFile(filepath.Join(dir, "RECORD"), []byte(name+"/METADATA,,\n"+name+"/WHEEL,,\n"+name+"/RECORD,,\n"), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	return to
}

// left lists what the copy has installed in the end.
func (w *twin) left() []string {
	infos, err := filepath.Glob(w.root + distPackages + "*.dist-info")
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range infos {
		infos[i] = filepath.Base(infos[i])
	}
	return infos
}

// netted lists what a resolution leaves installed.
func netted(dists []parent.Dist, r *python.Resolution) (left []string) {
	for _, d := range dists {
		if !slices.Contains(r.Remove, d) {
			left = append(left, filepath.Base(d.Path))
		}
	}
	for _, w := range r.Wheels {
		parts := strings.Split(w.File, "-")
		left = append(left, parts[0]+"-"+parts[1]+".dist-info")
	}
	slices.Sort(left)
	return left
}

// A grouping is groups of requirements and what installing them comes to.
type grouping struct {
	name   string
	dists  []parent.Dist // of the parent
	groups []string
	want   string // the wheels
	remove string
	broken string
}

// groupings are those on which uv and pip agree; url is that of a wheel of beta.
func groupings(url string) []grouping {
	return []grouping{
		{"the later wins", nil, []string{"beta>=1.5", "beta<1.5"}, "beta-1.0", "", "first:1 has requirement beta>=1.5, but you have beta 1.0"},
		{"a dependency of the first", nil, []string{"alpha==1.0", "beta<1.5"}, "alpha-1.0 beta-1.0", "", ""},
		{"a broken dependency", nil, []string{"native\nalpha==2.0", "beta<1"}, "alpha-2.0 beta-0.5 native-1.0", "", "alpha 2.0 has requirement beta>=1, but you have beta 0.5"},
		{"what satisfies stays", nil, []string{"beta==1.0", "beta"}, "beta-1.0", "", ""},
		{"an installed one's requirements count", nil, []string{"alpha==2.0", "picky"}, "alpha-1.0 beta-0.5 native-1.0 picky-1.0", "", "first:1 has requirement alpha==2.0, but you have alpha 1.0"},
		{"extras of an installed one", nil, []string{"ext", "ext[more]"}, "beta-1.0 ext-1.0", "", ""},
		{"the same URL", nil, []string{url, url}, "beta-1.0", "", ""},
		{"a URL, then a name", nil, []string{url, "beta"}, "beta-1.0", "", ""},
		{"a name, then a URL", nil, []string{"beta==1.0", url}, "beta-1.0", "", ""},
		{"the parent's, there and back", []parent.Dist{dist("beta", "0.5")}, []string{"alpha==2.0", "beta<1"}, "alpha-2.0 beta-0.5 native-1.0", "beta 0.5", "alpha 2.0 has requirement beta>=1, but you have beta 0.5"},
		{"the parent's by the second", []parent.Dist{dist("beta", "1.0")}, []string{"alpha==1.0", "beta==1.5"}, "alpha-1.0 beta-1.5", "beta 1.0", ""},
		{"an empty group", nil, []string{"alpha==1.0", "# nothing", "beta<1"}, "alpha-1.0 beta-0.5", "", ""},
		{"a constraint is of its group", nil, []string{"-c c.txt\nalpha==1.0", "beta>1"}, "alpha-1.0 beta-1.5", "", ""},
		{"three groups", nil, []string{"beta==1.5", "beta==1.0", "beta==0.5"}, "beta-0.5", "", "first:1 has requirement beta==1.5, but you have beta 0.5; second:1 has requirement beta==1.0, but you have beta 0.5"},
		{"a marker that doesn't hold", nil, []string{`beta>=1.5; sys_platform == "win32"`, "beta==1.0"}, "beta-1.0", "", ""},
	}
}

// check compares got with what is wanted.
func (g grouping) check(t *testing.T, got *python.Resolution) {
	t.Helper()
	var wheels, removed []string
	for _, w := range got.Wheels {
		wheels = append(wheels, w.Name+"-"+w.Version)
	}
	for _, d := range got.Remove {
		removed = append(removed, d.Name+" "+d.Version)
	}
	for _, c := range [][3]string{
		{"wheels", g.want, strings.Join(wheels, " ")},
		{"removed", g.remove, strings.Join(removed, " ")},
		{"broken", g.broken, strings.Join(got.Broken, "; ")},
	} {
		if diff := cmp.Diff(c[1], c[2]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c[0], diff)
		}
	}
}

// Groups are installed one after the other and the later wins, exactly as
// `uv pip install` does it once for each: a twin of the parent into which it
// really installs has the same in the end.
func TestUVGroups(t *testing.T) {
	ix := newIndex(t, groupPackages())
	url := "beta @ " + ix.URL + "/files/beta-1.0-py3-none-any.whl"
	for _, bare := range []bool{false, true} {
		ix.bare = bare
		for _, tt := range groupings(url) {
			t.Run(fmt.Sprintf("%s, bare %v", tt.name, bare), func(t *testing.T) {
				r := ask(t)
				w := &twin{t: t}
				r.Runner = w
				got, err := r.Resolve(t.Context(), python.Request{
					Inventory: pythontest.Debian(tt.dists...), View: view(t, metadata(tt.dists...)), Groups: lists(t, tt.groups...), Index: at(t, ix.url()),
				})
				if err != nil {
					t.Fatal(err)
				}
				tt.check(t, got)
				if diff := cmp.Diff(w.left(), netted(tt.dists, got)); diff != "" {
					t.Errorf("installed in the end (-by uv +by Resolve):\n%s", diff)
				}
			})
		}
	}
}

// What a parent requires may break, too; what was broken before is not told.
func TestUVBreaksParent(t *testing.T) {
	dists := []parent.Dist{dist("old", "1"), dist("torn", "1"), dist("beta", "0.5")}
	files := metadata(dists...)
	for name, requires := range map[string]string{"old": "beta<1", "torn": "missing"} {
		files[distPackages[1:]+name+"-1.dist-info/METADATA"] += "Requires-Dist: " + requires + "\n"
	}
	got, err := ask(t).Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(dists...), View: view(t, files), Groups: group(t, "beta>=1"), Index: at(t, newIndex(t, packages()).url()),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"old 1 has requirement beta<1, but you have beta 1.5"}, got.Broken); diff != "" {
		t.Errorf("Broken (-want +got):\n%s", diff)
	}
}

// The next group sees what the one before leaves: its METADATA, and nothing of
// what it replaced. The order of groups is part of the question.
func TestGroups(t *testing.T) {
	_, wheel := pythontest.Wheel("six-1.0-py3-none-any.whl", "idna")
	ix := newIndex(t, map[string][]byte{"six-1.0-py3-none-any.whl": wheel})
	lock := strings.ReplaceAll(lockOf("six-1.0-py3-none-any.whl"), "https://example.com", ix.URL+"/files")
	var seen []string
	run := &script{
		install: said{stderr: dryRun(" + six==1.0", " - idna==3.4")}, then: []said{{stderr: "Would make no changes\n"}},
		compile: said{stdout: lock},
		check:   []said{{}, {exit: 1, stderr: "Checked 3 packages\nFound 1 incompatibility\nThe package `six` requires `idna`, but it's not installed\n"}},
		look: func(c python.Command) {
			root := strings.TrimSuffix(python3(c), "/usr/bin/python3.11")
			infos, _ := filepath.Glob(root + distPackages + "*/METADATA")
			for _, name := range infos {
				b, _ := os.ReadFile(name)
				seen = append(seen, filepath.Base(filepath.Dir(name))+": "+strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", ", "))
			}
			seen = append(seen, "")
		},
	}
	inv := pythontest.Debian(dist("idna", "3.4"))
	r := resolver(t, run)
	req := python.Request{Inventory: inv, View: view(t, metadata(inv.Python.Dists...)), Groups: lists(t, "six", "idna>9")}
	got, err := r.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"idna-3.4.dist-info: Metadata-Version: 2.1, Name: idna, Version: 3.4", "",
		"idna-3.4.dist-info: Metadata-Version: 2.1, Name: idna, Version: 3.4", "", // the lock
		"six-1.0.dist-info: Metadata-Version: 2.1, Name: six, Version: 1.0, Requires-Dist: idna", "",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("uv saw (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"six 1.0 requires idna, which is not installed"}, got.Broken); diff != "" {
		t.Errorf("Broken (-want +got):\n%s", diff)
	}
	run.calls = nil
	if again, err := r.Resolve(t.Context(), req); err != nil || len(run.calls) > 0 || len(again.Broken) != 1 {
		t.Errorf("asked again: %+v, %v, %d calls, want the stored answer", again, err, len(run.calls))
	}
	slices.Reverse(req.Groups)
	if _, err := r.Resolve(t.Context(), req); err != nil || len(run.calls) == 0 {
		t.Errorf("asked in another order: %v, %d calls, want some", err, len(run.calls))
	}
}

// A locked answer is given without asking anybody, with what the parent's own
// files add to it.
func TestLocked(t *testing.T) {
	old := dist("numpy", "1.23.0")
	r := resolver(t, nil) // runs nothing
	opened := 0
	open := view(t, metadata(old))
	req := python.Request{
		Inventory: pythontest.Debian(old), Groups: group(t, "numpy"), Offline: true,
		View:   func(ctx context.Context) (*layers.View, error) { opened++; return open(ctx) },
		Locked: &python.Resolution{Wheels: []plan.Wheel{numpyWheel()}, Remove: []parent.Dist{old}, Broken: []string{"x"}},
	}
	for range 2 {
		got, err := r.Resolve(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(got.RemovePaths, old.Path) || !got.Recalled {
			t.Errorf("Resolve = %+v, want the paths of what is removed", got)
		}
		got.RemovePaths, got.Recalled = nil, false
		if diff := cmp.Diff(req.Locked, got); diff != "" {
			t.Errorf("Resolve (-want +got):\n%s", diff)
		}
	}
	if opened != 1 {
		t.Errorf("the view was opened %d times in two calls, want once", opened)
	}
}
