// SPDX-License-Identifier: Apache-2.0

package archive

import "io"

// An ahead reader reads another in a goroutine of its own, as far ahead as it has
// buffers: what is read is made by one processor while the other looks at what
// was made before.
type ahead struct {
	free  chan []byte
	full  chan part
	quit  chan struct{}
	ended chan struct{}

	now  []byte // the buffer that is read
	left []byte // of it
	err  error
}

// A part is what one buffer took, and why there is no more.
type part struct {
	b   []byte
	err error
}

const (
	aheadParts = 8
	aheadSize  = 128 << 10
)

// readAhead begins to read r. Whoever calls it calls Close.
func readAhead(r io.Reader) *ahead {
	a := &ahead{
		free: make(chan []byte, aheadParts), full: make(chan part, aheadParts),
		quit: make(chan struct{}), ended: make(chan struct{}),
	}
	for range aheadParts {
		a.free <- make([]byte, aheadSize)
	}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.ended)
	for {
		select {
		case <-a.quit:
			return
		case b := <-a.free:
			n, err := fill(r, b[:cap(b)])
			a.full <- part{b[:n], err} // there is room for all that there are
			if err != nil {
				return
			}
		}
	}
}

// fill reads until b is full. Unlike io.ReadFull it returns the reader's own
// error.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.Read(b[n:])
		n += k
	}
	return n, err
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.left) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.now != nil {
			a.free <- a.now
		}
		next := <-a.full
		a.now, a.left, a.err = next.b, next.b, next.err
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	return n, nil
}

// Close ends the reading and waits for it.
func (a *ahead) Close() error {
	close(a.quit)
	<-a.ended
	return nil
}
