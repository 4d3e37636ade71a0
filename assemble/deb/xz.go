// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
)

// The parts of the .xz format (version 1.2.1) that say where blocks are. dpkg
// writes large members as independent blocks, whose sizes its index lists.
const (
	xzHeader = 12
	xzFooter = 12
	// maxBlock bounds a block that is decoded on its own, in bytes, and maxIndex
	// the list of them. Others are decoded one after the other.
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

// xzBlocks lists the blocks of m, or nothing where they aren't to be decoded on
// their own: one that is damaged is found out by whoever decodes it all.
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
		if err1 != nil || err2 != nil || packed > maxBlock || plain > maxBlock {
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

// decode returns the content of the block, in the place of what was used.
func (b block) decode(ctx context.Context, m member, used []byte) ([]byte, error) {
	r, err := newXz(b.stream(ctx, m))
	if err != nil {
		return nil, damage(err)
	}
	defer r.Close() //nolint:errcheck // it can't fail
	plain := slices.Grow(used[:0], int(b.plain))[:b.plain]
	if _, err := io.ReadFull(r, plain); err != nil {
		return nil, damage(err)
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return nil, &FormatError{Problem: "is damaged: a block of it is longer than it says"}
	}
	return plain, nil
}

// A parallel reader decodes blocks ahead of what is read, as many at a time as
// there are processors, at most four.
type parallel struct {
	cancel context.CancelFunc
	ended  func() error // why there are no more blocks, if not all were read
	blocks chan chan decoded
	left   []byte // of whole
	whole  []byte
	used   chan []byte // blocks that were read
	free   func()
	err    error
}

type decoded struct {
	plain []byte
	err   error
}

func newParallel(ctx context.Context, m member, blocks []block, free func()) *parallel {
	ctx, cancel := context.WithCancel(ctx)
	n := min(runtime.GOMAXPROCS(0), 4)
	p := &parallel{cancel: cancel, ended: ctx.Err, free: free, blocks: make(chan chan decoded, n-1), used: make(chan []byte, n+1)}
	go func() {
		defer close(p.blocks)
		for _, b := range blocks {
			done := make(chan decoded, 1)
			select {
			case p.blocks <- done:
			case <-ctx.Done():
				return
			}
			go func() {
				var used []byte
				select {
				case used = <-p.used:
				default:
				}
				plain, err := b.decode(ctx, m, used)
				done <- decoded{plain, err}
			}()
		}
	}()
	return p
}

func (p *parallel) Read(b []byte) (int, error) {
	for len(p.left) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		next, more := <-p.blocks
		if !more {
			if p.err = p.ended(); p.err == nil {
				p.err = io.EOF
			}
			continue
		}
		d := <-next
		p.left, p.whole, p.err = d.plain, d.plain, d.err
	}
	n := copy(b, p.left)
	if p.left = p.left[n:]; len(p.left) == 0 {
		select {
		case p.used <- p.whole:
		default:
		}
	}
	return n, nil
}

// Close ends the decoding, waits for it, and makes room for another. It is called
// once.
func (p *parallel) Close() error {
	p.cancel()
	for next := range p.blocks {
		<-next
	}
	p.free()
	return nil
}
