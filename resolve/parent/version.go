// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"inlay/layers/pattern"
)

var (
	reFull    = pattern.New(`3\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+|\+)?`)
	reConda   = pattern.New(`^python-(3\.[0-9]+\.[0-9]+[a-z0-9]*)-[^-]+\.json$`)
	reManaged = pattern.New(`/cpython-(3\.[0-9]+\.[0-9]+[a-z0-9]*)(\+[a-z+]+)?-linux-`)
	rePython  = pattern.New(`^(lib)?python-?3(\.[0-9]+)?(-minimal|-stdlib|-base)?$`)
	rePackVer = pattern.New(`^(?:[0-9]+:)?([0-9]+\.[0-9]+\.[0-9]+)(?:[~_]?((?:a|b|rc)[0-9]+))?`)
)

// version returns the full version of h, from the source that knows best. Only
// a version of h's own X.Y counts.
func (p *probe) version(h home, kind string, v venv) string {
	sources := []func() []string{
		func() []string { return []string{p.buildDetails(h)} },
		func() []string { return matches(reConda(), p.list(path.Join(h.prefix, "conda-meta"))) },
		func() []string { return matches(reManaged(), []string{h.real}) },
		func() []string { return []string{v.version()} },
		func() []string {
			if kind == "docker" { // elsewhere it is only a variable
				return []string{p.env("PYTHON_VERSION")}
			}
			return nil
		},
		func() []string { return p.headerVersion(h) },
		func() []string { return p.packageVersion(h) },
		func() []string { return p.libraryVersion(h) },
	}
	for _, source := range sources {
		for _, s := range source() {
			if strings.HasPrefix(s, h.minor()+".") && reFull().FindString(s) == s {
				return s
			}
		}
	}
	p.notes = append(p.notes, fmt.Sprintf("nothing in the parent tells the full version of %s: taken for %s.0", h.real, h.minor()))
	return h.minor() + ".0"
}

func matches(re *regexp.Regexp, names []string) (found []string) {
	for _, name := range names {
		if m := re.FindStringSubmatch(name); m != nil {
			found = append(found, m[1])
		}
	}
	return found
}

// buildDetails reads the version of build-details.json (PEP 739).
func (p *probe) buildDetails(h home) string {
	var d struct {
		Implementation struct {
			Version struct {
				Major, Minor, Micro, Serial int
				Level                       string `json:"releaselevel"`
			}
		}
	}
	if json.Unmarshal([]byte(p.kept(path.Join(h.stdlib(), "build-details.json"))), &d) != nil {
		return ""
	}
	v := d.Implementation.Version
	full := fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
	if short, ok := map[string]string{"alpha": "a", "beta": "b", "candidate": "rc"}[v.Level]; ok {
		full += short + strconv.Itoa(v.Serial)
	}
	return full
}

// headerVersion reads PY_VERSION of the headers, where they are installed.
func (p *probe) headerVersion(h home) (found []string) {
	include := path.Join(h.prefix, "include")
	for _, name := range p.list(include) {
		if m := reNamed().FindStringSubmatch(name); m != nil && m[1] == h.minor() {
			found = append(found, reFull().FindString(p.kept(path.Join(include, name, "patchlevel.h"))))
		}
	}
	return found
}

// packageVersion reads the version of the distribution's package, if h is its.
func (p *probe) packageVersion(h home) (found []string) {
	if h.prefix != "/usr" {
		return nil
	}
	for _, pkg := range p.packages() {
		if m := rePackVer().FindStringSubmatch(pkg.Version); m != nil && rePython().MatchString(pkg.Name) {
			found = append(found, m[1]+m[2])
		}
	}
	return found
}

// libraryVersion reads the version that the interpreter or its library has
// built in, if there is only one that fits.
func (p *probe) libraryVersion(h home) []string {
	found := slices.Clone(h.prog.Versions)
	for _, lib := range []string{"lib", "lib64", "lib/" + p.arch.triplet} {
		dir := path.Join(h.prefix, lib)
		for _, name := range p.list(dir) {
			if strings.HasPrefix(name, "libpython"+h.minor()) {
				found = append(found, p.program(path.Join(dir, name)).Versions...)
			}
		}
	}
	one := ""
	for _, v := range found {
		switch {
		case !strings.HasPrefix(v, h.minor()+".") || v == one:
		case one != "":
			return nil
		default:
			one = v
		}
	}
	return []string{one}
}

// libc finds the C library: that of py, or of the image if it has no Python.
func (p *probe) libc(py *Python) Libc {
	interp := ""
	if py != nil {
		interp = p.program(py.Interpreter).Interp
	}
	switch {
	case strings.Contains(path.Base(interp), "ld-musl"):
		return p.musl(interp)
	case interp != "":
		return p.glibc(interp)
	}
	if l := p.glibc(""); l.Minor > 0 {
		return l
	}
	for _, name := range p.list("/lib") {
		if reMusl().MatchString(name) && p.arch.runs(p.program("/lib/"+name)) {
			return p.musl("/lib/" + name)
		}
	}
	if py != nil {
		p.notes = append(p.notes, py.Interpreter+" names no C library: wheels for any may not run")
	}
	return Libc{}
}

// glibc returns the version of the libc.so.6 that interp would load: the
// highest GLIBC_2.N that it defines.
func (p *probe) glibc(interp string) Libc {
	dirs := []string{"/lib/" + p.arch.triplet, "/usr/lib/" + p.arch.triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	if interp != "" {
		dirs = append(dirs, path.Dir(interp), path.Dir(p.resolve(interp)))
	}
	for _, dir := range dirs {
		if prog := p.program(path.Join(dir, "libc.so.6")); prog.Glibc > 0 && p.arch.runs(prog) {
			return Libc{Family: "glibc", Major: 2, Minor: prog.Glibc}
		}
	}
	if interp != "" {
		p.notes = append(p.notes, fmt.Sprintf("the parent's libc.so.6, which %s would load, was not found: its version is unknown", interp))
	}
	return Libc{Family: "glibc", Major: 2}
}

// musl returns the version that apk says, or else the one in the loader, which
// is musl itself.
func (p *probe) musl(interp string) Libc {
	var known []string
	for _, pkg := range p.packages() {
		if m := rePackVer().FindStringSubmatch(pkg.Version); m != nil && pkg.Name == "musl" {
			known = append(known, m[1])
		}
	}
	for _, v := range append(known, p.program(interp).Versions...) {
		var l Libc
		if n, _ := fmt.Sscanf(v, "%d.%d.", &l.Major, &l.Minor); n == 2 {
			l.Family = "musl"
			return l
		}
	}
	p.notes = append(p.notes, "nothing tells the version of the parent's musl: taken for 1.2")
	return Libc{Family: "musl", Major: 1, Minor: 2}
}
