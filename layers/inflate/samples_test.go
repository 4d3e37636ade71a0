// SPDX-License-Identifier: Apache-2.0

package inflate_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	kflate "github.com/klauspost/compress/flate"
)

// sample returns n bytes of one of five kinds, equal in every run.
func sample(kind, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(kind), uint64(n)))
	b := make([]byte, n)
	for i := 0; i < n; {
		i += chunk(kind%5, r, b, i)
	}
	return b
}

const words = "def the quick(brown): return fox.jumps[over] # the lazy dog\n    "

// chunk makes the next bytes, from b[i] on, and returns their number.
func chunk(kind int, r *rand.Rand, b []byte, i int) int {
	switch {
	case kind == 0: // random
		b[i] = byte(r.Uint32())
	case kind == 1: // few symbols
		b[i] = byte(r.IntN(4))
	case kind == 2 && i > 300 && r.IntN(9) > 0: // like machine code: near matches
		b[i] = b[i-1-r.IntN(300)]
	case kind == 2: // and bytes of uneven frequency
		b[i] = byte(r.ExpFloat64() * 20)
	case kind == 3 && i > 40_000 && r.IntN(20) == 0: // like text: matches, also far ones
		far := i - 32768 + r.IntN(200)
		return copy(b[i:], b[far:far+1+r.IntN(400)])
	case kind == 3:
		k := r.IntN(len(words))
		return copy(b[i:], words[k:k+1+r.IntN(len(words)-k)])
	default: // runs
		return copy(b[i:], bytes.Repeat([]byte{byte(r.Uint32())}, 1+r.IntN(2000)))
	}
	return 1
}

// A deflate stream and its content.
type streamOf struct {
	name            string
	content, stream []byte
}

// streams returns streams from all compressors, of all samples.
func streams(tb testing.TB) (all []streamOf) {
	for _, c := range compressors {
		sizes := []int{0, 1, 300, 40_000, 400_000}
		if c.slow {
			sizes = []int{0, 1, 300, 20_000}
		}
		for _, size := range sizes {
			for kind := range 5 {
				content := sample(kind, size)
				name := fmt.Sprintf("%s, sample %d of %d bytes", c.name, kind, size)
				all = append(all, streamOf{name, content, c.make(tb, content)})
			}
		}
	}
	return all
}

// compressors make a deflate stream of b, each in another way.
var compressors = []struct {
	name string
	make func(testing.TB, []byte) []byte
	slow bool // too slow for large samples
}{
	{"stdlib 6", std(6, 0), false},
	{"stdlib 9", std(9, 0), true},
	{"stored", std(0, 0), false},
	{"Huffman only", std(flate.HuffmanOnly, 0), true},
	{"sync flushes", std(6, 5000), true},
	{"klauspost 1", klauspost(1), true},
	{"klauspost 9", klauspost(9), true},
	{"fixed codes", func(_ testing.TB, b []byte) []byte { return fixedLiterals(b) }, true},
}

func std(level, flush int) func(testing.TB, []byte) []byte {
	return func(t testing.TB, b []byte) []byte {
		var z bytes.Buffer
		w, err := flate.NewWriter(&z, level)
		if err != nil {
			t.Fatal(err)
		}
		for flush > 0 && len(b) > flush {
			if _, err := w.Write(b[:flush]); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			b = b[flush:]
		}
		return end(t, w, &z, b)
	}
}

func klauspost(level int) func(testing.TB, []byte) []byte {
	return func(t testing.TB, b []byte) []byte {
		var z bytes.Buffer
		w, err := kflate.NewWriter(&z, level)
		if err != nil {
			t.Fatal(err)
		}
		return end(t, w, &z, b)
	}
}

func end(t testing.TB, w io.WriteCloser, z *bytes.Buffer, b []byte) []byte {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// readers give the bytes of a stream in the ways that readers do.
var readers = []struct {
	name string
	of   func(io.Reader) io.Reader
}{
	{"whole", func(r io.Reader) io.Reader { return r }},
	{"byte by byte", iotest.OneByteReader},
	{"halves", iotest.HalfReader},
	{"data with EOF", iotest.DataErrReader},
}
