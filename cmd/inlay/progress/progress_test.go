// SPDX-License-Identifier: Apache-2.0

package progress_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/cmd/inlay/progress"
)

// work shows three tasks and a note on d.
func work(d progress.Display) {
	add, done := d.Start("download numpy", 2000)
	add(1500)
	add(500)
	done(nil)
	_, done = d.Start("layer numpy", 0)
	done(nil)
	_, done = d.Start("push", 10)
	done(errors.New("refused"))
	d.Note("a note")
	d.Close()
}

func TestLines(t *testing.T) {
	var buf bytes.Buffer
	work(progress.Lines(&buf))
	want := "download numpy (2.0 kB)\nlayer numpy\na note\n"
	if diff := cmp.Diff(want, buf.String()); diff != "" {
		t.Errorf("Lines shows (-want +got):\n%s", diff)
	}
}

func TestNone(t *testing.T) {
	var buf bytes.Buffer
	work(progress.None(&buf))
	if got, want := buf.String(), "a note\n"; got != want {
		t.Errorf("None shows %q, want %q", got, want)
	}
}

func TestBars(t *testing.T) {
	var buf safeBuffer
	work(progress.Bars(&buf, false))
	got := buf.String()
	if !strings.Contains(got, "a note") {
		t.Errorf("Bars shows %q, want the note in it", got)
	}
	if strings.Contains(got, "\x1b[36m") {
		t.Errorf("Bars without colour shows %q, want no colours", got)
	}
}

// safeBuffer is a buffer that is written and read by two goroutines.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
