// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// A segment is a package unpacked, as a file: the contents of its files in frames
// of at most frameSize bytes each, any of which can be read on its own; what is
// known of the package, as JSON in a zstd frame; the length of that, its sha256
// and the magic.
//
// A frame is a part of a deflate stream that refers to no other part. Those of a
// file of at least ownFrames bytes lie one after the other and are one stream,
// which a layer can take over as it is. Smaller files share frames.
//
// What flate makes of a content is in layers: where it makes something else, the
// number in the magic and plan.AptVersion have to grow.
const (
	segmentMagic = "inlaydeb3\n"
	frameSize    = 1 << 20
	ownFrames    = 16 << 10
	frameLevel   = 5 // as that of layers
	segmentTail  = 8 + sha256.Size + int64(len(segmentMagic))
	maxTrailer   = 256 << 20
)

// errSegment reports a file that is not what a segment writer wrote.
var errSegment = errors.New("it is damaged")

// A trailer is what a segment says of itself.
type trailer struct {
	Frames  []frameAt         `json:"frames"`
	Files   []byte            `json:"files"` // JSON in a zstd frame: they are wanted once, the rest often
	Control map[string][]byte `json:"control"`
	Other   []File            `json:"other,omitempty"` // the rest of control.tar, by name
}

// A frameAt says where a frame is, and what it must hold.
type frameAt struct {
	At     int64  `json:"a"`
	Packed int64  `json:"p"` // bytes
	Plain  int    `json:"n"` // bytes of the content
	CRC32  uint32 `json:"c"`
}

// A segmentWriter writes a segment. Contents have an offset in a space in which
// each frame takes frameSize bytes, whatever it holds.
type segmentWriter struct {
	dst    io.Writer
	run    *flate.Writer
	list   *zstd.Encoder // of the trailer
	plain  []byte        // of a frame
	shared []byte        // of the frame that small files share
	place  int           // of that frame
	packed bytes.Buffer
	at     int64
	frames []frameAt
}

// writers are segment writers to be used again.
var writers sync.Pool

func newSegment(dst io.Writer) (*segmentWriter, error) {
	w, ok := writers.Get().(*segmentWriter)
	if !ok {
		run, err := flate.NewWriter(nil, frameLevel)
		if err != nil {
			return nil, err
		}
		list, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, err
		}
		w = &segmentWriter{run: run, list: list, plain: make([]byte, frameSize), shared: make([]byte, 0, frameSize)}
	}
	w.dst, w.shared, w.at, w.frames = dst, w.shared[:0], 0, nil
	return w, nil
}

func (w *segmentWriter) free() { writers.Put(w) }

// add takes a content of size bytes from r, and returns where it is and its sum.
func (w *segmentWriter) add(r io.Reader, size int64) (offset int64, crc uint32, err error) {
	if size < ownFrames {
		return w.share(r, int(size))
	}
	offset = int64(len(w.frames)) * frameSize
	for left := size; left > 0; {
		p := w.plain[:min(left, frameSize)]
		if _, err := io.ReadFull(r, p); err != nil {
			return 0, 0, err
		}
		left -= int64(len(p))
		crc = crc32.Update(crc, crc32.IEEETable, p)
		w.frames = append(w.frames, frameAt{})
		if err := w.frame(len(w.frames)-1, p, left == 0); err != nil {
			return 0, 0, err
		}
	}
	return offset, crc, nil
}

// share puts a small content into the frame of such.
func (w *segmentWriter) share(r io.Reader, size int) (offset int64, crc uint32, err error) {
	if len(w.shared)+size > frameSize {
		if err := w.flush(); err != nil {
			return 0, 0, err
		}
	}
	if len(w.shared) == 0 {
		w.place = len(w.frames)
		w.frames = append(w.frames, frameAt{})
	}
	begin := len(w.shared)
	w.shared = w.shared[:begin+size]
	if _, err := io.ReadFull(r, w.shared[begin:]); err != nil {
		return 0, 0, err
	}
	return int64(w.place)*frameSize + int64(begin), crc32.ChecksumIEEE(w.shared[begin:]), nil
}

// flush writes the frame that small files share.
func (w *segmentWriter) flush() error {
	if len(w.shared) == 0 {
		return nil
	}
	err := w.frame(w.place, w.shared, true)
	w.shared = w.shared[:0]
	return err
}

