// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// Bounds of what a decoder keeps of what it wrote, in bytes: of zstd, and of xz,
// whose -9 has that.
const (
	maxWindow   = 128 << 20
	maxXzWindow = xz.DefaultDictMax
)

// decompress returns what m holds, by the ending of its name.
func decompress(ctx context.Context, m member) (io.ReadCloser, error) {
	if _, err := m.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	src := &waiting{ctx: ctx, r: m}
	switch kind := path.Ext(m.name); kind {
	case ".tar":
		return io.NopCloser(src), nil
	case ".gz":
		r, err := gzip.NewReader(src)
		return damaged{r, r}, damage(err)
	case ".xz":
		return unxz(ctx, m)
	case ".zst":
		r, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, damage(err)
		}
		rc := r.IOReadCloser()
		return damaged{rc, rc}, nil
	default:
		return nil, &FormatError{Problem: fmt.Sprintf("is compressed in a way that is not known, %q", kind)}
	}
}

// unxz decodes one block after the other.
func unxz(ctx context.Context, m member) (io.ReadCloser, error) {
	r, err := newXz(&waiting{ctx: ctx, r: m}, xzWindow(m, xzBlocks(m)))
	if err != nil {
		return nil, damage(err)
	}
	return damaged{r, r}, nil
}

// pooledWindow is that of xz -6, which nearly all packages are made with: larger
// decoders are not kept.
const pooledWindow = 8 << 20

// xzReaders are decoders to be used again.
var xzReaders sync.Pool

// An xzReader goes back to the others when it is closed.
type xzReader struct {
	*xz.Reader
	window int64
}

// newXz decodes r, whose window must be no larger than it is said to be.
func newXz(r io.Reader, window int64) (xzReader, error) {
	if window > pooledWindow {
		z, err := xz.NewReader(r, uint32(min(window, maxXzWindow)))
		return xzReader{z, window}, err
	}
	if old, ok := xzReaders.Get().(*xz.Reader); ok {
		return xzReader{old, window}, old.Reset(r)
	}
	z, err := xz.NewReader(r, pooledWindow)
	return xzReader{z, window}, err
}

// Close makes the decoder free for the next.
func (z xzReader) Close() error {
	if z.window <= pooledWindow {
		xzReaders.Put(z.Reader)
	}
	return nil
}

// window returns how many bytes a decoder of m keeps of what it wrote, or the
// most that one may where m doesn't tell.
func window(m member) int64 {
	switch path.Ext(m.name) {
	case ".tar", ".gz":
		return 0
	case ".xz":
		return xzWindow(m, xzBlocks(m))
	default:
		var h zstd.Header
		head := make([]byte, zstd.HeaderMaxSize)
		n, _ := m.ReadAt(head, 0) // what can't be read is found out by the decoder
		if err := h.Decode(head[:n]); err != nil || h.WindowSize == 0 && !h.HasFCS {
			return maxWindow
		}
		return int64(min(max(h.WindowSize, 1<<20), maxWindow))
	}
}

// damaged turns the errors of a decoder into the package's fault.
type damaged struct {
	io.Reader
	io.Closer
}

func (d damaged) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err == io.EOF {
		return n, err
	}
	return n, damage(err)
}

func damage(err error) error {
	var mine *readError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mine):
		return mine.error
	default:
		return &FormatError{Problem: "is damaged: " + err.Error()}
	}
}

// waiting reads until ctx is done. Its errors are told from those of a decoder.
type waiting struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to be cancelled
	r   io.Reader
}

func (w *waiting) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, &readError{err}
	}
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

// A readError is one of reading the file, not of what is in it.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }
