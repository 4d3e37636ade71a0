// SPDX-License-Identifier: Apache-2.0

package parent_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/resolve/parent"
)

func TestNoPython(t *testing.T) {
	script := "#!/bin/sh\nexec /usr/bin/python3.11 \"$@\"\n"
	tests := []struct {
		name    string
		env     []string
		setting string
		items   []item
		want    string
	}{
		{
			name: "9: a script on PATH", env: []string{"PATH=/shims:/usr/bin"}, items: with(debianPython("3.11"), exe("shims/python", script)),
			want: "/shims/python is a script (#!/bin/sh), and what it starts can't be told without running it",
		},
		{
			name: "9: Nix", env: []string{"PATH=/bin"}, items: []item{
				link("bin/python3", "/nix/store/x-python3/bin/python3.12"),
				exe("nix/store/x-python3/bin/python3.12", interpreter("")), file("nix/store/x-python3/lib/python3.12/os.py", ""),
			},
			want: "/bin/python3 is in the Nix store, where nothing can be installed",
		},
		{
			name: "10: none", items: []item{exe("usr/bin/perl", interpreter(""))},
			want: "it has no Python on its PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)",
		},
		{name: "10: none that counts", env: []string{"PATH=/a:/b:/c::bin"}, items: []item{
			link("a/python3", "nowhere"), file("b/python3", interpreter("")),
			dir("c/python3", 0o755, 0, 0), exe("bin/python3", interpreter("")), exe("c/python3-config", script),
		}, want: "it has no Python on its PATH (/a:/b:/c::bin)"},
		{
			name: "an empty venv", env: []string{"VIRTUAL_ENV=/venv"}, items: with(debianPython("3.11"), file("venv/pyvenv.cfg", ""), link("venv/bin/python", "/gone")),
			want: "the virtual environment of VIRTUAL_ENV=/venv has no interpreter: its bin/python leads to no program",
		},
		{
			name: "a venv of another machine", env: []string{"PATH=/venv/bin"}, items: []item{exe("venv/bin/python", interpreter("")), file("venv/pyvenv.cfg", "home = /usr/bin\n")},
			want: `the virtual environment /venv was made from a Python in "/usr/bin" that is not in the image`,
		},
		{
			name: "another architecture", items: []item{exe("usr/bin/python3", object{machine: emARM64, interp: ldARM64}.bytes())},
			want: "/usr/bin/python3 is a program for another architecture (EM_AARCH64), not for x86_64",
		},
		{name: "not a program", items: []item{exe("usr/bin/python3", "hello")}, want: "/usr/bin/python3 is not a program"},
		{
			name: "no standard library", items: []item{exe("usr/bin/python3.12", interpreter("")), file("usr/lib/python3.11/os.py", "")},
			want: "/usr/bin/python3.12 has no standard library; there are others: /usr/lib/python3.11",
		},
		{
			name: "no standard library at all", items: []item{exe("usr/bin/python3", interpreter(""))},
			want: "/usr/bin/python3 has no standard library: there is no lib/python3.N/os.py above it",
		},
		{
			name: "several standard libraries", items: []item{exe("usr/bin/python3", interpreter("")), file("usr/lib/python3.11/os.py", ""), file("usr/lib/python3.12/os.py", "")},
			want: "/usr/bin/python3 could belong to /usr/lib/python3.11 or /usr/lib/python3.12",
		},
		{name: "named and missing", setting: "/opt/python", items: debianPython("3.11"), want: "it has no program /opt/python"},
		{name: "named and not on PATH", setting: "pypy3", env: []string{"PATH=/usr/bin"}, items: debianPython("3.11"), want: "there is no program pypy3 on its PATH (/usr/bin)"},
		{name: "named and relative", setting: "bin/python3", items: debianPython("3.11"), want: "python: bin/python3 is not an absolute path"},
		{
			name: "named and something else", setting: "/usr/bin/perl", items: with(debianPython("3.11"), exe("usr/bin/perl", interpreter(""))),
			want: "/usr/bin/perl is not a Python interpreter",
		},
		{
			name: "a link that leads out of the image and back", env: []string{"PATH=/x"}, items: []item{link("x/python3", "../../../loop"), link("loop", "x/python3")},
			want: "it has no Python on its PATH (/x)",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inv := inspect(t, parent.Options{Image: image(t, tt.env, layer(t, tt.items...)), Python: tt.setting})
			if inv.Python != nil || inv.PythonProblem != tt.want {
				t.Errorf("PythonProblem = %q, want %q; Python = %+v", inv.PythonProblem, tt.want, inv.Python)
			}
			var np *parent.NoPythonError
			if err := inv.NeedPython(); !errors.As(err, &np) || np.Problem != tt.want || np.Parent != "example.com/base:1" {
				t.Errorf("NeedPython() = %v, want a NoPythonError with %q", err, tt.want)
			} else if !strings.Contains(np.Hint(), "`python: /") {
				t.Errorf("Hint() = %q, want it to name the setting", np.Hint())
			}
		})
	}
}

