// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	// The fork of yaml.v3 that the YAML organization maintains. Its nodes carry
	// the line and the text as written, which decoding into structs loses.
	"go.yaml.in/yaml/v3"

	"inlay/layers/pattern"
)

// Bounds on what is read. Real files hold a few hundred values; the bounds
// keep aliases of aliases, and variables, from growing without end.
const (
	maxBytes  = 1 << 20 // of a file, and of all its text after substitution
	maxValues = 50_000  // after aliases are expanded
	maxDepth  = 50
)

// A parser turns one file, or the value of one flag, into a value.
type parser struct {
	file   string
	lookup func(string) (string, bool)
	values int                 // made so far
	size   int                 // bytes of text that variables gave so far
	open   map[*yaml.Node]bool // anchors that are being expanded
}

func newParser(file string, lookup func(string) (string, bool)) *parser {
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	return &parser{file: file, lookup: lookup, open: map[*yaml.Node]bool{}}
}

func (p *parser) fault(line int, path, problem, fix string) *FieldError {
	return &FieldError{File: p.file, Line: line, Field: path, Problem: problem, Fix: fix}
}

// document reads the one document that a file may hold; an empty file is null.
func (p *parser) document(r io.Reader) (*value, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", p.file, err)
	}
	root, err := p.parse(text)
	if err != nil {
		return nil, err
	}
	return p.value(root, spot{})
}

// parse returns the only document of the text, or a null.
func (p *parser) parse(text []byte) (*yaml.Node, error) {
	if len(text) > maxBytes {
		return nil, p.fault(0, "", "larger than 1 MiB", "name the settings file with `--file`")
	}
	if line := badText(text); line > 0 {
		return nil, p.fault(line, "", "not text: a byte or character that YAML does not allow", "save the file as UTF-8 text")
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	}
	if err != nil {
		return nil, p.syntaxError(err, text)
	}
	err = d.Decode(&second)
	switch {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return nil, p.syntaxError(err, text)
	default:
		return nil, p.fault(second.Line, "", "a second document begins here", "keep one document and remove the line `---`")
	}
}

// badText returns the first line with a byte or character that YAML does not
// allow, or 0. The library refuses them too, but does not say where.
func badText(text []byte) int {
	bad := func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\r' || 0x7f <= r && r < 0xa0 && r != 0x85 ||
			r == 0xfeff || r == 0xfffe || r == 0xffff
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	for i, line := range bytes.Split(text, []byte("\n")) {
		if !utf8.Valid(line) || bytes.ContainsFunc(line, bad) {
			return i + 1
		}
	}
	return 0
}

var (
	yamlLine    = pattern.New(`^yaml: (?:line (\d+): )?(.*)$`)
	yamlAnchor  = pattern.New(`^unknown anchor '(.*)' referenced$`)
	yamlContext = pattern.New(`^did not find expected (key|node content|'-' indicator|',' or '[]}]'|<document start>)$`)
)

// yamlHints say what usually is behind a message of the library.
var yamlHints = []struct{ problem, hint string }{
	{"expected key", "indent the line as its neighbours, or write `name: value`"},
	{"expected '-'", "indent the line as its neighbours, or begin it with `-`"},
	{"expected ',' or ']'", "close the list with ]"},
	{"expected ',' or '}'", "close the mapping with }"},
	{"could not find expected ':'", "write `name: value`"},
	{"end of stream", "close the quote"},
	{"escape character", `use single quotes, or write \\ for a backslash`},
	{"<document start>", "remove the line `...`"},
}

// syntaxError puts the library's message into our form. Its line is missing
// for the first line and for anchors, and counted from 0 in messages of its
// parser (as opposed to its scanner), so both are put right here.
func (p *parser) syntaxError(err error, text []byte) error {
	m := yamlLine().FindStringSubmatch(err.Error())
	if m == nil {
		return p.fault(0, "", err.Error(), "")
	}
	line, _ := strconv.Atoi(m[1])
	problem := m[2]
	if a := yamlAnchor().FindStringSubmatch(problem); a != nil {
		alias := regexp.MustCompile(`(?m)(^|[\s,:\[{-])\*` + regexp.QuoteMeta(a[1])).FindIndex(text)
		if alias != nil {
			line = 1 + bytes.Count(text[:alias[1]], []byte("\n"))
		}
		return p.fault(max(line, 1), "", fmt.Sprintf("*%s is used, but no &%s stands above it", a[1], a[1]),
			"quote the value if the * belongs to it")
	}
	if yamlContext().MatchString(problem) {
		line++
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	line = max(1, min(line, len(lines)))
	if strings.HasPrefix(lines[line-1], "\t") || strings.Contains(problem, "tab character") {
		return p.fault(line, "", "a tab is used to indent", "indent with spaces")
	}
	for _, h := range yamlHints {
		if strings.Contains(problem, h.problem) {
			return p.fault(line, "", "not YAML: "+problem, h.hint)
		}
	}
	return p.fault(line, "", "not YAML: "+problem, "quote the value if it holds one of : # * & @ ` { [")
}
