// SPDX-License-Identifier: Apache-2.0

package parent_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/parent"
	"inlay/resolve/plan"
)

// posix returns the scheme posix_prefix of a Python at prefix.
func posix(prefix, minor, interpreter string) plan.Scheme {
	lib := prefix + "/lib/python" + minor + "/site-packages"
	return plan.Scheme{
		Purelib: lib, Platlib: lib, Scripts: prefix + "/bin", Data: prefix,
		Headers: prefix + "/include/python" + minor, Interpreter: interpreter, Version: minor,
	}
}

// local returns the scheme of a Python that leaves /usr to the distribution.
func local(minor, packages, headers string) plan.Scheme {
	lib := "/usr/local/lib/python" + minor + "/" + packages
	return plan.Scheme{
		Purelib: lib, Platlib: lib, Scripts: "/usr/local/bin", Data: "/usr/local",
		Headers: headers + "/python" + minor, Interpreter: "/usr/bin/python3", Version: minor,
	}
}

// by returns the scheme of an interpreter of another name.
func by(s plan.Scheme, interpreter string) plan.Scheme {
	s.Interpreter = interpreter
	return s
}

// python is a Python of one prefix.
func python(kind, version, prefix, minor, interpreter string) *parent.Python {
	return &parent.Python{
		Interpreter: interpreter, Version: version, Arch: "x86_64", Prefix: prefix, BasePrefix: prefix,
		Stdlib: prefix + "/lib/python" + minor, Scheme: posix(prefix, minor, interpreter), Kind: kind,
	}
}

// dockerPython is the /usr/local of an image like docker's python.
func dockerPython() []item {
	return []item{
		exe("usr/local/bin/python3.12", interpreter("")), link("usr/local/bin/python3", "python3.12"), link("usr/local/bin/python", "python3"),
		file("usr/local/lib/python3.12/os.py", ""), file("usr/local/lib/python3.12/site-packages/README.txt", ""),
		link("lib", "usr/lib"), link("lib64", "usr/lib64"), glibc("usr/lib/x86_64-linux-gnu/libc.so.6", "GLIBC_2.36"),
	}
}

// debianPython is the /usr of Debian with its Python.
func debianPython(minor string) []item {
	return []item{
		exe("usr/bin/python"+minor, interpreter("")), link("usr/bin/python3", "python"+minor), link("bin", "usr/bin"),
		file("usr/lib/python"+minor+"/os.py", ""), file("usr/lib/python3/dist-packages/six.py", ""),
		link("lib", "usr/lib"), glibc("usr/lib/x86_64-linux-gnu/libc-2.31.so", "GLIBC_2.31"), link("usr/lib/x86_64-linux-gnu/libc.so.6", "libc-2.31.so"),
	}
}

func with(items []item, more ...item) []item { return append(items, more...) }

// nvidiaTorch is a version that no index has.
const nvidiaTorch = "2.8.0a0+5228986c39.nv25.6"

var glibc236 = parent.Libc{Family: "glibc", Major: 2, Minor: 36}

