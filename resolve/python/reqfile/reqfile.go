// SPDX-License-Identifier: Apache-2.0

// Package reqfile reads requirements files as pip and uv do: with the files
// they include, constraints, options, variables and direct references. Nothing
// of a file is dropped in silence: what this program can't do is an error that
// names file and line. No credential and no value of a variable gets into an
// error.
package reqfile

import (
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
)

// A Group is a list of requirements that are installed together.
type Group struct {
	Name        string // where they stand, for messages: the path of a file, or a field
	Lines       []Line // the requirements, those of included files in their place
	Constraints []Line // bounds on what gets installed, no reason to install it
	Options     []Option
	Secrets     []string // values of variables that stand in URLs: never to be shown or kept
}

// A Line is one requirement or constraint.
type Line struct {
	Source string // where it stands, for messages
	Number int    // in Source, from 1
	Shown  string // as it is written, without credentials and without the values of variables
	Text   string // for an installer: PEP 508 with --hash options, on one line
	Name   string // normalised (PEP 503)
	URL    string // of a wheel or of sources, http, https, file or git+…, as it stands in Text; "" if an index is to find it
	Hashes []string
	// Sources tells that the URL is that of sources. One of the web has one hash.
	Sources bool
	// Tree tells that the sources are no archive, but a directory or a repository.
	Tree bool
	// Editable tells that they are to be installed so that they can be edited.
	Editable bool
}

// Path returns the absolute path of what l names of this machine, or "".
func (l Line) Path() string {
	if !strings.HasPrefix(l.URL, "file:") {
		return ""
	}
	u, err := url.Parse(l.URL)
	if err != nil {
		return ""
	}
	return filepath.FromSlash(u.Path)
}

// Refuse returns the error that l can't be used.
func (l Line) Refuse(problem, fix string) *Error {
	return &Error{Source: l.Source, Line: l.Number, Text: l.Shown, Problem: problem, Fix: fix}
}

// An Option is an option that holds for its group.
type Option struct {
	Source string
	Number int
	Shown  string
	Name   string // in pip's long form, without dashes: "extra-index-url"
	Value  string // "" of a flag; a directory is an absolute path
}

// Refuse returns the error that o can't be used.
func (o Option) Refuse(problem, fix string) *Error {
	return Line{Source: o.Source, Number: o.Number, Shown: o.Shown}.Refuse(problem, fix)
}

// A Reader reads requirements.
type Reader struct {
	// Open opens a file by its absolute path. The error is fs.ErrNotExist if
	// there is none.
	Open func(path string) (io.ReadCloser, error)
	// Dir is where a relative path leads that isn't beside its file.
	Dir string
	// Lookup returns the value of ${NAME}, and whether it is set; nil knows none.
	Lookup func(name string) (string, bool)
}

// Error reports a requirement, or an index URL, that can't be used as it is
// written.
type Error struct {
	Source  string // where it stands: a file, the name of a Group, or a flag
	Line    int    // in Source, from 1; 0 if it has no lines
	Text    string // what stands there, without credentials
	Problem string
	Fix     string // what to write instead
}

func (e *Error) Error() string {
	at := e.Source
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d", e.Source, e.Line)
	}
	return fmt.Sprintf("%s: %q: %s", at, e.Text, e.Problem)
}

// Hint says what to write instead.
func (e *Error) Hint() string { return e.Fix }

// File reads the requirements file at an absolute path, which messages call
// name. What can't be used is an *Error.
func (r Reader) File(name, path string) (Group, error) {
	p := r.parser(name)
	err := p.file(place{source: name, dir: filepath.Dir(path)}, filepath.Clean(path), false)
	return p.group, err
}

// Text reads requirements that are no file. Relative paths in them start in
// Dir.
func (r Reader) Text(name string, in io.Reader) (Group, error) {
	p := r.parser(name)
	err := p.text(place{source: name, dir: r.Dir}, in)
	return p.group, err
}

// List reads requirements that stand in a list, from line 1. A text of several
// lines is several requirements.
func (r Reader) List(name string, items []string) (Group, error) {
	p := r.parser(name)
	for i, item := range items {
		for text := range strings.SplitSeq(item, "\n") {
			at := place{source: name, dir: r.Dir, number: i + 1}
			if err := p.logical(at, strings.TrimSuffix(text, "\r")); err != nil {
				return p.group, err
			}
		}
	}
	return p.group, nil
}

func (r Reader) parser(name string) *parser {
	return &parser{Reader: r, group: Group{Name: name}}
}