// frame writes a frame. The last one of a stream ends it.
func (w *segmentWriter) frame(i int, plain []byte, last bool) error {
	w.packed.Reset()
	w.run.Reset(&w.packed)
	_, err := w.run.Write(plain)
	if err == nil && last {
		err = w.run.Close()
	} else if err == nil {
		err = w.run.Flush()
	}
	if err != nil {
		return err
	}
	w.frames[i] = frameAt{At: w.at, Packed: int64(w.packed.Len()), Plain: len(plain), CRC32: crc32.ChecksumIEEE(plain)}
	n, err := w.dst.Write(w.packed.Bytes())
	w.at += int64(n)
	return err
}

func (w *segmentWriter) finish(files []File, control map[string][]byte) error {
	t := trailer{Control: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(control)) {
		b := control[name]
		if slices.Contains(instructions, name) || len(b) == 0 {
			t.Control[name] = b
			continue
		}
		offset, crc, err := w.add(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		t.Other = append(t.Other, File{Path: name, Size: int64(len(b)), Offset: offset, CRC32: crc})
	}
	if err := w.flush(); err != nil {
		return err
	}
	list, err := json.Marshal(files)
	if err != nil {
		return err
	}
	t.Frames, t.Files = w.frames, w.list.EncodeAll(list, nil)
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	packed := w.list.EncodeAll(b, nil)
	sum := sha256.Sum256(packed)
	tail := binary.LittleEndian.AppendUint64(packed, uint64(len(packed)))
	tail = append(append(tail, sum[:]...), segmentMagic...)
	_, err = w.dst.Write(tail)
	return err
}

// readTrailer reads what the segment in file says of itself.
func (p *Package) readTrailer(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	tail := make([]byte, segmentTail)
	at := info.Size() - segmentTail
	if at < 0 {
		return errSegment
	}
	if _, err := file.ReadAt(tail, at); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(tail)
	if string(tail[8+sha256.Size:]) != segmentMagic || n > maxTrailer || int64(n) > at {
		return errSegment
	}
	packed := make([]byte, n)
	if _, err := file.ReadAt(packed, at-int64(n)); err != nil {
		return err
	}
	if sum := sha256.Sum256(packed); !bytes.Equal(sum[:], tail[8:8+sha256.Size]) {
		return errSegment
	}
	return p.decodeTrailer(packed)
}

func (p *Package) decodeTrailer(packed []byte) error {
	b, err := unzstd(packed)
	if err != nil {
		return err
	}
	var t trailer
	if err := json.Unmarshal(b, &t); err != nil {
		return errSegment
	}
	for _, f := range t.Frames {
		if f.Plain < 0 || f.Plain > frameSize || f.Packed < 0 || f.Packed > 2*frameSize || f.At < 0 {
			return errSegment
		}
	}
	p.files, p.Control, p.Other, p.frames = t.Files, t.Control, t.Other, t.Frames
	return nil
}

// unzstd returns what a frame of a trailer holds.
func unzstd(packed []byte) ([]byte, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxTrailer))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	return dec.DecodeAll(packed, nil)
}

// A frameReader reads frames. It holds what one needs.
type frameReader struct {
	packed  []byte
	src     bytes.Reader
	inflate io.ReadCloser
}

// read returns the content of a frame of file, in the place of what was used.
func (r *frameReader) read(file io.ReaderAt, f frameAt, used []byte) ([]byte, error) {
	r.packed = slices.Grow(r.packed[:0], int(f.Packed))[:f.Packed]
	if _, err := file.ReadAt(r.packed, f.At); err != nil {
		return nil, errSegment
	}
	r.src.Reset(r.packed)
	if r.inflate == nil {
		r.inflate = flate.NewReader(&r.src)
	} else if err := r.inflate.(flate.Resetter).Reset(&r.src, nil); err != nil {
		return nil, err
	}
	plain := slices.Grow(used[:0], frameSize)[:f.Plain]
	if _, err := io.ReadFull(r.inflate, plain); err != nil || crc32.ChecksumIEEE(plain) != f.CRC32 {
		return nil, errSegment
	}
	return plain, nil
}

// damaged says what to do about a segment that is.
func (p *Package) damaged(err error) error {
	return fmt.Errorf("reading the unpacked package %s: %w: build again", p.Name, err)
}
