// SPDX-License-Identifier: Apache-2.0

package progress_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/cmd/inlay/progress"
)

// work shows tasks and notes on d. A second passes with each download.
func work(d progress.Display) {
	add, done := d.Start("download numpy", 2000)
	add(1500)
	time.Sleep(time.Second)
	add(500)
	done(nil)
	_, done = d.Start("layer numpy\x1b[31m", 0)
	done(nil)
	d.Note("a note")
	d.Note("warning: \x1b[31mred")
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		d := progress.Lines(&buf, time.Now)
		work(d)
		d.Close()
		d.Close()
		want := "download numpy (2.0 kB)\nlayer numpy\uFFFD[31m\na note\nwarning: \uFFFD[31mred\ndownloaded 1 file, 2.0 kB in 1.0 s (2.0 kB/s)\n"
		if diff := cmp.Diff(want, buf.String()); diff != "" {
			t.Errorf("Lines shows (-want +got):\n%s", diff)
		}
		if got, want := d.Took(), " in 1.0 s"; got != want {
			t.Errorf("Took = %q, want %q", got, want)
		}
	})
}

// What failed is left to the error.
func TestLinesOfFailure(t *testing.T) {
	var buf bytes.Buffer
	d := progress.Lines(&buf, time.Now)
	add, done := d.Start("download numpy", 2000)
	add(10)
	done(errors.New("refused"))
	d.Close()
	if buf.Len() > 0 {
		t.Errorf("Lines shows %q of a task that failed, want nothing", buf.String())
	}
}

// Two downloads at a time take the time once.
func TestOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		d := progress.Lines(&buf, time.Now)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				add, done := d.Start("download x", 0)
				time.Sleep(2 * time.Second)
				add(1000)
				done(nil)
			})
		}
		both.Wait()
		time.Sleep(time.Hour)
		d.Close()
		if want := "downloaded 2 files, 2.0 kB in 2.0 s (1.0 kB/s)\n"; !strings.HasSuffix(buf.String(), want) {
			t.Errorf("Lines shows %q, want %q at the end", buf.String(), want)
		}
	})
}

func TestNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		d := progress.None(&buf)
		work(d)
		d.Close()
		if got, want := buf.String(), "a note\nwarning: \uFFFD[31mred\n"; got != want {
			t.Errorf("None shows %q, want %q", got, want)
		}
	})
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		d := progress.JSON(&buf, time.Now)
		work(d)
		_, done := d.Start("writing oci:x", 10)
		done(errors.New("refused"))
		d.Event(map[string]string{"event": "result"})
		d.Close()
		want := `{"event":"start","seconds":0,"id":1,"kind":"download","task":"download numpy","total":2000}
{"event":"progress","seconds":1,"id":1,"total":2000,"done":2000}
{"event":"end","seconds":1,"id":1,"kind":"download","task":"download numpy","total":2000,"done":2000,"failed":false}
{"event":"start","seconds":1,"id":2,"kind":"layer","task":"layer numpy\u001b[31m"}
{"event":"end","seconds":1,"id":2,"kind":"layer","task":"layer numpy\u001b[31m","done":0,"failed":false}
{"event":"note","seconds":1,"level":"note","text":"a note"}
{"event":"note","seconds":1,"level":"warning","text":"\u001b[31mred"}
{"event":"start","seconds":1,"id":3,"kind":"deliver","task":"writing oci:x","total":10}
{"event":"end","seconds":1,"id":3,"kind":"deliver","task":"writing oci:x","total":10,"done":0,"failed":true}
{"event":"result"}
`
		if diff := cmp.Diff(want, buf.String()); diff != "" {
			t.Errorf("JSON shows (-want +got):\n%s", diff)
		}
	})
}

var sequences = regexp.MustCompile("\x1b\\[[0-9]*[A-Za-z]")

// screen shows work, or a crowd of it, on a terminal of that width and returns
// every byte.
func screen(t *testing.T, width int, colour, crowded bool) string {
	var buf safeBuffer
	synctest.Test(t, func(*testing.T) {
		d := progress.Bars(progress.Terminal{Writer: &buf, Colour: colour, Width: func() int { return width }, Now: time.Now})
		add, done := d.Start("download numpy-2.4.6-cp311-cp311-manylinux.whl", 2000000)
		_, resolved := d.Start("resolving requirements", 0)
		if crowded {
			for range 10 {
				_, done := d.Start("layer x", 0)
				defer done(nil)
			}
		}
		add(500000)
		time.Sleep(310 * time.Millisecond)
		d.Note("a note")
		resolved(nil)
		time.Sleep(700 * time.Millisecond)
		done(nil)
		d.Close()
	})
	return buf.String()
}

func TestBars(t *testing.T) {
	got := screen(t, 100, false, false)
	for _, want := range []string{
		"download numpy-2.4.6-cp311-cp311-manylinux.whl      ━━━━━─────────────── 500 kB / 2.0 MB  1.7 MB/s\n",
		"0 done, 2 running · downloaded 500 kB, 1.7 MB/s · 0.3 s\n",
		"\x1b[3A\r\x1b[Ja note\n", // in place of a frame of three lines
		"1 done, 1 running · downloaded 500 kB, ",
		"\x1b[2A\r\x1b[J", // the last frame goes
	} {
		if !strings.Contains(got, want) {
			t.Errorf("Bars shows %q, want %q in it", got, want)
		}
	}
	if want := "downloaded 1 file, 500 kB in 1.0 s (495 kB/s)\n"; !strings.HasSuffix(got, want) {
		t.Errorf("Bars shows %q, want %q at the end", got, want)
	}
	if strings.Contains(got, "m━") {
		t.Errorf("Bars without colour shows %q, want no colours", got)
	}
}

func TestBarsInColour(t *testing.T) {
	if got := screen(t, 100, true, false); !strings.Contains(got, "\x1b[36m━━━━━\x1b[0m\x1b[2m───────────────\x1b[0m") {
		t.Errorf("Bars with colour shows %q, want a coloured bar", got)
	}
}

// No line is wider than the terminal: it would be two, and the next frame would
// leave one of them.
func TestBarsFit(t *testing.T) {
	for _, width := range []int{2, 12, 30, 70, 100} {
		for line := range strings.Lines(screen(t, width, true, true)) {
			text := []rune(strings.Trim(sequences.ReplaceAllString(line, ""), "\r\n"))
			if len(text) >= width && string(text) != "a note" && !strings.HasPrefix(string(text), "downloaded 1 file") { // these stay
				t.Errorf("a line of %d characters on %d columns: %s", len(text), width, string(text))
			}
		}
	}
}

// What is over at once shows nothing.
func TestBarsOfNothing(t *testing.T) {
	var buf safeBuffer
	d := progress.Bars(progress.Terminal{Writer: &buf, Width: func() int { return 80 }, Now: time.Now})
	_, done := d.Start("layer x", 0)
	done(nil)
	d.Close()
	if got := buf.String(); got != "" {
		t.Errorf("Bars shows %q, want nothing", got)
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
