// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/plan"
)

// A home is where an interpreter's standard library was found.
type home struct {
	prefix string // "/usr"
	lib    string // "lib" or "lib64"
	name   string // "python3.11", "python3.13t"
	real   string // the interpreter, with all links resolved
	prog   program
	vars   map[string]string // of its build: ABIFLAGS, Py_DEBUG, Py_GIL_DISABLED
}

func (h home) stdlib() string { return path.Join(h.prefix, h.lib, h.name) }

// minor returns "3.11".
func (h home) minor() string { return strings.TrimSuffix(strings.TrimPrefix(h.name, "python"), "t") }

// environment describes the environment of the interpreter exe, which is the
// file real.
func (p *probe) environment(exe, real string, prog program) (*Python, error) {
	venv := p.venv(exe)
	base := real
	if venv.dir != "" {
		var err error
		if base, err = p.base(venv, real); err != nil {
			return nil, err
		}
	}
	h, err := p.landmark(base, prog)
	if err != nil {
		return nil, err
	}
	py := &Python{
		Interpreter: exe, Arch: p.arch.uname, Prefix: h.prefix, BasePrefix: h.prefix, Stdlib: h.stdlib(),
		FreeThreaded: strings.HasSuffix(h.name, "t") || h.vars["Py_GIL_DISABLED"] == "1",
		Debug:        h.vars["Py_DEBUG"] == "1",
	}
	py.Kind, py.Scheme = p.scheme(h)
	py.ExternallyManaged = p.isFile(path.Join(py.Stdlib, "EXTERNALLY-MANAGED"))
	py.Version = p.version(h, py.Kind, venv)
	if venv.dir != "" {
		py.Kind, py.Prefix, py.ExternallyManaged = "venv", venv.dir, false
		py.Scheme = p.venvScheme(venv.dir, h)
	}
	py.Scheme.Interpreter, py.Scheme.Version = exe, h.minor()
	py.Dists = p.dists(py.Scheme.Purelib, py.Scheme.Platlib)
	return py, nil
}

// A venv is a virtual environment (PEP 405).
type venv struct {
	dir string // "" for none
	cfg map[string]string
}

// venv returns the environment that exe belongs to: pyvenv.cfg is looked for
// beside exe and above, without following exe as CPython doesn't.
func (p *probe) venv(exe string) venv {
	bin := path.Dir(exe)
	for _, dir := range []string{bin, path.Dir(bin)} {
		if name := path.Join(dir, "pyvenv.cfg"); p.isFile(name) {
			cfg := map[string]string{}
			for key, value := range assignments(p.kept(name)) {
				cfg[strings.ToLower(key)] = value
			}
			return venv{dir: dir, cfg: cfg}
		}
	}
	return venv{}
}

// base returns the interpreter that a virtual environment was made from: what
// its own one links to or, if that is a copy, the same one in pyvenv.cfg's home.
func (p *probe) base(v venv, real string) (string, error) {
	if !strings.HasPrefix(real, p.resolve(v.dir)+"/") {
		return real, nil
	}
	dir := v.cfg["home"]
	minor := strings.Join(strings.SplitN(v.version(), ".", 3)[:min(2, strings.Count(v.version(), ".")+1)], ".")
	for _, name := range []string{path.Base(real), "python" + minor, "python3", "python"} {
		if exe := path.Join("/", dir, name); dir != "" && p.executable(exe) {
			return p.resolve(exe), nil
		}
	}
	return "", fmt.Errorf("the virtual environment %s was made from a Python in %q that is not in the image", v.dir, dir)
}

// version returns what pyvenv.cfg says of the Python: the standard library
// writes version, virtualenv and uv write version_info.
func (v venv) version() string {
	for _, key := range []string{"version_info", "version"} {
		if s := reFull().FindString(v.cfg[key]); s != "" {
			return s
		}
	}
	return ""
}

var (
	reLib   = pattern.New(`^python3\.[0-9]+t?$`)
	reNamed = pattern.New(`^python(3\.[0-9]+)(t?)[dmu]*$`)
)

// landmark finds the standard library of the interpreter real as CPython does:
// the nearest directory above it with lib/pythonX.Y/os.py.
func (p *probe) landmark(real string, prog program) (home, error) {
	want := ""
	if m := reNamed().FindStringSubmatch(path.Base(real)); m != nil {
		want = "python" + m[1] + m[2]
	}
	var others []string
	for dir := path.Dir(real); ; dir = path.Dir(dir) {
		var here []home
		for _, h := range p.libs(dir) {
			if want == h.name || want == "" && h.builtInto(prog) {
				here = append(here, h)
			} else {
				others = append(others, h.stdlib())
			}
		}
		if len(here) == 1 {
			here[0].real, here[0].prog = real, p.program(real)
			here[0].vars = p.buildVars(here[0])
			return here[0], nil
		}
		if len(here) > 1 {
			return home{}, fmt.Errorf("%s could belong to %s or %s", real, here[0].stdlib(), here[1].stdlib())
		}
		if dir == "/" {
			break
		}
	}
	return home{}, homeless(real, others)
}

// homeless says that there is no landmark for the interpreter real, only others.
func homeless(real string, others []string) error {
	if len(others) > 0 {
		return fmt.Errorf("%s has no standard library; there are others: %s", real, strings.Join(others, ", "))
	}
	return fmt.Errorf("%s has no standard library: there is no lib/python3.N/os.py above it", real)
}

