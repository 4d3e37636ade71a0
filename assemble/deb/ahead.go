// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/semaphore"
)

// An ahead reader decodes a large .xz. While a block is read, the next ones are
// decoded into memory, as long as there are processors and room for them.
type ahead struct {
	ctx    context.Context //nolint:containedctx // a reader has no other way to be cancelled
	cancel context.CancelFunc
	m      member
	left   []block
	room   *semaphore.Weighted
	each   int64 // that decoding a block ahead takes
	window int64
	most   int // blocks that are decoded ahead at a time

	now   io.ReadCloser // the block that is read; nil: the next one is to be opened
	begun []chan decoded
	taken int      // how often room was taken
	free  [][]byte // buffers for which it was
	err   error
}

// A decoded block is one that was decoded ahead.
type decoded struct {
	plain []byte
	err   error
}

// maxAhead is how many blocks are decoded at a time.
const maxAhead = 4

func newAhead(ctx context.Context, m member, blocks []block, s *Store) *ahead {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{
		ctx: ctx, cancel: cancel, m: m, left: blocks, room: s.room, window: xzWindow(m, blocks), most: min(s.processors, maxAhead) - 1,
	}
	a.each = a.window
	for _, b := range blocks {
		a.each = max(a.each, a.window+b.plain)
	}
	return a
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for a.err == nil && len(p) > 0 {
		if a.now == nil {
			if a.err = a.next(); a.err != nil {
				break
			}
		}
		n, err := a.now.Read(p)
		if err == io.EOF {
			err = a.now.Close()
			a.now = nil
		}
		a.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, a.err
}

// next opens the next block, and begins those after it.
func (a *ahead) next() error {
	var err error
	switch {
	case len(a.begun) > 0:
		d := <-a.begun[0]
		a.begun = a.begun[1:]
		if d.err != nil {
			a.free = append(a.free, d.plain)
			return d.err
		}
		a.now = &buffer{a, d.plain, d.plain}
	case len(a.left) > 0:
		b := a.left[0]
		a.left = a.left[1:]
		if a.now, err = b.open(a.ctx, a.m, a.window); err != nil {
			return err
		}
	default:
		return io.EOF
	}
	for len(a.left) > 0 && a.takeRoom() {
		a.begin()
	}
	return nil
}

// takeRoom reports whether there is a free buffer, or room for one.
func (a *ahead) takeRoom() bool {
	if len(a.free) == 0 && a.taken < a.most && a.room.TryAcquire(a.each) {
		a.taken++
		a.free = append(a.free, nil)
	}
	return len(a.free) > 0
}

// begin starts to decode a block into a free buffer.
func (a *ahead) begin() {
	b, buf, done := a.left[0], a.free[0], make(chan decoded, 1)
	a.left, a.free, a.begun = a.left[1:], a.free[1:], append(a.begun, done)
	go func() {
		plain, err := b.decode(a.ctx, a.m, a.window, buf)
		done <- decoded{plain, err}
	}()
}

// Close ends the decoding and waits for it. It is called once.
func (a *ahead) Close() error {
	a.cancel()
	for _, done := range a.begun {
		<-done
	}
	if a.now != nil {
		_ = a.now.Close()
	}
	a.room.Release(int64(a.taken) * a.each)
	a.taken = 0
	return nil
}

// A buffer is a block that was decoded ahead. When it is closed it is free for
// another.
type buffer struct {
	a     *ahead
	left  []byte
	whole []byte
}

// Read implements io.Reader.
func (b *buffer) Read(p []byte) (int, error) {
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// Close makes the buffer free.
func (b *buffer) Close() error {
	b.a.free = append(b.a.free, b.whole)
	return nil
}

// open decodes the block.
func (b block) open(ctx context.Context, m member, window int64) (io.ReadCloser, error) {
	r, err := newXz(b.stream(ctx, m), window)
	if err != nil {
		return nil, damage(err)
	}
	return damaged{r, r}, nil
}

// decode returns the content of the block, in the place of what was used.
func (b block) decode(ctx context.Context, m member, window int64, used []byte) ([]byte, error) {
	r, err := b.open(ctx, m, window)
	if err != nil {
		return used, err
	}
	defer r.Close() //nolint:errcheck // it can't fail
	if int64(cap(used)) < b.plain {
		used = make([]byte, b.plain)
	}
	plain := used[:b.plain]
	if _, err := io.ReadFull(r, plain); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
			err = &FormatError{Problem: "is damaged: a block of it is shorter than it says"}
		}
		return used, err
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return used, &FormatError{Problem: "is damaged: a block of it is longer than it says"}
	}
	return plain, nil
}
