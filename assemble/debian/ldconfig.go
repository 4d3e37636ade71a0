// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"

	"inlay/assemble/overlay"
	"inlay/assemble/script"
)

const (
	cacheFile  = "/etc/ld.so.cache"
	cacheMagic = "glibc-ld.so.cache1.1"
	cacheHead  = 48
	cacheEntry = 24
	extMagic   = 0xEAA42174
	maxLibs    = 1 << 16
)

// A library is an entry of the dynamic linker's cache.
type library struct {
	name, path string
	flags      uint32
	osVersion  uint32
	processor  string // that it is for, in glibc's words; "": any
	dir        int    // which of the directories
}

// ldFlags are those of libraries by machine: ELF of libc6, and which ABI.
var ldFlags = map[elf.Machine]uint32{
	elf.EM_X86_64: 0x0303, elf.EM_386: 0x0003, elf.EM_AARCH64: 0x0a03, elf.EM_ARM: 0x0903,
	elf.EM_S390: 0x0403, elf.EM_PPC64: 0x0503, elf.EM_RISCV: 0x1003,
}

// Libraries are what files call themselves, once they were read: while packages
// are installed ldconfig runs more than once. The zero value is empty.
type Libraries struct {
	read map[libraryBody]calledLibrary
}

// A libraryBody is the content of a file; those of a tree don't change.
type libraryBody struct {
	body io.ReaderAt
	size int64
}

// A calledLibrary is what soname returns.
type calledLibrary struct {
	name  string
	flags uint32
}

// soname is the function of that name, once for a content.
func (l *Libraries) soname(r *io.SectionReader) (name string, flags uint32) {
	body, _, size := r.Outer()
	if !reflect.TypeOf(body).Comparable() {
		return soname(r)
	}
	key := libraryBody{body, size}
	is, ok := l.read[key]
	if !ok {
		is.name, is.flags = soname(r)
		if l.read == nil {
			l.read = map[libraryBody]calledLibrary{}
		}
		l.read[key] = is
	}
	return is.name, is.flags
}

// ldconfig writes the dynamic linker's cache.
func (s *System) ldconfig(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("r:")
	if err != nil {
		return err
	}
	if root, ok := set["r"]; len(rest) > 0 || ok && root != "/" {
		return c.Usage()
	}
	if err := Ldconfig(c.Tree, s.Libraries); err != nil {
		return c.Fail(err)
	}
	return nil
}

