// SPDX-License-Identifier: Apache-2.0

// Package deb822 reads the control files of Debian (deb822(5)): paragraphs of
// fields, here called stanzas. Whatever it is given it ends, and holds no more
// than one stanza in memory.
package deb822

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Bounds of what is read. The longest stanzas of Debian have some 100 kB.
const (
	MaxStanza = 4 << 20 // bytes
	MaxField  = 1 << 20 // bytes
)

// A Stanza is the text of a paragraph: lines "Name: value" and, for values of
// several lines, more that begin with a blank. It has no comments and no empty
// lines.
type Stanza string

// Fields yields the names and values of the fields, in order. A value has no
// blanks around it; if it has several lines, those after the first keep the
// blank they begin with.
func (s Stanza) Fields() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := string(s); rest != ""; {
			var field string
			field, rest = cutField(rest)
			name, value, _ := strings.Cut(field, ":")
			if !yield(name, strings.Trim(value, " \t\r\n")) {
				return
			}
		}
	}
}

// Get returns the value of the first field of that name, in whatever case, or
// "".
func (s Stanza) Get(name string) string {
	for n, value := range s.Fields() {
		if len(n) == len(name) && strings.EqualFold(n, name) {
			return value
		}
	}
	return ""
}

// cutField splits text behind its first field.
func cutField(text string) (field, rest string) {
	for end := 0; ; {
		i := strings.IndexByte(text[end:], '\n')
		if i < 0 {
			return text, ""
		}
		end += i + 1
		if end == len(text) || text[end] != ' ' && text[end] != '\t' {
			return text[:end], text[end:]
		}
	}
}

// Split yields the stanzas of a text in which they are separated by one empty
// line each, as Append writes it. They share the memory of text.
func Split(text string) iter.Seq[Stanza] {
	return func(yield func(Stanza) bool) {
		for text != "" {
			stanza, rest, _ := strings.Cut(text, "\n\n")
			if stanza != "" && !yield(Stanza(stanza)) {
				return
			}
			text = rest
		}
	}
}

// A SyntaxError reports text that is no control file.
type SyntaxError struct {
	Line    int // from 1
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d %s", e.Line, e.Problem) }

// A Reader reads stanzas one after the other.
type Reader struct {
	r     *bufio.Reader
	line  int
	first int // line of the stanza
	field int // bytes of the field being read, 0 if there is none
	buf   []byte
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Line returns the number of the first line of the stanza that Next returned
// last.
func (r *Reader) Line() int { return r.first }

// Next returns the next stanza, or io.EOF when there is none. Comments and
// empty stanzas are left out. What is no control file, or beyond the bounds, is
// a *SyntaxError.
func (r *Reader) Next() (Stanza, error) {
	r.buf, r.field = r.buf[:0], 0
	for {
		line, err := r.readLine()
		if err != nil && err != io.EOF {
			return "", err
		}
		done := err == io.EOF || isBlank(line)
		if done && len(r.buf) > 0 {
			return Stanza(r.buf), nil
		}
		if err == io.EOF {
			return "", io.EOF
		}
		if done || line[0] == '#' {
			continue
		}
		if err := r.add(line); err != nil {
			return "", err
		}
	}
}

// add appends a line to the stanza.
func (r *Reader) add(line []byte) error {
	switch {
	case line[0] == ' ' || line[0] == '\t':
		if r.field == 0 {
			return &SyntaxError{r.line, "continues a field, but there is none before it"}
		}
		r.field += len(line)
	case bytes.IndexByte(line, ':') <= 0:
		return &SyntaxError{r.line, "is no field: it has no name before a colon"}
	default:
		r.field = len(line)
	}
	if len(r.buf) == 0 {
		r.first = r.line
	}
	r.buf = append(append(r.buf, line...), '\n')
	switch {
	case r.field > MaxField:
		return &SyntaxError{r.line, fmt.Sprintf("makes the field longer than %d bytes", MaxField)}
	case len(r.buf) > MaxStanza:
		return &SyntaxError{r.line, fmt.Sprintf("makes the stanza longer than %d bytes", MaxStanza)}
	}
	return nil
}

// readLine returns the next line without its end, valid until the next call.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.longLine(line)
	}
	if err == io.EOF && len(line) > 0 {
		err = nil // the last line may lack its end
	}
	r.line++
	return bytes.TrimRight(line, "\r\n"), err
}

// longLine reads on where a line didn't fit into the buffer.
func (r *Reader) longLine(begin []byte) ([]byte, error) {
	line := bytes.Clone(begin)
	for {
		more, err := r.r.ReadSlice('\n')
		line = append(line, more...)
		if len(line) > MaxField {
			return nil, &SyntaxError{r.line + 1, fmt.Sprintf("is longer than %d bytes", MaxField)}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// isBlank reports whether a line ends a stanza.
func isBlank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' {
			return false
		}
	}
	return true
}
