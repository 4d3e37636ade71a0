// SPDX-License-Identifier: Apache-2.0

package inflate_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	kflate "github.com/klauspost/compress/flate"

	"inlay/layers/inflate"
)

// decode returns the content and the raw bytes of a stream.
func decode(d *inflate.Decoder, src io.Reader, size int) (plain, raw []byte, r inflate.Result, err error) {
	var p, z bytes.Buffer
	r, err = d.Decode(&p, &z, src, int64(size))
	return p.Bytes(), z.Bytes(), r, err
}

func TestDecode(t *testing.T) {
	var d inflate.Decoder
	for _, s := range streams(t) {
		for _, rd := range readers {
			if len(s.content) <= 1000 || rd.name == "whole" {
				checkDecode(t, &d, s.name+", read "+rd.name, s, rd.of(bytes.NewReader(s.stream)))
			}
		}
	}
}

func checkDecode(t *testing.T, d *inflate.Decoder, name string, s streamOf, src io.Reader) {
	t.Helper()
	plain, raw, r, err := decode(d, src, len(s.stream))
	if err != nil || !bytes.Equal(plain, s.content) {
		t.Fatalf("%s: Decode gave %d bytes, %v, want %d", name, len(plain), err, len(s.content))
	}
	if r.Size != int64(len(plain)) || r.Bytes() != int64(len(s.stream)) {
		t.Errorf("%s: Decode = %+v, want %d bytes of content from %d", name, r, len(plain), len(s.stream))
	}
	if len(raw) != len(s.stream) || different(raw, s.stream) != 1 {
		t.Errorf("%s: the raw bytes differ from the stream by more than one bit", name)
	}
}

// different returns the number of bits in which a and b differ.
func different(a, b []byte) (n int) {
	for i := range a {
		for x := a[i] ^ b[i]; x != 0; x &= x - 1 {
			n++
		}
	}
	return n
}

// Streams that were handed on read as one when what Align says stands between
// them.
func TestJoined(t *testing.T) {
	var d inflate.Decoder
	var joined, want bytes.Buffer
	ends := make(map[int64]bool)
	for i := range 120 {
		b := sample(i, 1+i*i)
		z := compressors[i%len(compressors)].make(t, b)
		r, err := d.Decode(&want, &joined, bytes.NewReader(z), int64(len(z)))
		if err != nil {
			t.Fatal(err)
		}
		ends[r.Bits%8] = true
		joined.Write(r.Align())
	}
	joined.Write([]byte{3, 0}) // an empty last block
	got, err := io.ReadAll(flate.NewReader(&joined))
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("reading the streams as one gave %d bytes, %v, want %d", len(got), err, want.Len())
	}
	if len(ends) != 8 {
		t.Errorf("the streams end on the bits %v of a byte, want all eight", ends)
	}
}

func TestCorrupt(t *testing.T) {
	var d inflate.Decoder
	// Something that a match could reach if the window were kept.
	before := std(6, 0)(t, []byte("something to leave in the window"))
	for _, tt := range corrupt {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, _, err := decode(&d, bytes.NewReader(before), len(before)); err != nil {
				t.Fatal(err)
			}
			z := append(tt.stream.bytes(), make([]byte, 100)...)
			_, _, _, err := decode(&d, bytes.NewReader(z), len(z))
			bad := (*inflate.CorruptError)(nil)
			if !errors.As(err, &bad) || bad.Problem != tt.want {
				t.Errorf("Decode = %v, want a CorruptError: %s", err, tt.want)
			}
			if _, err := io.ReadAll(flate.NewReader(bytes.NewReader(z))); err == nil {
				t.Errorf("compress/flate takes the stream")
			}
		})
	}
}

