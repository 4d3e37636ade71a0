// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"inlay/resolve/plan"
)

// recall returns a stored answer. One that is damaged is fs.ErrNotExist.
func (r *Resolver) recall(name string) (*answer, error) {
	b, err := r.Store.Get(name)
	if err != nil {
		return nil, err
	}
	a := new(answer)
	head, lines, _ := bytes.Cut(b, []byte("\n"))
	if err = json.Unmarshal(head, a); err == nil && len(lines) > 0 {
		a.Wheels, err = parseWheels(string(lines))
	}
	if err != nil {
		return nil, fmt.Errorf("a stored resolution is damaged (%w): %w", err, fs.ErrNotExist)
	}
	return a, nil
}

// remember stores an answer: as JSON, and its wheels as lines below, of which every
// build reads hundreds.
func (r *Resolver) remember(name string, a *answer) error {
	head, lines := *a, wheelLines(a.Wheels)
	if lines != "" {
		head.Wheels = nil
	}
	b, err := json.Marshal(head)
	if err != nil {
		return err
	}
	return r.Store.Put(name, append(append(b, '\n'), lines...))
}

// wheelFields are those of a line: all of a plan.Wheel but its source.
const wheelFields = 6

// wheelLines writes wheels as lines of fields between tabs. It returns "" for those
// that only JSON can tell: built ones, which have more to tell, and odd names.
func wheelLines(wheels []plan.Wheel) string {
	var b strings.Builder
	for _, w := range wheels {
		texts := []string{w.Name, w.Version, w.File, w.URL, w.Digest, strconv.FormatInt(w.Size, 10)}
		odd := func(s string) bool { return strings.ContainsAny(s, "\t\n") }
		if w.Source != (plan.Source{}) || slices.ContainsFunc(texts, odd) {
			return ""
		}
		b.WriteString(strings.Join(texts, "\t"))
		b.WriteByte('\n')
	}
	return b.String()
}

func parseWheels(lines string) ([]plan.Wheel, error) {
	wheels := make([]plan.Wheel, 0, strings.Count(lines, "\n"))
	for line := range strings.Lines(lines) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != wheelFields {
			return nil, fmt.Errorf("a wheel has %d fields, not %d", len(f), wheelFields)
		}
		size, err := strconv.ParseInt(f[5], 10, 64)
		if err != nil {
			return nil, err
		}
		wheels = append(wheels, plan.Wheel{Name: f[0], Version: f[1], File: f[2], URL: f[3], Digest: f[4], Size: size})
	}
	return wheels, nil
}
