// SPDX-License-Identifier: Apache-2.0

package inflate

import "encoding/binary"

// Indexes are masked by these, which changes none of them and spares the
// checks that they are within bounds.
const (
	inMask  = inSize - 1
	outMask = outSize - 1
)

// coded decodes the symbols of a block, whose codes are in the tables.
//
//nolint:revive // one loop, all of whose variables are in registers; every call in it costs a tenth of the speed
func (d *state) coded() error {
	ip, op, bits, count := uint(d.ip), uint(d.op), d.bits, d.count
	for {
		// Top the bits at hand up to at least 56. The low six bits of count
		// are their number, those above it garbage.
		bits |= binary.LittleEndian.Uint64(d.in[ip&inMask:]) << (count & 63)
		ip += (63 - count) >> 3 & 7
		count |= 56
		e := d.litLens[bits&(1<<litLenBits-1)]
	symbols:
		for {
			if op >= outSize-outAhead || ip > uint(d.n-inAhead) {
				d.ip, d.op, d.bits, d.count = int(ip), int(op), bits, count&63
				if err := d.room(); err != nil {
					return err
				}
				if err := d.ahead(); err != nil {
					return err
				}
				ip, op = uint(d.ip), uint(d.op)
			}

			// Up to three literals, of at most 11 bits each, leave enough of the
			// bits at hand for a length.
			if e&isLiteral != 0 {
				bits >>= e & 63
				count -= uint(e)
				d.out[op&outMask] = byte(e >> 16)
				op++
				e = d.litLens[bits&(1<<litLenBits-1)]
				if e&isLiteral != 0 {
					bits >>= e & 63
					count -= uint(e)
					d.out[op&outMask] = byte(e >> 16)
					op++
					e = d.litLens[bits&(1<<litLenBits-1)]
					if e&isLiteral != 0 {
						bits >>= e & 63
						count -= uint(e)
						d.out[op&outMask] = byte(e >> 16)
						op++
						break symbols
					}
				}
			}
			if e&isSpecial != 0 {
				if e&isSubtable != 0 {
					bits >>= litLenBits
					count -= litLenBits
					e = d.litLens[e>>16+uint32(bits&(1<<(e>>8&15)-1))]
				}
				if e&isLiteral != 0 {
					bits >>= e & 63
					count -= uint(e)
					d.out[op&outMask] = byte(e >> 16)
					op++
					break symbols
				}
				if e&isSpecial != 0 {
					d.ip, d.op, d.bits, d.count = int(ip), int(op), bits>>(e&63), (count-uint(e))&63
					if e&isEnd == 0 {
						return problem("no symbol has this codeword")
					}
					return nil
				}
			}
			length := uint(e>>16) + uint(bits&(1<<(e&63)-1)>>(e>>8&15))
			bits >>= e & 63
			count -= uint(e)

			if count&63 < 28 {
				bits |= binary.LittleEndian.Uint64(d.in[ip&inMask:]) << (count & 63)
				ip += (63 - count) >> 3 & 7
				count |= 56
			}
			e = d.distances[bits&(1<<distanceBits-1)]
			if e&isSpecial != 0 {
				if e&isSubtable != 0 {
					bits >>= distanceBits
					count -= distanceBits
					e = d.distances[e>>16+uint32(bits&(1<<(e>>8&15)-1))]
				}
				if e&isSpecial != 0 {
					d.ip, d.op, d.bits, d.count = int(ip), int(op), bits>>(e&63), (count-uint(e))&63
					return problem("no distance has this codeword")
				}
			}
			distance := uint(e>>16) + uint(bits&(1<<(e&63)-1)>>(e>>8&15))
			bits >>= e & 63
			count -= uint(e)
			if distance > op {
				d.ip, d.op, d.bits, d.count = int(ip), int(op), bits, count&63
				return problem("a match reaches before the start")
			}

			// Look the next symbol up before the copy, whose length is hard to
			// foresee: the processor then does both at once.
			bits |= binary.LittleEndian.Uint64(d.in[ip&inMask:]) << (count & 63)
			ip += (63 - count) >> 3 & 7
			count |= 56
			e = d.litLens[bits&(1<<litLenBits-1)]

			end := op + length
			switch {
			case distance >= 16:
				from := (op - distance) & outMask
				op &= outMask
				src, dst := d.out[from:from+32], d.out[op:op+32]
				*(*[16]byte)(dst) = *(*[16]byte)(src)
				*(*[16]byte)(dst[16:]) = *(*[16]byte)(src[16:])
				for op += 32; op < end; op += 16 {
					from := (op - distance) & outMask
					op &= outMask
					*(*[16]byte)(d.out[op : op+16]) = *(*[16]byte)(d.out[from : from+16])
				}
			case distance == 1:
				v := uint64(d.out[(op-1)&outMask]) * 0x0101010101010101
				for ; op < end; op += 8 {
					binary.LittleEndian.PutUint64(d.out[op&outMask:], v)
				}
			default:
				// Words that overlap: each gives as many bytes as it is far away.
				step := min(distance, 8)
				for ; op < end; op += step {
					binary.LittleEndian.PutUint64(d.out[op&outMask:], binary.LittleEndian.Uint64(d.out[(op-distance)&outMask:]))
				}
			}
			op = end
		}
	}
}
