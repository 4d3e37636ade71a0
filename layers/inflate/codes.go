// SPDX-License-Identifier: Apache-2.0

package inflate

import "sync"

// A code is decoded by a table that is indexed by the next bits of the stream.
// Codewords longer than the index go through a subtable, which lies behind.
// The bits of an entry:
//
//	31     a literal: its byte is in 16-23, the length of its codeword in 0-7
//	16-30  of a length or a distance: the least; of a subtable: where it starts
//	15     anything else but a length or a distance: see 13 and 14
//	14     a subtable, with the bits of its index in 8-11
//	13     the end of the block; neither 13 nor 14: no symbol has this codeword
//	8-11   the length of the codeword (in the subtable: what is left of it)
//	0-7    the same plus the number of extra bits, which follow the codeword
//
// The layout is libdeflate's, as it leads to the fewest steps per symbol.
const (
	isLiteral  = 1 << 31
	isSpecial  = 1 << 15
	isSubtable = 1 << 14
	isEnd      = 1 << 13
)

const (
	litLenBits   = 11
	distanceBits = 8
	codeLenBits  = 7

	// Sizes of the tables with all subtables, at most (zlib's `enough 288 11
	// 15` and `enough 32 8 15`), and room for an index of any such bits.
	litLenTable   = 2342
	distanceTable = 402

	maxLitLens   = 286 // symbols that a dynamic block may define
	maxDistances = 30
	maxCodeword  = 15
	endOfBlock   = 256
)

// The least length and the extra bits of the symbols from 257, and the same of
// the distances (RFC 1951, 3.2.5).
var (
	lengthBase = [29]uint32{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
		35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtra = [29]uint32{
		0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
		3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
	}
	distanceBase = [30]uint32{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193,
		257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
	}
	distanceExtra = [30]uint32{
		0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6,
		7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
	}
	// The order in which a dynamic block gives the lengths of the code for
	// lengths (3.2.7).
	codeLenOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// Entries of the symbols, without their codewords' lengths.
var (
	litLenSymbols   = makeLitLenSymbols()
	distanceSymbols = makeDistanceSymbols()
	codeLenSymbols  = makeCodeLenSymbols()
)

func makeLitLenSymbols() (t [288]uint32) {
	for i := range endOfBlock {
		t[i] = isLiteral | uint32(i)<<16
	}
	t[endOfBlock] = isSpecial | isEnd
	for i, base := range lengthBase {
		t[endOfBlock+1+i] = base<<16 | lengthExtra[i]
	}
	t[286], t[287] = isSpecial, isSpecial
	return t
}

func makeDistanceSymbols() (t [32]uint32) {
	for i, base := range distanceBase {
		t[i] = base<<16 | distanceExtra[i]
	}
	t[30], t[31] = isSpecial, isSpecial
	return t
}

func makeCodeLenSymbols() (t [19]uint32) {
	for i := range t {
		t[i] = uint32(i) << 16
	}
	return t
}

// withLength adds the length of a codeword to a symbol's entry.
func withLength(symbol uint32, n int) uint32 { return symbol + uint32(n)<<8 + uint32(n) }

// tables hold the two codes of a block.
type tables struct {
	litLens   [litLenTable]uint32
	distances [distanceTable]uint32
}

// fixedCodes sets the tables to the codes that stand in RFC 1951, 3.2.6.
func (d *state) fixedCodes() {
	if !d.fixed {
		d.tables, d.fixed = *fixedTables(), true
	}
}

var fixedTables = sync.OnceValue(func() *tables {
	var lens [288]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	var t tables
	// Both codes are complete.
	_ = build(t.litLens[:], litLenBits, lens[:], litLenSymbols[:])
	for i := range lens {
		lens[i] = 5
	}
	_ = build(t.distances[:], distanceBits, lens[:32], distanceSymbols[:])
	return &t
})

// dynamicCodes sets the tables to the codes that a block begins with.
func (d *state) dynamicCodes() error {
	litLens, distances, n := int(d.take(5))+257, int(d.take(5))+1, int(d.take(4))+4
	if litLens > maxLitLens || distances > maxDistances {
		return problem("a code has too many symbols")
	}
	clear(d.lens[:19])
	for _, i := range codeLenOrder[:n] {
		d.lens[i] = uint8(d.take(3))
	}
	if !build(d.codeLens[:], codeLenBits, d.lens[:19], codeLenSymbols[:]) {
		return problem("the code for code lengths is incomplete or ambiguous")
	}
	if err := d.readLengths(litLens + distances); err != nil {
		return err
	}
	if d.lens[endOfBlock] == 0 {
		return problem("a block has no end")
	}
	lens := d.lens[litLens : litLens+distances]
	if !build(d.distances[:], distanceBits, lens, distanceSymbols[:]) &&
		!buildSingle(d.distances[:1<<distanceBits], lens, distanceSymbols[:]) {
		return problem("the code for distances is incomplete or ambiguous")
	}
	lens = d.lens[:litLens]
	if !build(d.litLens[:], litLenBits, lens, litLenSymbols[:]) &&
		!buildSingle(d.litLens[:1<<litLenBits], lens, litLenSymbols[:]) {
		return problem("the code for literals and lengths is incomplete or ambiguous")
	}
	return nil
}

// readLengths reads the lengths of n codewords.
func (d *state) readLengths(n int) error {
	for i := 0; i < n; {
		if d.count < codeLenBits+7 { // the most that a codeword and its extra bits take
			if err := d.ahead(); err != nil {
				return err
			}
			d.refill()
		}
		e := d.codeLens[d.bits&(1<<codeLenBits-1)]
		d.drop(uint(e & 15))
		if symbol := e >> 16; symbol < 16 {
			d.lens[i] = uint8(symbol)
			i++
			continue
		}
		length, times := d.repeat(e>>16, d.lens[:i])
		if times == 0 {
			return problem("no code length to repeat")
		}
		if i+times > n {
			return problem("too many code lengths")
		}
		for end := i + times; i < end; i++ {
			d.lens[i] = length
		}
	}
	return nil
}

// repeat reads how often which length comes next: the last one before, or zero.
func (d *state) repeat(symbol uint32, before []uint8) (length uint8, times int) {
	switch symbol {
	case 16:
		if len(before) == 0 {
			return 0, 0
		}
		length, times = before[len(before)-1], 3+int(d.bits&3)
		d.drop(2)
	case 17:
		times = 3 + int(d.bits&7)
		d.drop(3)
	default:
		times = 11 + int(d.bits&127)
		d.drop(7)
	}
	return length, times
}
