// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"encoding/json"
	"io"
	"math"
	"strings"
	"sync"
	"time"
)

// An event is a line of JSON. Fields that don't belong to an event are absent.
// docs/progress.md promises them.
type event struct {
	Event   string  `json:"event"`   // "start", "progress", "end", "note"
	Seconds float64 `json:"seconds"` // since the program began
	ID      int     `json:"id,omitempty"`
	Kind    string  `json:"kind,omitempty"`
	Task    string  `json:"task,omitempty"`
	Total   int64   `json:"total,omitempty"` // bytes, absent if not known
	Done    *int64  `json:"done,omitempty"`  // bytes
	Failed  *bool   `json:"failed,omitempty"`
	Level   string  `json:"level,omitempty"` // "note" or "warning"
	Text    string  `json:"text,omitempty"`
}

// pause is how much time passes at least between two "progress" of one task.
const pause = 200 * time.Millisecond

// JSON shows each event as a line of JSON.
func JSON(w io.Writer, now func() time.Time) Display {
	j := &encoder{w: w, sums: newTally(now)}
	return Display{
		Start: j.start,
		Note:  j.note,
		Close: func() {},
		Took:  func() string { return "" },
		Event: j.write,
	}
}

type encoder struct {
	mu   sync.Mutex
	w    io.Writer
	sums *tally
}

// write prints an event as one line. A program that doesn't read on misses
// events and harms no build.
func (j *encoder) write(e any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	enc := json.NewEncoder(j.w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(e)
}

func (j *encoder) event(e event) {
	e.Seconds = math.Round(j.sums.now().Sub(j.sums.begun).Seconds()*1000) / 1000
	j.write(e)
}

func (j *encoder) start(name string, total int64) (func(int64), func(error)) {
	t := j.sums.start(name, total)
	j.event(event{Event: "start", ID: t.id, Kind: t.kind, Task: name, Total: total})
	var mu sync.Mutex
	last := t.begun
	add := func(n int64) {
		t.add(n)
		mu.Lock()
		defer mu.Unlock()
		if now := j.sums.now(); now.Sub(last) >= pause {
			last = now
			done := t.sofar()
			j.event(event{Event: "progress", ID: t.id, Total: total, Done: &done})
		}
	}
	return add, func(err error) {
		done, failed := t.end(err), err != nil
		j.event(event{Event: "end", ID: t.id, Kind: t.kind, Task: name, Total: total, Done: &done, Failed: &failed})
	}
}

func (k *task) sofar() int64 {
	k.tally.mu.Lock()
	defer k.tally.mu.Unlock()
	return k.done
}

func (j *encoder) note(text string) {
	for _, level := range []string{"warning", "note"} {
		if rest, ok := strings.CutPrefix(text, level+": "); ok {
			j.event(event{Event: "note", Level: level, Text: rest})
			return
		}
	}
	j.event(event{Event: "note", Level: "note", Text: text})
}
