// SPDX-License-Identifier: Apache-2.0

// Package ignore decides which files of a build context are left out. Rules in
// a .dockerignore file mean exactly what they mean to `docker build`, those in
// a .gitignore file what they mean to git; in both, the last rule that matches
// a path decides.
//
// No name is special in a .dockerignore: the ignore file itself and a
// Dockerfile are part of the context like any other file, as for BuildKit,
// until a rule leaves them out.
package ignore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// maxSize bounds an ignore file, in bytes.
const maxSize = 1 << 20

// Rules is a parsed ignore file. The zero value and nil keep everything. Rules
// are read-only after Parse and safe for concurrent use.
type Rules struct {
	matcher matcher
}

// A matcher decides about one path after another, parents first.
type matcher interface {
	// match judges the entry at path, given the verdict on its parent; the
	// parent of a top-level entry has the zero verdict.
	match(path string, dir bool, parent verdict) verdict
	// reaches reports whether anything below an ignored directory may be kept.
	reaches(dir string, v verdict) bool
}

// A verdict is what a matcher found out about a path.
type verdict struct {
	ignored bool
	hits    []bool // which rules match it or a directory above it; nil for a file
}

// Parse reads the rules of a .dockerignore file. A malformed rule, and a file
// larger than 1 MiB, is a *SyntaxError.
//
// The syntax is moby's (github.com/moby/patternmatcher and its ignorefile):
// paths relative to the root of the context, cleaned as path.Clean does, with
// or without a leading slash; "*", "?", "[…]" and "\" as in path.Match, "**"
// for any number of directories, "!" for exceptions, "#" in the first column
// for comments. Case counts.
func Parse(r io.Reader) (*Rules, error) {
	lines, err := readLines(r)
	if err != nil {
		return nil, err
	}
	var rules dockerRules
	for i, line := range lines {
		rule, ok, err := parseDocker(line)
		if err != nil {
			return nil, &SyntaxError{Line: i + 1, Rule: line, Problem: err.Error()}
		}
		if ok {
			rules = append(rules, rule)
		}
	}
	return &Rules{matcher: rules}, nil
}

// ParseFile reads the rules of an ignore file with the given name: git's rules
// if its base name is ".gitignore", Docker's otherwise. Errors name the file.
//
// Git's rules are those of that one file, from the root of the context down
// (gitignore(5)): a file below an ignored directory can't be kept, a rule that
// can't match is no error, and ".git" is never part of the context.
func ParseFile(name string, r io.Reader) (*Rules, error) {
	parse := Parse
	if filepath.Base(name) == ".gitignore" {
		parse = parseGit
	}
	rules, err := parse(r)
	if syntax := (*SyntaxError)(nil); errors.As(err, &syntax) {
		syntax.File = name
		return nil, syntax
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return rules, nil
}

// readLines splits an ignore file into lines without their line ends. A byte
// order mark is not part of the first line.
func readLines(r io.Reader) ([]string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSize {
		return nil, &SyntaxError{Line: 1, Problem: "the file is larger than 1 MiB"}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, maxSize+1)
	var lines []string
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines, s.Err()
}

// A SyntaxError locates a rule that can't be read.
type SyntaxError struct {
	File    string // as given to ParseFile; may be empty
	Line    int    // from 1
	Rule    string // the line as it stands in the file
	Problem string
}

// Error says where the rule stands and what is wrong with it.
func (e *SyntaxError) Error() string {
	at := fmt.Sprintf("line %d", e.Line)
	if e.File != "" {
		at = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if e.Rule == "" {
		return fmt.Sprintf("%s: %s", at, e.Problem)
	}
	return fmt.Sprintf("%s: ignore rule %.100q: %s", at, e.Rule, e.Problem)
}

// Hint says how to write what was probably meant.
func (e *SyntaxError) Hint() string {
	switch {
	case e.Rule == "":
		return "leave directories out instead of listing their files, as in `data/**`"
	case strings.Trim(e.Rule, "! /.\t") == "":
		return "write what to keep after the exclamation mark, as in `!src/main.py`"
	default:
		return "close the bracket, as in `*.py[co]`, or put a backslash before a character that stands for itself, as in `\\[`"
	}
}
