// SPDX-License-Identifier: Apache-2.0

package inflate

import "math/bits"

// build fills table, which is indexed by width bits, with the canonical code
// whose codewords have the lengths lens, and reports whether it is complete:
// each sequence of bits begins with just one codeword.
func build(table []uint32, width int, lens []uint8, symbols []uint32) bool {
	var count [maxCodeword + 1]int
	for _, n := range lens {
		count[n&maxCodeword]++
	}
	count[0] = 0
	var next [maxCodeword + 1]int
	space, used := 1, 0
	for n := 1; n <= maxCodeword; n++ {
		next[n] = used
		used += count[n]
		space = space<<1 - count[n]
	}
	if space != 0 {
		return false
	}
	var sorted [len(litLenSymbols)]uint16 // symbols by the length of their codewords
	for symbol, n := range lens {
		if n != 0 {
			sorted[next[n&maxCodeword]] = uint16(symbol)
			next[n&maxCodeword]++
		}
	}
	fillTable(table, width, sorted[:used], &count, symbols)
	return true
}

// fillTable fills table with the codewords of the sorted symbols, of which
// count[n] have n bits. It uses count up.
func fillTable(table []uint32, width int, sorted []uint16, count *[maxCodeword + 1]int, symbols []uint32) {
	codeword := 0 // its first bit lowest, as in the stream
	for n := 1; n <= width; n++ {
		// A table for n-1 bits makes one for n: the new bit decides nothing,
		// unless a longer codeword overwrites the entry.
		copy(table[1<<(n-1):1<<n], table[:1<<(n-1)])
		for _, symbol := range sorted[:count[n]] {
			table[codeword] = withLength(symbols[symbol], n)
			codeword = increment(codeword, n)
		}
		sorted = sorted[count[n]:]
	}
	mask := 1<<width - 1
	for n, start := width+1, 1<<width; len(sorted) > 0; {
		root := codeword & mask
		subwidth := subtableWidth(count, width, &n)
		table[root] = uint32(start)<<16 | isSpecial | isSubtable | uint32(subwidth)<<8 | uint32(width)
		end := start + 1<<subwidth
		for len(sorted) > 0 && codeword&mask == root {
			for count[n] == 0 {
				n++
			}
			e := withLength(symbols[sorted[0]], n-width)
			for i := start + codeword>>width; i < end; i += 1 << (n - width) {
				table[i] = e
			}
			codeword = increment(codeword, n)
			count[n]--
			sorted = sorted[1:]
		}
		start = end
	}
}

// increment returns the codeword of n bits after the given one.
func increment(codeword, n int) int {
	bit := 1 << bits.Len(uint(^codeword&(1<<n-1))) >> 1 // the last bit that is zero
	return codeword&(bit-1) | bit
}

// subtableWidth returns the bits that index the subtable for the next
// codewords, which have *n bits or more.
func subtableWidth(count *[maxCodeword + 1]int, width int, n *int) int {
	for count[*n] == 0 {
		*n++
	}
	w := *n - width
	for space := count[*n]; space < 1<<w; {
		w++
		space = space<<1 + count[width+w]
	}
	return w
}

// buildSingle fills table with a code of one codeword, of one bit, or of none,
// and reports whether lens are those of such a code.
func buildSingle(table []uint32, lens []uint8, symbols []uint32) bool {
	e, used := uint32(isSpecial), 0
	for symbol, n := range lens {
		if n > 1 {
			return false
		}
		if n == 1 {
			e = withLength(symbols[symbol], 1)
			used++
		}
	}
	for i := 0; i < len(table); i += 2 {
		table[i], table[i+1] = e, isSpecial
	}
	return used <= 1
}
