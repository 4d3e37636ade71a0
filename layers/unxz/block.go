// SPDX-License-Identifier: Apache-2.0

package unxz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// A block is one of a stream.
type block struct {
	header        int64 // bytes of the header
	packed, plain int64 // bytes so far
	wantPacked    int64 // as the header says; less than 0: it doesn't
	wantPlain     int64
}

// newCheck returns the hash that a stream's flag stands for; nil for none.
func newCheck(flag byte) (hash.Hash, error) {
	switch flag {
	case 0:
		return nil, nil //nolint:nilnil // there is no check, and that is fine
	case 1:
		return crc32.NewIEEE(), nil
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA)), nil
	case 10:
		return sha256.New(), nil
	default:
		return nil, ErrUnsupported
	}
}

// beginBlock reads the header of a block, or the index that follows the last.
func (z *Reader) beginBlock() error {
	z.count.n = 0
	size, err := z.count.ReadByte()
	if err != nil {
		return err
	}
	if size == 0 {
		return z.endStream()
	}
	h := make([]byte, (int(size)+1)*4)
	h[0] = size
	if err := readFull(&z.count, h[1:]); err != nil {
		return err
	}
	body := h[:len(h)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(h[len(body):]) {
		return errCorrupt
	}
	dictionary, err := z.block.parse(body[1:])
	if err != nil {
		return err
	}
	if dictionary > int64(z.most) {
		return ErrDictionary
	}
	z.block.header = int64(len(h))
	z.count.n = 0
	z.begin(int(dictionary))
	if z.check != nil {
		z.check.Reset()
	}
	z.inBlock = true
	return nil
}

// parse reads a header from its flags on, and returns the size of the dictionary.
func (b *block) parse(h []byte) (dictionary int64, err error) {
	const lzma2 = 0x21
	flags := h[0]
	if flags&0x3f != 0 {
		return 0, ErrUnsupported // more filters than one, or what is yet to be defined
	}
	r := bytes.NewReader(h[1:])
	*b = block{wantPacked: -1, wantPlain: -1}
	if flags&0x40 != 0 {
		if b.wantPacked, err = number(r); err != nil {
			return 0, err
		}
	}
	if flags&0x80 != 0 {
		if b.wantPlain, err = number(r); err != nil {
			return 0, err
		}
	}
	id, err := number(r)
	if err != nil {
		return 0, err
	}
	if id != lzma2 {
		return 0, ErrUnsupported
	}
	if n, err := number(r); err != nil || n != 1 || r.Len() < 1 {
		return 0, errCorrupt
	}
	property, _ := r.ReadByte() // it is there
	if !onlyZeros(h[len(h)-r.Len():]) || property > 40 {
		return 0, errCorrupt
	}
	if property == 40 {
		return 1<<32 - 1, nil
	}
	return int64(2|property&1) << (property/2 + 11), nil
}

func onlyZeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// number reads an integer of the format.
func number(r io.ByteReader) (int64, error) {
	var n uint64
	for i := range 9 {
		b, err := r.ReadByte()
		if err != nil || b == 0 && i > 0 {
			return 0, errCorrupt
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return int64(n), nil
		}
	}
	return 0, errCorrupt
}

// endBlock reads what follows the last chunk of a block.
func (z *Reader) endBlock() error {
	b := &z.block
	b.packed = z.count.n
	if b.wantPacked >= 0 && b.wantPacked != b.packed || b.wantPlain >= 0 && b.wantPlain != b.plain {
		return errCorrupt
	}
	pad := make([]byte, -b.packed&3)
	if err := readFull(z.src, pad); err != nil {
		return err
	}
	if !onlyZeros(pad) {
		return errCorrupt
	}
	size, err := z.compare()
	if err != nil {
		return err
	}
	z.blocks.add(b.header+b.packed+size, b.plain)
	return nil
}

// compare reads the check of the block and compares it with its content.
func (z *Reader) compare() (size int64, err error) {
	if z.check == nil {
		return 0, nil
	}
	want := make([]byte, z.check.Size())
	if err := readFull(z.src, want); err != nil {
		return 0, err
	}
	got := z.check.Sum(nil)
	if z.flags[1] != 10 { // numbers stand with the least byte first
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return 0, errCorrupt
	}
	return int64(len(want)), nil
}

// records are what an index says of blocks, in short.
type records struct {
	n, size int64 // of blocks, and bytes of them with their padding
	sum     uint32
}

func (r *records) add(unpadded, plain int64) {
	b := binary.LittleEndian.AppendUint64(nil, uint64(unpadded))
	b = binary.LittleEndian.AppendUint64(b, uint64(plain))
	r.sum = crc32.Update(r.sum, crc32.IEEETable, b)
	r.n++
	r.size += (unpadded + 3) &^ 3
}

// endStream reads the index, but for its first byte, and the footer.
func (z *Reader) endStream() error {
	z.inStream = false
	in := &summed{r: &z.count, crc: crc32.ChecksumIEEE([]byte{0})}
	n, err := number(in)
	if err != nil || n != z.blocks.n {
		return errCorrupt
	}
	var listed records
	for range n {
		unpadded, err1 := number(in)
		plain, err2 := number(in)
		if err1 != nil || err2 != nil {
			return errCorrupt
		}
		listed.add(unpadded, plain)
	}
	for z.count.n%4 != 0 {
		if b, err := in.ReadByte(); err != nil || b != 0 {
			return errCorrupt
		}
	}
	var tail [4 + 12]byte
	if err := readFull(&z.count, tail[:]); err != nil {
		return err
	}
	size := z.count.n - 12 // of the index
	sum, fields := binary.LittleEndian.Uint32(tail[:]), tail[8:14]
	switch {
	case listed != z.blocks, sum != in.crc,
		crc32.ChecksumIEEE(fields) != binary.LittleEndian.Uint32(tail[4:]),
		(int64(binary.LittleEndian.Uint32(fields))+1)*4 != size,
		[2]byte(fields[4:]) != z.flags, string(tail[14:]) != footer:
		return errCorrupt
	}
	return nil
}

// summed takes the CRC of what is read.
type summed struct {
	r   io.ByteReader
	crc uint32
}

func (s *summed) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.crc = crc32.Update(s.crc, crc32.IEEETable, []byte{b})
	}
	return b, err
}
