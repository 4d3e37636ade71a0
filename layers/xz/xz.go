// SPDX-License-Identifier: Apache-2.0

// Package xz decodes .xz files: in this process, or by the program xz where
// there is one and a file is large enough to be worth a process. What is read is
// the same either way, and so are the errors: a program only makes it quicker,
// for where it fails the file is decoded in this process from there on.
package xz

import (
	"cmp"
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/mikelolasagasti/xz"
)

// MaxWindow is the largest window that is decoded, in bytes: that of xz -9.
const MaxWindow = xz.DefaultDictMax

// A Source is an .xz file.
type Source struct {
	Open   func() io.Reader // returns the file from its beginning; it may be called again
	Size   int64            // bytes of the file
	Window int64            // that it needs no more than, in bytes; 0 is MaxWindow
}

// Least is how large a file has to be for a program to be started, in bytes. To
// start one takes as long as decoding 50 kB; a program is quicker by a fifth.
const Least = 256 << 10

// A Decoder decodes files. Nil and its zero value do so in this process. It must
// not be copied, and may be used by several goroutines.
type Decoder struct {
	Start Start // starts the program xz; nil: it isn't used
	Least int64 // in place of the constant, where it isn't 0

	broken atomic.Bool // the program failed at a good file
}

// NewReader returns what s holds. A program ends when ctx does, or when the
// reader is closed, which has to be done. Errors of reading s are passed on.
func (d *Decoder) NewReader(ctx context.Context, s Source) (io.ReadCloser, error) {
	s.Window = min(cmp.Or(s.Window, MaxWindow), MaxWindow)
	if d != nil && d.Start != nil && s.Size >= cmp.Or(d.Least, Least) && !d.broken.Load() {
		if p, err := d.begin(ctx, s); err == nil {
			return p, nil
		}
	}
	return here(s)
}

// here decodes s in this process.
func here(s Source) (io.ReadCloser, error) {
	if s.Window > pooledWindow {
		z, err := xz.NewReader(s.Open(), uint32(s.Window))
		return reader{z, false}, err
	}
	if old, ok := pool.Get().(*xz.Reader); ok {
		return reader{old, true}, old.Reset(s.Open())
	}
	z, err := xz.NewReader(s.Open(), pooledWindow)
	return reader{z, true}, err
}

// pooledWindow is that of xz -6, which nearly all packages are made with: larger
// decoders are not kept.
const pooledWindow = 8 << 20

// pool has decoders to be used again.
var pool sync.Pool

// A reader goes back to the others when it is closed.
type reader struct {
	*xz.Reader
	pooled bool
}

// Close makes the decoder free for the next.
func (r reader) Close() error {
	if r.pooled {
		pool.Put(r.Reader)
	}
	return nil
}
