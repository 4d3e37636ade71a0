// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"crypto/sha256"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"inlay/layers/inflate"
)

// window is how far back a match may reach, in bytes: all decoders must take
// 8 MiB (RFC 8878, 3.1.1.1.2), and half of it halves what both sides hold.
const window = 4 << 20

// A frame is one zstd frame. A deflate stream has no place in it: what is
// spliced is decoded and compressed again.
type frame struct {
	blob   blobSums
	diffID hash.Hash
	tar    io.Writer     // to diffID, and to who inspects it
	run    *zstd.Encoder // to blob
	decode inflate.Decoder
}

func newFrame(dst, inspect io.Writer) *frame {
	f := &frame{blob: blobSums{dst: dst, digest: sha256.New()}, diffID: sha256.New()}
	f.tar = seen(f.diffID, inspect)
	// All that decides about the bytes is named here. One goroutine: layers are
	// made side by side, and blocks are cut at the same places.
	run, err := zstd.NewWriter(&f.blob, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window), zstd.WithEncoderCRC(true), zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	f.run = run
	return f
}

// Write compresses p.
func (f *frame) Write(p []byte) (int, error) {
	if _, err := f.tar.Write(p); err != nil {
		return 0, err
	}
	return f.run.Write(p)
}

func (f *frame) splice(s Deflated, size int64) error { return recompress(f, &f.decode, s, size) }

func (f *frame) close() error { return f.run.Close() }

func (f *frame) summary() Summary { return f.blob.summary(f.diffID) }
