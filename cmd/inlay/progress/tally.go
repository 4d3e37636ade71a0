// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// kindOf returns what sort of work a task is, by its first word.
func kindOf(task string) string {
	first, _, _ := strings.Cut(task, " ")
	kinds := map[string]string{
		"download": "download", "layer": "layer", "reading": "read", "resolving": "resolve",
		"writing": "deliver", "pushing": "deliver",
	}
	if k, ok := kinds[first]; ok {
		return k
	}
	return "other"
}

// A tally knows the running tasks, and sums up those that ended.
type tally struct {
	now   func() time.Time
	begun time.Time

	mu      sync.Mutex
	id      int
	running []*task
	sums    map[string]*sum // by kind
	ended   int
	failed  bool
}

// A sum is what the tasks of one kind came to.
type sum struct {
	count   int
	bytes   int64
	running int
	since   time.Time     // the first of the running began
	busy    time.Duration // at least one ran, before since
}

// A task is running.
type task struct {
	tally *tally
	id    int // from 1
	name  string
	kind  string
	total int64
	done  int64
	begun time.Time
}

func newTally(now func() time.Time) *tally {
	return &tally{now: now, begun: now(), sums: map[string]*sum{}}
}

func (t *tally) start(name string, total int64) *task {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.id++
	k := &task{tally: t, id: t.id, name: name, kind: kindOf(name), total: total, begun: t.now()}
	t.running = append(t.running, k)
	s := t.sums[k.kind]
	if s == nil {
		s = &sum{}
		t.sums[k.kind] = s
	}
	if s.running++; s.running == 1 {
		s.since = k.begun
	}
	return k
}

func (k *task) add(n int64) {
	t := k.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	k.done += n
	t.sums[k.kind].bytes += n
}

// end ends the task and returns its bytes.
func (k *task) end(err error) int64 {
	t := k.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.running, k)
	if i < 0 {
		return k.done // a second end
	}
	t.running = slices.Delete(t.running, i, i+1)
	t.failed = t.failed || err != nil
	t.ended++
	s := t.sums[k.kind]
	s.count++
	if s.running--; s.running == 0 {
		s.busy += t.now().Sub(s.since)
	}
	return k.done
}

// took says how long it all took.
func (t *tally) took() string { return " in " + seconds(t.now().Sub(t.begun)) }

// summary says what was downloaded. Of a run that failed it says nothing: the
// error comes next.
func (t *tally) summary() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sums["download"]
	if s == nil || s.bytes == 0 || t.failed {
		return nil
	}
	files := "1 file"
	if s.count != 1 {
		files = fmt.Sprintf("%d files", s.count)
	}
	return []string{fmt.Sprintf("downloaded %s, %s in %s (%s)", files, inBytes(s.bytes), seconds(s.busy), perSecond(s.bytes, s.busy))}
}
