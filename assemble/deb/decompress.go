// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"inlay/layers/xz"
)

// Bounds of what a decoder keeps of what it wrote, in bytes: of zstd, and of xz.
const (
	maxWindow   = 128 << 20
	maxXzWindow = xz.MaxWindow
)

// decompress returns what m holds, by the ending of its name; an .xz by d.
func decompress(ctx context.Context, m member, d *xz.Decoder) (io.ReadCloser, error) {
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
		return unxz(ctx, m, d)
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
func unxz(ctx context.Context, m member, d *xz.Decoder) (io.ReadCloser, error) {
	r, err := d.NewReader(ctx, xz.Source{
		Open: func() io.Reader { return &waiting{ctx: ctx, r: io.NewSectionReader(m, 0, m.Size())} },
		Size: m.Size(), Window: xzWindow(m, xzBlocks(m)),
	})
	if err != nil {
		return nil, damage(err)
	}
	return damaged{r, r}, nil
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
	var program *xz.ProgramError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mine):
		return mine.error
	case errors.As(err, &program), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
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