func TestPythonOfOtherPlatforms(t *testing.T) {
	tests := []struct {
		os, arch, variant string
		obj               object
		libc              string
		uname             string
	}{
		{"linux", "arm64", "v8", object{machine: emARM64, interp: ldARM64}, "usr/lib/aarch64-linux-gnu/libc.so.6", "aarch64"},
		{"linux", "arm", "v7", object{machine: emARM, bits: 32, interp: ldARMHF}, "lib/arm-linux-gnueabihf/libc.so.6", "armv7l"},
		{"linux", "arm", "", object{machine: emARM, bits: 32, interp: ldARMHF}, "lib/libc.so.6", "armv7l"},
		{"linux", "s390x", "", object{machine: emS390, big: true, interp: ldS390}, "lib/s390x-linux-gnu/libc.so.6", "s390x"},
		{"linux", "amd64", "v3", object{machine: emX86, interp: ldLinux}, "lib64/libc.so.6", "x86_64"},
	}
	for _, tt := range tests {
		t.Run(tt.uname+tt.variant, func(t *testing.T) {
			c := tt.obj
			c.interp, c.defines = "", []string{"GLIBC_2.17", "GLIBC_2.39", "GLIBC_2.4"}
			img := imageFor(t, tt.os, tt.arch, tt.variant, nil, layer(t, exe("usr/bin/python3.12", tt.obj.bytes()), link("usr/bin/python3", "python3.12"),
				file("usr/lib/python3.12/os.py", ""), file(tt.libc, c.bytes())))
			inv := inspect(t, parent.Options{Image: img})
			if inv.Python == nil || inv.Python.Arch != tt.uname {
				t.Fatalf("Python = %+v (%s), want one for %s", inv.Python, inv.PythonProblem, tt.uname)
			}
			if diff := cmp.Diff(parent.Libc{Family: "glibc", Major: 2, Minor: 39}, inv.Libc); diff != "" {
				t.Errorf("Libc: (-want +got)\n%s", diff)
			}
		})
	}
	t.Run("unknown", func(t *testing.T) {
		inv := inspect(t, parent.Options{Image: imageFor(t, "linux", "mips64", "", nil, layer(t))})
		if want := "its architecture is not one that Python packages are made for"; inv.PythonProblem != want {
			t.Errorf("PythonProblem = %q, want %q", inv.PythonProblem, want)
		}
	})
}

// TestInterpreterOrder holds what uv 0.13.9 was seen to take.
func TestInterpreterOrder(t *testing.T) {
	tests := []struct {
		name  string
		path  string
		links []string
		want  string
	}{
		{"python before python3", "/a:/b", []string{"a/python3", "a/python"}, "/a/python"},
		{"the first directory first", "/a:/b", []string{"b/python", "a/python3"}, "/a/python3"},
		{"a version before the next directory", "/a:/b", []string{"b/python", "a/python3.12"}, "/a/python3.12"},
		{"the newest version", "/a", []string{"a/python3.9", "a/python3.12", "a/python3.11"}, "/a/python3.12"},
		{"as it is spelled", "/z/../a/:/b", []string{"a/python3"}, "/a/python3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items := dockerPython()
			for _, l := range tt.links {
				items = append(items, link(l, "/usr/local/bin/python3.12"))
			}
			inv := inspect(t, parent.Options{Image: image(t, []string{"PATH=" + tt.path}, layer(t, items...))})
			if inv.Python == nil || inv.Python.Interpreter != tt.want {
				t.Errorf("Interpreter of %v on %s = %+v, want %s", tt.links, tt.path, inv.Python, tt.want)
			}
		})
	}
}

