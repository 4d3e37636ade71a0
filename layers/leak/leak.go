// SPDX-License-Identifier: Apache-2.0

// Package leak searches what a build makes for the secrets that it was given.
// It finds a secret wherever a stream is cut, as it is and as programs write it:
// escaped for a URL or for JSON, and in base64, alone or after its user. It
// never says what it found, only whose it is and where.
package leak

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A Secret is a text that nothing may hold.
type Secret struct {
	User  string // whose password it is, or the token itself; "" if that is not known
	Value string
	Of    string // what it opens, for messages
}

// A Scanner knows what to search for. The nil Scanner finds nothing. Several
// goroutines may use one.
type Scanner struct {
	forms   []form
	weak    []string
	allowed []string

	// Wu and Manber's search: the last two bytes of a window as long as the
	// shortest form say how far the next one may be. It takes about as long as
	// sha256 does (BenchmarkWrite).
	window int
	shift  []uint8          // by two bytes; 0: forms may end here
	ending map[uint16][]int // the forms that do, by their place
	most   int              // bytes of the longest form
}

// A form is one way to write a secret.
type form struct {
	text []byte
	of   string
}

// New returns a Scanner for secrets; nil if there is nothing to search for.
// Strings of JSON documents that are one of allowed may hold any.
func New(secrets []Secret, allowed ...string) *Scanner {
	s := &Scanner{allowed: allowed}
	for _, x := range secrets {
		if x.Value != "" {
			s.add(x)
		}
	}
	if len(s.forms) == 0 && len(s.weak) == 0 {
		return nil
	}
	s.prepare()
	return s
}

// add adds the forms of a secret to those that are searched for.
func (s *Scanner) add(x Secret) {
	if !x.strong() && !slices.Contains(s.weak, x.Of) {
		s.weak = append(s.weak, x.Of)
	}
	for _, text := range x.forms() {
		if !slices.ContainsFunc(s.forms, func(f form) bool { return string(f.text) == text }) {
			s.forms = append(s.forms, form{[]byte(text), x.Of})
		}
	}
}

// Weak returns what those secrets open that are searched for in base64 after
// their user only: they are so short that they may be part of any text.
func (s *Scanner) Weak() []string {
	if s == nil {
		return nil
	}
	return s.weak
}

const blocks = 1 << 16

// prepare fills the tables of the search.
func (s *Scanner) prepare() {
	if len(s.forms) == 0 {
		return
	}
	s.window = len(s.forms[0].text)
	for _, f := range s.forms {
		s.window = min(s.window, len(f.text))
		s.most = max(s.most, len(f.text))
	}
	s.window = min(s.window, 255) // what a shift can say
	s.shift = bytes.Repeat([]byte{uint8(s.window - 1)}, blocks)
	s.ending = make(map[uint16][]int)
	for i, f := range s.forms {
		for end := 1; end < s.window; end++ {
			b := block(f.text, end)
			s.shift[b] = min(s.shift[b], uint8(s.window-1-end))
		}
		last := block(f.text, s.window-1)
		s.ending[last] = append(s.ending[last], i)
	}
}

// block returns the two bytes of b that end at i.
func block(b []byte, i int) uint16 { return uint16(b[i-1]) | uint16(b[i])<<8 }

// find returns the first form in b, nil if there is none.
func (s *Scanner) find(b []byte) *form {
	if s == nil || len(s.forms) == 0 {
		return nil
	}
	for i := s.window - 1; i < len(b); {
		last := block(b, i)
		if n := s.shift[last]; n > 0 {
			i += int(n)
			continue
		}
		for _, f := range s.ending[last] {
			if bytes.HasPrefix(b[i+1-s.window:], s.forms[f].text) {
				return &s.forms[f]
			}
		}
		i++
	}
	return nil
}

// Hide returns text without the secrets.
func (s *Scanner) Hide(text string) string {
	for f := s.find([]byte(text)); f != nil; f = s.find([]byte(text)) {
		text = strings.ReplaceAll(text, string(f.text), "****")
	}
	return text
}

// A Watch looks through a stream that is written to it.
type Watch struct {
	s    *Scanner
	tail []byte // the end of what was written, as long as a form may begin there
}

// Watch returns a Watch of a stream; nil if there is nothing to search for.
func (s *Scanner) Watch() *Watch {
	if s == nil || len(s.forms) == 0 {
		return nil
	}
	return &Watch{s: s, tail: make([]byte, 0, 2*s.most)}
}

// Write looks through p. Its error is an *Error.
func (w *Watch) Write(p []byte) (int, error) {
	keep := w.s.most - 1
	across := append(w.tail, p[:min(len(p), keep)]...)
	if f := w.s.find(across); f != nil {
		return 0, &Error{Of: f.of}
	}
	if f := w.s.find(p); f != nil {
		return 0, &Error{Of: f.of}
	}
	end := p
	if len(p) < keep {
		end = across
	}
	w.tail = append(w.tail[:0], end[max(len(end)-keep, 0):]...)
	return len(p), nil
}

// An Error reports a secret where none may be.
type Error struct {
	In string // the file or field; "" if the caller knows it
	Of string // what the secret opens
}

func (e *Error) Error() string {
	if e.In == "" {
		return fmt.Sprintf("this is the password or token of %s", e.Of)
	}
	return fmt.Sprintf("the password or token of %s is in %s", e.Of, e.In)
}

// Hint says what to do about it.
func (e *Error) Hint() string {
	return "remove it there, or leave the file out with .dockerignore; and change it, if it went anywhere before"
}
