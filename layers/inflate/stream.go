// SPDX-License-Identifier: Apache-2.0

package inflate

import (
	"encoding/binary"
	"io"
)

const (
	inSize  = 128 << 10 // bytes of the stream at hand, a power of two
	inPad   = 64        // zeros after its end, so that one may look ahead
	inAhead = 32        // bytes that one step of the decoder may look ahead

	// Bytes kept behind the read position: those of the bits at hand, among
	// which BFINAL may have to be cleared.
	inBehind = 16

	window   = 32 << 10  // how far back a match reaches
	outSize  = 256 << 10 // bytes of content at hand, a power of two
	outAhead = 512       // bytes that one step may write: a match, rounded up
)

// input is a stream's compressed bytes, read in order as bits and handed on.
type input struct {
	src  io.Reader
	left int64 // bytes still to be read from src
	size int64 // bytes in all
	raw  io.Writer
	held int // first byte of in not handed on

	n    int   // bytes of in
	ip   int   // next byte to be put into bits
	base int64 // offset of in[0] in the stream
	pad  int   // how many of the n bytes are zeros after the end

	// The bits at hand, lowest first. Bits above the count may be set: they
	// are those of in[ip:] already.
	bits  uint64
	count uint

	in [inSize + 8]byte
}

func (s *input) reset(src io.Reader, raw io.Writer, size int64) error {
	s.src, s.left, s.size, s.raw, s.held = src, max(size, 0), size, raw, 0
	s.n, s.ip, s.base, s.pad, s.bits, s.count = 0, 0, 0, 0, 0, 0
	return s.fill()
}

// position returns the offset of the next bit in the stream.
func (s *input) position() int64 { return (s.base+int64(s.ip))*8 - int64(s.count) }

// clear sets the bit at the offset, which was just read, to zero.
func (s *input) clear(offset int64) {
	i := offset - s.base*8
	s.in[i>>3] &^= 1 << (i & 7)
}

// ahead makes sure that inAhead bytes can be read.
func (s *input) ahead() error {
	if s.n-s.ip >= inAhead {
		return nil
	}
	return s.fill()
}

// fill hands on what was read, moves the rest to the front and reads on. After
// the stream's last byte come zeros, so that the decoder may look ahead; one
// that runs into them is past the end.
func (s *input) fill() error {
	if s.pad > 0 {
		return io.ErrUnexpectedEOF
	}
	keep := max(s.ip-inBehind, 0)
	if err := s.handOn(keep); err != nil {
		return err
	}
	s.held = max(s.held-keep, 0)
	s.n = copy(s.in[:], s.in[keep:s.n])
	s.ip -= keep
	s.base += int64(keep)
	want := int(min(int64(inSize-inPad-s.n), s.left))
	got, err := io.ReadFull(s.src, s.in[s.n:s.n+want])
	s.n += got
	s.left -= int64(got)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && s.left == 0 {
		s.pad = inPad
		clear(s.in[s.n : s.n+inPad])
		s.n += inPad
	}
	return err
}

// handOn writes the bytes up to in[end] to raw.
func (s *input) handOn(end int) error {
	if s.raw == nil || end <= s.held {
		return nil
	}
	_, err := s.raw.Write(s.in[s.held:end])
	s.held = end
	return err
}

// finish hands on what is left of a stream that ended at the given bit.
func (s *input) finish(end int64) error {
	last := int((end+7)/8 - s.base)
	if used := end % 8; used != 0 {
		s.in[last-1] &= 1<<used - 1
	}
	return s.handOn(last)
}

// refill tops the bits at hand up to at least 56. inAhead bytes must be there.
func (s *input) refill() {
	s.bits |= binary.LittleEndian.Uint64(s.in[s.ip:]) << (s.count & 63)
	s.ip += int((63 - s.count) >> 3)
	s.count |= 56
}

// take returns the next n bits, at most 16.
func (s *input) take(n uint) uint32 {
	if s.count < n {
		s.refill()
	}
	v := uint32(s.bits & (1<<n - 1))
	s.drop(n)
	return v
}

// drop removes n bits of those at hand.
func (s *input) drop(n uint) {
	s.bits >>= n
	s.count -= n
}

// storedHeader goes to the next byte boundary and reads the length of a stored
// block. No bits are at hand after it.
func (s *input) storedHeader() (int, error) {
	s.ip = int((s.position()+7)/8 - s.base)
	s.bits, s.count = 0, 0
	if err := s.ahead(); err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint16(s.in[s.ip:])
	check := binary.LittleEndian.Uint16(s.in[s.ip+2:])
	s.ip += 4
	if n != ^check {
		return 0, problem("stored block of unclear length")
	}
	return int(n), nil
}

// bytes returns some of the next bytes, at least one and at most n, while no
// bits are at hand.
func (s *input) bytes(n int) ([]byte, error) {
	if s.ip >= s.n-s.pad {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	b := s.in[s.ip:min(s.ip+n, s.n-s.pad)]
	s.ip += len(b)
	return b, nil
}

// output is the content, kept as far back as matches reach.
type output struct {
	plain   io.Writer
	op      int   // next byte to be decoded
	from    int   // first byte of out not written
	written int64 // bytes
	out     [outSize + 32]byte
}

func (o *output) reset(plain io.Writer) {
	o.plain, o.op, o.from, o.written = plain, 0, 0, 0
}

// flush writes what was decoded.
func (o *output) flush() error {
	b := o.out[o.from:o.op]
	o.from = o.op
	o.written += int64(len(b))
	if len(b) == 0 {
		return nil
	}
	_, err := o.plain.Write(b)
	return err
}

// room makes sure that outAhead bytes can be decoded.
func (o *output) room() error {
	if o.op < outSize-outAhead {
		return nil
	}
	err := o.flush()
	o.op = copy(o.out[:], o.out[o.op-window:o.op])
	o.from = o.op
	return err
}