// Ldconfig writes the cache of the tree's dynamic linker as ldconfig(8) does:
// of the libraries that were there before it knows by the cache before, of new
// ones it reads the ELF header, unless read has it; nil has none.
func Ldconfig(tree *overlay.Tree, read *Libraries) error {
	if read == nil {
		read = &Libraries{}
	}
	old, generator, err := readCache(tree)
	if err != nil {
		return err
	}
	known := knownLibraries{map[string][]library{}, read}
	for _, l := range old {
		if real, err := tree.Resolve(l.path); err == nil {
			known.before[real] = append(known.before[real], l)
		}
	}
	dirs, err := libraryDirs(tree)
	if err != nil {
		return err
	}
	var all []library
	for i, d := range dirs {
		libs, err := scanAll(tree, d, known)
		if err != nil {
			return err
		}
		for _, l := range libs {
			l.dir = i
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(a, b library) int {
		return cmp.Or(-compareLibraries(a.name, b.name), -cmp.Compare(a.flags, b.flags), compareProcessors(a.processor, b.processor),
			cmp.Compare(a.dir, b.dir), strings.Compare(a.path, b.path))
	})
	return tree.WriteFile(cacheFile, encodeCache(all, generator), 0o644)
}

// compareProcessors puts libraries for special processors before those for any.
func compareProcessors(a, b string) int {
	if (a == "") != (b == "") {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

// scanAll lists the libraries of a directory, and those below it that are for
// special processors.
func scanAll(tree *overlay.Tree, dir string, known knownLibraries) ([]library, error) {
	all, err := scanLibraries(tree, dir, known)
	if err != nil {
		return nil, err
	}
	special := dir + "/glibc-hwcaps"
	names, err := tree.ReadDir(special)
	if err != nil {
		return all, nil //nolint:nilerr // most have none
	}
	for _, n := range names {
		if f, err := tree.Stat(special + "/" + n); err != nil || !f.Mode.IsDir() {
			continue
		}
		libs, err := scanLibraries(tree, special+"/"+n, known)
		if err != nil {
			return nil, err
		}
		for _, l := range libs {
			l.processor = n
			all = append(all, l)
		}
	}
	return all, nil
}

// libraryDirs lists the directories in their order, each place once.
func libraryDirs(tree *overlay.Tree) ([]string, error) {
	var dirs []string
	if err := readConf(tree, "/etc/ld.so.conf", &dirs, 0); err != nil {
		return nil, err
	}
	dirs = append(dirs, "/lib", "/usr/lib")
	seen := map[string]bool{}
	return slices.DeleteFunc(dirs, func(d string) bool {
		real, err := tree.Resolve(d)
		if f, err2 := tree.Stat(d); err != nil || err2 != nil || !f.Mode.IsDir() || seen[real] {
			return true
		}
		seen[real] = true
		return false
	}), nil
}

func readConf(tree *overlay.Tree, name string, dirs *[]string, depth int) error {
	conf, err := text(tree, name)
	if err != nil || depth > 10 {
		return err
	}
	for line := range strings.Lines(conf) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "include":
			for _, pattern := range words[1:] {
				if err := includeConf(tree, path.Join(path.Dir(name), pattern), pattern, dirs, depth); err != nil {
					return err
				}
			}
		default:
			*dirs = append(*dirs, strings.TrimRight(words[0], "/"))
		}
	}
	return nil
}

func includeConf(tree *overlay.Tree, joined, pattern string, dirs *[]string, depth int) error {
	if strings.HasPrefix(pattern, "/") {
		joined = pattern
	}
	names, err := tree.ReadDir(path.Dir(joined))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		if ok, _ := path.Match(path.Base(joined), n); ok { // a bad pattern matches nothing
			if err := readConf(tree, path.Join(path.Dir(joined), n), dirs, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanLibraries lists the libraries of a directory.
func scanLibraries(tree *overlay.Tree, dir string, known knownLibraries) ([]library, error) {
	names, err := tree.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, compareLibraries) // of two files of one name the later counts
	byName, files := map[string]library{}, map[string]string{}
	for _, n := range names {
		if !isLibrary(n) {
			continue
		}
		l, err := scanLibrary(tree, dir, n, known)
		if err != nil {
			return nil, err
		}
		if l.name != "" {
			byName[l.name], files[l.name] = l, n
		}
	}
	return linked(tree, byName, files)
}

// linked returns the libraries that programs find, for which it makes the links
// that are missing: packages have them, as a rule.
func linked(tree *overlay.Tree, byName map[string]library, files map[string]string) (out []library, err error) {
	for name, l := range byName {
		if _, err := tree.Lstat(l.path); errors.Is(err, fs.ErrNotExist) {
			if err := tree.Symlink(files[name], l.path); err != nil {
				return nil, err
			}
		}
		if tree.Exists(l.path) {
			out = append(out, l)
		}
	}
	return out, nil
}

// isLibrary reports whether a file's name is one that ldconfig looks at.
func isLibrary(name string) bool {
	return (strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "ld-")) && strings.Contains(name, ".so")
}

// scanLibrary returns the entry for the file n of a directory; it has no name
// if the file is no library.
func scanLibrary(tree *overlay.Tree, dir, n string, known knownLibraries) (library, error) {
	p := dir + "/" + n
	if f, err := tree.Stat(p); err != nil || !f.Mode.IsRegular() {
		return library{}, nil //nolint:nilerr // a link to nowhere is none
	}
	l, err := identify(tree, dir, p, known)
	if err != nil {
		return library{}, err
	}
	// The name that compilers look for is a link to the one that programs do.
	at, err := tree.Lstat(p)
	if err == nil && at.Mode.Type() == fs.ModeSymlink && strings.HasSuffix(n, ".so") && strings.HasPrefix(l.name, n) {
		l.name, l.path = n, p
	}
	return l, err
}

// knownLibraries are those of the cache before, by the files that they are, and
// those that were read.
type knownLibraries struct {
	before map[string][]library
	read   *Libraries
}

// at returns the library that the file p is: by its own entry, or by that of
// another name in its directory.
func (k knownLibraries) at(tree *overlay.Tree, p string) (found library) {
	real, err := tree.Resolve(p)
	if err != nil {
		return library{}
	}
	for _, l := range k.before[real] {
		if l.path == p {
			return l
		}
		if path.Dir(l.path) == path.Dir(p) && len(l.name) > len(found.name) {
			found = l
		}
	}
	return found
}

// identify says what the file p is. One that was there before is what the cache
// says.
func identify(tree *overlay.Tree, dir, p string, known knownLibraries) (library, error) {
	body, err := tree.Body(p)
	var notKept *overlay.NotKeptError
	if errors.As(err, &notKept) {
		return known.at(tree, p), nil
	}
	if err != nil {
		return library{}, err
	}
	name, flags := known.read.soname(body)
	if flags == 0 {
		return library{}, nil
	}
	if name == "" {
		name = path.Base(p)
	}
	if strings.Contains(name, "/") {
		return library{}, nil
	}
	return library{name: name, path: dir + "/" + name, flags: flags}, nil
}

// soname reads what a library calls itself. The flags are 0 if it is none.
func soname(r io.ReaderAt) (name string, flags uint32) {
	defer func() {
		if recover() != nil { // debug/elf with a file made to harm
			name, flags = "", 0
		}
	}()
	f, err := elf.NewFile(r)
	if err != nil || f.Type != elf.ET_DYN {
		return "", 0
	}
	defer f.Close() //nolint:errcheck // only read
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil {
		return "", 0
	}
	if len(names) > 0 {
		name = names[0]
	}
	return name, ldFlags[f.Machine]
}

// compareLibraries orders names as the dynamic linker does: runs of digits by
// value, and after all letters.
func compareLibraries(a, b string) int {
	for a != "" && b != "" {
		da, db := isDigit(a[0]), isDigit(b[0])
		switch {
		case da && db:
			na, nb := digits(a), digits(b)
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := cmp.Or(len(x)-len(y), strings.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
		case da:
			return 1
		case db:
			return -1
		case a[0] != b[0]:
			return int(a[0]) - int(b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return len(a) - len(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
