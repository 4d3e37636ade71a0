// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"inlay/layers"
)

// zstdLayer is what layers compressed with zstd have in common.
var zstdLayer = layers.Options{MediaType: types.OCILayerZStd}

// The tar is that of a layer compressed with gzip, and its digests must stay
// for the same reasons: TestGoldenDigests.
func TestZstd(t *testing.T) {
	s, b := layer(t, zstdLayer, asIs, mixed()...)
	got := fmt.Sprintln(s.DiffID, s.Digest, s.Size)
	const want = "sha256:9bb737506567ee446b09f1f5da2d7bf0e6ff33bc3ebe88c31d7544bfa06a5f8d " +
		"sha256:eb67994706e9c4c4eec27a75bd90f34febf74baa0ca3db19c483348a1048ee3a 122641\n"
	if got != want {
		t.Errorf("DiffID, digest and size are\n%swant\n%s", got, want)
	}
	zr, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	tar, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	if _, gz := layer(t, layers.Options{}, asIs, mixed()...); !bytes.Equal(tar, gunzip(t, gz)) {
		t.Error("compressed with zstd the layer is another tar than with gzip")
	}
	var head zstd.Header
	if err := head.Decode(b); err != nil || head.WindowSize > 8<<20 || !head.HasCheckSum {
		t.Errorf("the frame's header is %+v, %v, want a window that all decoders take, and a checksum", head, err)
	}
}

// What is cut into pieces differently gives the same bytes, also where it is
// longer than the window.
func TestZstdSameBytes(t *testing.T) {
	long := []part{plain("a", text(5<<20)), spliced("b", text(1<<20)), plain("c", noise(300_000))}
	_, want := layer(t, zstdLayer, asIs, long...)
	for how, reader := range map[string]func(io.Reader) io.Reader{
		"in halves": iotest.HalfReader, "with EOF": iotest.DataErrReader,
		"in odd pieces": func(r io.Reader) io.Reader { return pieces{r, 1013} },
	} {
		if _, got := layer(t, zstdLayer, reader, long...); !bytes.Equal(got, want) {
			t.Errorf("reading %s changes the layer's bytes", how)
		}
	}
	for _, n := range []int{1, 8} {
		before := runtime.GOMAXPROCS(n)
		if _, got := layer(t, zstdLayer, asIs, long...); !bytes.Equal(got, want) {
			t.Errorf("GOMAXPROCS %d changes the layer's bytes", n)
		}
		runtime.GOMAXPROCS(before)
	}
	_, whole := layer(t, zstdLayer, asIs, mixed()...)
	if _, got := layer(t, zstdLayer, iotest.OneByteReader, mixed()...); !bytes.Equal(got, whole) {
		t.Error("reading byte by byte changes the layer's bytes")
	}
}

// pieces reads n bytes at a time.
type pieces struct {
	r io.Reader
	n int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

func TestZstdRefused(t *testing.T) {
	full := errors.New("no space left")
	_, b := layer(t, zstdLayer, asIs, mixed()...)
	step := 997
	if testing.Short() {
		step = 9973
	}
	for room := 0; room < len(b); room += step {
		w := layers.NewWriter(&cramped{left: room, err: full}, zstdLayer)
		var err error
		for _, p := range mixed() {
			if err = put(t, w, p, asIs); err != nil {
				break
			}
		}
		if err == nil {
			_, err = w.Close()
		}
		if !errors.Is(err, full) {
			t.Fatalf("with room for %d bytes the error is %v, want %v", room, err, full)
		}
	}
	w := layers.NewWriter(io.Discard, zstdLayer)
	p := spliced("a", text(20_000))
	z := deflated(t, p.body)
	err := w.Splice(p.Entry, layers.Deflated{Stream: bytes.NewReader(z), Size: int64(len(z)), CRC32: 1})
	if err == nil || !strings.Contains(err.Error(), "CRC-32") {
		t.Errorf("content of another CRC-32 gave %v", err)
	}
}

// A secret must not slip in by another compression: what is inspected is the
// same tar.
func TestZstdInspect(t *testing.T) {
	var seen bytes.Buffer
	o := zstdLayer
	o.Inspect = &seen
	layer(t, o, asIs, mixed()...)
	if _, gz := layer(t, layers.Options{}, asIs, mixed()...); !bytes.Equal(seen.Bytes(), gunzip(t, gz)) {
		t.Errorf("%d bytes were shown, other ones than the tar's", seen.Len())
	}
	for _, p := range []part{plain("a", text(100)), spliced("a", noise(2*layers.MinSplice))} {
		o.Inspect = stopping{512, errors.New("stop")}
		if err := put(t, layers.NewWriter(io.Discard, o), p, asIs); err == nil || !strings.Contains(err.Error(), "stop") {
			t.Errorf("adding %d bytes: %v, want the inspector's error", p.Size, err)
		}
	}
}
