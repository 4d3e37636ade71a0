// SPDX-License-Identifier: Apache-2.0

package unxz

import "encoding/binary"

// Bounds of a chunk of LZMA2, in bytes, and the buffers for it.
const (
	maxPacked = 64 << 10
	maxPlain  = 2 << 20
	inSize    = 2 * maxPacked
	inMask    = inSize - 1
	// most bytes that a symbol takes of the chunk, and what a copy writes too many.
	ahead    = 32
	overhang = 8
	// slack is what the window has room for beside what may be referred to.
	// Whenever it is used up, that is moved to the front.
	slack = maxPlain + 1<<20
	// firstWindow is what it begins with: most contents are small.
	firstWindow = 1 << 20
)

// A decoder decodes the chunks of one block.
type decoder struct {
	coder
	in     [inSize]byte
	window []byte
	size   int // of the dictionary, as the block says
	base   int // where in window the dictionary begins
	phase  int // of positions that count from there
	pos    int // where it ends
	read   int // how far it was handed on

	noDictionary, noProperties, noState bool
}

// begin makes the decoder ready for a block with a dictionary of size bytes.
func (d *decoder) begin(size int) {
	d.size, d.base, d.phase, d.pos, d.read = size, 0, 0, 0, 0
	d.noDictionary, d.noProperties, d.noState = true, true, true
}

// chunk decodes the next chunk of r, or finds that there is none left.
func (d *decoder) chunk(r reader) (last bool, err error) {
	control, err := r.ReadByte()
	if err != nil || control == 0 {
		return true, err
	}
	if control >= 0xe0 || control == 1 {
		d.base, d.phase = d.pos, d.pos&(positions-1)
		d.noDictionary, d.noProperties = false, true
	}
	if d.noDictionary || control > 2 && control < 0x80 {
		return false, errCorrupt
	}
	if control < 0x80 {
		return false, d.stored(r)
	}
	return false, d.packed(r, control)
}

// stored reads a chunk that is not compressed.
func (d *decoder) stored(r reader) error {
	var size [2]byte
	if err := readFull(r, size[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(size[:])) + 1
	d.room(n)
	if err := readFull(r, d.window[d.pos:d.pos+n]); err != nil {
		return err
	}
	d.pos += n
	return nil
}

// packed decodes one that is.
func (d *decoder) packed(r reader, control byte) error {
	var head [4]byte
	if err := readFull(r, head[:]); err != nil {
		return err
	}
	plain := int(control&0x1f)<<16 + int(binary.BigEndian.Uint16(head[:2])) + 1
	packed := int(binary.BigEndian.Uint16(head[2:])) + 1
	if err := d.renew(r, control); err != nil {
		return err
	}
	if err := readFull(r, d.in[:packed]); err != nil {
		return err
	}
	clear(d.in[packed : packed+ahead])
	if packed < 5 || d.in[0] != 0 {
		return errCorrupt
	}
	d.rng, d.code, d.ip = 1<<32-1, binary.BigEndian.Uint32(d.in[1:5]), 5
	d.room(plain)
	if !d.symbols(d.pos+plain) || d.ip != uint(packed) || d.code != 0 {
		return errCorrupt
	}
	return nil
}

// renew resets what control says.
func (d *decoder) renew(r reader, control byte) error {
	if control >= 0xc0 {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		lc, lp, pb := uint32(b%9), uint32(b/9%5), uint32(b/45)
		if pb > 4 || lc+lp > 4 {
			return errCorrupt
		}
		d.lc, d.lpMask, d.pbMask = lc, 1<<lp-1, 1<<pb-1
		d.noProperties = false
	}
	if d.noProperties {
		return errCorrupt
	}
	if control >= 0xa0 {
		d.reset()
		d.noState = false
	}
	if d.noState {
		return errCorrupt
	}
	return nil
}

// room makes room for n bytes more.
func (d *decoder) room(n int) {
	if d.pos+n+overhang <= len(d.window) {
		return
	}
	most := d.size + slack + overhang
	if len(d.window) < most {
		grown := make([]byte, min(max(2*len(d.window), d.pos+n+overhang, firstWindow), most))
		copy(grown, d.window[:d.pos])
		d.window = grown
	}
	if d.pos+n+overhang <= len(d.window) {
		return
	}
	// A multiple of positions, so that these count on.
	shift := (d.pos - d.size) &^ (positions - 1)
	copy(d.window, d.window[shift:d.pos])
	d.pos, d.read, d.base = d.pos-shift, d.read-shift, max(d.base-shift, 0)
}
