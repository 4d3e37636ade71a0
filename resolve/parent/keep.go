// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"bufio"
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"inlay/layers"
	"inlay/layers/pattern"
	"inlay/resolve/apt/setup"
)

// maxText bounds a text file that is kept whole, in bytes.
const maxText = 32 << 20

// metadata are the files of a .dist-info or .egg-info directory that say what is
// installed and how it is removed.
var metadata = []string{
	"METADATA", "RECORD", "WHEEL", "INSTALLER", "REQUESTED", "direct_url.json", "entry_points.txt", "top_level.txt",
	"PKG-INFO", "requires.txt", "namespace_packages.txt", "installed-files.txt",
}

var (
	reProgram    = pattern.New(`^(platform-)?python[0-9.]*[a-z]*$|^libpython3[0-9a-z.]*\.so[0-9.]*$`)
	reGlibc      = pattern.New(`^libc(\.so\.6|-2\.[0-9]+\.so)$`)
	reMusl       = pattern.New(`^ld-musl-[a-z0-9_]+\.so\.1$|^libc\.so$`)
	reSysconfig  = pattern.New(`(^|/)python3\.[0-9]+t?/(sysconfig\.py|sysconfig/__init__\.py|distutils/command/install\.py)$`)
	rePatchlevel = pattern.New(`(^|/)include/python3\.[0-9]+[a-z]*/patchlevel\.h$`)
	reDpkg       = pattern.New(`^var/lib/dpkg/status(\.d/[^/]+)?$`)
	reApk        = pattern.New(`^(usr/)?lib/apk/db/installed$`)

	// What is looked for in the files that the regular expressions above name.
	reScheme    = pattern.New(`posix_local|rpm_prefix|RPM_BUILD_ROOT`)
	rePyVersion = pattern.New(`(?m)^#define[ \t]+PY_VERSION[ \t]+"[^"\n]*"`)
	reBuildVars = pattern.New(`'(ABIFLAGS|Py_GIL_DISABLED|Py_DEBUG)': ('[^'\n]*'|-?\d+)`)
)

// keep says what an index keeps of a layer: the small files that describe
// Pythons and their packages, and facts about the programs among them. Where a
// link will lead isn't known while a layer is read, so it goes by names.
func keep(e layers.Entry) func(io.Reader) ([]byte, error) {
	dir, base := path.Split(e.Path)
	in := path.Ext(strings.TrimSuffix(dir, "/"))
	switch {
	case in == ".dist-info" || in == ".egg-info":
		if slices.Contains(metadata, base) || strings.HasPrefix(base, "uv_") && path.Ext(base) == ".json" {
			return text
		}
	case path.Ext(base) == ".egg-info" || path.Ext(base) == ".egg-link":
		return text
	case slices.Contains([]string{"EXTERNALLY-MANAGED", "pyvenv.cfg", "build-details.json"}, base):
		return text
	case slices.Contains([]string{"etc/passwd", "etc/group", "etc/os-release", "usr/lib/os-release"}, e.Path):
		return text
	case setup.Reads(e.Path), strings.HasPrefix(e.Path, "var/lib/dpkg/status") && reDpkg().MatchString(e.Path):
		return text // as resolve/apt reads it
	}
	return facts(e.Path, base)
}

// facts returns what extracts the facts of a file of that name. It is asked for
// every file of an image: most names are told apart without matching anything.
func facts(name, base string) func(io.Reader) ([]byte, error) {
	switch {
	case strings.HasPrefix(base, "lib"), strings.HasPrefix(base, "ld-"), strings.HasPrefix(base, "p"):
		switch {
		case reProgram().MatchString(base):
			return func(r io.Reader) ([]byte, error) { return describe(r, "\x003.") }
		case reMusl().MatchString(base):
			return func(r io.Reader) ([]byte, error) { return describe(r, "\x001.") }
		case reGlibc().MatchString(base):
			return describeGlibc
		case base == "patchlevel.h" && rePatchlevel().MatchString(name):
			return found(rePyVersion())
		}
	case strings.HasPrefix(base, "_sysconfigdata_") && path.Ext(base) == ".py":
		return found(reBuildVars())
	case path.Ext(base) == ".py" && strings.Contains(name, "/python3.") && reSysconfig().MatchString(name):
		return found(reScheme())
	case base == "installed" && reApk().MatchString(name):
		return apk.installed
	}
	return nil
}

