// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"inlay/resolve/apt/deb822"
	"inlay/resolve/apt/setup"
)

// An Index lists the packages of a component for an architecture.
type Index struct {
	Source    *setup.Source
	Release   *Release
	Component string
	SHA256    string // of the file it was read from, in hex
	text      string // stanzas, reduced
}

// Stanzas yields the packages, in the order of the index. They have the fields
// of Fields, in that order, and no others.
func (x *Index) Stanzas() iter.Seq[deb822.Stanza] { return deb822.Split(x.text) }

// Len returns how many packages there are.
func (x *Index) Len() int { return strings.Count(x.text, "\n\n") }

// Fields returns the fields that count for choosing and fetching packages. The
// relations stand in the order in which apt reads them: it decides ties.
func Fields() []string {
	return []string{
		"Package", "Version", "Architecture", "Multi-Arch", "Status", "Essential", "Important", "Protected", "Priority", "Source",
		"Installed-Size", "Size", "SHA256", "Filename", "Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests",
		"Replaces", "Enhances", "Provides",
	}
}

// Reduce reads an index, or a status file of dpkg, and returns its stanzas with
// the fields that count.
func Reduce(r io.Reader) (string, error) {
	var b strings.Builder
	err := reduce(r, &b)
	return b.String(), err
}

// reduce is Reduce that writes the stanzas to w, in one piece each.
func reduce(r io.Reader, w io.Writer) error {
	names := Fields()
	slots := map[string]int{}
	for i, name := range names {
		slots[name] = i
	}
	var b []byte
	values := make([]string, len(names))
	for in := deb822.NewReader(r); ; {
		stanza, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		clear(values)
		for name, value := range stanza.Fields() {
			if i, ok := slots[name]; ok {
				values[i] = value
			}
		}
		if values[0] == "" {
			return fmt.Errorf("the stanza of line %d names no package", in.Line())
		}
		b = appendFields(b[:0], names, values)
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
}

// appendFields appends a stanza of the fields that have a value.
func appendFields(b []byte, names, values []string) []byte {
	for i, name := range names {
		if values[i] != "" {
			b = append(append(append(append(b, name...), ": "...), values[i]...), '\n')
		}
	}
	return append(b, '\n')
}

// extensions are those of compressed indexes, the best first. Debian's largest
// has 9 MB as xz and 12 MB as gzip, but takes a second to decode against a fifth:
// xz is the quicker one only where the network brings less than 4 MB a second.
func extensions() []string { return []string{".zst", ".gz", ".xz", ".bz2", ""} }

// decompress opens a file by its extension.
func decompress(r io.Reader, extension string) (io.Reader, error) {
	switch extension {
	case ".xz":
		return xz.NewReader(r, 0)
	case ".zst":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case ".gz":
		return gzip.NewReader(r)
	case ".bz2":
		return bzip2.NewReader(r), nil
	default:
		return r, nil
	}
}

// Bounds of indexes. Debian's largest has 50 MB.
const (
	maxIndex  = 1 << 30   // bytes, decompressed
	maxWindow = 128 << 20 // of zstd, bytes
)

var errTooLarge = errors.New("it is larger than it may be")

// A bounded reader fails where there is more to read than the limit.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// A packed text is the form in which the cache keeps reduced stanzas: how many
// bytes they have, and a zstd frame of them. The text itself, of which a large
// archive has 30 MB, is never held twice.
type packed struct {
	buf  bytes.Buffer
	enc  *zstd.Encoder
	size uint64
}

// packWindow is how far back stanzas are compared, in bytes.
const packWindow = 2 << 20

func newPacked() (*packed, error) {
	p := &packed{}
	p.buf.Write(make([]byte, sizeOfSize))
	var err error
	p.enc, err = zstd.NewWriter(&p.buf, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(packWindow))
	return p, err
}

const sizeOfSize = 8

// Write implements io.Writer.
func (p *packed) Write(b []byte) (int, error) {
	p.size += uint64(len(b))
	return p.enc.Write(b)
}

// bytes ends the writing and returns the whole.
func (p *packed) bytes() ([]byte, error) {
	err := p.enc.Close()
	b := p.buf.Bytes()
	binary.LittleEndian.PutUint64(b, p.size)
	return b, err
}

// unpack returns the text of what was packed.
func unpack(b []byte) (string, error) {
	if len(b) < sizeOfSize {
		return "", io.ErrUnexpectedEOF
	}
	size := binary.LittleEndian.Uint64(b)
	if size > maxIndex {
		return "", errTooLarge
	}
	d, err := zstd.NewReader(bytes.NewReader(b[sizeOfSize:]), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return "", err
	}
	defer d.Close()
	var text strings.Builder
	text.Grow(int(size))
	_, err = io.Copy(&text, &bounded{d, int64(size)})
	return text.String(), err
}
