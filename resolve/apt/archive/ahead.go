// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"cmp"
	"io"
)

// An ahead reader reads another in a goroutine of its own: what is read is made
// by one processor while the other looks at what was made before.
type ahead struct {
	*bufio.Reader
	out   *io.PipeReader
	ended chan struct{}
}

// aheadSize is how much is made at a time; as much lies ready.
const aheadSize = 128 << 10

// readAhead begins to read r. Whoever calls it calls Close.
func readAhead(r io.Reader) *ahead {
	out, in := io.Pipe()
	a := &ahead{Reader: bufio.NewReaderSize(out, aheadSize), out: out, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		w := bufio.NewWriterSize(in, aheadSize)
		_, err := w.ReadFrom(r)
		_ = in.CloseWithError(cmp.Or(err, w.Flush())) // it always succeeds
	}()
	return a
}

// Close ends the reading and waits for it.
func (a *ahead) Close() error {
	err := a.out.Close()
	<-a.ended
	return err
}
