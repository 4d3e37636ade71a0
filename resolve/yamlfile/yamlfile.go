// SPDX-License-Identifier: Apache-2.0

// Package yamlfile reads files that hold one YAML document of a known form.
// Whatever is not of that form is an *Error with its line: an unknown field, a
// value of another kind, a second document, too many bytes.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/xrash/smetrics"
	"go.yaml.in/yaml/v3"

	"inlay/layers/pattern"
)

// An Error reports a file that isn't of its form.
type Error struct {
	File    string
	Line    int // from 1; 0 for the file as a whole
	Problem string
	Fix     string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Problem
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem)
}

// Hint says what to do about it.
func (e *Error) Hint() string { return e.Fix }

// A Form is that of the files that are taken.
type Form struct {
	MiB    int                 // no file is longer
	Fix    string              // what to do about a file that is not of it, where nothing better is known
	Fields map[string][]string // those of the types that are read into, for hints; by the name of the type
}

// Document reads the one document of a file, which errors call name.
func (f Form) Document(name string, r io.Reader) (text []byte, root *yaml.Node, err error) {
	most := int64(f.MiB) << 20
	if text, err = io.ReadAll(io.LimitReader(r, most+1)); err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(text)) > most {
		return nil, nil, &Error{File: name, Problem: fmt.Sprintf("it is longer than %d MiB", f.MiB), Fix: f.Fix}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil, &Error{File: name, Problem: "it is empty", Fix: f.Fix}
	} else if err != nil {
		return nil, nil, f.explain(name, err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, nil, &Error{File: name, Line: max(more.Line, 1), Problem: "a second document begins", Fix: f.Fix}
	}
	return text, doc.Content[0], nil
}

// Decode reads the text of a document into a struct.
func (f Form) Decode(name string, text []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return f.explain(name, err)
	}
	return nil
}

var (
	lineOf  = pattern.New(`(?s)^(?:yaml: )?(?:unmarshal errors:\s+)?(?:line (\d+): )?([^\n]*)`)
	unknown = pattern.New(`^field (\S+) not found in type (?:\S+\.)?(\S+)$`)
	misfit  = pattern.New("^cannot unmarshal !!\\w+ (?:`[^`]*` )?into (\\S+)$")
)

// explain puts an error of the library into our form.
func (f Form) explain(name string, err error) *Error {
	m := lineOf().FindStringSubmatch(err.Error())
	e := &Error{File: name, Problem: m[2], Fix: f.Fix}
	e.Line, _ = strconv.Atoi(m[1])
	if m := unknown().FindStringSubmatch(e.Problem); m != nil {
		e.Problem = fmt.Sprintf("unknown field %q", m[1])
		if fields := f.Fields[m[2]]; fields != nil {
			e.Fix = "write one of the fields there are here: " + strings.Join(fields, ", ")
			if near := Nearest(m[1], fields); near != "" {
				e.Fix = fmt.Sprintf("did you mean `%s`?", near)
			}
		}
	}
	if m := misfit().FindStringSubmatch(e.Problem); m != nil {
		e.Problem = "a value of another kind is wanted"
		if f.Fields != nil {
			e.Fix = "write " + f.kind(m[1]) + " here"
		}
	}
	return e
}

// kind says what a type of Go is in YAML.
func (f Form) kind(goType string) string {
	_, own := f.Fields[goType[strings.LastIndexByte(goType, '.')+1:]]
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map") || own:
		return "a mapping"
	case strings.HasSuffix(goType, "bool"):
		return "true or false"
	}
	return "a text"
}

// Nearest returns the name most like the one given, "" if none is like it.
func Nearest(name string, names []string) string {
	const like = 0.8 // below it, two names merely share letters
	best, score := "", like
	for _, n := range names {
		if s := smetrics.JaroWinkler(strings.ToLower(name), n, 0.7, 4); s > score {
			best, score = n, s
		}
	}
	return best
}

// Variable is the regular expression of what Expand replaces.
const Variable = `\$\{([A-Za-z0-9_]+)\}`

var variable = pattern.New(Variable)

// Expand replaces every ${NAME} in text by what value returns for it: there is no
// default and no escape (spec/zenml.md section 2.6). The first error ends it.
func Expand(text string, value func(name string) (string, error)) (string, error) {
	var out strings.Builder
	for {
		m := variable().FindStringSubmatchIndex(text)
		if m == nil {
			return out.String() + text, nil
		}
		given, err := value(text[m[2]:m[3]])
		if err != nil {
			return "", err
		}
		out.WriteString(text[:m[0]] + given)
		text = text[m[1]:]
	}
}
