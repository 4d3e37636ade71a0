// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/layers"
	"inlay/layers/pattern"
)

// defaultPath is the PATH of a container whose image sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A probe looks for the Python of an image.
type probe struct {
	view   *layers.View
	config *v1.ConfigFile
	arch   arch
	notes  []string
}

// An arch is a platform's processor.
type arch struct {
	uname   string // as `uname -m` says
	machine elf.Machine
	class   elf.Class
	data    elf.Data
	triplet string // Debian's name of the directory of its libraries
}

// arches are the platforms whose programs are known.
var arches = map[string]arch{
	"linux/amd64":   {"x86_64", elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, "x86_64-linux-gnu"},
	"linux/386":     {"i686", elf.EM_386, elf.ELFCLASS32, elf.ELFDATA2LSB, "i386-linux-gnu"},
	"linux/arm64":   {"aarch64", elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB, "aarch64-linux-gnu"},
	"linux/arm/v7":  {"armv7l", elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB, "arm-linux-gnueabihf"},
	"linux/arm/v6":  {"armv6l", elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB, "arm-linux-gnueabi"},
	"linux/arm/v5":  {"armv5l", elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB, "arm-linux-gnueabi"},
	"linux/ppc64le": {"ppc64le", elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2LSB, "powerpc64le-linux-gnu"},
	"linux/s390x":   {"s390x", elf.EM_S390, elf.ELFCLASS64, elf.ELFDATA2MSB, "s390x-linux-gnu"},
	"linux/riscv64": {"riscv64", elf.EM_RISCV, elf.ELFCLASS64, elf.ELFDATA2LSB, "riscv64-linux-gnu"},
	"linux/loong64": {"loongarch64", elf.EM_LOONGARCH, elf.ELFCLASS64, elf.ELFDATA2LSB, "loongarch64-linux-gnu"},
}

// archOf returns the processor of a platform, the zero arch if it is unknown.
// Variants of it are told apart for 32-bit ARM only.
func archOf(platform string) arch {
	parts := strings.SplitN(platform, "/", 3)
	if a, ok := arches[platform]; ok || len(parts) < 3 {
		return a
	}
	return arches[parts[0]+"/"+parts[1]]
}

// runs says whether p is a program of the processor.
func (a arch) runs(p program) bool {
	return p.ELF && p.Machine == a.machine && p.Class == a.class && p.Data == a.data
}

// python finds the interpreter and describes its environment by the table of
// the specification (python.md, section 2). The error is for people.
func (p *probe) python(setting string) (*Python, error) {
	if p.arch.uname == "" {
		return nil, errors.New("its architecture is not one that Python packages are made for")
	}
	exe, err := p.find(setting)
	if err != nil {
		return nil, err
	}
	real := p.resolve(exe)
	prog := p.program(real)
	switch {
	case prog.Script != "":
		return nil, fmt.Errorf("%s is a script (%s), and what it starts can't be told without running it", exe, prog.Script)
	case !prog.ELF && setting != "":
		return nil, fmt.Errorf("%s is not a Python interpreter", exe)
	case !prog.ELF:
		return nil, fmt.Errorf("%s is not a program", exe)
	case !p.arch.runs(prog):
		return nil, fmt.Errorf("%s is a program for another architecture (%v), not for %s", exe, prog.Machine, p.arch.uname)
	case setting == "" && strings.HasPrefix(real, "/nix/store/"):
		return nil, fmt.Errorf("%s is in the Nix store, where nothing can be installed", exe)
	}
	return p.environment(exe, real, prog)
}

