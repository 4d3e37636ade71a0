// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"

	"inlay/layers/inflate"
)

const (
	// level of what is compressed here. On the tar of 289 wheels level 6 took 8 %
	// more time and saved 2 %; of a layer about a tenth is compressed here.
	level = 5

	outBuffer = 64 << 10
)

// A stream is a layer's tar on its way through the hashes and a compressor.
type stream interface {
	io.Writer
	// splice adds the content of s, which must have size bytes.
	splice(s Deflated, size int64) error
	close() error
	summary() Summary // once it is closed
}

// A member is one gzip member (RFC 1952), made of runs of bytes that are
// compressed here and, between them, deflate streams that came from elsewhere
// and are not compressed again. A run ends with a sync flush, a foreign stream
// without its mark of the last block and filled up to a whole byte: so one
// follows the other, and all read as a single deflate stream.
type member struct {
	blob   blobSums
	buf    *bufio.Writer // to blob
	run    *flate.Writer // to buf
	inRun  bool          // run was given bytes that it may not have written
	decode inflate.Decoder

	diffID hash.Hash
	tar    io.Writer // diffID and who inspects the same
	crc    uint32    // of the plain bytes
	plain  int64     // bytes
}

// blobSums is the compressed layer, on its way to dst.
type blobSums struct {
	dst    io.Writer
	digest hash.Hash
	size   int64
}

func (b *blobSums) Write(p []byte) (int, error) {
	n, err := b.dst.Write(p)
	b.digest.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// summary describes the layer, but for its media type.
func (b *blobSums) summary(diffID hash.Hash) Summary {
	return Summary{DiffID: sum(diffID), Digest: sum(b.digest), Size: b.size}
}

// seen returns what is written the tar: its hash and, unless it is nil, inspect.
func seen(diffID hash.Hash, inspect io.Writer) io.Writer {
	if inspect == nil {
		return diffID
	}
	return io.MultiWriter(diffID, inspect)
}

func newMember(dst, inspect io.Writer) *member {
	m := &member{blob: blobSums{dst: dst, digest: sha256.New()}, diffID: sha256.New()}
	m.tar = seen(m.diffID, inspect)
	m.buf = bufio.NewWriterSize(&m.blob, outBuffer)
	run, err := flate.NewWriter(m.buf, level)
	if err != nil {
		panic(err) // the level is a constant
	}
	m.run = run
	// Deflated, neither name nor time, made on an unknown system. The buffer
	// keeps an error for later.
	_, _ = m.buf.Write([]byte{0x1f, 0x8b, 8, 9: 0xff})
	return m
}

// Write compresses p.
func (m *member) Write(p []byte) (int, error) {
	m.inRun = true
	if _, err := m.tar.Write(p); err != nil {
		return 0, err
	}
	m.crc = crc32.Update(m.crc, crc32.IEEETable, p)
	m.plain += int64(len(p))
	return m.run.Write(p)
}

// endRun writes all that was compressed and forgets it: matches must not reach
// back over a foreign stream.
func (m *member) endRun() error {
	if !m.inRun {
		return nil
	}
	m.inRun = false
	err := m.run.Flush()
	m.run.Reset(m.buf)
	return err
}

// splice moves the stream of s as it is where that pays.
func (m *member) splice(s Deflated, size int64) error {
	if size < MinSplice {
		return recompress(m, &m.decode, s, size)
	}
	return m.transplant(s, size)
}

// recompress decodes s and writes its content, which must have size bytes.
func recompress(to io.Writer, d *inflate.Decoder, s Deflated, size int64) error {
	c := &content{to: to, size: size}
	r, err := d.Decode(c, nil, s.Stream, s.Size)
	if err != nil {
		return inflating(err)
	}
	return c.check(s, r)
}

// transplant decodes s, whose content must have size bytes, and takes its
// stream over as it is.
func (m *member) transplant(s Deflated, size int64) error {
	if err := m.endRun(); err != nil {
		return err
	}
	c := &content{to: m.tar, size: size}
	r, err := m.decode.Decode(c, m.buf, s.Stream, s.Size)
	if err != nil {
		return inflating(err)
	}
	if err := c.check(s, r); err != nil {
		return err
	}
	m.crc = combineCRC(m.crc, c.crc, c.n)
	m.plain += c.n
	_, err = m.buf.Write(r.Align())
	return err
}

// inflating says what err came from, unless it says so itself.
func inflating(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("deflate stream is cut off: %w", err)
	}
	return err
}

// close ends the member.
func (m *member) close() error {
	if err := m.run.Close(); err != nil {
		return err
	}
	var end [8]byte
	binary.LittleEndian.PutUint32(end[:4], m.crc)
	binary.LittleEndian.PutUint32(end[4:], uint32(m.plain)) // modulo 2^32
	if _, err := m.buf.Write(end[:]); err != nil {
		return err
	}
	return m.buf.Flush()
}

func (m *member) summary() Summary { return m.blob.summary(m.diffID) }

// content is what a foreign stream holds. It stops a stream that holds more
// than was said, before a small one can become an endless one.
type content struct {
	to   io.Writer
	size int64 // that it should have
	n    int64 // bytes so far
	crc  uint32
}

func (c *content) Write(p []byte) (int, error) {
	if c.n += int64(len(p)); c.n > c.size {
		return 0, &SizeError{Want: c.size, Got: c.n}
	}
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p)
	return c.to.Write(p)
}

// check compares the content, which was decoded with the result r, with what s
// says about it.
func (c *content) check(s Deflated, r inflate.Result) error {
	switch {
	case c.n != c.size:
		return &SizeError{Want: c.size, Got: c.n}
	case r.Bytes() != s.Size:
		return fmt.Errorf("deflate stream ends after %d of %d bytes", r.Bytes(), s.Size)
	case c.crc != s.CRC32:
		return fmt.Errorf("content has the CRC-32 %08x, want %08x", c.crc, s.CRC32)
	}
	return nil
}

// A CRC-32 is the remainder of a polynomial over GF(2), in bits: the
// coefficient of x^0 is the highest bit. To append n bytes to others is to
// multiply the polynomial of these by x^8n; so the CRC of both follows from
// their CRCs.

// combineCRC returns the CRC-32 of n bytes with the CRC b after others with the
// CRC a.
func combineCRC(a, b uint32, n int64) uint32 {
	power := uint32(1 << 31) // 1
	for i := 0; n > 0; i, n = i+1, n>>1 {
		if n&1 != 0 {
			power = multiply(squares[i], power)
		}
	}
	return multiply(a, power) ^ b
}

// squares[i] is x^(8·2^i), as long as an int64 can count bytes.
var squares = func() (t [63]uint32) {
	t[0] = 1 << (31 - 8)
	for i := 1; i < len(t); i++ {
		t[i] = multiply(t[i-1], t[i-1])
	}
	return t
}()

// multiply returns the product of two polynomials modulo the one of CRC-32.
func multiply(a, b uint32) uint32 {
	var product uint32
	for ; a != 0; a <<= 1 {
		product ^= b & -(a >> 31)
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}
