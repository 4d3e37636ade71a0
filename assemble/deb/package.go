// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// A Package is one that a [Store] unpacked.
type Package struct {
	Name string // as it was asked for
	// Control are the files of control.tar that say what to do: control, conffiles,
	// triggers and the scripts. Others, which are larger, are in Other by name.
	Control map[string][]byte
	Other   []File

	store  *Store
	hex    string
	frames []frameAt
	files  []byte // as a trailer has them
}

// instructions are the files that Control holds.
var instructions = []string{"control", "conffiles", "triggers", "preinst", "postinst", "prerm", "postrm", "config"}

// Files returns what installing the package writes, in the order of data.tar.
// The package doesn't hold them: of many packages they are much.
func (p *Package) Files() ([]File, error) {
	b, err := unzstd(p.files)
	if err != nil {
		return nil, errSegment
	}
	var list []File
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, errSegment
	}
	return list, nil
}

// ReadFile returns the content of f, which is one of the package's regular
// files, unless it is larger than most bytes.
func (p *Package) ReadFile(f *File, most int64) ([]byte, error) {
	if f.Size > most {
		return nil, fmt.Errorf("%s of package %s has %d bytes, more than %d", f.Path, p.Name, f.Size, most)
	}
	b := make([]byte, f.Size)
	if _, err := p.Body(f).ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading %s of package %s: %w", f.Path, p.Name, err)
	}
	return b, nil
}

// Body returns the content of f.
func (p *Package) Body(f *File) Body { return Body{p, f.Offset, f.Size, f.CRC32} }

// A Body is the content of a file of a package. Equal bodies have equal contents.
type Body struct {
	p      *Package
	offset int64
	size   int64
	crc    uint32
}

// ReadAt implements io.ReaderAt.
func (b Body) ReadAt(to []byte, at int64) (int, error) {
	if at >= b.size {
		return 0, io.EOF
	}
	short := int64(len(to)) > b.size-at
	if short {
		to = to[:b.size-at]
	}
	n, err := b.p.store.read(b.p, to, b.offset+at)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// Deflated returns the content as one raw deflate stream of size bytes, with the
// CRC32 of what it holds, for whoever checks that; ok is whether it is kept like
// that. The caller closes the stream.
func (b Body) Deflated() (stream io.ReadCloser, size int64, crc uint32, ok bool) {
	if b.size < ownFrames {
		return nil, 0, 0, false
	}
	first, last := b.offset/frameSize, (b.offset+b.size-1)/frameSize
	if last >= int64(len(b.p.frames)) {
		return nil, 0, 0, false
	}
	file, err := os.Open(b.p.store.path(b.p.hex))
	if err != nil {
		return nil, 0, 0, false // reading it tells why
	}
	begin := b.p.frames[first].At
	size = b.p.frames[last].At + b.p.frames[last].Packed - begin
	return section{io.NewSectionReader(file, begin, size), file}, size, b.crc, true
}

// A section is a part of a file that is open for it.
type section struct {
	io.Reader
	io.Closer
}
