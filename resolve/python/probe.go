// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"inlay/layers"
	"inlay/resolve/parent"
)

// A skeleton is a directory that looks to uv like the parent's environment: the
// metadata of what is installed, at the image's paths, and in place of the
// interpreter a script that answers uv's one question.
type skeleton struct {
	root    string // stands for the image's /
	python  string // the script
	builds  string // a file with the directories in which uv wanted to build something
	purelib string // where the image has its packages
}

// writeSkeleton makes a skeleton in dir, which must be empty and on a file
// system that lets scripts run.
func writeSkeleton(dir string, py *parent.Python, libc parent.Libc, view *layers.View) (*skeleton, error) {
	s := &skeleton{
		root:    filepath.Join(dir, "root"),
		builds:  filepath.Join(dir, outDir, buildsName),
		purelib: py.Scheme.Purelib,
	}
	s.python = filepath.Join(s.root, filepath.FromSlash(py.Interpreter))
	answer, err := json.Marshal(interpreterInfo(py, libc, s.root))
	if err != nil {
		return nil, err
	}
	root, err := writeMetadata(s.root, py, view)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	if err := root.MkdirAll(relative(path.Dir(py.Interpreter)), 0o755); err != nil {
		return nil, err
	}
	if err := writeScript(root, relative(py.Interpreter), interpreterScript(s.builds, answer)); err != nil {
		return nil, err
	}
	return s, mayRun(s.python)
}

// buildsName is the file that tells what uv wanted to build, in outDir.
const buildsName = "builds"

// writeMetadata makes the directory dir, with what the parent says of its
// packages at the paths that they have in the image.
func writeMetadata(dir string, py *parent.Python, view *layers.View) (_ *os.Root, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = root.Close()
		}
	}()
	for _, lib := range []string{py.Scheme.Purelib, py.Scheme.Platlib} {
		if err := root.MkdirAll(relative(lib), 0o755); err != nil {
			return nil, err
		}
	}
	for _, d := range py.Dists {
		if err := copyMetadata(root, view, relative(d.Path)); err != nil {
			return nil, fmt.Errorf("copying what the parent says of %s: %w", d.Name, err)
		}
	}
	return root, nil
}

// installedFiles are what an installer leaves in a .dist-info directory, as far
// as it decides anything.
type installedFiles struct {
	metadata []byte
	url      string // of the wheel, if its requirement gives it
}

// change takes what is gone out of the skeleton and puts what has come into it.
func (s *skeleton) change(gone, come []parent.Dist, files []installedFiles) error {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for _, d := range gone {
		if err := root.RemoveAll(relative(d.Path)); err != nil {
			return err
		}
	}
	for i, d := range come {
		if err := writeInstalled(root, relative(d.Path), files[i]); err != nil {
			return err
		}
	}
	return nil
}

// anyWheel is the WHEEL of what fits: the wheel wouldn't have been chosen
// otherwise.
const anyWheel = "Wheel-Version: 1.0\nGenerator: inlay\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

// writeInstalled describes an installed distribution.
func writeInstalled(root *os.Root, dir string, f installedFiles) error {
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := root.WriteFile(path.Join(dir, "METADATA"), f.metadata, 0o644); err != nil {
		return err
	}
	if err := root.WriteFile(path.Join(dir, "WHEEL"), []byte(anyWheel), 0o644); err != nil {
		return err
	}
	if f.url == "" {
		return nil
	}
	direct, err := json.Marshal(map[string]any{"url": f.url, "archive_info": map[string]any{}}) // PEP 610
	if err != nil {
		return err
	}
	return root.WriteFile(path.Join(dir, "direct_url.json"), direct, 0o644)
}

