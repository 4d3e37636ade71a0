// SPDX-License-Identifier: Apache-2.0

package reqfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"inlay/layers/pattern"
)

const (
	maxLine  = 1 << 20 // bytes of a logical line
	maxLines = 100_000 // of all files of a group
)

// A parser reads one group.
type parser struct {
	Reader
	group Group
	lines int      // read so far, in all files
	open  []string // paths of the files that are being read, the innermost last
}

// A place is where a line stands.
type place struct {
	source     string // of the file, for messages
	dir        string // where its relative paths start, absolute
	number     int    // of its first line
	constraint bool   // the file lists constraints
}

func (at place) refuse(text, problem, fix string) *Error {
	text = RedactTyped(strings.ToValidUTF8(text, "\ufffd"))
	return &Error{Source: at.source, Line: at.number, Text: text, Problem: problem, Fix: fix}
}

// file reads the file at path.
func (p *parser) file(at place, path string, constraint bool) error {
	f, err := p.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	p.open = append(p.open, path)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	at.constraint = constraint
	return p.text(at, f)
}

// text reads lines. Those that end in a backslash go on in the next one.
func (p *parser) text(at place, r io.Reader) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	var joined []byte
	at.number = 1
	for number := 1; s.Scan(); number++ {
		text, more := continued(s.Text(), number == 1)
		joined = append(joined, text...)
		if p.lines++; len(joined) >= maxLine || p.lines > maxLines {
			return at.tooLong()
		}
		if more {
			continue
		}
		if err := p.logical(at, string(joined)); err != nil {
			return err
		}
		joined, at.number = joined[:0], number+1
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return at.tooLong()
	} else if s.Err() != nil {
		return fmt.Errorf("reading %s: %w", at.source, s.Err())
	}
	return p.logical(at, string(joined)) // a file may end in a continuation
}

// continued returns a physical line without its line end, and whether the next
// one belongs to it. As in pip, a comment ends a continuation.
func continued(text string, start bool) (string, bool) {
	if start {
		text = strings.TrimPrefix(text, "\ufeff")
	}
	text = strings.TrimSuffix(text, "\r")
	if strings.HasPrefix(strings.TrimSpace(text), "#") {
		return " " + text, false
	}
	if !strings.HasSuffix(text, `\`) {
		return text, false
	}
	return strings.TrimSuffix(text, `\`), true
}

func (at place) tooLong() error {
	return at.refuse("…", "the line is longer than 1 MiB or the file longer than 100000 lines",
		"check that "+at.source+" is a requirements file")
}

// stripComment returns text without its comment and with single spaces.
func stripComment(text string) string {
	text, _, _ = strings.Cut(" "+strings.Join(strings.Fields(text), " "), " #")
	return strings.TrimPrefix(text, " ")
}

// logical reads one logical line.
func (p *parser) logical(at place, raw string) error {
	raw = stripComment(raw)
	if raw == "" {
		return nil
	}
	text, err := p.expand(at, raw)
	if err != nil {
		return err
	}
	switch {
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return at.refuse(raw, "this is not text", "save the file as UTF-8")
	case strings.HasSuffix(text, `\`): // pip and uv read on only where nothing follows it
		return at.refuse(raw, "blanks follow the `\\` that should continue the line", "remove the blanks after the `\\`")
	case strings.HasPrefix(text, "-"):
		return p.options(at, raw, text)
	}
	l, problem, fix := p.requirement(at, text)
	if problem != "" {
		return at.refuse(raw, problem, fix)
	}
	p.add(at, raw, l)
	return nil
}

// add adds a line to the group.
func (p *parser) add(at place, raw string, l Line) {
	l.Source, l.Number, l.Shown = at.source, at.number, RedactTyped(raw)
	if at.constraint {
		p.group.Constraints = append(p.group.Constraints, l)
	} else {
		p.group.Lines = append(p.group.Lines, l)
	}
}

var variable = pattern.New(`\$\{([A-Z0-9_]+)\}`)

// expand replaces every ${NAME} of upper-case letters, as pip does. What stands
// in a URL may be a password.
func (p *parser) expand(at place, raw string) (string, error) {
	var missing string
	var values []string
	text := variable().ReplaceAllStringFunc(raw, func(m string) string {
		name := m[2 : len(m)-1]
		value, ok := "", false
		if p.Lookup != nil {
			value, ok = p.Lookup(name)
		}
		if !ok && missing == "" {
			missing = name
		}
		values = append(values, value)
		return value
	})
	if missing != "" {
		return "", at.refuse(raw, "the variable "+missing+" is not set", "run `export "+missing+"=…` first")
	}
	if len(text) >= maxLine {
		return "", at.tooLong()
	}
	for _, v := range values {
		if v != "" && strings.Contains(text, "://") && !slices.Contains(p.group.Secrets, v) {
			p.group.Secrets = append(p.group.Secrets, v)
		}
	}
	return text, nil
}

// include reads the file that a -r or -c line names.
func (p *parser) include(at place, raw, name string, constraint bool) error {
	if strings.Contains(name, "://") && !strings.HasPrefix(name, "file://") {
		return at.refuse(raw, "requirements files from the web are not supported", "download the file and name its path")
	}
	path, ok := p.find(at, name)
	inner := place{source: rename(at.source, name), dir: filepath.Dir(path)}
	if slices.Contains(p.open, path) {
		return at.refuse(raw, inner.source+" includes itself", "remove one of the two lines")
	}
	if !ok {
		return at.refuse(raw, "there is no file "+inner.source, "name a file by its path from "+at.source)
	}
	err := p.file(inner, path, constraint)
	if errors.Is(err, syscall.EISDIR) {
		return at.refuse(raw, inner.source+" is a directory", "name the file in it that lists the requirements")
	}
	return err
}

// find returns the absolute path of a file that a line names, and whether it is
// there: beside the file of the line, or in the directory of the whole.
func (p *parser) find(at place, name string) (path string, ok bool) {
	name = filepath.FromSlash(strings.TrimPrefix(name, "file://"))
	if filepath.IsAbs(name) {
		return filepath.Clean(name), p.exists(name)
	}
	path = filepath.Join(at.dir, name)
	if p.exists(path) {
		return path, true
	}
	if other := filepath.Join(p.Dir, name); p.Dir != "" && p.exists(other) {
		return other, true
	}
	return path, false
}

func (p *parser) exists(path string) bool {
	if p.Open == nil {
		return false
	}
	f, err := p.Open(path)
	if err == nil {
		_ = f.Close()
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// rename returns how messages call a file that another names.
func rename(source, name string) string {
	name = filepath.FromSlash(strings.TrimPrefix(name, "file://"))
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(source), name)
}