// libs returns the standard libraries in the lib directories of prefix.
func (p *probe) libs(prefix string) []home {
	var found []home
	for _, lib := range []string{"lib", "lib64"} {
		for _, name := range p.list(path.Join(prefix, lib)) {
			h := home{prefix: prefix, lib: lib, name: name}
			if !reLib().MatchString(name) || slices.ContainsFunc(found, func(o home) bool { return p.resolve(o.stdlib()) == p.resolve(h.stdlib()) }) {
				continue
			}
			if p.isFile(path.Join(h.stdlib(), "os.py")) || p.isFile(path.Join(h.stdlib(), "os.pyc")) {
				found = append(found, h)
			}
		}
	}
	return found
}

// builtInto says whether prog's version strings speak for h; without any, all
// may be right.
func (h home) builtInto(prog program) bool {
	return len(prog.Versions) == 0 ||
		slices.ContainsFunc(prog.Versions, func(v string) bool { return strings.HasPrefix(v, h.minor()+".") })
}

// buildVars returns the variables of the build that _sysconfigdata_*.py holds.
// Debian keeps those of the debug build beside it, marked by a d.
func (p *probe) buildVars(h home) map[string]string {
	vars := map[string]string{}
	var names []string
	for _, name := range p.list(h.stdlib()) {
		if strings.HasPrefix(name, "_sysconfigdata_") && path.Ext(name) == ".py" {
			names = append(names, name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return strings.Index(a+"_", "_d_") - strings.Index(b+"_", "_d_") // -1, and so first, without the mark
	})
	if len(names) == 0 {
		return vars
	}
	for line := range strings.Lines(p.kept(path.Join(h.stdlib(), names[0]))) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			vars[strings.Trim(key, "'")] = strings.Trim(value, "'")
		}
	}
	return vars
}

// scheme returns the kind of installation that h is, and where it installs to.
func (p *probe) scheme(h home) (kind string, s plan.Scheme) {
	s = plan.Scheme{
		Purelib: path.Join(h.prefix, "lib", h.name, "site-packages"),
		Platlib: path.Join(h.prefix, h.lib, h.name, "site-packages"),
		Scripts: path.Join(h.prefix, "bin"),
		Data:    h.prefix,
		Headers: path.Join(h.prefix, "include", "python"+h.minor()+p.abiFlags(h)),
	}
	switch {
	case p.isFile(path.Join(h.prefix, "conda-meta/history")):
		return "conda", s
	case h.prefix == "/usr/local":
		return "docker", s
	case reManaged().MatchString(h.real):
		return "uv", s
	case h.prefix == "/var/lang":
		return "lambda", s
	case h.prefix != "/usr":
		return "prefix", s
	case p.isDir("/usr/lib/python3/dist-packages") || p.patched(h, "posix_local"):
		return "debian", h.debian(s)
	case h.lib == "lib64":
		if p.patched(h, "rpm_prefix") || p.patched(h, "RPM_BUILD_ROOT") {
			s = h.fedora(s)
		}
		return "fedora", s
	default:
		return "system", s
	}
}

// distutils says whether uv asks distutils for the scheme, which it does before
// Python 3.10.
func (h home) distutils() bool {
	return slices.Contains([]string{"3.6", "3.7", "3.8", "3.9"}, h.minor())
}

// debian returns the scheme posix_local of Debian's sysconfig, or unix_local of
// its distutils, which has headers of its own.
func (h home) debian(s plan.Scheme) plan.Scheme {
	s.Purelib = "/usr/local/lib/" + h.name + "/dist-packages"
	s.Platlib = s.Purelib
	s.Scripts, s.Data = "/usr/local/bin", "/usr/local"
	if h.distutils() {
		s.Headers = "/usr/local/include/" + path.Base(s.Headers)
	}
	return s
}

// fedora returns the scheme of a Python with Fedora's patch 251, which keeps
// /usr for rpm.
func (h home) fedora(s plan.Scheme) plan.Scheme {
	s.Purelib = "/usr/local/lib/" + h.name + "/site-packages"
	s.Platlib = "/usr/local/lib64/" + h.name + "/site-packages"
	s.Scripts, s.Data = "/usr/local/bin", "/usr/local"
	if h.distutils() {
		s.Headers = "/usr/local/include/" + path.Base(s.Headers)
	}
	return s
}

// patched says whether a distribution's mark is in the module that decides
// where things are installed.
func (p *probe) patched(h home, mark string) bool {
	names := []string{"sysconfig.py", "sysconfig/__init__.py"}
	if h.distutils() {
		names = append(names, "distutils/command/install.py")
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.Contains(strings.Fields(p.kept(path.Join(h.stdlib(), name))), mark)
	})
}

// abiFlags returns what follows the version in the name of the header
// directory: "t" of a free-threaded Python, "d" of a debug build, "m" before 3.8.
func (p *probe) abiFlags(h home) string {
	if flags, ok := h.vars["ABIFLAGS"]; ok {
		return flags
	}
	return strings.TrimPrefix(h.name, "python"+h.minor())
}

// venvScheme returns the scheme of a virtual environment. Headers go where pip
// and uv put them, which is not where sysconfig says.
func (p *probe) venvScheme(dir string, h home) plan.Scheme {
	s := plan.Scheme{
		Purelib: path.Join(dir, "lib", h.name, "site-packages"),
		Platlib: path.Join(dir, h.lib, h.name, "site-packages"),
		Scripts: path.Join(dir, "bin"),
		Data:    dir,
		Headers: path.Join(dir, "include/site", "python"+h.minor()),
	}
	if real := p.resolve(path.Join(dir, h.lib)); real == "" || real == p.resolve(path.Join(dir, "lib")) {
		s.Platlib = s.Purelib // lib64 links to lib
	}
	return s
}