// text keeps a file whole.
func text(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(b) > maxText {
		err = fmt.Errorf("it is larger than %d MiB", maxText>>20)
	}
	return b, err
}

// found keeps what re finds, one match a line.
func found(re *regexp.Regexp) func(io.Reader) ([]byte, error) {
	return func(r io.Reader) ([]byte, error) {
		b, err := text(r)
		if err != nil {
			return nil, err
		}
		return bytes.Join(re.FindAll(b, -1), []byte("\n")), nil
	}
}

// A database is how a package manager lists what is installed: in stanzas of
// fields, of which these are the beginnings of the lines.
type database struct{ name, version, arch, status string }

var (
	dpkg = database{"Package: ", "Version: ", "Architecture: ", "Status: "}
	apk  = database{"P:", "V:", "A:", "\x00"}
)

// installed keeps the packages of a database that are installed: a line each,
// of name, version and architecture.
func (db database) installed(r io.Reader) ([]byte, error) {
	out := []byte{}
	pkg := map[string]string{}
	flush := func() {
		// dpkg remembers packages that were removed.
		removed := strings.HasSuffix(pkg[db.status], " config-files") || strings.HasSuffix(pkg[db.status], " not-installed")
		if pkg[db.name] != "" && pkg[db.version] != "" && !removed {
			out = fmt.Appendf(out, "%s %s %s\n", pkg[db.name], pkg[db.version], cmp.Or(pkg[db.arch], "all"))
		}
		clear(pkg)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			flush()
			continue
		}
		for _, field := range []string{db.name, db.version, db.arch, db.status} {
			if value, ok := strings.CutPrefix(line, field); ok {
				pkg[field] = strings.TrimSpace(value)
			}
		}
	}
	flush()
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return nil, err
	}
	return out, nil // what follows a line that long is no package database
}

// A program is what is known of an executable or a library.
type program struct {
	Script   string      `json:"script,omitempty"` // the "#!" line
	ELF      bool        `json:"elf,omitempty"`
	Machine  elf.Machine `json:"machine,omitempty"`
	Class    elf.Class   `json:"class,omitempty"`
	Data     elf.Data    `json:"data,omitempty"`
	Interp   string      `json:"interp,omitempty"`   // PT_INTERP
	Versions []string    `json:"versions,omitempty"` // strings like "3.11.2" in it
	Glibc    int         `json:"glibc,omitempty"`    // the highest N of its GLIBC_2.N
}

// headSize is how much of an ELF file is looked at for its headers. Linkers put
// the program headers and the interpreter's name right after the ELF header.
const headSize = 64 << 10

// describe extracts the facts of a program, with the version strings in it that
// begin with start.
func describe(r io.Reader, start string) ([]byte, error) {
	head := make([]byte, headSize)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	head = head[:n]
	p := program{}
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		line, _, _ := bytes.Cut(head[:min(n, 256)], []byte("\n"))
		p.Script = string(line)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		p.headers(head)
		if p.Versions, err = versions(io.MultiReader(bytes.NewReader(head), r), start); err != nil {
			return nil, err
		}
	}
	return json.Marshal(p)
}

// headers reads the ELF and program headers at the start of a file. The
// interpreter stays unknown if a tool has moved it elsewhere.
func (p *program) headers(head []byte) {
	if len(head) < 64 {
		return
	}
	p.ELF, p.Class, p.Data = true, elf.Class(head[elf.EI_CLASS]), elf.Data(head[elf.EI_DATA])
	p.Machine = elf.Machine(order(p.Data).Uint16(head[18:]))
	// Without sections debug/elf needs no more than the start.
	head = bytes.Clone(head)
	if p.Class == elf.ELFCLASS64 {
		clear(head[40:48])
		clear(head[60:64])
	} else {
		clear(head[32:36])
		clear(head[48:52])
	}
	f, err := elf.NewFile(bytes.NewReader(head))
	if err != nil {
		return
	}
	for _, seg := range f.Progs {
		if seg.Type == elf.PT_INTERP && seg.Off < headSize && seg.Filesz <= 4096 && seg.Off+seg.Filesz <= uint64(len(head)) {
			p.Interp = string(bytes.TrimRight(head[seg.Off:seg.Off+seg.Filesz], "\x00"))
		}
	}
}