// find returns the interpreter's path: the one of the settings, that of the
// active virtual environment, or the first on PATH. uv 0.13.9 was seen to try
// python, python3 and python3.N in each directory of PATH, to pass over what is
// no executable file and over Python 2, and to take the path as it is spelled;
// in a virtual environment it takes bin/python, else bin/python3.
func (p *probe) find(setting string) (string, error) {
	if strings.Contains(setting, "/") {
		return p.named(setting)
	}
	if venv := p.env("VIRTUAL_ENV"); setting == "" && path.IsAbs(venv) && p.isFile(path.Join(venv, "pyvenv.cfg")) {
		if exe := p.first(path.Join(venv, "bin"), "python", "python3"); exe != "" {
			return exe, nil
		}
		return "", fmt.Errorf("the virtual environment of VIRTUAL_ENV=%s has no interpreter: its bin/python leads to no program", venv)
	}
	dirs := p.env("PATH")
	if dirs == "" {
		dirs = defaultPath
	}
	for dir := range strings.SplitSeq(dirs, ":") {
		if !path.IsAbs(dir) {
			continue
		}
		names := []string{setting}
		if setting == "" {
			names = append([]string{"python", "python3"}, p.minors(dir)...)
		}
		if exe := p.first(dir, names...); exe != "" {
			return exe, nil
		}
	}
	if setting != "" {
		return "", fmt.Errorf("there is no program %s on its PATH (%s)", setting, dirs)
	}
	return "", fmt.Errorf("it has no Python on its PATH (%s)", dirs)
}

// named returns the interpreter that the settings name by its path, or by the
// directory of its environment.
func (p *probe) named(setting string) (string, error) {
	switch exe := path.Join("/", setting); {
	case !path.IsAbs(setting):
		return "", fmt.Errorf("python: %s is not an absolute path", setting)
	case p.executable(exe):
		return exe, nil
	case p.first(path.Join(exe, "bin"), "python", "python3") != "":
		return p.first(path.Join(exe, "bin"), "python", "python3"), nil
	default:
		return "", fmt.Errorf("it has no program %s", exe)
	}
}

func (p *probe) env(key string) string {
	value := ""
	for _, kv := range p.config.Config.Env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			value = v
		}
	}
	return value
}

var (
	rePython2 = pattern.New(`^python2(\.[0-9]+)?$`)
	reMinor   = pattern.New(`^python3\.([0-9]+)$`)
)

// first returns the first of the names in dir that is a program, but not
// Python 2.
func (p *probe) first(dir string, names ...string) string {
	for _, name := range names {
		exe := path.Join(dir, name)
		if p.executable(exe) && !rePython2().MatchString(path.Base(p.resolve(exe))) {
			return exe
		}
	}
	return ""
}

// minors returns the names like python3.11 in dir, the newest first.
func (p *probe) minors(dir string) []string {
	var found []string
	for _, name := range p.list(dir) {
		if reMinor().MatchString(name) {
			found = append(found, name)
		}
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(reMinor().FindStringSubmatch(name)[1]) // digits; too many make the highest
		return n
	}
	slices.SortStableFunc(found, func(a, b string) int { return number(b) - number(a) })
	return found
}

// The methods below take the image's absolute paths to the view's names.

func rel(p string) string {
	if p = strings.TrimPrefix(path.Clean(p), "/"); p != "" {
		return p
	}
	return "."
}

// resolve returns where p leads, "" if nowhere.
func (p *probe) resolve(name string) string {
	real, err := p.view.Resolve(rel(name))
	if err != nil {
		return ""
	}
	return path.Join("/", real)
}

func (p *probe) isFile(name string) bool {
	info, err := p.view.Stat(rel(name))
	return err == nil && info.Mode().IsRegular()
}

func (p *probe) isDir(name string) bool {
	info, err := p.view.Stat(rel(name))
	return err == nil && info.IsDir()
}

func (p *probe) executable(name string) bool {
	info, err := p.view.Stat(rel(name))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// list returns the names in a directory, sorted.
func (p *probe) list(dir string) []string {
	entries, err := p.view.ReadDir(rel(dir))
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// kept returns what was kept of a file, "" if nothing was.
func (p *probe) kept(name string) string {
	b, _ := p.view.Kept(rel(name))
	return string(b)
}

// program returns the facts of a file; none if it isn't named like one whose
// facts are kept.
func (p *probe) program(name string) (prog program) {
	if b, ok := p.view.Kept(rel(name)); ok {
		_ = json.Unmarshal(b, &prog) // what is no program has no facts
	}
	return prog
}