// Codes that are incomplete, but in a way that zlib takes too.
func TestUnusualCodes(t *testing.T) {
	tests := []struct {
		name   string
		stream stream
		want   string
	}{
		{"a single literal, the end", dynamicBlock(257, 1).codeLens(twoBits).zeros(138).zeros(118).len1().len0().code(0, 1), ""},
		{"no distance", dynamicBlock(257, 1).codeLens(twoBits).len1().zeros(138).zeros(117).len1().len0().code(0, 1).code(1, 1), "\x00"},
		{
			"a single distance",
			dynamicBlock(258, 1).codeLens(twoBits).len2().zeros(138).zeros(117).len2().len1().len1().
				code(2, 2).code(0, 1).code(0, 1).code(3, 2),
			"\x00\x00\x00\x00",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			z := tt.stream.bytes()
			plain, _, r, err := decode(new(inflate.Decoder), bytes.NewReader(z), len(z))
			if err != nil || string(plain) != tt.want || r.Bits != int64(tt.stream.count) {
				t.Errorf("Decode = %q, %+v, %v, want %q from %d bits", plain, r, err, tt.want, tt.stream.count)
			}
		})
	}
}

func TestCorruptErrorTellsWhere(t *testing.T) {
	z := std(0, 0)(t, sample(0, 1000))
	z = append([]byte{0, 0xe8, 3, 0x17, 0xfc}, z[5:1005]...) // a stored block that isn't the last
	z = append(z, 7, 0, 0, 0)
	_, _, _, err := decode(new(inflate.Decoder), bytes.NewReader(z), len(z))
	const want = "deflate stream is corrupt near byte 1005: block of an unknown kind"
	if fmt.Sprint(err) != want {
		t.Errorf("Decode = %v, want %s", err, want)
	}
}

func TestTruncated(t *testing.T) {
	var d inflate.Decoder
	for _, c := range compressors {
		z := c.make(t, sample(2, 3000))
		for n := range z {
			// The bytes end before the stream does, or src before the bytes.
			for _, size := range []int{n, len(z)} {
				_, _, _, err := decode(&d, bytes.NewReader(z[:n]), size)
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%s: Decode of %d of %d bytes, said to be %d, = %v, want %v", c.name, n, len(z), size, err, io.ErrUnexpectedEOF)
				}
			}
		}
	}
	if _, _, _, err := decode(&d, bytes.NewReader(nil), -1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Decode of -1 bytes = %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// What follows the last block is left to the caller, and no bit of it is handed
// on.
func TestMoreAfterTheEnd(t *testing.T) {
	var d inflate.Decoder
	for _, c := range compressors {
		want := sample(3, 5000)
		z := c.make(t, want)
		_, clean, end, err := decode(&d, bytes.NewReader(z), len(z))
		if err != nil {
			t.Fatal(err)
		}
		longer := append(bytes.Clone(z), 0xff, 0xff, 0xff)
		if used := end.Bits % 8; used != 0 {
			longer[len(z)-1] |= 0xff << used
		}
		plain, raw, r, err := decode(&d, bytes.NewReader(longer), len(longer))
		if err != nil || r != end || !bytes.Equal(plain, want) || !bytes.Equal(raw, clean) {
			t.Errorf("%s: Decode with more bytes after the end = %+v, %v and %d raw bytes, want %+v and %d", c.name, r, err, len(raw), end, len(clean))
		}
	}
}

func TestErrorsAreHandedOn(t *testing.T) {
	broken := errors.New("broken")
	z := std(6, 0)(t, sample(0, 600_000))
	for _, n := range []int{0, 100, 300_000} {
		full := &limited{left: n, err: broken}
		if _, err := new(inflate.Decoder).Decode(full, nil, bytes.NewReader(z), int64(len(z))); !errors.Is(err, broken) {
			t.Errorf("Decode to a writer that takes %d bytes = %v, want %v", n, err, broken)
		}
		full = &limited{left: n, err: broken}
		if _, err := new(inflate.Decoder).Decode(io.Discard, full, bytes.NewReader(z), int64(len(z))); !errors.Is(err, broken) {
			t.Errorf("Decode handing on to a writer that takes %d bytes = %v, want %v", n, err, broken)
		}
		src := io.MultiReader(bytes.NewReader(z[:n]), iotest.ErrReader(broken))
		if _, _, _, err := decode(new(inflate.Decoder), src, len(z)); !errors.Is(err, broken) {
			t.Errorf("Decode from a reader of %d bytes = %v, want %v", n, err, broken)
		}
	}
}

// limited takes a number of bytes.
type limited struct {
	left int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, l.err
	}
	return len(p), nil
}

