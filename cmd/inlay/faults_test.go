// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A fault is a row of the matrix in docs/faults.md that is tested by the whole
// program: something breaks, and what the user then sees is what the row says.
type fault struct {
	name string // of the row's test, after "TestFaults/"
	run  func(t *testing.T, s *scene) outcome
}

// TestFaults breaks things one at a time. What the program says is compared with
// docs/faults.md (-update rewrites it); what fails leaves no image and no tag,
// and a cache that is whole.
func TestFaults(t *testing.T) {
	said := filepath.Join(t.TempDir(), "errors")
	m := readMatrix(t)
	var all []fault
	for _, some := range [][]fault{parentFaults, outputFaults, indexFaults, diskFaults, cacheFaults, wheelFaults, layerFaults} {
		all = append(all, some...)
	}
	t.Cleanup(func() { m.finish(t); checkHints(t, said) })
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			defer m.skipped(t, "TestFaults/"+strings.ReplaceAll(f.name, " ", "_"))
			s := newScene(t)
			s.said = said
			r := f.run(t, s)
			if r.err != nil && r.stdout != "" {
				t.Errorf("a build that failed printed %q", r.stdout)
			}
			if entries, err := os.ReadDir(filepath.Join(s.dir, "out")); r.err != nil && (err == nil || len(entries) > 0) {
				t.Errorf("a build that failed left %v", entries)
			}
			s.verify(t)
			m.compare(t, "TestFaults/"+strings.ReplaceAll(f.name, " ", "_"), s.sees(r))
		})
	}
}

var (
	digests  = regexp.MustCompile(`[0-9a-f]{64}`)
	uploads  = regexp.MustCompile(`/uploads/[0-9]+`)
	loopback = regexp.MustCompile(`127\.0\.0\.1:[0-9]+|\[::1\]:[0-9]+`)
)

// sees returns what a user sees of an outcome, as the matrix has it: the notes,
// the error and the hint.
func (s *scene) sees(r outcome) string {
	var cells []string
	for line := range strings.Lines(r.stderr) {
		line = strings.TrimRight(line, "\n")
		kind, _, _ := strings.Cut(line, ":")
		if kind != "error" && kind != "hint" && kind != "note" && kind != "warning" {
			continue
		}
		line = strings.ReplaceAll(line, s.dir, "DIR")
		line = digests.ReplaceAllString(loopback.ReplaceAllString(line, "HOST"), "…")
		line = uploads.ReplaceAllString(line, "/uploads/ID")
		cells = append(cells, inCode(line))
	}
	if r.err == nil && len(cells) == 0 {
		return "nothing: the build succeeds"
	}
	if r.err == nil {
		return strings.Join(cells, "<br>") + "<br>and the build succeeds"
	}
	return strings.Join(cells, "<br>") + fmt.Sprintf("<br>exit status %d", r.status())
}

// inCode quotes text for a table in Markdown.
func inCode(text string) string {
	text = strings.ReplaceAll(text, "|", `\|`)
	if strings.Contains(text, "`") {
		return "`` " + text + " ``"
	}
	return "`" + text + "`"
}

// A matrix is the table of docs/faults.md.
type matrix struct {
	text string
	rows map[string]string // what the user sees, by the name of the test

	mu   sync.Mutex
	seen map[string]string // the same of this run, of TestFaults
}

const matrixFile = "docs/faults.md"

func readMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{text: read(t, matrixFile), rows: make(map[string]string), seen: make(map[string]string)}
	for line := range strings.Lines(m.text) {
		broken, sees, test, ok := cutRow(line)
		if !ok {
			continue
		}
		if _, again := m.rows[test]; again && strings.HasPrefix(test, "TestFaults/") {
			t.Errorf("%s has two rows of %s", matrixFile, test)
		}
		if broken == "" {
			t.Errorf("%s has a row of %s that doesn't say what is broken", matrixFile, test)
		}
		m.rows[test] = sees
	}
	return m
}

// cutRow takes a row of the table apart.
func cutRow(line string) (broken, sees, test string, ok bool) {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
	if len(cells) != 3 || !strings.HasPrefix(line, "| ") || !strings.Contains(cells[2], "`") {
		return "", "", "", false
	}
	return strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.Trim(cells[2], " `"), true
}

// compare checks a row.
func (m *matrix) compare(t *testing.T, test, sees string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[test] = sees
	if want, ok := m.rows[test]; !*update && (!ok || want != sees) {
		t.Errorf("the user sees\n%s\n%s says\n%s", sees, matrixFile, want)
	}
}

// skipped notes that this machine can't do the test of a row.
func (m *matrix) skipped(t *testing.T, test string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.Skipped() {
		m.seen[test] = m.rows[test]
	}
}

// finish checks that every row of TestFaults was run, or rewrites the rows.
func (m *matrix) finish(t *testing.T) {
	if *update {
		m.rewrite(t)
		return
	}
	if t.Failed() || t.Skipped() {
		return
	}
	for test := range m.rows {
		if strings.HasPrefix(test, "TestFaults/") && m.seen[test] == "" {
			t.Errorf("%s has a row of %s, which was not run", matrixFile, test)
		}
	}
}

func (m *matrix) rewrite(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(m.text) {
		broken, _, test, ok := cutRow(line)
		if sees := m.seen[test]; ok && sees != "" {
			line = fmt.Sprintf("| %s | %s | `%s` |\n", broken, sees, test)
		}
		b.WriteString(line)
	}
	write(t, matrixFile, b.String())
}
