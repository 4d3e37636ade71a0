// SPDX-License-Identifier: Apache-2.0

// Package inflate decodes one raw deflate stream (RFC 1951), as a member of a
// zip holds it, and tells where it ends, to the bit. On the way it hands over
// the compressed bytes with the last block's BFINAL bit cleared, so that they
// can stand inside a longer stream; nothing in them can reach out of the
// stream that they came from.
package inflate

import (
	"errors"
	"fmt"
	"io"
)

// A Decoder decodes streams, one after the other. The zero value is ready; its
// buffers (0.4 MB) are made when it is first used and kept. It must not be
// used by two goroutines at once.
type Decoder struct {
	*state
}

// state is what a Decoder works with. It is one block of memory, of arrays of
// constant size: so one register finds everything, and indexes need no checks.
type state struct {
	input
	output
	tables
	fixed    bool // the tables hold the fixed codes
	codeLens [1 << codeLenBits]uint32
	lens     [maxLitLens + maxDistances]uint8
}

// A Result tells how long a decoded stream is.
type Result struct {
	Size int64 // bytes of content
	Bits int64 // compressed, from the first bit of the first block to just past the last block
}

// Bytes returns the number of bytes that hold the stream.
func (r Result) Bytes() int64 { return (r.Bits + 7) / 8 }

// Align returns what has to follow the stream's raw bytes so that another
// stream can stand after them: an empty stored block up to the next byte
// boundary, or nothing if the stream ended on one.
func (r Result) Align() []byte {
	switch used := r.Bits % 8; {
	case used == 0:
		return nil
	case used <= 5: // the three bits of the block's header fit into the last byte
		return []byte{0, 0, 0xff, 0xff}
	default:
		return []byte{0, 0, 0, 0xff, 0xff}
	}
}

// A CorruptError reports a stream that breaks the rules of RFC 1951.
type CorruptError struct {
	Offset  int64 // bytes from the stream's start to about where it is broken
	Problem string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("deflate stream is corrupt near byte %d: %s", e.Offset, e.Problem)
}

// Decode decodes the stream that begins with the next byte of src and lies in
// the size bytes there. It reads no more than those, though perhaps more than
// the stream's own: whether bytes follow the last block is for the caller to
// compare. It writes the content to plain and, unless raw is nil, the stream's
// bytes to raw: the last block isn't marked as the last, and the unused bits of
// the last byte are zero.
//
// The rules are zlib's: a code that is incomplete, a symbol without a meaning
// or a match that reaches before the stream's start makes a *CorruptError, and
// a stream that doesn't end within its bytes io.ErrUnexpectedEOF. Errors of src
// and of the writers are returned as they are. What was written before an
// error is of no use.
func (d *Decoder) Decode(plain, raw io.Writer, src io.Reader, size int64) (Result, error) {
	if d.state == nil {
		d.state = new(state)
	}
	d.output.reset(plain)
	if err := d.input.reset(src, raw, size); err != nil {
		return Result{}, err
	}
	for last := false; !last; {
		var err error
		if last, err = d.block(); err != nil {
			return Result{}, d.explain(err)
		}
	}
	r := Result{Bits: d.position()}
	if r.Bits > size*8 {
		return Result{}, io.ErrUnexpectedEOF
	}
	if err := d.finish(r.Bits); err != nil {
		return Result{}, err
	}
	if err := d.flush(); err != nil {
		return Result{}, err
	}
	r.Size = d.written
	return r, nil
}

// explain completes err, the reason why decoding stopped. Past the last byte
// zeros are read: what is wrong there is wrong because the stream was cut.
func (d *state) explain(err error) error {
	var p problem
	switch {
	case !errors.As(err, &p):
		return err
	case d.position() > d.size*8:
		return io.ErrUnexpectedEOF
	default:
		return &CorruptError{Offset: d.position() / 8, Problem: string(p)}
	}
}

// A problem is what a CorruptError says.
type problem string

func (p problem) Error() string { return string(p) }

// block decodes one block and reports whether it was the last.
func (d *state) block() (last bool, err error) {
	if err := d.ahead(); err != nil {
		return false, err
	}
	header := d.take(3)
	if last = header&1 != 0; last {
		d.clear(d.position() - 3)
	}
	switch header >> 1 {
	case 0:
		return last, d.stored()
	case 1:
		d.fixedCodes()
	case 2:
		d.fixed = false
		if err := d.dynamicCodes(); err != nil {
			return false, err
		}
	default:
		return false, problem("block of an unknown kind")
	}
	return last, d.coded()
}

// stored copies a block that isn't compressed.
func (d *state) stored() error {
	n, err := d.storedHeader()
	if err != nil {
		return err
	}
	for n > 0 {
		if err := d.room(); err != nil {
			return err
		}
		b, err := d.bytes(min(n, outSize-d.op))
		if err != nil {
			return err
		}
		d.op += copy(d.out[d.op:], b)
		n -= len(b)
	}
	return nil
}
