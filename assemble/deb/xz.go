// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
)

// The parts of the .xz format (version 1.2.1) that say where blocks are. dpkg
// writes large members as independent blocks, whose sizes its index lists.
const (
	xzHeader = 12
	xzFooter = 12
	// maxBlock bounds a block that is decoded on its own, in bytes, and maxXzIndex
	// the list of blocks. Others are decoded one after the other.
	maxBlock   = 64 << 20
	maxXzIndex = 1 << 20
)

// A block is one of an .xz file.
type block struct {
	at     int64  // its first byte
	packed int64  // bytes without padding
	plain  int64  // bytes of the content
	header []byte // of the stream
}

// xzBlocks lists the blocks of m, or nothing where it doesn't tell: a member that
// is damaged is found out by whoever decodes it all.
func xzBlocks(m member) []block {
	size := m.Size()
	ends := make([]byte, xzHeader+xzFooter)
	if size < xzHeader+xzFooter || size%4 != 0 {
		return nil
	}
	if readAt(m, ends[:xzHeader], 0) != nil || readAt(m, ends[xzHeader:], size-xzFooter) != nil {
		return nil
	}
	header, footer := ends[:xzHeader], ends[xzHeader:]
	backward := (int64(binary.LittleEndian.Uint32(footer[4:8])) + 1) * 4
	if !bytes.Equal(footer[10:], []byte("YZ")) || backward > maxXzIndex || backward > size-xzHeader-xzFooter {
		return nil
	}
	index := make([]byte, backward)
	if readAt(m, index, size-xzFooter-backward) != nil {
		return nil
	}
	return xzIndex(index, header, size-xzFooter-backward)
}

func readAt(m member, p []byte, at int64) error {
	_, err := m.ReadAt(p, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// xzIndex reads the records of an index. The blocks they tell of must reach
// from the header to end.
func xzIndex(index, header []byte, end int64) []block {
	r := bytes.NewReader(index)
	if zero, err := r.ReadByte(); err != nil || zero != 0 {
		return nil
	}
	n, err := binary.ReadUvarint(r)
	if err != nil || n > uint64(len(index)) {
		return nil
	}
	at := int64(xzHeader)
	blocks := make([]block, 0, n)
	for range n {
		packed, err1 := binary.ReadUvarint(r)
		plain, err2 := binary.ReadUvarint(r)
		if err1 != nil || err2 != nil || packed > uint64(end) || plain > maxInstalled {
			return nil
		}
		blocks = append(blocks, block{at: at, packed: int64(packed), plain: int64(plain), header: header})
		at += int64(packed+3) &^ 3
	}
	if at != end {
		return nil
	}
	return blocks
}

// areApart reports whether blocks are to be decoded on their own.
func areApart(blocks []block) bool {
	return len(blocks) > 1 && !slices.ContainsFunc(blocks, func(b block) bool { return b.packed > maxBlock || b.plain > maxBlock })
}

// xzWindow returns the largest window of blocks, or the most that one may have if
// that can't be told.
func xzWindow(m member, blocks []block) int64 {
	var most int64
	for _, b := range blocks {
		w, ok := b.window(m)
		if !ok {
			return maxXzWindow
		}
		most = max(most, w)
	}
	if most == 0 {
		return maxXzWindow
	}
	return most
}

// window returns how much a decoder of the block keeps of what it wrote, as the
// properties of its last filter, LZMA2, say.
func (b block) window(m member) (int64, bool) {
	const lzma2 = 0x21
	header := make([]byte, 4+1<<10)
	n, _ := m.ReadAt(header, b.at) // what is cut off has no filter there
	r := bytes.NewReader(header[2:max(n, 2)])
	flags := header[1]
	for _, has := range []byte{0x40, 0x80} { // sizes, as the index has them
		if flags&has != 0 {
			if _, err := binary.ReadUvarint(r); err != nil {
				return 0, false
			}
		}
	}
	for range flags&3 + 1 {
		id, err1 := binary.ReadUvarint(r)
		size, err2 := binary.ReadUvarint(r)
		if err1 != nil || err2 != nil || size > uint64(r.Len()) {
			return 0, false
		}
		properties := make([]byte, size)
		_, _ = r.Read(properties) // it was checked that they are there
		if id == lzma2 && size == 1 {
			return dictionary(properties[0])
		}
	}
	return 0, false
}

// dictionary returns the size that a property of LZMA2 stands for.
func dictionary(property byte) (int64, bool) {
	if property > 40 {
		return 0, false
	}
	size := int64(2|property&1) << (property/2 + 11)
	return size, size <= maxXzWindow
}

// stream returns the block as an .xz file of its own.
func (b block) stream(ctx context.Context, m member) io.Reader {
	padded := (b.packed + 3) &^ 3
	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(b.packed))
	index = binary.AppendUvarint(index, uint64(b.plain))
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	fields := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	fields = append(fields, b.header[6:8]...)
	footer := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(fields))
	footer = append(append(footer, fields...), 'Y', 'Z')
	return &waiting{ctx: ctx, r: io.MultiReader(bytes.NewReader(b.header),
		io.NewSectionReader(m, b.at, padded), bytes.NewReader(index), bytes.NewReader(footer))}
}
