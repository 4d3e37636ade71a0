// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Delivery is one image on its way to an output.
type Delivery interface {
	// Add brings a layer that the image will have, ahead of the image, and
	// returns when it is there. An output that can only write whole images does
	// nothing. Many may be added at once; which come first makes no difference.
	Add(ctx context.Context, l v1.Layer) error
	// Complete brings all that is still missing of img, and makes nothing
	// visible. What is being added meanwhile it waits for.
	Complete(ctx context.Context, img v1.Image) error
	// Publish makes the completed image visible under its names. The names are
	// replaced one by one: each means the old image or the new one, whole.
	Publish(ctx context.Context) (Delivered, error)
	// Close drops what was not published. It does nothing after Publish.
	Close()
}

// write delivers an image that is complete already.
func write(ctx context.Context, begin func() (Delivery, error), img v1.Image) (Delivered, error) {
	d, err := begin()
	if err != nil {
		return Delivered{}, err
	}
	defer d.Close()
	if err := d.Complete(ctx, img); err != nil {
		return Delivered{}, err
	}
	return d.Publish(ctx)
}

// A ledger remembers what became of blobs, so that each is brought once, however
// many ask for it.
type ledger[T any] struct {
	mu   sync.Mutex
	seen map[string]func() (T, error)
	told map[string]bool // by the name of a blob
}

// first reports whether it is asked about a blob for the first time.
func (l *ledger[T]) first(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told[name] {
		return false
	}
	if l.told == nil {
		l.told = map[string]bool{}
	}
	l.told[name] = true
	return true
}

// bring returns what became of the blob of that name. It calls f if nobody did
// before, and else waits until that call has ended.
func (l *ledger[T]) bring(name string, f func() (T, error)) (T, error) {
	l.mu.Lock()
	once, ok := l.seen[name]
	if !ok {
		if l.seen == nil {
			l.seen = make(map[string]func() (T, error))
		}
		once = sync.OnceValues(f)
		l.seen[name] = once
	}
	l.mu.Unlock()
	result, err := once()
	if err != nil && !ok {
		l.mu.Lock()
		delete(l.seen, name) // another attempt may bring it
		l.mu.Unlock()
	}
	return result, err
}

// A slots channel bounds how many work at once.
type slots chan struct{}

// with calls f when there is room.
func (s slots) with(ctx context.Context, f func() error) error {
	select {
	case s <- struct{}{}:
		defer func() { <-s }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}
