// SPDX-License-Identifier: Apache-2.0

package inflate_test

// A stream is made bit by bit.
type stream struct {
	out   []byte
	count int
}

// bits appends the n lowest bits of v, the lowest first.
func (s stream) bits(v, n int) stream {
	for i := range n {
		if s.count%8 == 0 {
			s.out = append(s.out[:len(s.out):len(s.out)], 0)
		}
		s.out[len(s.out)-1] |= byte(v>>i&1) << (s.count % 8)
		s.count++
	}
	return s
}

// code appends a codeword, the highest bit first.
func (s stream) code(v, n int) stream {
	for i := n - 1; i >= 0; i-- {
		s = s.bits(v>>i, 1)
	}
	return s
}

func (s stream) bytes() []byte { return s.out[:len(s.out):len(s.out)] }

// Last blocks of the three kinds.
func storedBlock() stream { return stream{}.bits(1, 1).bits(0, 2) }
func fixedBlock() stream  { return stream{}.bits(1, 1).bits(1, 2) }
func dynamicBlock(litLens, distances int) stream {
	return stream{}.bits(1, 1).bits(2, 2).bits(litLens-257, 5).bits(distances-1, 5)
}

// codeLens appends the lengths of the code for code lengths, by symbol.
func (s stream) codeLens(lens map[int]int) stream {
	s = s.bits(19-4, 4)
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		s = s.bits(lens[symbol], 3)
	}
	return s
}

// The code for code lengths that the streams below use: 0, 1, 2 and 18 (zeros)
// by two bits each.
var twoBits = map[int]int{0: 2, 1: 2, 2: 2, 18: 2}

func (s stream) len0() stream       { return s.code(0, 2) }
func (s stream) len1() stream       { return s.code(1, 2) }
func (s stream) len2() stream       { return s.code(2, 2) }
func (s stream) zeros(n int) stream { return s.code(3, 2).bits(n-11, 7) }
func (s stream) fixed(sym int) stream { // of the literals and lengths, RFC 1951, 3.2.6
	switch {
	case sym < 144:
		return s.code(0x30+sym, 8)
	case sym < 256:
		return s.code(0x190+sym-144, 9)
	case sym < 280:
		return s.code(sym-256, 7)
	default:
		return s.code(0xc0+sym-280, 8)
	}
}

// fixedLiterals returns b as one block of literals in the fixed code.
func fixedLiterals(b []byte) []byte {
	s := fixedBlock()
	for _, c := range b {
		n := stream{}.fixed(int(c))
		// As bits does, without a copy of all that stands before.
		for i := range n.count {
			if s.count%8 == 0 {
				s.out = append(s.out, 0)
			}
			s.out[len(s.out)-1] |= n.out[i/8] >> (i % 8) & 1 << (s.count % 8)
			s.count++
		}
	}
	return s.fixed(256).bytes()
}

// corrupt holds streams that break a rule each, and what the error says.
var corrupt = []struct {
	name   string
	stream stream
	want   string
}{
	{"block of type 3", stream{}.bits(7, 3), "block of an unknown kind"},
	{"stored length and its complement", storedBlock().bits(0, 5).bits(5, 16).bits(5, 16), "stored block of unclear length"},
	{"match at the start", fixedBlock().fixed(257).code(0, 5).fixed(256), "a match reaches before the start"},
	{"match before the start", fixedBlock().fixed('a').fixed(257).code(1, 5).fixed(256), "a match reaches before the start"},
	{"length symbol 286", fixedBlock().fixed(286), "no symbol has this codeword"},
	{"length symbol 287", fixedBlock().fixed(287), "no symbol has this codeword"},
	{"distance symbol 30", fixedBlock().fixed('a').fixed(257).code(30, 5), "no distance has this codeword"},
	{"distance symbol 31", fixedBlock().fixed('a').fixed(257).code(31, 5), "no distance has this codeword"},
	{"287 literals and lengths", dynamicBlock(287, 1).codeLens(twoBits), "a code has too many symbols"},
	{"31 distances", dynamicBlock(257, 31).codeLens(twoBits), "a code has too many symbols"},
	{"incomplete code for code lengths", dynamicBlock(257, 1).codeLens(map[int]int{0: 2, 1: 2, 18: 2}), "the code for code lengths is incomplete or ambiguous"},
	{"single code for code lengths", dynamicBlock(257, 1).codeLens(map[int]int{18: 1}), "the code for code lengths is incomplete or ambiguous"},
	{"ambiguous code for code lengths", dynamicBlock(257, 1).codeLens(map[int]int{0: 1, 1: 1, 18: 1}), "the code for code lengths is incomplete or ambiguous"},
	{"nothing to repeat", dynamicBlock(257, 1).codeLens(map[int]int{0: 1, 16: 1}).code(1, 1), "no code length to repeat"},
	{"too many lengths", dynamicBlock(257, 1).codeLens(twoBits).zeros(138).zeros(138), "too many code lengths"},
	{"no end of the block", dynamicBlock(257, 1).codeLens(twoBits).zeros(138).zeros(118).len0().len1(), "a block has no end"},
	{"incomplete literals", dynamicBlock(257, 1).codeLens(twoBits).len2().zeros(138).zeros(117).len2().len1(), "the code for literals and lengths is incomplete or ambiguous"},
	{"single literal of two bits", dynamicBlock(257, 1).codeLens(twoBits).zeros(138).zeros(118).len2().len1(), "the code for literals and lengths is incomplete or ambiguous"},
	{"ambiguous literals", dynamicBlock(257, 1).codeLens(twoBits).len1().len1().zeros(138).zeros(116).len1().len1(), "the code for literals and lengths is incomplete or ambiguous"},
	{"incomplete distances", dynamicBlock(257, 2).codeLens(twoBits).len1().zeros(138).zeros(117).len1().len2().len2(), "the code for distances is incomplete or ambiguous"},
	{"single distance of two bits", dynamicBlock(257, 1).codeLens(twoBits).len1().zeros(138).zeros(117).len1().len2(), "the code for distances is incomplete or ambiguous"},
	{"the bit that the single literal leaves out", dynamicBlock(257, 1).codeLens(twoBits).zeros(138).zeros(118).len1().len0().bits(1, 1), "no symbol has this codeword"},
	{
		"the bit that the single distance leaves out",
		dynamicBlock(258, 1).codeLens(twoBits).len2().zeros(138).zeros(117).len2().len1().len1().code(2, 2).code(0, 1).code(1, 1),
		"no distance has this codeword",
	},
	{
		"a match in a block without distances",
		dynamicBlock(258, 1).codeLens(twoBits).len2().zeros(138).zeros(117).len2().len1().len0().code(2, 2).code(0, 1).code(0, 1),
		"no distance has this codeword",
	},
}