func TestDists(t *testing.T) {
	const lib = "usr/local/lib/python3.12/site-packages/"
	items := with(dockerPython(),
		file(lib+"Foo_Bar.baz-1.2.dist-info/METADATA", "Name: Foo-Bar.baz\nVersion: 1.2\n"), file(lib+"Foo_Bar.baz-1.2.dist-info/RECORD", ""),
		file(lib+"torch-2.6.0a0+git.dist-info/WHEEL", ""),
		file(lib+"old-1.0-py3.12.egg-info/PKG-INFO", "Name: old\nVersion: 1.0\n"), file(lib+"plain-2.0.egg-info", "Name: plain\nVersion: 2.0\n"),
		file(lib+"unversioned.egg-info/PKG-INFO", "Metadata-Version: 1.0\nVersion: 7\n\nVersion: 8\n"),
		file(lib+"my-project.egg-link", "/src/my\n."), file("src/my/my_project.egg-info/PKG-INFO", "Version: 0.1.dev0\n"),
		file(lib+"gone.egg-link", "/src/gone\n"),
		// none of these is a distribution
		file(lib+"~umpy-1.0.dist-info/METADATA", ""), file(lib+"nover.dist-info/METADATA", ""), file(lib+"file-1.0.dist-info", ""),
		file(lib+"pkg/_vendor/inner-1.0.dist-info/METADATA", ""), file("usr/lib/python3/dist-packages/apt-1.0.dist-info/METADATA", ""))
	inv := inspect(t, parent.Options{Image: image(t, nil, layer(t, items...))})
	const at = "/" + lib
	want := []parent.Dist{
		{Name: "foo-bar-baz", Version: "1.2", Path: at + "Foo_Bar.baz-1.2.dist-info"},
		{Name: "my-project", Version: "0.1.dev0", Path: at + "my-project.egg-link"},
		{Name: "old", Version: "1.0", Path: at + "old-1.0-py3.12.egg-info"},
		{Name: "plain", Version: "2.0", Path: at + "plain-2.0.egg-info"},
		{Name: "torch", Version: "2.6.0a0+git", Path: at + "torch-2.6.0a0+git.dist-info"},
		{Name: "unversioned", Version: "7", Path: at + "unversioned.egg-info"},
	}
	if diff := cmp.Diff(want, inv.Python.Dists); diff != "" {
		t.Errorf("Dists: (-want +got)\n%s", diff)
	}
	view, err := inv.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := view.Kept(lib + "Foo_Bar.baz-1.2.dist-info/METADATA"); !ok || string(b) != "Name: Foo-Bar.baz\nVersion: 1.2\n" {
		t.Errorf("Kept(METADATA) = %q, %v", b, ok)
	}
}

func TestReplacedPython(t *testing.T) {
	// The upper layer removes one Python and brings another.
	lower := layer(t, dockerPython()...)
	upper := layer(t, file("usr/local/lib/.wh.python3.12", ""), file("usr/local/bin/.wh..wh..opq", ""),
		exe("usr/local/bin/python3.13", interpreter("")), link("usr/local/bin/python3", "python3.13"), file("usr/local/lib/python3.13/os.py", ""))
	inv := inspect(t, parent.Options{Image: image(t, []string{"PYTHON_VERSION=3.13.3"}, []v1.Layer{lower, upper}...)})
	if diff := cmp.Diff(python("docker", "3.13.3", "/usr/local", "3.13", "/usr/local/bin/python3"), inv.Python); diff != "" {
		t.Errorf("Python: (-want +got)\n%s", diff)
	}
}

