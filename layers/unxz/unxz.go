// SPDX-License-Identifier: Apache-2.0

// Package unxz decodes .xz files (version 1.2.1 of the format), as Debian's
// packages and indexes are. A file that is damaged or cut off is an error before
// io.EOF: each block's check is compared, and the index at the end with the
// blocks before it. It holds no more than the dictionary that it was allowed, and
// 4 MB.
package unxz

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"
)

// errCorrupt reports bytes that no encoder wrote.
var errCorrupt = errors.New("xz: the data is corrupt")

// ErrUnsupported reports a filter other than LZMA2, or a check that isn't known.
var ErrUnsupported = errors.New("xz: the file is made with a filter or a check that is not supported")

// ErrDictionary reports a block that needs a larger dictionary than was allowed.
var ErrDictionary = errors.New("xz: the dictionary is larger than it may be")

// A reader is what is read from.
type reader interface {
	io.Reader
	io.ByteReader
}

// A Reader decodes one file, which may consist of several streams. Reset makes
// it read another with the same buffers.
type Reader struct {
	src   *bufio.Reader
	count counter // of src
	most  int

	inStream, inBlock bool
	any               bool    // a stream has begun
	flags             [2]byte // of the stream
	check             hash.Hash
	block             block
	blocks            records // seen in the stream
	err               error
	decoder
}

// bufferSize is how much is read at a time.
const bufferSize = 32 << 10

// NewReader returns a Reader of the file that r holds, whose dictionary may have
// at most so many bytes.
func NewReader(r io.Reader, most int) *Reader {
	z := &Reader{most: most, src: bufio.NewReaderSize(nil, bufferSize)}
	z.count.r = z.src
	z.Reset(r)
	return z
}

// Reset makes z read r.
func (z *Reader) Reset(r io.Reader) {
	z.src.Reset(r)
	z.inStream, z.inBlock, z.any, z.err = false, false, false, nil
	z.pos, z.read = 0, 0
}

// Read implements io.Reader.
func (z *Reader) Read(p []byte) (int, error) {
	for z.read == z.pos && len(p) > 0 {
		if z.err == nil {
			z.err = z.next()
		}
		if z.err != nil {
			return 0, z.err
		}
	}
	n := copy(p, z.window[z.read:z.pos])
	z.read += n
	return n, nil
}

// next decodes a chunk, or what stands between two.
func (z *Reader) next() error {
	switch {
	case z.inBlock:
		return z.part()
	case z.inStream:
		return cutOff(z.beginBlock())
	default:
		return z.beginStream()
	}
}

// part decodes a chunk of a block, or what ends the block.
func (z *Reader) part() error {
	switch last, err := z.chunk(&z.count); {
	case err != nil:
		return cutOff(err)
	case last:
		z.inBlock = false
		return cutOff(z.endBlock())
	}
	plain := z.window[z.read:z.pos]
	z.block.plain += int64(len(plain))
	if z.check != nil {
		z.check.Write(plain)
	}
	return nil
}

// cutOff is err, but for the end of the file where it must not end.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// magic begins a stream, and footer ends it.
const (
	magic  = "\xfd7zXZ\x00"
	footer = "YZ"
)

// beginStream reads the header of a stream, or finds that there is none left.
func (z *Reader) beginStream() error {
	if err := z.padding(); err != nil {
		return err
	}
	var h [12]byte
	if err := readFull(z.src, h[:]); err != nil {
		return err
	}
	if string(h[:6]) != magic || crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]) {
		return errCorrupt
	}
	z.flags = [2]byte(h[6:8])
	if z.flags[0] != 0 {
		return ErrUnsupported
	}
	var err error
	z.check, err = newCheck(z.flags[1])
	z.inStream, z.any, z.blocks = true, true, records{}
	return err
}

// padding reads what may stand between streams: zeros, in fours. io.EOF is the
// end of the file.
func (z *Reader) padding() error {
	for z.any {
		four, err := z.src.Peek(4)
		if err == io.EOF && len(four) > 0 {
			return errCorrupt
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(four, make([]byte, 4)) {
			break
		}
		_, _ = z.src.Discard(4)
	}
	return nil
}

// counter counts what is read of r.
type counter struct {
	r *bufio.Reader
	n int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte implements io.ByteReader.
func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	return cutOff(err)
}
