// SPDX-License-Identifier: Apache-2.0

package parent_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/parent"
)

const site = "usr/local/lib/python3.12/site-packages/"

// files makes an empty file of each name in site-packages.
func files(names ...string) (items []item) {
	for _, name := range names {
		items = append(items, file(site+name, ""))
	}
	return items
}

func TestRemoval(t *testing.T) {
	tests := []struct {
		name  string
		items []item
		want  []string // "@" stands for site-packages
		notes []string
	}{
		{
			name: "a package and its script",
			items: with(files("a/__init__.py", "a/sub/x.py", "a/sub/__pycache__/x.cpython-312.pyc", "a/__pycache__/other.pyc", "b.py"),
				file(site+"a-1.dist-info/RECORD", "a/__init__.py,sha256=x,1\r\na/sub/x.py,,\n../../../bin/a,,\n\"../../../share/man/a,1\",,\na-1.dist-info/RECORD,,\ngone.py,,\ngone/x.py,,\n"),
				file(site+"a-1.dist-info/unlisted", ""), exe("usr/local/bin/a", ""), file("usr/local/share/man/a,1", "")),
			want: []string{"/usr/local/bin/a", "@a", "@a-1.dist-info", "/usr/local/share/man/a,1"},
		},
		{
			name: "a shared namespace",
			items: with(files("ns/a/x.py", "ns/b/y.py", "ns/a/__pycache__/x.cpython-312.pyc"),
				file(site+"a-1.dist-info/RECORD", "ns/a/x.py,,\n")),
			want: []string{"@a-1.dist-info", "@ns/a"},
		},
		{
			name: "a directory that holds more",
			items: with(files("a/x.py", "a/user.py", "a/__pycache__/x.pyc", "a/__pycache__/user.pyc"), dir(site+"a/empty", 0o755, 0, 0),
				file(site+"a-1.dist-info/RECORD", "a/x.py,,\n")),
			want: []string{"@a-1.dist-info", "@a/__pycache__", "@a/x.py"},
		},
		{
			name: "a module, with bytecode beside that of others",
			items: with(files("a.py", "ab.py", "__pycache__/a.cpython-312.pyc", "__pycache__/a.cpython-312.opt-1.pyc", "__pycache__/ab.cpython-312.pyc"),
				file(site+"a-1.dist-info/RECORD", "a.py,,\n")),
			want: []string{"@__pycache__/a.cpython-312.opt-1.pyc", "@__pycache__/a.cpython-312.pyc", "@a-1.dist-info", "@a.py"},
		},
		{
			name:  "a listed directory",
			items: with(files("a/x.py", "a/unlisted"), file(site+"a-1.dist-info/RECORD", "a/,,\n")),
			want:  []string{"@a", "@a-1.dist-info"},
		},
		{
			name: "absolute paths",
			items: with(files("a.py"), file("usr/local/etc/a.conf", ""),
				file(site+"a-1.dist-info/RECORD", "/usr/local/etc/a.conf,,\n/"+site+"a.py,,\n")),
			want: []string{"/usr/local/etc/a.conf", "@a-1.dist-info", "@a.py"},
		},
		{
			name: "paths that lead out of the environment",
			items: with(files("x"), file("etc/passwd", ""), file("usr/bin/python3", ""), link("usr/local/out", "/etc"),
				file(site+"a-1.dist-info/RECORD", "../../../../../etc/passwd,,\n/usr/bin/python3,,\n/usr/local/out/passwd,,\n.,,\n../../../bin,,\n/,,\n")),
			want: []string{"@a-1.dist-info"},
			notes: []string{
				`the parent's a 1 lists "../../../../../etc/passwd", which is not in its environment: it stays`,
				`the parent's a 1 lists "/usr/bin/python3", which is not in its environment: it stays`,
				`the parent's a 1 lists "/usr/local/out/passwd", which is not in its environment: it stays`,
				`the parent's a 1 lists ".", which is not in its environment: it stays`,
				`the parent's a 1 lists "../../../bin", which is not in its environment: it stays`,
				`the parent's a 1 lists "/", which is not in its environment: it stays`,
			},
		},
		{
			name: "a link in the package",
			items: with(files("a/x.py"), link(site+"a/data", "/etc"), file("etc/passwd", ""),
				file(site+"a-1.dist-info/RECORD", "a/x.py,,\na/data,,\n")),
			want: []string{"@a", "@a-1.dist-info"},
		},
		{
			name:  "no RECORD",
			items: with(files("a/x.py"), file(site+"a-1.dist-info/METADATA", "")),
			notes: []string{"the parent's a 1 has no RECORD of its files: they stay"},
		},
		{
			name: "an egg-info directory",
			items: with(files("a/x.py", "a/unlisted.py", "a_mod.py", "shared/x.py", "shared/y.py"), exe("usr/local/bin/a", ""),
				file(site+"a-1-py3.12.egg-info/installed-files.txt", "../../../../bin/a\n../a/x.py\n../shared/x.py\nPKG-INFO\n"), file(site+"a-1-py3.12.egg-info/PKG-INFO", ""),
				file(site+"a-1-py3.12.egg-info/top_level.txt", "a\na_mod\nshared\n"), file(site+"a-1-py3.12.egg-info/namespace_packages.txt", "shared\n")),
			want: []string{"/usr/local/bin/a", "@a", "@a-1-py3.12.egg-info", "@a_mod.py", "@shared/x.py"},
		},
		{
			name:  "an egg-info directory that names nothing",
			items: with(files("a/x.py"), file(site+"a-1-py3.12.egg-info/PKG-INFO", "")),
			notes: []string{"the parent's a 1 has neither installed-files.txt nor top_level.txt: its files stay"},
		},
		{
			name:  "installed for editing",
			items: []item{file(site+"a.egg-link", "/src\n."), file("src/a.egg-info/PKG-INFO", "Version: 1\n"), file(site+"easy-install.pth", "/src\n")},
			want:  []string{"@a.egg-link"},
			notes: []string{"the parent's a 1 was installed for editing: its sources stay, and easy-install.pth still names them"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inv := inspect(t, parent.Options{Image: image(t, nil, layer(t, with(dockerPython(), tt.items...)...))})
			view, err := inv.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(inv.Python.Dists) != 1 {
				t.Fatalf("Dists = %v, want one", inv.Python.Dists)
			}
			paths, notes, err := parent.Removal(view, inv.Python, inv.Python.Dists)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, p := range tt.want {
				want = append(want, strings.Replace(p, "@", "/"+site, 1))
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, paths); diff != "" {
				t.Errorf("Removal: (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, notes); diff != "" {
				t.Errorf("Removal's notes: (-want +got)\n%s", diff)
			}
		})
	}
}

func TestRemovalOfSeveral(t *testing.T) {
	items := with(dockerPython(), with(files("ns/a.py", "ns/b.py", "ns/c.py", "other/x.py"),
		file(site+"a-1.dist-info/RECORD", "ns/a.py,,\n"), file(site+"b-1.dist-info/RECORD", "ns/b.py,,\nns/c.py,,\n"), file(site+"c-1.dist-info/RECORD", "other/x.py,,\n"))...)
	inv := inspect(t, parent.Options{Image: image(t, nil, layer(t, items...))})
	view, err := inv.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	paths, _, err := parent.Removal(view, inv.Python, inv.Python.Dists[:2])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/" + site + "a-1.dist-info", "/" + site + "b-1.dist-info", "/" + site + "ns"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("Removal of a and b: (-want +got)\n%s", diff)
	}
}