// FuzzPrograms puts any bytes where programs and small files are looked at.
func FuzzPrograms(f *testing.F) {
	libc := object{machine: emX86, defines: []string{"GLIBC_2.36"}}.bytes()
	f.Add([]byte(interpreter("\x003.12.1\x00")), []byte(libc), []byte("root:x:0:0:::\n"), []byte("a/x.py,,\n"))
	f.Add([]byte(libc), []byte(interpreter("")), []byte("::::"), []byte("\"a\nb\",,"))
	f.Fuzz(func(t *testing.T, program, library, passwd, record []byte) {
		items := with(dockerPython()[1:5], exe("usr/local/bin/python3.12", string(program)), file("lib64/libc.so.6", string(library)),
			file("etc/passwd", string(passwd)), file("usr/local/lib/python3.12/site-packages/a-1.dist-info/RECORD", string(record)))
		raw := static.NewLayer(makeTar(t, items...), types.OCIUncompressedLayer)
		inv := inspect(t, parent.Options{Image: image(t, nil, raw)})
		if _, _, err := inv.Account("root"); err == nil && len(inv.Users) == 0 {
			t.Error("Account(root) succeeded without users")
		}
		if inv.Python == nil {
			return
		}
		view, err := inv.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		paths, _, err := parent.Removal(view, inv.Python, inv.Python.Dists)
		for _, p := range paths {
			if !strings.HasPrefix(p, "/usr/local/") || err != nil {
				t.Errorf("Removal = %q, %v: it leads out of the environment", paths, err)
			}
		}
	})
}

func ExampleInventory_Account() {
	inv := parent.Inventory{Name: "base", Users: []parent.User{{Name: "app", UID: 1000, GID: 1000}}}
	fmt.Println(inv.Account("app"))
	fmt.Println(inv.Account("1234:50"))
	fmt.Println(inv.Account("apo"))
	// Output:
	// 1000 1000 <nil>
	// 1234 50 <nil>
	// 0 0 user "apo" of parent image "base": there is no apo in its /etc/passwd
}

// FuzzEggs puts anything into the metadata that older tools left, and removes
// what it describes: nothing outside its environment goes.
func FuzzEggs(f *testing.F) {
	f.Add("Metadata-Version: 1.1\nName: a\nVersion: 1\n", "../a/x.py\n../../../../../etc/passwd\n", "a\n../../..\n", "a-1.egg-info")
	f.Add("Version: \x1b[2J\n", "", "", "b.egg-info")
	f.Add("version : 2\r\n", ".\n/\n", "/usr/local\n..\n", "a.egg-info")
	f.Fuzz(func(t *testing.T, info, installed, tops, name string) {
		if strings.ContainsAny(name, "/\x00") || name == "." || name == ".." || name == "" || len(name) > 90 {
			return
		}
		const site = "usr/local/lib/python3.12/site-packages/"
		items := with(dockerPython(), file(site+name+"/PKG-INFO", info), file(site+name+"/installed-files.txt", installed),
			file(site+name+"/top_level.txt", tops), file(site+"a/x.py", ""), file("etc/passwd", ""))
		inv := inspect(t, parent.Options{Image: image(t, nil, static.NewLayer(makeTar(t, items...), types.OCIUncompressedLayer))})
		view, err := inv.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range inv.Python.Dists {
			if strings.ContainsFunc(d.Version, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q would be shown", d.Version)
			}
		}
		paths, _, err := parent.Removal(view, inv.Python, inv.Python.Dists)
		if re := (*parent.RemovalError)(nil); err != nil && !errors.As(err, &re) {
			t.Fatal(err)
		}
		for _, p := range paths {
			if !strings.HasPrefix(p, "/usr/local/") || path.Clean(p) != p || strings.HasPrefix("/"+site, p+"/") {
				t.Errorf("%q would be removed", p)
			}
		}
	})
}
