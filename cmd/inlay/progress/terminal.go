// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// A Terminal is where bars move.
type Terminal struct {
	Writer io.Writer
	Colour bool
	Width  func() int // in columns, at the moment
	Now    func() time.Time
}

// A frame is drawn five times a second, the first a little after the beginning:
// what is over at once is not shown.
const (
	firstFrame = 300 * time.Millisecond
	nextFrame  = 200 * time.Millisecond
	maxRows    = 8 // tasks that are shown at a time
)

// Bars shows the running tasks with what is done of them, its rate and a bar,
// and below them what it comes to in all. Tasks that end disappear; notes stay.
func Bars(t Terminal) Display {
	b := &bars{Terminal: t, tally: newTally(t.Now), stop: make(chan struct{}), stopped: make(chan struct{})}
	go b.run()
	return Display{
		Start: func(name string, total int64) (func(int64), func(error)) {
			k := b.tally.start(name, total)
			return k.add, func(err error) { k.end(err) }
		},
		Note: b.note,
		Close: sync.OnceFunc(func() {
			close(b.stop)
			<-b.stopped
			for _, s := range b.tally.summary() {
				b.note(s)
			}
		}),
		Took: b.tally.took,
	}
}

type bars struct {
	Terminal
	tally         *tally
	stop, stopped chan struct{}

	mu    sync.Mutex
	drawn int // lines of the last frame
}

func (b *bars) run() {
	defer close(b.stopped)
	wait := firstFrame
	for {
		select {
		case <-b.stop:
			b.draw("", nil)
			return
		case <-time.After(wait):
			b.draw("", b.frame())
			wait = nextFrame
		}
	}
}

// note prints a line above the frame, if there is one.
func (b *bars) note(text string) {
	text = printable(text)
	if rest, ok := strings.CutPrefix(text, "warning:"); ok {
		text = b.colour(yellow, "warning:") + rest
	}
	b.mu.Lock()
	shown := b.drawn > 0
	b.mu.Unlock()
	var frame []string
	if shown {
		frame = b.frame()
	}
	b.draw(text+"\n", frame)
}

// draw replaces the last frame by a text that stays and another frame.
func (b *bars) draw(text string, frame []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&out, "\x1b[%dA\r\x1b[J", b.drawn) // up, and clear to the end
	}
	out.WriteString(text)
	for _, line := range frame {
		out.WriteString(line + "\n")
	}
	b.drawn = len(frame)
	if out.Len() > 0 {
		_, _ = io.WriteString(b.Writer, out.String()) // nobody is there to be told
	}
}

// frame returns the lines that show the running tasks.
func (b *bars) frame() []string {
	t := b.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	width := max(b.Width()-1, 1)
	var out []string
	for i, k := range t.running {
		if i == maxRows {
			out = append(out, b.colour(faint, cut(fmt.Sprintf("… and %d more", len(t.running)-maxRows), width)))
			break
		}
		out = append(out, b.row(k, width))
	}
	return append(out, b.colour(faint, cut(t.overall(), width)))
}

// overall says what it comes to so far.
func (t *tally) overall() string {
	parts := []string{fmt.Sprintf("%d done, %d running", t.ended, len(t.running))}
	if s := t.sums["download"]; s != nil && s.bytes > 0 {
		busy := s.busy
		if s.running > 0 {
			busy += t.now().Sub(s.since)
		}
		parts = append(parts, fmt.Sprintf("downloaded %s, %s", inBytes(s.bytes), perSecond(s.bytes, busy)))
	}
	return strings.Join(append(parts, seconds(t.now().Sub(t.begun))), " · ")
}

const barWidth = 20

// row shows a task: its name, a bar if it is known how much there is, what is
// done and how fast.
func (b *bars) row(k *task, width int) string {
	stats := ""
	if k.done > 0 {
		stats = inBytes(k.done)
		if k.total > 0 {
			stats += " / " + inBytes(k.total)
		}
		stats += "  " + perSecond(k.done, b.Now().Sub(k.begun))
	}
	room := width - barWidth - len(" 999 MB / 999 MB  999 MB/s") - 2
	if room < barWidth {
		return cut(printable(k.name)+"  "+stats, width) // a narrow terminal has no bars
	}
	name := cut(printable(k.name), room)
	name += strings.Repeat(" ", room-utf8.RuneCountInString(name))
	return name + " " + b.bar(k) + " " + b.colour(faint, stats)
}

func (b *bars) bar(k *task) string {
	if k.total <= 0 {
		return strings.Repeat(" ", barWidth)
	}
	full := int(min(k.done, k.total) * barWidth / k.total)
	return b.colour(cyan, strings.Repeat("━", full)) + b.colour(faint, strings.Repeat("─", barWidth-full))
}

// cut shortens a text to that many characters.
func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

// Colours, as ECMA-48 numbers them.
const (
	faint  = "2"
	yellow = "33"
	cyan   = "36"
)

func (b *bars) colour(code, s string) string {
	if !b.Colour || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
