// SPDX-License-Identifier: Apache-2.0

package unxz_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"inlay/layers/unxz"
)

const most = 64 << 20

func decode(r io.Reader) ([]byte, error) { return io.ReadAll(unxz.NewReader(r, most)) }

// kept is what `xz -9 --check=crc64` makes of text.
const kept = "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4AmNAFBdACIZSEa4ymiJNwDa52urbBWNUh77IgCNlQc4wWb3qUH63OrJoCFeYs0AyXYY5t7CeN7g/V7y0Co1REGqRKFllqbsrPdBFTIXtFDvb6lx3maTAA55KwNHEe9lAAFsjhMAAAB+7RnwscRn+wIAAAAABFla"

var text = strings.Repeat("Debian packages are .xz files, and so are the lists of them. ", 40) + "\x00\xff\x80end"

func keptFile(t testing.TB) []byte {
	b, err := base64.StdEncoding.DecodeString(kept)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKept(t *testing.T) {
	file := keptFile(t)
	twice := append(append(bytes.Clone(file), 0, 0, 0, 0), file...)
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader,
		"by halves": iotest.HalfReader, "with the end": iotest.DataErrReader,
	}
	for name, of := range readers {
		if got, err := decode(of(bytes.NewReader(file))); err != nil || string(got) != text {
			t.Errorf("read %s: got %d bytes, %v, want %d", name, len(got), err, len(text))
		}
		if got, err := decode(of(bytes.NewReader(twice))); err != nil || string(got) != text+text {
			t.Errorf("two streams with padding, read %s: got %d bytes, %v, want %d", name, len(got), err, 2*len(text))
		}
	}
	if err := iotest.TestReader(unxz.NewReader(bytes.NewReader(file), most), []byte(text)); err != nil {
		t.Error(err)
	}
}

// A file that lacks something, or in which a bit is another, is never read to
// its end.
func TestDamaged(t *testing.T) {
	file := keptFile(t)
	z := unxz.NewReader(nil, most)
	decode := func(r io.Reader) ([]byte, error) {
		z.Reset(r)
		return io.ReadAll(z)
	}
	for n := range file {
		if got, err := decode(bytes.NewReader(file[:n])); err == nil {
			t.Errorf("cut off after %d of %d bytes: got %d bytes and no error", n, len(file), len(got))
		}
	}
	for i := range file {
		for bit := range 8 {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << bit
			if got, err := decode(bytes.NewReader(bad)); err == nil {
				t.Errorf("bit %d of byte %d is another: got %d bytes and no error", bit, i, len(got))
			}
		}
	}
	for _, tail := range []string{"\x00", "\x00\x00\x00", "\x00\x00\x00\x00\x00", "more"} {
		if _, err := decode(strings.NewReader(string(file) + tail)); err == nil {
			t.Errorf("with %q behind it: no error", tail)
		}
	}
}

func TestErrors(t *testing.T) {
	file := keptFile(t)
	broken := errors.New("broken")
	got, err := decode(io.MultiReader(bytes.NewReader(file[:40]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("a source that fails: got %d bytes, %v, want %v", len(got), err, broken)
	}
	if _, err := decode(bytes.NewReader(file[:40])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that ends: got %v, want %v", err, io.ErrUnexpectedEOF)
	}
	z := unxz.NewReader(bytes.NewReader(file), 1<<20) // -9 has 64 MiB
	if _, err := io.ReadAll(z); !errors.Is(err, unxz.ErrDictionary) {
		t.Errorf("with a dictionary of 1 MiB: got %v, want %v", err, unxz.ErrDictionary)
	}
}

// xz makes a file of content, or skips the test where there is no xz.
func xz(t *testing.T, content []byte, args ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("xz")
	if err != nil {
		t.Skip("this machine has no xz")
	}
	cmd := exec.Command(program, append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xz %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// contents are of every kind: some compress well, one not at all, and one is
// longer than all that the decoder holds.
func contents() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise, words := make([]byte, 300_000), make([]byte, 0, 15<<20)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for len(words) < cap(words)-1000 {
		n := random.IntN(300)
		switch begin := len(words) - 1 - random.IntN(min(len(words), 9<<20)+1); {
		case begin >= 0 && random.IntN(8) > 0:
			words = append(words, words[begin:min(begin+n, len(words))]...)
		case begin >= 0 && n < 40:
			words = append(words, bytes.Repeat(noise[:1+n%9], n)...)
		default:
			words = append(words, noise[n:2*n]...)
		}
	}
	return map[string][]byte{
		"nothing": {}, "a byte": {7}, "text": []byte(text), "zeros": make([]byte, 3<<20), "noise": noise, "long": words,
		"noise and text": append(bytes.Clone(noise[:100_000]), strings.Repeat(text, 100)...),
	}
}

// What the xz of this machine writes is read as it was, with one Reader for all.
func TestAsXz(t *testing.T) {
	z, all := unxz.NewReader(nil, most), contents()
	for _, args := range [][]string{
		{"-0"},
		{"-6"},
		{"-1", "--check=none"},
		{"-1", "--check=crc32"},
		{"-1", "--check=sha256"},
		{"-1", "--block-size=100000"},
		{"-T2", "-1", "--block-size=65536"},
		{"--lzma2=preset=1,lc=0,lp=4,pb=0"},
		{"--lzma2=preset=1,lc=2,lp=2,pb=4"},
		{"--lzma2=preset=1,lc=4,lp=0,pb=1"},
		{"--lzma2=preset=1,dict=4KiB"},
		{"--lzma2=preset=0,dict=12MiB"},
	} {
		for name, content := range all {
			if name == "long" && args[0] != "-0" && !strings.Contains(args[0], "dict") {
				continue // it takes xz seconds
			}
			z.Reset(bytes.NewReader(xz(t, content, args...)))
			if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s, xz %s: got %d bytes, %v, want %d", name, strings.Join(args, " "), len(got), err, len(content))
			}
		}
	}
}

func TestUnsupported(t *testing.T) {
	for _, args := range [][]string{{"--x86", "--lzma2"}, {"--delta", "--lzma2"}} {
		if _, err := decode(bytes.NewReader(xz(t, []byte(text), args...))); !errors.Is(err, unxz.ErrUnsupported) {
			t.Errorf("xz %s: got %v, want %v", strings.Join(args, " "), err, unxz.ErrUnsupported)
		}
	}
}

// Whatever it is given, the decoder ends, within bounds.
func FuzzReader(f *testing.F) {
	f.Add(keptFile(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := io.Copy(io.Discard, io.LimitReader(unxz.NewReader(bytes.NewReader(b), 1<<20), 16<<20))
		if err == nil && n == 0 && len(b) < 32 {
			t.Errorf("%d bytes are a file of nothing, which takes 32", len(b))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	file := keptFile(b)
	z := unxz.NewReader(nil, most)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		z.Reset(bytes.NewReader(file))
		if _, err := io.Copy(io.Discard, z); err != nil {
			b.Fatal(err)
		}
	}
}
