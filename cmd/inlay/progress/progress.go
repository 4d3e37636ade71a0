// SPDX-License-Identifier: Apache-2.0

// Package progress shows running tasks: as bars that move on a terminal, as a
// line for each task that ended elsewhere, as JSON for programs, or not at all.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// A Start begins a task of total bytes, 0 if that isn't known. The caller adds
// the bytes done, and says once how the task ended.
type Start func(task string, total int64) (add func(int64), done func(error))

// A Display shows tasks and notes. All of its methods are safe for concurrent
// use.
type Display struct {
	Start Start             // begins a task
	Note  func(text string) // shows a line
	Close func()            // ends the display; what is shown stays
	Took  func() string     // " in 3.2 s" for the last line, "" where that isn't shown
	Event func(event any)   // shows what is for programs only; nil elsewhere
}

// None shows notes as lines, and no tasks.
func None(w io.Writer) Display {
	out := &lines{w: w}
	return Display{
		Start: func(string, int64) (func(int64), func(error)) { return func(int64) {}, func(error) {} },
		Note:  out.print,
		Close: func() {},
		Took:  func() string { return "" },
	}
}

// Lines shows a line for each note and for each task that ended well, and in
// the end what was downloaded.
func Lines(w io.Writer, now func() time.Time) Display {
	out, sum := &lines{w: w}, newTally(now)
	return Display{
		Start: func(task string, total int64) (func(int64), func(error)) {
			t := sum.start(task, total)
			return t.add, func(err error) {
				switch n := t.end(err); {
				case err != nil: // the error itself is reported once, at the end
				case n > 0:
					out.print(fmt.Sprintf("%s (%s)", task, inBytes(n)))
				default:
					out.print(task)
				}
			}
		},
		Note: out.print,
		Close: sync.OnceFunc(func() {
			for _, s := range sum.summary() {
				out.print(s)
			}
		}),
		Took: sum.took,
	}
}

// lines prints whole lines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) print(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, printable(s))
}

// printable returns s without characters that a terminal obeys: names of files
// and packages may hold them.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return '\uFFFD'
		}
		return r
	}, s)
}

func inBytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// perSecond writes the rate of n bytes in that time.
func perSecond(n int64, in time.Duration) string {
	return inBytes(int64(float64(n)/max(in.Seconds(), 0.001))) + "/s"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