func TestDecodeReadsNoMoreThanItMay(t *testing.T) {
	z := std(6, 0)(t, sample(2, 300_000))
	src := bytes.NewReader(append(bytes.Clone(z), "rest"...))
	if _, _, _, err := decode(new(inflate.Decoder), src, len(z)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(src); string(rest) != "rest" {
		t.Errorf("src holds %q, %v after Decode, want %q", rest, err, "rest")
	}
}

func TestDecodeAllocatesOnce(t *testing.T) {
	var d inflate.Decoder
	z := std(6, 0)(t, sample(3, 300_000))
	src := bytes.NewReader(z)
	got := testing.AllocsPerRun(5, func() {
		src.Reset(z)
		if _, err := d.Decode(io.Discard, io.Discard, src, int64(len(z))); err != nil {
			t.Error(err)
		}
	})
	if got != 0 {
		t.Errorf("Decode allocates %v times, want 0 after the first", got)
	}
}

// FuzzDecode compares the decoder with compress/flate.
func FuzzDecode(f *testing.F) {
	for _, c := range compressors {
		for kind := range 5 {
			f.Add(c.make(f, sample(kind, 2000)))
		}
	}
	for _, c := range corrupt {
		f.Add(c.stream.bytes())
	}
	var d inflate.Decoder
	f.Fuzz(func(t *testing.T, z []byte) {
		br := bytes.NewReader(z)
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(br), 64<<20))
		used := len(z) - br.Len()
		plain, raw, r, err := decode(&d, bytes.NewReader(z), len(z))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("Decode = %v, compress/flate %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(plain, want) || r.Size != int64(len(want)) || r.Bytes() != int64(used) || len(raw) != used {
			t.Fatalf("Decode = %+v, %d and %d raw bytes, compress/flate %d bytes from %d", r, len(plain), len(raw), len(want), used)
		}
		// The raw bytes twice, as one stream, are the content twice.
		joined := append(append(bytes.Clone(raw), r.Align()...), append(raw, r.Align()...)...)
		got, err := io.ReadAll(flate.NewReader(bytes.NewReader(append(joined, 3, 0))))
		if err != nil || !bytes.Equal(got, append(want, want...)) {
			t.Fatalf("the stream twice gives %d bytes, %v, want %d", len(got), err, 2*len(want))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	src := bytes.NewReader(nil)
	var d inflate.Decoder
	k, s := kflate.NewReader(src), flate.NewReader(src)
	b.Run("inflate", func(b *testing.B) {
		benchmark(b, src, func(size int) error {
			_, err := d.Decode(io.Discard, io.Discard, src, int64(size))
			return err
		})
	})
	b.Run("klauspost", func(b *testing.B) {
		benchmark(b, src, func(int) error {
			_, err := io.Copy(io.Discard, k)
			return errors.Join(err, k.(kflate.Resetter).Reset(src, nil))
		})
	})
	b.Run("stdlib", func(b *testing.B) {
		benchmark(b, src, func(int) error {
			_, err := io.Copy(io.Discard, s)
			return errors.Join(err, s.(flate.Resetter).Reset(src, nil))
		})
	})
}

// benchmark calls decode with samples in src.
func benchmark(b *testing.B, src *bytes.Reader, decode func(size int) error) {
	var samples [][]byte
	for kind := 1; kind < 4; kind++ {
		samples = append(samples, std(6, 0)(b, sample(kind, 1<<20)))
	}
	b.SetBytes(int64(len(samples) << 20))
	b.ReportAllocs()
	for b.Loop() {
		for _, z := range samples {
			src.Reset(z)
			if err := decode(len(z)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// Two streams become one, without compressing anything again.
func ExampleDecoder_Decode() {
	var joined bytes.Buffer
	var d inflate.Decoder
	for _, text := range []string{"to be, ", "or not to be"} {
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, flate.BestCompression)
		_, _ = io.WriteString(w, text)
		_ = w.Close()

		r, err := d.Decode(io.Discard, &joined, &z, int64(z.Len()))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d bytes in %d bits\n", r.Size, r.Bits)
		joined.Write(r.Align())
	}
	joined.Write([]byte{3, 0}) // the last block, which is empty
	text, err := io.ReadAll(flate.NewReader(&joined))
	fmt.Printf("%s %v\n", text, err)
	// Output:
	// 7 bytes in 104 bits
	// 12 bytes in 144 bits
	// to be, or not to be <nil>
}