func TestRemovalInVenv(t *testing.T) {
	// RECORD speaks of lib64, which links to lib: what goes is where it is.
	items := with(dockerPython(), link("venv/bin/python", "/usr/local/bin/python3"), file("venv/pyvenv.cfg", "home = /usr/local/bin\n"),
		link("venv/lib64", "lib"), file("venv/lib/python3.12/site-packages/a.py", ""),
		file("venv/lib/python3.12/site-packages/a-1.dist-info/RECORD", "../../../lib64/python3.12/site-packages/a.py,,\n../../../../usr/local/lib/python3.12/os.py,,\n"))
	inv := inspect(t, parent.Options{Image: image(t, []string{"VIRTUAL_ENV=/venv"}, layer(t, items...))})
	view, err := inv.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	paths, notes, err := parent.Removal(view, inv.Python, inv.Python.Dists)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/venv/lib/python3.12/site-packages/a-1.dist-info", "/venv/lib/python3.12/site-packages/a.py"}, paths); diff != "" {
		t.Errorf("Removal: (-want +got)\n%s", diff)
	}
	if len(notes) != 1 {
		t.Errorf("notes = %q, want one about os.py", notes)
	}
}

func TestRemovalRefuses(t *testing.T) {
	items := with(dockerPython(), file(site+"plain-2.0.egg-info", "Version: 2.0\n"), file(site+"a.py", ""))
	inv := inspect(t, parent.Options{Image: image(t, nil, layer(t, items...))})
	view, err := inv.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	paths, _, err := parent.Removal(view, inv.Python, inv.Python.Dists)
	var re *parent.RemovalError
	if !errors.As(err, &re) || re.Name != "plain" || !strings.HasSuffix(re.Hint(), "or name a parent image without it") {
		t.Errorf("Removal = %q, %v; want a RemovalError for plain", paths, err)
	}
}
