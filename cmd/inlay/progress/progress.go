// SPDX-License-Identifier: Apache-2.0

// Package progress shows running tasks: as bars that move on a terminal, as a
// line for each task that ended elsewhere, or not at all.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/text"
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
}

// None shows notes as lines, and no tasks.
func None(w io.Writer) Display {
	out := &lines{w: w}
	return Display{
		Start: func(string, int64) (func(int64), func(error)) { return func(int64) {}, func(error) {} },
		Note:  func(s string) { out.print(s) },
		Close: func() {},
	}
}

// Lines shows a line for each note and for each task that ended well.
func Lines(w io.Writer) Display {
	out := &lines{w: w}
	d := None(w)
	d.Note = func(s string) { out.print(s) }
	d.Start = func(task string, _ int64) (func(int64), func(error)) {
		var mu sync.Mutex
		var sum int64
		add := func(n int64) {
			mu.Lock()
			defer mu.Unlock()
			sum += n
		}
		return add, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil: // the error itself is reported once, at the end
			case sum > 0:
				out.print(fmt.Sprintf("%s (%s)", task, humanize.Bytes(uint64(sum))))
			default:
				out.print(task)
			}
		}
	}
	return d
}

// lines prints whole lines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) print(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, s)
}

// Bars shows a bar with the rate for each running task, below the notes and the
// tasks that ended. It
// is for terminals; colour says whether they may be coloured.
func Bars(w io.Writer, colour bool) Display {
	bars := progress.NewWriter()
	bars.SetOutputWriter(w)
	bars.SetUpdateFrequency(100 * time.Millisecond)
	bars.SetTrackerLength(20)
	bars.SetMessageLength(48)
	bars.SetStyle(style(colour))
	rendered := make(chan struct{})
	go func() {
		defer close(rendered)
		bars.Render()
	}()
	return Display{
		Start: func(task string, total int64) (func(int64), func(error)) { return bar(bars, task, total) },
		Note:  func(s string) { bars.Log("%s", s) },
		Close: sync.OnceFunc(func() {
			for !bars.IsRenderInProgress() { // a build may end before the first frame
				time.Sleep(time.Millisecond)
			}
			bars.Stop()
			<-rendered
		}),
	}
}

func bar(bars progress.Writer, task string, total int64) (func(int64), func(error)) {
	t := &progress.Tracker{Message: task, Total: total, Units: progress.UnitsBytes, AutoStopDisabled: true}
	bars.AppendTracker(t)
	return t.Increment, func(err error) {
		if err != nil {
			t.MarkAsErrored()
			return
		}
		t.MarkAsDone()
	}
}

func style(colour bool) progress.Style {
	s := progress.StyleDefault
	s.Visibility = progress.StyleVisibility{Tracker: true, Value: true, Speed: true}
	s.Options.SpeedSuffix = "/s"
	if colour {
		s.Colors.Tracker = text.Colors{text.FgCyan}
		s.Colors.Value = text.Colors{text.Faint}
		s.Colors.Speed = text.Colors{text.Faint}
	}
	return s
}
