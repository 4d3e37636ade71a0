// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// aheadParts is how many buffers lie ready.
const aheadParts = 1

func TestReadAhead(t *testing.T) {
	for _, size := range []int{0, 1, aheadSize - 1, aheadSize, aheadSize + 1, (aheadParts + 2) * aheadSize} {
		want := bytes.Repeat([]byte("0123456789abcdef\n"), size/17+1)[:size]
		a := readAhead(bytes.NewReader(want))
		if err := iotest.TestReader(a, want); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		_ = a.Close()
	}
}

// The error is the reader's own, behind all that it gave.
func TestReadAheadFails(t *testing.T) {
	for _, want := range []error{errors.New("broken"), io.ErrUnexpectedEOF} {
		a := readAhead(io.MultiReader(bytes.NewReader(make([]byte, aheadSize+5)), iotest.ErrReader(want)))
		n, err := io.Copy(io.Discard, a)
		if n != aheadSize+5 || !errors.Is(err, want) {
			t.Errorf("got %d bytes and %v, want %d and %v", n, err, aheadSize+5, want)
		}
		_ = a.Close()
	}
}

// Whoever has enough closes it: the rest is not read.
func TestReadAheadCloses(t *testing.T) {
	endless := &endless{}
	a := readAhead(endless)
	if _, err := a.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	if endless.n > (aheadParts+1)*aheadSize {
		t.Errorf("%d bytes were read, want no more than there are buffers for", endless.n)
	}
}

type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) { e.n += len(p); return len(p), nil }
