// SPDX-License-Identifier: Apache-2.0

package unxz

import "encoding/binary"

// afterLiteral is the state after a literal.
var afterLiteral = [states]uint32{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}

// symbols decodes symbols until there is content up to end, and reports whether
// that could be.
//
//nolint:revive // one loop, all of whose variables are in registers: a call for each bit takes twice the time
func (d *decoder) symbols(end int) bool {
	out, pos, phase, ip := d.window, d.pos, d.phase, d.ip
	rng, code, state := d.rng, d.code, d.state
	rep0, rep1, rep2, rep3 := d.rep[0], d.rep[1], d.rep[2], d.rep[3]
	lc, lpMask, pbMask := d.lc, d.lpMask, d.pbMask
	prev := uint32(0)
	if pos > d.base {
		prev = uint32(out[pos-1])
	}
	var bound, v uint32
	for pos < end {
		if ip > maxPacked {
			return false
		}
		posState := uint32(pos-phase) & pbMask & (positions - 1)

		if rng < top {
			rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
		}
		p := &d.match[state&(states-1)][posState]
		v = uint32(*p)
		bound = rng >> oneBits * v
		if code < bound {
			rng = bound
			*p = uint16(v + (one-v)>>slowness)

			// A literal.
			lit := &d.literal[(uint32(pos-phase)&lpMask<<lc+prev>>(8-lc))&(coders-1)]
			symbol := uint32(1)
			if state < notLit {
				for symbol < 0x100 {
					if rng < top {
						rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
					}
					p := &lit[symbol&(coderSize-1)]
					v = uint32(*p)
					bound = rng >> oneBits * v
					if code < bound {
						rng = bound
						*p = uint16(v + (one-v)>>slowness)
						symbol <<= 1
					} else {
						rng -= bound
						code -= bound
						*p = uint16(v - v>>slowness)
						symbol = symbol<<1 | 1
					}
				}
			} else {
				// Which way it differs from the byte that a match would have had
				// is hard to foresee: no branches.
				expected, offset := uint32(out[pos-int(rep0)-1]), uint32(0x100)
				for symbol < 0x100 {
					expected <<= 1
					bit := expected & offset
					if rng < top {
						rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
					}
					p := &lit[(offset+bit+symbol)&(coderSize-1)]
					v = uint32(*p)
					bound = rng >> oneBits * v
					less := uint64(code) - uint64(bound)
					zero := uint32(less >> 32) // all bits, or none
					rng -= bound
					rng ^= (rng ^ bound) & zero
					code = uint32(less) + bound&zero
					*p = uint16(v - uint32(int32(v+towards0&zero)>>slowness))
					symbol = symbol<<1 + 1 + zero
					offset &= bit ^ zero
				}
			}
			prev = symbol & 0xff
			out[pos] = byte(symbol)
			pos++
			state = afterLiteral[state&(states-1)]
			continue
		}
		rng -= bound
		code -= bound
		*p = uint16(v - v>>slowness)

		if rng < top {
			rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
		}
		p = &d.chances.rep[state&(states-1)]
		v = uint32(*p)
		bound = rng >> oneBits * v
		isNew := code < bound
		var l *lengths
		if isNew {
			rng = bound
			*p = uint16(v + (one-v)>>slowness)
			rep1, rep2, rep3 = rep0, rep1, rep2
			l = &d.matchLen
			if state < notLit {
				state = 7
			} else {
				state = 10
			}
		} else {
			rng -= bound
			code -= bound
			*p = uint16(v - v>>slowness)

			if rng < top {
				rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
			}
			p = &d.rep0[state&(states-1)]
			v = uint32(*p)
			bound = rng >> oneBits * v
			if code < bound {
				rng = bound
				*p = uint16(v + (one-v)>>slowness)

				if rng < top {
					rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
				}
				p = &d.repLong[state&(states-1)][posState]
				v = uint32(*p)
				bound = rng >> oneBits * v
				if code < bound {
					rng = bound
					*p = uint16(v + (one-v)>>slowness)
					if int(rep0) >= pos-d.base {
						return false
					}
					prev = uint32(out[pos-int(rep0)-1])
					out[pos] = byte(prev)
					pos++
					if state < notLit {
						state = 9
					} else {
						state = 11
					}
					continue
				}
				rng -= bound
				code -= bound
				*p = uint16(v - v>>slowness)
			} else {
				rng -= bound
				code -= bound
				*p = uint16(v - v>>slowness)

				if rng < top {
					rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
				}
				p = &d.rep1[state&(states-1)]
				v = uint32(*p)
				bound = rng >> oneBits * v
				if code < bound {
					rng = bound
					*p = uint16(v + (one-v)>>slowness)
					rep0, rep1 = rep1, rep0
				} else {
					rng -= bound
					code -= bound
					*p = uint16(v - v>>slowness)

					if rng < top {
						rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
					}
					p = &d.rep2[state&(states-1)]
					v = uint32(*p)
					bound = rng >> oneBits * v
					if code < bound {
						rng = bound
						*p = uint16(v + (one-v)>>slowness)
						rep0, rep1, rep2 = rep2, rep0, rep1
					} else {
						rng -= bound
						code -= bound
						*p = uint16(v - v>>slowness)
						rep0, rep1, rep2, rep3 = rep3, rep0, rep1, rep2
					}
				}
			}
			l = &d.repLen
			if state < notLit {
				state = 8
			} else {
				state = 11
			}
		}

		// The length of the match.
		var length uint32
		if rng < top {
			rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
		}
		p = &l.choice[0]
		v = uint32(*p)
		bound = rng >> oneBits * v
		if code < bound {
			rng = bound
			*p = uint16(v + (one-v)>>slowness)
			tree := &l.low[posState]
			symbol := uint32(1)
			for symbol < 8 {
				if rng < top {
					rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
				}
				p := &tree[symbol&7]
				v = uint32(*p)
				bound = rng >> oneBits * v
				less := uint64(code) - uint64(bound)
				zero := uint32(less >> 32)
				rng -= bound
				rng ^= (rng ^ bound) & zero
				code = uint32(less) + bound&zero
				*p = uint16(v - uint32(int32(v+towards0&zero)>>slowness))
				symbol = symbol<<1 + 1 + zero
			}
			length = symbol - 8 + 2
		} else {
			rng -= bound
			code -= bound
			*p = uint16(v - v>>slowness)
			if rng < top {
				rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
			}
			p = &l.choice[1]
			v = uint32(*p)
			bound = rng >> oneBits * v
			var tree []uint16
			if code < bound {
				rng = bound
				*p = uint16(v + (one-v)>>slowness)
				tree = l.mid[posState][:]
				length = 2 + 8
			} else {
				rng -= bound
				code -= bound
				*p = uint16(v - v>>slowness)
				tree = l.high[:]
				length = 2 + 16
			}
			symbol := uint32(1)
			for int(symbol) < len(tree) {
				if rng < top {
					rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
				}
				p := &tree[symbol]
				v = uint32(*p)
				bound = rng >> oneBits * v
				less := uint64(code) - uint64(bound)
				zero := uint32(less >> 32)
				rng -= bound
				rng ^= (rng ^ bound) & zero
				code = uint32(less) + bound&zero
				*p = uint16(v - uint32(int32(v+towards0&zero)>>slowness))
				symbol = symbol<<1 + 1 + zero
			}
			length += symbol - uint32(len(tree))
		}

		if isNew { // the distance of a match that is none of the last ones
			tree := &d.slot[min(length-2, 3)]
			symbol := uint32(1)
			for symbol < 64 {
				if rng < top {
					rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
				}
				p := &tree[symbol&63]
				v = uint32(*p)
				bound = rng >> oneBits * v
				less := uint64(code) - uint64(bound)
				zero := uint32(less >> 32)
				rng -= bound
				rng ^= (rng ^ bound) & zero
				code = uint32(less) + bound&zero
				*p = uint16(v - uint32(int32(v+towards0&zero)>>slowness))
				symbol = symbol<<1 + 1 + zero
			}
			rep0 = symbol - 64
			if rep0 >= 4 {
				n := rep0>>1 - 1 // bits that follow
				low := d.align[:]
				if rep0 < 14 {
					rep0 = (2 | rep0&1) << n
					low = d.special[rep0-(symbol-64):]
				} else {
					rep0 = 2 | rep0&1
					for n -= 4; n > 0; n-- {
						if rng < top {
							rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
						}
						rng >>= 1
						code -= rng
						zero := -(code >> 31)
						code += rng & zero
						rep0 = rep0<<1 + 1 + zero
					}
					rep0 <<= 4
					n = 4
				}
				symbol = 1
				for i := range n {
					if rng < top {
						rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
					}
					p := &low[symbol]
					v = uint32(*p)
					bound = rng >> oneBits * v
					less := uint64(code) - uint64(bound)
					zero := uint32(less >> 32)
					rng -= bound
					rng ^= (rng ^ bound) & zero
					code = uint32(less) + bound&zero
					*p = uint16(v - uint32(int32(v+towards0&zero)>>slowness))
					symbol = symbol<<1 + 1 + zero
					rep0 += (1 + zero) << i
				}
			}
		}

		distance := int(rep0) + 1
		if distance > pos-d.base || distance > d.size || int(length) > end-pos {
			return false
		}
		to := pos + int(length)
		if distance >= 8 {
			// Words: what they write too much is overwritten by what follows.
			for from := pos - distance; pos < to; pos, from = pos+8, from+8 {
				binary.LittleEndian.PutUint64(out[pos:], binary.LittleEndian.Uint64(out[from:]))
			}
		} else {
			for ; pos < to; pos++ {
				out[pos] = out[pos-distance]
			}
		}
		pos = to
		prev = uint32(out[pos-1])
	}
	if rng < top {
		rng, code, ip = rng<<8, code<<8|uint32(d.in[ip&inMask]), ip+1
	}
	d.pos, d.ip, d.rng, d.code, d.state = pos, ip, rng, code, state
	d.rep = [4]uint32{rep0, rep1, rep2, rep3}
	return true
}