// TestDecisionTable has a parent for each row of the decision table.
func TestDecisionTable(t *testing.T) {
	const usr = "PATH=/usr/local/bin:/usr/bin:/bin"
	edit := func(py *parent.Python, f func(*parent.Python)) *parent.Python { f(py); return py }
	tests := []struct {
		name    string
		env     []string
		setting string
		items   []item
		want    *parent.Python
		libc    parent.Libc
		notes   string
	}{
		{
			name: "0: an interpreter named in the settings", setting: "/opt/tools/bin/python3.11", env: []string{usr},
			items: with(dockerPython(), exe("opt/tools/bin/python3.11", interpreter("\x003.11.9\x00")), file("opt/tools/lib/python3.11/os.py", "")),
			want:  python("prefix", "3.11.9", "/opt/tools", "3.11", "/opt/tools/bin/python3.11"), libc: glibc236,
		},
		{
			name: "0: named by its environment", setting: "/opt/tools", env: []string{usr},
			items: with(dockerPython(), exe("opt/tools/bin/python3.11", interpreter("\x003.11.9\x00")), link("opt/tools/bin/python3", "python3.11"),
				file("opt/tools/lib/python3.11/os.py", "")),
			want: python("prefix", "3.11.9", "/opt/tools", "3.11", "/opt/tools/bin/python3"), libc: glibc236,
		},
		{
			name: "0: named as on PATH", setting: "python3", env: []string{"PYTHON_VERSION=3.12.11", usr}, items: dockerPython(),
			want: python("docker", "3.12.11", "/usr/local", "3.12", "/usr/local/bin/python3"), libc: glibc236,
		},
		{
			name: "1: a venv by VIRTUAL_ENV", env: []string{"VIRTUAL_ENV=/opt/venv", usr},
			items: with(debianPython("3.11"), link("opt/venv/bin/python", "python3"), link("opt/venv/bin/python3", "/usr/bin/python3"),
				file("opt/venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n"),
				link("opt/venv/lib64", "lib"), file("opt/venv/lib/python3.11/site-packages/x.py", ""), file("usr/lib/python3.11/EXTERNALLY-MANAGED", "")),
			want: &parent.Python{
				Interpreter: "/opt/venv/bin/python", Version: "3.11.2", Arch: "x86_64", Prefix: "/opt/venv", BasePrefix: "/usr",
				Stdlib: "/usr/lib/python3.11", Kind: "venv",
				Scheme: plan.Scheme{
					Purelib: "/opt/venv/lib/python3.11/site-packages", Platlib: "/opt/venv/lib/python3.11/site-packages", Scripts: "/opt/venv/bin",
					Data: "/opt/venv", Headers: "/opt/venv/include/site/python3.11", Interpreter: "/opt/venv/bin/python", Version: "3.11",
				},
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 31},
		},
		{
			name: "1: a venv of copies, on PATH, by virtualenv", env: []string{"PATH=/venv/bin:/usr/local/bin"},
			items: with(dockerPython(), exe("venv/bin/python3", interpreter("")),
				file("venv/pyvenv.cfg", "home = /usr/local/bin\nversion_info = 3.12.4.final.0\nversion = 3.12\n")),
			want: edit(python("venv", "3.12.4", "/venv", "3.12", "/venv/bin/python3"), func(py *parent.Python) {
				py.BasePrefix, py.Stdlib, py.Scheme.Headers = "/usr/local", "/usr/local/lib/python3.12", "/venv/include/site/python3.12"
			}),
			libc: glibc236,
		},
		{
			name: "2: conda", env: []string{"PATH=/opt/conda/bin:/usr/bin"},
			items: with(debianPython("3.11"), exe("opt/conda/bin/python3.10", interpreter("")), link("opt/conda/bin/python", "python3.10"),
				file("opt/conda/lib/python3.10/os.py", ""), file("opt/conda/conda-meta/history", ""),
				file("opt/conda/conda-meta/python-dateutil-2.8.2-pyhd8ed1ab_0.json", "{}"), file("opt/conda/conda-meta/python-3.10.13-h955ad1f_0.json", "{}"),
				file("opt/conda/lib/python3.10/_sysconfigdata_x86_64_conda_cos6_linux_gnu.py", "build_time_vars = {'ABIFLAGS': '',\n 'Py_DEBUG': 0}")),
			want: python("conda", "3.10.13", "/opt/conda", "3.10", "/opt/conda/bin/python"), libc: parent.Libc{Family: "glibc", Major: 2, Minor: 31},
		},
		{
			name: "3: docker's python", env: []string{usr, "PYTHON_VERSION=3.12.11"}, items: with(dockerPython(), debianPython("3.11")[:3]...),
			want: python("docker", "3.12.11", "/usr/local", "3.12", "/usr/local/bin/python"), libc: glibc236,
		},
		{
			name: "3: docker's python on Alpine", env: []string{usr, "PYTHON_VERSION=3.13.1"},
			items: []item{
				exe("usr/local/bin/python3.13", object{machine: emX86, interp: ldMusl}.bytes()), link("usr/local/bin/python3", "python3.13"),
				file("usr/local/lib/python3.13/os.py", ""), file("lib/apk/db/installed", "C:Q1\nP:libffi\nV:3.4.6-r0\n\nP:musl\nV:1.2.5-r9\nA:x86_64\n"),
				exe("lib/ld-musl-x86_64.so.1", object{machine: emX86, text: "\x001.2.4\x00"}.bytes()),
			},
			want: python("docker", "3.13.1", "/usr/local", "3.13", "/usr/local/bin/python3"), libc: parent.Libc{Family: "musl", Major: 1, Minor: 2},
		},
		{
			name: "4: Debian", items: with(debianPython("3.11"), file("usr/lib/python3.11/EXTERNALLY-MANAGED", "[externally-managed]"),
				file("var/lib/dpkg/status", "Package: python3.11-minimal\nStatus: install ok installed\nVersion: 3.11.2-6+deb12u6\n\nPackage: zlib\nVersion: 1\n")),
			want: &parent.Python{
				Interpreter: "/usr/bin/python3", Version: "3.11.2", Arch: "x86_64", Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib/python3.11",
				Kind: "debian", ExternallyManaged: true, Scheme: local("3.11", "dist-packages", "/usr/include"),
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 31},
		},
		{
			name: "4: Debian before 3.10, by distutils", items: with(debianPython("3.9"), file("usr/include/python3.9/patchlevel.h", "/* x */\n#define PY_VERSION      	\"3.9.2\"\n")),
			want: &parent.Python{
				Interpreter: "/usr/bin/python3", Version: "3.9.2", Arch: "x86_64", Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib/python3.9",
				Kind: "debian", Scheme: local("3.9", "dist-packages", "/usr/local/include"),
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 31},
		},
		{
			name: "4: distroless", items: []item{
				exe("usr/bin/python3.13", interpreter("")), link("usr/bin/python3", "/usr/bin/python3.13"), file("usr/lib/python3.13/os.py", ""),
				file("usr/lib/python3.13/sysconfig/__init__.py", "schemes = {'posix_local': 1}"), glibc("usr/lib/x86_64-linux-gnu/libc.so.6", "GLIBC_2.41"),
				file("var/lib/dpkg/status.d/libpython3", "Package: libpython3.13-minimal\nVersion: 3.13.5-2\n"),
			},
			want: &parent.Python{
				Interpreter: "/usr/bin/python3", Version: "3.13.5", Arch: "x86_64", Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib/python3.13",
				Kind: "debian", Scheme: local("3.13", "dist-packages", "/usr/include"),
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 41},
		},
		{
			name: "5: Fedora with rpm's prefix kept apart", items: []item{
				exe("usr/bin/python3.13", interpreter("")), link("usr/bin/python3", "python3.13"), link("usr/bin/python", "./python3"),
				file("usr/lib64/python3.13/os.py", ""), file("usr/lib64/python3.13/sysconfig/__init__.py", "'rpm_prefix': {"),
				file("usr/lib/python3.13/site-packages/x.py", ""), glibc("usr/lib64/libc.so.6", "GLIBC_2.40"),
				file("usr/lib64/libpython3.13.so.1.0", object{machine: emX86, text: "v3.13.0\x003.13.2\x003.13\x003.12.1\x00"}.bytes()),
			},
			want: &parent.Python{
				Interpreter: "/usr/bin/python", Version: "3.13.2", Arch: "x86_64", Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib64/python3.13", Kind: "fedora",
				Scheme: plan.Scheme{
					Purelib: "/usr/local/lib/python3.13/site-packages", Platlib: "/usr/local/lib64/python3.13/site-packages", Scripts: "/usr/local/bin",
					Data: "/usr/local", Headers: "/usr/include/python3.13", Interpreter: "/usr/bin/python", Version: "3.13",
				},
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 40},
		},
		{
			name: "5: UBI without that patch", items: []item{
				link("usr/bin/python3", "/etc/alternatives/python3"), link("etc/alternatives/python3", "/usr/bin/python3.11"),
				exe("usr/bin/python3.11", interpreter("\x003.11.7\x00")), file("usr/lib64/python3.11/os.py", ""), glibc("usr/lib64/libc.so.6", "GLIBC_2.34"),
			},
			want: &parent.Python{
				Interpreter: "/usr/bin/python3", Version: "3.11.7", Arch: "x86_64", Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib64/python3.11", Kind: "fedora",
				Scheme: plan.Scheme{
					Purelib: "/usr/lib/python3.11/site-packages", Platlib: "/usr/lib64/python3.11/site-packages", Scripts: "/usr/bin",
					Data: "/usr", Headers: "/usr/include/python3.11", Interpreter: "/usr/bin/python3", Version: "3.11",
				},
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 34},
		},
		{
			name: "5: Amazon Linux 2023", items: []item{
				link("bin", "usr/bin"), link("lib64", "usr/lib64"), link("usr/bin/python3", "python3.9"), exe("usr/bin/python3.9", interpreter("")),
				file("usr/lib64/python3.9/os.py", ""), file("usr/lib64/python3.9/distutils/command/install.py", ""), file("usr/lib/python3.9/site-packages/dnf/__init__.py", ""),
				file("usr/lib64/libpython3.9.so.1.0", object{machine: emX86, text: "\x003.9.25\x00"}.bytes()), glibc("usr/lib64/libc.so.6", "GLIBC_2.34"),
			},
			want: &parent.Python{
				Interpreter: "/usr/bin/python3", Version: "3.9.25", Arch: "x86_64", Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib64/python3.9", Kind: "fedora",
				Scheme: plan.Scheme{
					Purelib: "/usr/lib/python3.9/site-packages", Platlib: "/usr/lib64/python3.9/site-packages", Scripts: "/usr/bin",
					Data: "/usr", Headers: "/usr/include/python3.9", Interpreter: "/usr/bin/python3", Version: "3.9",
				},
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 34},
		},
		{
			name: "1: UBI's Python, a venv by s2i", env: []string{"VIRTUAL_ENV=/opt/app-root", "PATH=/opt/app-root/bin:/usr/bin:/bin"}, items: []item{
				link("opt/app-root/bin/python", "python3.12"), link("opt/app-root/bin/python3", "python3.12"), link("opt/app-root/bin/python3.12", "/usr/bin/python3.12"),
				file("opt/app-root/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.9\n"), link("opt/app-root/lib64", "lib"),
				exe("usr/bin/python3.12", interpreter("")), file("usr/lib64/python3.12/os.py", ""), glibc("usr/lib64/libc.so.6", "GLIBC_2.34"),
			},
			want: edit(python("venv", "3.12.9", "/opt/app-root", "3.12", "/opt/app-root/bin/python"), func(py *parent.Python) {
				py.BasePrefix, py.Stdlib, py.Scheme.Headers = "/usr", "/usr/lib64/python3.12", "/opt/app-root/include/site/python3.12"
			}),
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 34},
		},
		{
			name: "4: NVIDIA's PyTorch, on Ubuntu", env: []string{"PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PIP_CONSTRAINT=/etc/pip/constraint.txt"},
			items: with(debianPython("3.12"), link("usr/bin/python", "python3"), exe("usr/local/bin/pip", "#!/usr/bin/python"), file("etc/pip/constraint.txt", "torch==2.8.0a0\n"),
				file("usr/lib/python3.12/EXTERNALLY-MANAGED", ""), file("usr/local/lib/python3.12/dist-packages/torch-"+nvidiaTorch+".dist-info/METADATA", "Name: torch\nVersion: "+nvidiaTorch+"\n"),
				file("var/lib/dpkg/status", "Package: python3.12-minimal\nStatus: install ok installed\nVersion: 3.12.3-1ubuntu0.6\n")),
			want: &parent.Python{
				Interpreter: "/usr/bin/python", Version: "3.12.3", Arch: "x86_64", Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib/python3.12",
				Kind: "debian", ExternallyManaged: true, Scheme: by(local("3.12", "dist-packages", "/usr/include"), "/usr/bin/python"),
				Dists: []parent.Dist{{Name: "torch", Version: nvidiaTorch, Path: "/usr/local/lib/python3.12/dist-packages/torch-" + nvidiaTorch + ".dist-info"}},
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 31},
		},
		{
			name: "6: Alpine", items: []item{
				exe("usr/bin/python3.12", object{machine: emX86, interp: ldMusl}.bytes()), link("usr/bin/python3", "python3.12"),
				file("usr/lib/python3.12/os.py", ""), file("usr/lib/python3.12/EXTERNALLY-MANAGED", ""),
				file("lib/apk/db/installed", "P:python3\nV:3.12.3-r1\n\n"), exe("lib/ld-musl-x86_64.so.1", object{machine: emX86, text: "x\x001.2.5\x00"}.bytes()),
			},
			want: edit(python("system", "3.12.3", "/usr", "3.12", "/usr/bin/python3"), func(py *parent.Python) { py.ExternallyManaged = true }),
			libc: parent.Libc{Family: "musl", Major: 1, Minor: 2},
		},
		{
			name: "7: uv's own", env: []string{"PATH=/root/.local/bin:/usr/bin"}, items: []item{
				link("root/.local/bin/python3.13", "/root/.local/share/uv/python/cpython-3.13-linux-x86_64-gnu/bin/python3.13"),
				link("root/.local/share/uv/python/cpython-3.13-linux-x86_64-gnu", "cpython-3.13.5-linux-x86_64-gnu"),
				exe("root/.local/share/uv/python/cpython-3.13.5-linux-x86_64-gnu/bin/python3.13", interpreter("")),
				file("root/.local/share/uv/python/cpython-3.13.5-linux-x86_64-gnu/lib/python3.13/os.py", ""),
				file("root/.local/share/uv/python/cpython-3.13.5-linux-x86_64-gnu/lib/python3.13/EXTERNALLY-MANAGED", ""),
				glibc("lib64/libc.so.6", "GLIBC_2.36"),
			},
			want: edit(python("uv", "3.13.5", "/root/.local/share/uv/python/cpython-3.13.5-linux-x86_64-gnu", "3.13", "/root/.local/bin/python3.13"),
				func(py *parent.Python) { py.ExternallyManaged = true }),
			libc: glibc236,
		},
		{
			name: "8: Lambda", env: []string{"PATH=/var/lang/bin:/usr/bin"}, items: []item{
				exe("var/lang/bin/python3.12", interpreter("")), link("var/lang/bin/python3", "python3.12"), file("var/lang/lib/python3.12/os.py", ""),
				file("var/lang/lib/libpython3.12.so.1.0", object{machine: emX86, text: "\x003.12.9\x00"}.bytes()), glibc("lib64/libc.so.6", "GLIBC_2.34"),
			},
			want: python("lambda", "3.12.9", "/var/lang", "3.12", "/var/lang/bin/python3"), libc: parent.Libc{Family: "glibc", Major: 2, Minor: 34},
		},
		{
			name: "free-threaded, version from build-details.json", env: []string{usr}, items: []item{
				exe("usr/local/bin/python3.14t", interpreter("")), link("usr/local/bin/python3", "python3.14t"), file("usr/local/lib/python3.14t/os.py", ""),
				file("usr/local/lib/python3.14t/build-details.json",
					`{"language":{"version":"3.14"},"implementation":{"version":{"major":3,"minor":14,"micro":0,"releaselevel":"candidate","serial":2}}}`),
				file("usr/local/lib/python3.14t/_sysconfigdata_t_linux_x86_64-linux-gnu.py", "{'ABIFLAGS': 't',\n 'EXT_SUFFIX': '.so',\n 'Py_GIL_DISABLED': 1}"),
				glibc("lib64/libc.so.6", "GLIBC_2.36"),
			},
			want: &parent.Python{
				Interpreter: "/usr/local/bin/python3", Version: "3.14.0rc2", Arch: "x86_64", Prefix: "/usr/local", BasePrefix: "/usr/local",
				Stdlib: "/usr/local/lib/python3.14t", Kind: "docker", FreeThreaded: true,
				Scheme: plan.Scheme{
					Purelib: "/usr/local/lib/python3.14t/site-packages", Platlib: "/usr/local/lib/python3.14t/site-packages", Scripts: "/usr/local/bin",
					Data: "/usr/local", Headers: "/usr/local/include/python3.14t", Interpreter: "/usr/local/bin/python3", Version: "3.14",
				},
			},
			libc: glibc236,
		},
		{
			name: "debug build; version unknown", env: []string{usr}, items: with(dockerPython(),
				file("usr/local/lib/python3.12/_sysconfigdata_d_linux_x86_64-linux-gnu.py", "{'ABIFLAGS': 'd', 'Py_DEBUG': 1}")),
			want: edit(python("docker", "3.12.0", "/usr/local", "3.12", "/usr/local/bin/python"), func(py *parent.Python) {
				py.Debug, py.Scheme.Headers = true, "/usr/local/include/python3.12d"
			}),
			libc: glibc236, notes: "nothing in the parent tells the full version of /usr/local/bin/python3.12: taken for 3.12.0",
		},
		{
			name: "two versions built in; PYTHON_VERSION of another Python; python is Python 2", env: []string{"PYTHON_VERSION=3.12.1", "PATH=/usr/bin"},
			items: with(debianPython("3.11"), exe("usr/bin/python2.7", interpreter("")), link("usr/bin/python", "python2.7"),
				file("usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", object{machine: emX86, text: "\x003.11.1\x003.11.2\x00"}.bytes())),
			want: &parent.Python{
				Interpreter: "/usr/bin/python3", Version: "3.11.0", Arch: "x86_64", Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib/python3.11",
				Kind: "debian", Scheme: local("3.11", "dist-packages", "/usr/include"),
			},
			libc: parent.Libc{Family: "glibc", Major: 2, Minor: 31}, notes: "nothing in the parent tells the full version",
		},
		{
			name: "a name without a version, told by what is built in", setting: "/opt/bin/python", items: []item{
				exe("opt/bin/python", interpreter("\x003.12.2\x00")), file("opt/lib/python3.11/os.py", ""), file("opt/lib/python3.12/os.pyc", ""),
				glibc("lib64/libc.so.6", "GLIBC_2.36"),
			},
			want: python("prefix", "3.12.2", "/opt", "3.12", "/opt/bin/python"), libc: glibc236,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inv := inspect(t, parent.Options{Image: image(t, tt.env, layer(t, tt.items...)), Python: tt.setting})
			if diff := cmp.Diff(tt.want, inv.Python); diff != "" {
				t.Errorf("Python: %s (-want +got)\n%s", inv.PythonProblem, diff)
			}
			if diff := cmp.Diff(tt.libc, inv.Libc); diff != "" {
				t.Errorf("Libc: (-want +got)\n%s", diff)
			}
			if got := strings.Join(inv.Notes, "\n"); !strings.HasPrefix(got, tt.notes) || (tt.notes == "") != (got == "") {
				t.Errorf("Notes = %q, want %q", got, tt.notes)
			}
			if err := inv.NeedPython(); tt.want != nil && err != nil {
				t.Errorf("NeedPython() = %v", err)
			}
		})
	}
}