// reVersion matches a version string of CPython or musl.
var reVersion = pattern.New(`^\d\.\d{1,3}\.\d{1,3}((a|b|rc)\d{1,2})?\+?$`)

// versions returns the version strings that stand in r between NULs and begin
// with start, a NUL and more.
func versions(r io.Reader, start string) (found []string, err error) {
	const longest = 32
	buf := make([]byte, 0, 64<<10)
	for err == nil && len(found) < 16 {
		var n int
		n, err = io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			i := bytes.Index(rest, []byte(start))
			if i < 0 || len(rest)-i < longest && err == nil {
				break // the end may come with the next bytes
			}
			rest = rest[i+1:]
			word, _, ok := bytes.Cut(rest[:min(len(rest), longest)], []byte{0})
			if ok && reVersion().Match(word) && !slices.Contains(found, string(word)) {
				found = append(found, string(word))
			}
		}
		buf = append(buf[:0], rest[max(len(rest)-longest, 0):]...)
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return found, err
}

// describeGlibc extracts the facts of libc.so.6. The version definitions stand
// anywhere in it, so it is read whole; a real one has 2 MB.
func describeGlibc(r io.Reader) ([]byte, error) {
	b, err := text(r)
	if err != nil {
		return nil, err
	}
	p := program{}
	if bytes.HasPrefix(b, []byte(elf.ELFMAG)) {
		p.headers(b[:min(len(b), headSize)])
	}
	if p.ELF {
		for _, name := range definedVersions(b, p.Class, order(p.Data)) {
			minor, ok := strings.CutPrefix(name, "GLIBC_2.")
			minor, _, _ = strings.Cut(minor, ".")
			if n, err := strconv.Atoi(minor); ok && err == nil {
				p.Glibc = max(p.Glibc, n)
			}
		}
	}
	return json.Marshal(p)
}

func order(d elf.Data) binary.ByteOrder {
	if d == elf.ELFDATA2MSB {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// maxDefined bounds the version definitions that are read; glibc has 50.
const maxDefined = 4096

// definedVersions returns the names of the version definitions of the library b
// (the section .gnu.version_d of the System V ABI's GNU extensions). debug/elf
// reads them too, but a library made for it takes that hours and gigabytes.
func definedVersions(b []byte, class elf.Class, order binary.ByteOrder) (found []string) {
	defs, link := section(b, class, order, func(_ int, kind uint32) bool { return elf.SectionType(kind) == elf.SHT_GNU_VERDEF })
	names, _ := section(b, class, order, func(i int, _ uint32) bool { return i == link })
	for i := 0; len(found) < maxDefined && i+20 <= len(defs); {
		aux, next := i+int(order.Uint32(defs[i+12:])), int(order.Uint32(defs[i+16:]))
		if aux+4 > len(defs) {
			break
		}
		if at := int(order.Uint32(defs[aux:])); at < len(names) {
			name, _, _ := bytes.Cut(names[at:min(at+64, len(names))], []byte{0})
			found = append(found, string(name))
		}
		if next == 0 {
			break
		}
		i += next
	}
	return found
}

// section returns the bytes of the first section that is wanted, by its number
// and type, and the number of the section that it links to.
func section(b []byte, class elf.Class, order binary.ByteOrder, wanted func(i int, kind uint32) bool) (body []byte, link int) {
	word := func(at uint64, size int) uint64 {
		if at > uint64(len(b)) || uint64(len(b))-at < 8 {
			return 0
		}
		switch size {
		case 2:
			return uint64(order.Uint16(b[at:]))
		case 4:
			return uint64(order.Uint32(b[at:]))
		default:
			return order.Uint64(b[at:])
		}
	}
	// Where the fields of the ELF header and of a section header stand.
	table, size, count := word(32, 4), word(46, 2), word(48, 2)
	addr, offset, length, to := 4, uint64(16), uint64(20), uint64(24)
	if class == elf.ELFCLASS64 {
		table, size, count = word(40, 8), word(58, 2), word(60, 2)
		addr, offset, length, to = 8, 24, 32, 40
	}
	for i := range count {
		at := table + i*size
		if !wanted(int(i), uint32(word(at+4, 4))) {
			continue
		}
		from, n := word(at+offset, addr), word(at+length, addr)
		if from <= uint64(len(b)) && n <= uint64(len(b))-from {
			return b[from : from+n], int(word(at+to, 4))
		}
	}
	return nil, 0
}
