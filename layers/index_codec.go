// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// indexMagic begins an encoded index: its format and the version of it.
const indexMagic = "inlayix1"

// maxIndex bounds an encoded index, in bytes.
const maxIndex = 256 << 20

// errDamaged reports an index that is not what Encode wrote.
var errDamaged = errors.New("the layer index is damaged")

// Encode writes ix in a form that [DecodeIndex] reads: the magic, a zstd frame
// of the records, and the sha256 of both. Names take up only what differs from
// the name before.
func (ix *Index) Encode(w io.Writer) error {
	sum := sha256.New()
	both := io.MultiWriter(w, sum)
	if _, err := io.WriteString(both, indexMagic); err != nil {
		return fmt.Errorf("writing a layer index: %w", err)
	}
	zw, err := zstd.NewWriter(both, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return fmt.Errorf("writing a layer index: %w", err)
	}
	e := encoder{w: bufio.NewWriterSize(zw, 64<<10)}
	e.number(uint64(len(ix.records)))
	for i := range ix.records {
		e.record(&ix.records[i])
	}
	if err := errors.Join(e.w.Flush(), zw.Close()); err != nil {
		return fmt.Errorf("writing a layer index: %w", err)
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("writing a layer index: %w", err)
	}
	return nil
}

// An encoder writes records. Its writer keeps the first error for Flush.
type encoder struct {
	w    *bufio.Writer
	last string
	buf  [binary.MaxVarintLen64]byte
}

func (e *encoder) number(n uint64) {
	_, _ = e.w.Write(e.buf[:binary.PutUvarint(e.buf[:], n)])
}

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	_, _ = e.w.WriteString(s)
}

func (e *encoder) record(r *record) {
	shared := 0
	for shared < min(len(e.last), len(r.Path)) && e.last[shared] == r.Path[shared] {
		shared++
	}
	e.last = r.Path
	e.number(uint64(r.kind))
	e.number(uint64(shared))
	e.text(r.Path[shared:])
	if r.kind == Whiteout || r.kind == Opaque {
		return
	}
	e.number(uint64(r.Mode))
	e.number(uint64(r.UID))
	e.number(uint64(r.GID))
	switch {
	case r.kind == HardLink || r.Mode.Type() == fs.ModeSymlink:
		e.text(r.Link)
	case r.Mode.IsRegular():
		e.number(uint64(r.Size))
		e.content(r.kept)
	}
}

// content writes the length plus one and the bytes, or 0 for none.
func (e *encoder) content(b []byte) {
	if b == nil {
		e.number(0)
		return
	}
	e.number(uint64(len(b)) + 1)
	_, _ = e.w.Write(b)
}

// DecodeIndex reads what Encode wrote. Anything else, and an index in which a
// single bit is not as it was, is an error.
func DecodeIndex(r io.Reader) (*Index, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxIndex+1))
	if err != nil {
		return nil, fmt.Errorf("reading a layer index: %w", err)
	}
	if len(b) > maxIndex || len(b) < len(indexMagic)+sha256.Size || !bytes.HasPrefix(b, []byte(indexMagic)) {
		return nil, errDamaged
	}
	b, tail := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], tail) {
		return nil, errDamaged
	}
	zr, err := zstd.NewReader(bytes.NewReader(b[len(indexMagic):]), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("reading a layer index: %w", err)
	}
	defer zr.Close()
	d := decoder{r: bufio.NewReaderSize(zr, 64<<10)}
	ix := d.index()
	if d.err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, d.err)
	}
	return ix, nil
}

// A decoder reads records. After an error it reads zeros.
type decoder struct {
	r    *bufio.Reader
	last []byte // path of the last record
	text []byte
	kept int
	err  error
}

func (d *decoder) index() *Index {
	n := d.number(maxEntries)
	ix := &Index{records: make([]record, 0, min(n, 1<<16))}
	for range n {
		rec := d.record()
		if d.err != nil {
			return nil
		}
		ix.records = append(ix.records, rec)
	}
	if _, err := d.r.ReadByte(); !errors.Is(err, io.EOF) {
		d.fail("bytes after the last record")
	}
	return ix
}

func (d *decoder) fail(problem string) {
	if d.err == nil {
		d.err = errors.New(problem)
	}
}

func (d *decoder) number(most uint64) uint64 {
	if d.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(d.r)
	switch {
	case err != nil:
		d.err = err
	case n > most:
		d.fail("a number out of range")
	default:
		return n
	}
	return 0
}

func (d *decoder) fill(b []byte) {
	if _, err := io.ReadFull(d.r, b); err != nil && d.err == nil {
		d.err = err
	}
}

func (d *decoder) record() record {
	r := record{kind: Kind(d.number(uint64(Opaque)))}
	r.Path = d.path()
	if r.kind == Whiteout || r.kind == Opaque {
		return r
	}
	r.Mode = fs.FileMode(d.number(1<<32 - 1))
	r.UID = int(d.number(maxID))
	r.GID = int(d.number(maxID))
	switch {
	case r.kind == HardLink || r.Mode.Type() == fs.ModeSymlink:
		d.text = d.name(d.text[:0])
		r.Link = string(d.text)
	case r.Mode.IsRegular():
		r.Size = int64(d.number(1<<63 - 1))
		r.kept = d.content()
	}
	if r.kind == HardLink {
		d.check(r.Link)
	}
	return r
}

func (d *decoder) path() string {
	shared := d.number(uint64(len(d.last)))
	d.last = d.name(d.last[:shared])
	p := string(d.last)
	d.check(p)
	return p
}

// name reads a name and appends it to b.
func (d *decoder) name(b []byte) []byte {
	n := int(d.number(uint64(maxName - min(len(b), maxName))))
	b = slices.Grow(b, n)[:len(b)+n]
	d.fill(b[len(b)-n:])
	return b
}

// check fails for a path that Scan doesn't give.
func (d *decoder) check(p string) {
	if clean, ok := cleanName(p); !ok || clean != p {
		d.fail("a path that is not clean")
	}
}

func (d *decoder) content() []byte {
	n := d.number(maxFile + 1)
	if n == 0 {
		return nil
	}
	if d.kept += int(n - 1); d.kept > maxKept {
		d.fail("more kept bytes than a layer can have")
		return nil
	}
	b := make([]byte, n-1)
	d.fill(b)
	return b
}
