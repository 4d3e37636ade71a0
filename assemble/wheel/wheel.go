// SPDX-License-Identifier: Apache-2.0

// Package wheel reads a wheel as the files that installing it writes. Equal
// wheels and schemes give equal files. A zip that two readers could read as two
// different wheels is refused; what the wheel says of itself (RECORD, WHEEL)
// may be wrong, as it is in real ones.
//
// The files are, in path, content and mode, those that uv 0.13.9 leaves, apart
// from these:
//   - RECORD lists what is installed: uv also lists scripts that it skipped,
//     keeps odd spellings of a path, and writes a size for a RECORD that the
//     wheel's own doesn't list.
//   - Directories without files are not made.
//   - Links, which uv installs as files, are refused; so are two members of
//     .data that go to one path, where uv leaves either.
//
// A zip whose form is odd, but that has only one meaning, is left to uv: [Staged]
// reads what it leaves. cmd/inlay/docs/faults.md lists which those are.
//
// Rules: the "Binary distribution format" and "Entry points" specifications of
// packaging.python.org, and APPNOTE.TXT for the zip.
package wheel

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"

	"inlay/layers"
	"inlay/layers/pattern"
)

// Scheme is where a Python installs to. All paths are absolute, clean paths in
// the image.
type Scheme struct {
	Purelib string // modules of wheels that fit every platform
	Platlib string // modules of the others
	Scripts string // commands
	Data    string // the prefix that .data/data goes to
	Headers string // C headers, each distribution's in a directory of its name

	Interpreter string // what the #! lines of scripts name
	Version     string // of Python, "3.11"; names pip's launcher pip3.11
	Installer   string // content of INSTALLER; "" leaves that file out
}

var pythonVersion = pattern.New(`^[0-9]+\.[0-9]+$`)

func (s Scheme) check() error {
	for _, p := range []string{s.Purelib, s.Platlib, s.Scripts, s.Data, s.Headers, s.Interpreter} {
		if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsFunc(p, unprintable) {
			return fmt.Errorf("%q in the scheme is no clean, absolute path", p)
		}
	}
	if !pythonVersion().MatchString(s.Version) {
		return fmt.Errorf("python version %q in the scheme is not like 3.11", s.Version)
	}
	return nil
}

// A Wheel is a distribution as it is installed.
type Wheel struct {
	Name    string // normalised, "typing-extensions"
	Version string // as its METADATA says
	Files   []File // sorted by Path, no path twice
}

// A File is one file to install. It reads from the wheel that it came from and
// is good as long as that is.
type File struct {
	Path  string      // absolute path in the image
	Mode  fs.FileMode // 0644 or 0755
	Size  int64       // bytes of the content
	CRC32 uint32      // of the content, IEEE polynomial

	archive *archive
	member  *member // nil: head is the content
	head    []byte  // stands in place of the member's first skip bytes
	skip    int64
	tree    fs.FS // holds the content in place of a wheel
}

// Open reads the directory and the metadata of the wheel in the first size
// bytes of r and says what installing it into s writes. The file's name, which
// says the distribution's name and version, must be a wheel's (PEP 427). A
// wheel that breaks the rules gives a *FormatError. The content of the files
// is checked when it is read, but for a wheel of odd form: that is read now.
func Open(r io.ReaderAt, size int64, file string, s Scheme) (*Wheel, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	id, err := parseFileName(file)
	if err != nil {
		return nil, err
	}
	a := &archive{r: r, size: size, file: file}
	if err := a.readDirectory(); err != nil {
		return nil, a.explain(err)
	}
	w, err := install(a, id, s)
	if err == nil && a.odd != nil {
		if err = a.verify(); err == nil {
			err = a.odd
		}
	}
	if err != nil {
		return nil, a.explain(err)
	}
	return w, nil
}

// Deflated returns the content as the deflate stream that stands in the wheel,
// and whether it stands there as one. Whoever inflates it checks its CRC-32
// and size.
func (f *File) Deflated() (layers.Deflated, bool) {
	if f.member == nil || f.head != nil || f.member.method != deflated {
		return layers.Deflated{}, false
	}
	return layers.Deflated{Stream: f.archive.packedBytes(f.member), Size: f.member.packed, CRC32: f.CRC32}, true
}

// Open returns the content. The reader gives io.EOF only after it has checked
// the content's CRC-32 and size; a member that doesn't hold what the zip's
// directory promises gives a *FormatError in its place.
func (f *File) Open() (io.Reader, error) {
	switch {
	case f.tree != nil:
		return &stagedReader{file: f}, nil
	case f.member == nil:
		return bytes.NewReader(f.head), nil
	}
	r, err := f.archive.open(f.member)
	if err != nil {
		return nil, f.archive.explain(err)
	}
	if f.head == nil {
		return r, nil
	}
	if _, err := io.CopyN(io.Discard, r, f.skip); err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(f.head), r), nil
}

// made is a file that stands in no wheel.
func made(name string, mode fs.FileMode, content []byte) File {
	return File{Path: name, Mode: mode, Size: int64(len(content)), CRC32: crc32.ChecksumIEEE(content), head: content}
}

// FormatError reports a wheel that can't be installed as it is.
type FormatError struct {
	File    string // the wheel's file name
	Member  string // which member of the zip is wrong, or ""
	Problem string // what is wrong with it

	// Odd says that nothing is wrong with what the wheel would install: its zip
	// has a form that this package doesn't read, and that uv reads in one way
	// only. All of its members are checked otherwise. See [Staged].
	Odd bool
}

// bad returns a *FormatError about a member, or about the zip if that is "".
// [archive.explain] adds the file's name.
func bad(member, format string, args ...any) error {
	return &FormatError{Member: member, Problem: fmt.Sprintf(format, args...)}
}

func (e *FormatError) Error() string {
	if e.Member == "" {
		return fmt.Sprintf("wheel %s: %s", e.File, e.Problem)
	}
	return fmt.Sprintf("wheel %s: member %q: %s", e.File, e.Member, e.Problem)
}

// Hint says how to do without the wheel.
func (e *FormatError) Hint() string {
	id, err := parseFileName(e.File)
	if err != nil {
		return "name the file as its index does: NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
	}
	return fmt.Sprintf("require another version: %s!=%s", id.name, id.version)
}

// A readError is an error of the file and not of what it holds.
type readError struct {
	file string
	err  error
}

func (e *readError) Error() string { return fmt.Sprintf("reading wheel %s: %v", e.file, e.err) }
func (e *readError) Unwrap() error { return e.err }

// explain names the file in an error, once.
func (a *archive) explain(err error) error {
	var format *FormatError
	var read *readError
	switch {
	case errors.As(err, &format):
		format.File = a.file
		return format
	case errors.As(err, &read):
		return read
	}
	return &readError{file: a.file, err: err}
}
