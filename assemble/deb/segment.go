// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A segment is a package unpacked, as a file: data.tar in zstd frames of
// frameSize bytes each, so that any part can be read on its own; one frame with
// what is known of the package, as JSON; the length of that frame, its sha256
// and the magic.
const (
	segmentMagic = "inlaydeb2\n"
	frameSize    = 1 << 20
	segmentTail  = 8 + sha256.Size + int64(len(segmentMagic))
	maxTrailer   = 256 << 20
)

// errSegment reports a file that is not what a segment writer wrote.
var errSegment = errors.New("it is damaged")

// A trailer is what a segment says of itself.
type trailer struct {
	Frames  []int64           `json:"frames"` // where each begins, and where the last one ends
	Files   []byte            `json:"files"`  // a zstd frame of them, as JSON: they are wanted once, the rest often
	Control map[string][]byte `json:"control"`
}

type segmentWriter struct {
	dst    io.Writer
	enc    *zstd.Encoder
	plain  []byte
	packed []byte
	at     int64
	frames []int64
}

func newSegment(dst io.Writer) (*segmentWriter, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(true), zstd.WithWindowSize(frameSize), zstd.WithLowerEncoderMem(true))
	return &segmentWriter{dst: dst, enc: enc, plain: make([]byte, 0, frameSize)}, err
}

func (w *segmentWriter) free() { _ = w.enc.Close() }

func (w *segmentWriter) Write(p []byte) (int, error) {
	for left := p; len(left) > 0; {
		n := min(len(left), frameSize-len(w.plain))
		w.plain = append(w.plain, left[:n]...)
		left = left[n:]
		if len(w.plain) == frameSize {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

func (w *segmentWriter) flush() error {
	w.frames = append(w.frames, w.at)
	w.packed = w.enc.EncodeAll(w.plain, w.packed[:0])
	w.plain = w.plain[:0]
	n, err := w.dst.Write(w.packed)
	w.at += int64(n)
	return err
}

func (w *segmentWriter) finish(files []File, control map[string][]byte) error {
	if err := w.flush(); err != nil {
		return err
	}
	list, err := json.Marshal(files)
	if err != nil {
		return err
	}
	b, err := json.Marshal(trailer{Frames: append(w.frames, w.at), Files: w.enc.EncodeAll(list, nil), Control: control})
	if err != nil {
		return err
	}
	packed := w.enc.EncodeAll(b, nil)
	sum := sha256.Sum256(packed)
	tail := binary.LittleEndian.AppendUint64(packed, uint64(len(packed)))
	tail = append(append(tail, sum[:]...), segmentMagic...)
	_, err = w.dst.Write(tail)
	return err
}

// A Package is one that a [Store] unpacked.
type Package struct {
	Name    string            // as it was asked for
	Control map[string][]byte // the files of control.tar

	store  *Store
	hex    string
	frames []int64
	files  []byte // as a trailer has them
}

// Files returns what installing the package writes, in the order of data.tar.
// The package doesn't hold them: of many packages they are much.
func (p *Package) Files() ([]File, error) {
	b, err := unzstd(p.files, maxTrailer)
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
	if _, err := p.ReadAt(b, f.Offset); err != nil {
		return nil, fmt.Errorf("reading %s of package %s: %w", f.Path, p.Name, err)
	}
	return b, nil
}

// ReadAt reads data.tar. The contents of files are at their Offset.
func (p *Package) ReadAt(b []byte, at int64) (int, error) { return p.store.read(p, b, at) }

// Body returns the content of f.
func (p *Package) Body(f *File) *io.SectionReader { return io.NewSectionReader(p, f.Offset, f.Size) }

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
	b, err := unzstd(packed, maxTrailer)
	if err != nil {
		return err
	}
	var t trailer
	if err := json.Unmarshal(b, &t); err != nil {
		return errSegment
	}
	p.files, p.Control, p.frames = t.Files, t.Control, t.Frames
	return nil
}

// decode returns the content of frame i, in the place of what was used. Its
// checksum was checked. Packed is room for what is read.
func (p *Package) decode(path string, i int, used, packed []byte) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	packed = slices.Grow(packed[:0], int(p.frames[i+1]-p.frames[i]))[:p.frames[i+1]-p.frames[i]]
	if _, err := file.ReadAt(packed, p.frames[i]); err != nil {
		return nil, err
	}
	plain, err := unframe(packed, used)
	if err != nil {
		_ = os.Remove(path) // so that the next build unpacks the package anew
		return nil, fmt.Errorf("reading the unpacked package %s: %w: build again", p.Name, err)
	}
	return plain, nil
}

// framers are decoders of frames, to be used again.
var framers sync.Pool

// unframe returns the content of a frame, in the place of what was used.
func unframe(packed, used []byte) (plain []byte, err error) {
	dec, ok := framers.Get().(*zstd.Decoder)
	if !ok {
		if dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(frameSize)); err != nil {
			return nil, err
		}
	}
	defer framers.Put(dec)
	return dec.DecodeAll(packed, slices.Grow(used[:0], frameSize))
}

func unzstd(packed []byte, most uint64) ([]byte, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(most))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	return dec.DecodeAll(packed, nil)
}
