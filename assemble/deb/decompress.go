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

// maxWindow bounds what a decoder keeps of what it wrote, in bytes.
const maxWindow = 128 << 20

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
	r, err := newXz(&waiting{ctx: ctx, r: m})
	if err != nil {
		return nil, damage(err)
	}
	return damaged{r, r}, nil
}

// xzReaders are decoders to be used again: each has a window of 8 MiB.
var xzReaders sync.Pool

// An xzReader goes back to the others when it is closed.
type xzReader struct{ *xz.Reader }

func newXz(r io.Reader) (xzReader, error) {
	if old, ok := xzReaders.Get().(*xz.Reader); ok {
		return xzReader{old}, old.Reset(r)
	}
	z, err := xz.NewReader(r, xz.DefaultDictMax)
	return xzReader{z}, err
}

// Close makes the decoder free for the next.
func (z xzReader) Close() error {
	xzReaders.Put(z.Reader)
	return nil
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