// relative returns an absolute path of the image as fs.FS names it.
func relative(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// unread are files of a dist-info directory that a dry run doesn't read. RECORD
// can be megabytes.
var unread = []string{"RECORD", "RECORD.jws", "RECORD.p7s"}

// copyMetadata copies a .dist-info or .egg-info directory, or an .egg-info or
// .egg-link file, as far as its files were kept.
func copyMetadata(root *os.Root, view *layers.View, name string) error {
	entries, err := view.ReadDir(name)
	if err != nil {
		return copyFile(root, view, name, err)
	}
	if err := root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		file := path.Join(name, e.Name())
		content, ok := view.Kept(file)
		if !ok || slices.Contains(unread, e.Name()) {
			continue
		}
		if err := root.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file that stands for a distribution; absent is the error if
// it isn't there. The first line of an .egg-link is the directory of a project,
// which must be found in the skeleton and not on this machine.
func copyFile(root *os.Root, view *layers.View, name string, absent error) error {
	content, ok := view.Kept(name)
	if !ok {
		return absent
	}
	if path.Ext(name) == ".egg-link" {
		line, _, _ := strings.Cut(string(content), "\n")
		project := relative(strings.TrimSpace(line))
		entries, err := view.ReadDir(project)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if egg := path.Join(project, e.Name()); path.Ext(egg) == ".egg-info" {
				if err := copyMetadata(root, view, egg); err != nil {
					return err
				}
			}
		}
		content = []byte(filepath.Join(root.Name(), filepath.FromSlash(project)) + "\n.")
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return root.WriteFile(name, content, 0o644)
}

// script is the stand-in for the interpreter. uv learns all it knows of a
// Python by running `python -I -B -c <code>` with get_interpreter_info in the
// code and reading one JSON object; whatever else it runs is a build, which is
// refused after noting the directory. The answer stands inside the script
// because uv caches it by the script's path and change time. It needs no program
// but the shell, for the PATH is the user's, and perhaps empty.
const script = `#!/bin/sh
case "$1 $*" in
"-I "*get_interpreter_info*) ;;
*) pwd >>%s; echo "no interpreter here: a build is needed" >&2; exit 86 ;;
esac
printf '%%s\n' %s
`

// interpreterScript is the script that gives an answer, and notes builds in a file.
func interpreterScript(builds string, answer []byte) string {
	return fmt.Sprintf(script, quote(builds), quote(string(answer)))
}

// quote quotes s for sh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// writeScript writes an executable. No process may be forked meanwhile: it
// would hold the file open for writing until it execs, and the kernel refuses
// to run a file that is open for writing.
func writeScript(root *os.Root, name, content string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return root.WriteFile(name, []byte(content), 0o755)
}

// info is what uv reads of an interpreter, as uv 0.6.15 to 0.13.9 want it: they
// ignore fields that they don't know and insist on those that they do. uv
// 0.13.8 replaced Platform by OS, Arch and CPUInfo.
type info struct {
	Result      string            `json:"result"`
	Markers     map[string]string `json:"markers"` // PEP 508
	Platform    platform          `json:"platform"`
	OS          libcInfo          `json:"os"`
	Arch        string            `json:"arch"`
	CPUInfo     map[string]string `json:"cpu_info"`
	Manylinux   bool              `json:"manylinux_compatible"` // on musl too
	Scheme      scheme            `json:"scheme"`
	Virtualenv  scheme            `json:"virtualenv"` // paths in a venv made from this Python
	Prefix      string            `json:"sys_prefix"`
	BasePrefix  string            `json:"sys_base_prefix"`
	BaseExec    string            `json:"sys_base_exec_prefix"`
	Executable  string            `json:"sys_executable"`
	BaseExe     string            `json:"sys_base_executable"`
	Path        []string          `json:"sys_path"`
	Site        []string          `json:"site_packages"`
	Stdlib      string            `json:"stdlib"`
	Suffixes    []string          `json:"extension_suffixes"`
	Standalone  bool              `json:"standalone"`
	NoGIL       bool              `json:"gil_disabled"`
	Debug       bool              `json:"debug_enabled"`
	PointerSize string            `json:"pointer_size"` // bits
}

type platform struct {
	OS   libcInfo `json:"os"`
	Arch string   `json:"arch"`
}

type libcInfo struct {
	Name  string `json:"name"`
	Major int    `json:"major"`
	Minor int    `json:"minor"`
}

type scheme struct {
	Purelib string `json:"purelib"`
	Platlib string `json:"platlib"`
	Include string `json:"include"`
	Scripts string `json:"scripts"`
	Data    string `json:"data"`
}

// interpreterInfo describes py with root in front of its paths. Executable and
// BaseExe are both the script: a build environment's python links to it, and
// must never meet a Python of this machine.
func interpreterInfo(py *parent.Python, libc parent.Libc, root string) info {
	in := func(p string) string { return filepath.Join(root, filepath.FromSlash(p)) }
	libcName, pointer := "manylinux", "64"
	if libc.Family == "musl" {
		libcName = "musllinux"
	}
	if arches[py.Arch].bits == 32 {
		pointer = "32"
	}
	lib := "python" + minorVersion(py.Version)
	if py.FreeThreaded {
		lib += "t"
	}
	base := py.BasePrefix
	if base == "" {
		base = py.Prefix
	}
	system := libcInfo{Name: libcName, Major: libc.Major, Minor: libc.Minor}
	return info{
		Result:    "success",
		Markers:   markers(py),
		Platform:  platform{OS: system, Arch: py.Arch},
		OS:        system,
		Arch:      py.Arch,
		CPUInfo:   map[string]string{"unavailable": "an image has no CPU"},
		Manylinux: true,
		Scheme: scheme{
			Purelib: in(py.Scheme.Purelib), Platlib: in(py.Scheme.Platlib), Include: in(py.Scheme.Headers),
			Scripts: in(py.Scheme.Scripts), Data: in(py.Scheme.Data),
		},
		Virtualenv: scheme{
			Purelib: "lib/" + lib + "/site-packages", Platlib: "lib/" + lib + "/site-packages",
			Include: "include/site/" + lib, Scripts: "bin",
		},
		Prefix: in(py.Prefix), BasePrefix: in(base), BaseExec: in(base),
		Executable: in(py.Interpreter), BaseExe: in(py.Interpreter),
		Path:        []string{in(py.Stdlib), in(py.Scheme.Purelib)},
		Site:        slices.Compact([]string{in(py.Scheme.Purelib), in(py.Scheme.Platlib)}),
		Stdlib:      in(py.Stdlib),
		Suffixes:    suffixes(py, libc),
		NoGIL:       py.FreeThreaded,
		Debug:       py.Debug,
		PointerSize: pointer,
	}
}

// markers returns the environment markers of py (PEP 508). Nothing is known of
// the kernel.
func markers(py *parent.Python) map[string]string {
	return map[string]string{
		"implementation_name": "cpython", "implementation_version": py.Version,
		"os_name": "posix", "platform_machine": py.Arch, "platform_python_implementation": "CPython",
		"platform_release": "", "platform_system": "Linux", "platform_version": "",
		"python_full_version": py.Version, "python_version": minorVersion(py.Version), "sys_platform": "linux",
	}
}

// An arch is a machine as `uname -m` names it.
type arch struct {
	triplet string // the first part of Debian's multiarch name
	eabi    string // what follows "gnu" or "musl" in it
	bits    int
	oldest  int // the lowest glibc 2.x with a manylinux tag
}

// arches are the machines that wheels are made for (PEP 600, PEP 656) and that
// uv knows.
var arches = map[string]arch{
	"x86_64":      {triplet: "x86_64", bits: 64, oldest: 5},
	"aarch64":     {triplet: "aarch64", bits: 64, oldest: 17},
	"i686":        {triplet: "i386", bits: 32, oldest: 5},
	"armv7l":      {triplet: "arm", eabi: "eabihf", bits: 32, oldest: 17},
	"ppc64le":     {triplet: "powerpc64le", bits: 64, oldest: 17},
	"s390x":       {triplet: "s390x", bits: 64, oldest: 17},
	"riscv64":     {triplet: "riscv64", bits: 64, oldest: 17},
	"loongarch64": {triplet: "loongarch64", bits: 64, oldest: 17},
}

func (a arch) multiarch(libc parent.Libc) string {
	if libc.Family == "musl" {
		return a.triplet + "-linux-musl" + a.eabi
	}
	return a.triplet + "-linux-gnu" + a.eabi
}

// suffixes returns how the names of py's extension modules may end.
func suffixes(py *parent.Python, libc parent.Libc) []string {
	abi := "cpython-" + strings.ReplaceAll(minorVersion(py.Version), ".", "") + abiFlags(py)
	own := "." + abi + "-" + arches[py.Arch].multiarch(libc) + ".so"
	if py.FreeThreaded {
		return []string{own, ".so"}
	}
	return []string{own, ".abi3.so", ".so"}
}

// abiFlags returns what follows the version in the name of py's binary
// interface: "t" in "cp314t".
func abiFlags(py *parent.Python) (flags string) {
	if py.FreeThreaded {
		flags = "t"
	}
	if py.Debug {
		flags += "d"
	}
	return flags
}

// minorVersion returns "3.11" of "3.11.2".
func minorVersion(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}
