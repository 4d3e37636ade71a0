// SPDX-License-Identifier: Apache-2.0

package dockerfile

import (
	"fmt"
	"strings"
	"unicode"

	"inlay/layers/pattern"
)

// maxSize bounds a Dockerfile, in bytes.
const maxSize = 1 << 20

var (
	directive = pattern.New(`^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$`)
	opening   = pattern.New(`^\d*<<(-?)(["']?)([A-Za-z0-9_.-]+)(["']?)$`)
)

// A reader goes through the lines of a Dockerfile.
type reader struct {
	file  *File
	lines []string
	at    int // the next line
}

// read returns the instructions of text: continued lines joined, comments left
// out.
func (f *File) read(text string) ([]instruction, error) {
	if len(text) > maxSize || strings.ContainsRune(text, 0) {
		return nil, &Error{File: f.Name, Problem: "it is no Dockerfile: too large, or not text", Fix: "name the Dockerfile itself in `dockerfile`"}
	}
	r := &reader{file: f, lines: strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")}
	for i, l := range r.lines {
		r.lines[i] = strings.TrimRight(l, "\r")
	}
	f.escape = '\\'
	if err := r.directives(); err != nil {
		return nil, err
	}
	var all []instruction
	for {
		line, text, ok := r.next()
		if !ok {
			return all, nil
		}
		i := f.instruction(line, text)
		var err error
		if i.docs, err = r.heredocs(i); err != nil {
			return nil, err
		}
		all = append(all, i)
	}
}

// directives reads the comments at the top that are none.
func (r *reader) directives() error {
	for i, l := range r.lines {
		m := directive().FindStringSubmatch(strings.TrimLeftFunc(l, unicode.IsSpace))
		if m == nil {
			return nil
		}
		switch name := strings.ToLower(m[1]); {
		case name == "escape" && (m[2] == "`" || m[2] == `\`):
			r.file.escape = rune(m[2][0])
		case name == "escape":
			return &Error{File: r.file.Name, Line: i + 1, Problem: fmt.Sprintf("%q is no escape character", m[2]), Fix: "write `# escape=\\`"}
		case name == "syntax" && !strings.Contains(m[2], "docker/dockerfile"):
			return &Error{File: r.file.Name, Line: i + 1, Problem: fmt.Sprintf("the syntax is that of another program, %s", m[2]), Fix: "build it with that, and name the image in `parent_image`"}
		case name != "syntax" && name != "check":
			return nil
		}
	}
	return nil
}

// next returns the next instruction's text and the number of its first line.
func (r *reader) next() (line int, text string, ok bool) {
	for r.at < len(r.lines) {
		first := strings.TrimLeftFunc(r.lines[r.at], unicode.IsSpace)
		r.at++
		if first == "" || first[0] == '#' {
			continue
		}
		line = r.at
		text, more := r.cut(first)
		for more && r.at < len(r.lines) {
			l := r.lines[r.at]
			r.at++
			if blank := strings.TrimLeftFunc(l, unicode.IsSpace); blank == "" || blank[0] == '#' {
				continue
			}
			l, more = r.cut(l)
			text += l
		}
		if strings.TrimSpace(text) != "" {
			return line, text, true
		}
	}
	return 0, "", false
}

// cut reports whether a line goes on in the next, and returns it without the
// sign of it.
func (r *reader) cut(l string) (string, bool) {
	escape := string(r.file.escape)
	rest, ok := strings.CutSuffix(strings.TrimRight(l, " \t"), escape)
	if !ok || strings.HasSuffix(rest, escape) {
		return l, false
	}
	return rest, true
}

// instruction splits a line.
func (f *File) instruction(line int, text string) instruction {
	text = strings.TrimSpace(text)
	end := strings.IndexFunc(text, unicode.IsSpace)
	if end < 0 {
		end = len(text)
	}
	i := instruction{line: line, name: strings.ToUpper(text[:end])}
	i.flags, i.rest = f.flags(text[end:])
	return i
}

// flags splits the flags from what follows them.
func (f *File) flags(text string) (flags []string, rest string) {
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		if !strings.HasPrefix(text, "--") {
			return flags, strings.TrimSpace(text)
		}
		word, after := f.flag(text)
		text = after
		if word == "--" {
			return flags, strings.TrimSpace(text)
		}
		flags = append(flags, word)
	}
}

// flag returns the word at the beginning of text without its quotes, and what
// follows it.
func (f *File) flag(text string) (word, rest string) {
	var out strings.Builder
	var quote, before rune
	for at, c := range text {
		switch {
		case before == f.escape:
			out.WriteRune(c)
			c = 0
		case c == f.escape:
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && unicode.IsSpace(c):
			return out.String(), text[at:]
		default:
			out.WriteRune(c)
		}
		before = c
	}
	return out.String(), ""
}

// heredocs reads the texts that follow i, if it says that there are some.
func (r *reader) heredocs(i instruction) ([]heredoc, error) {
	if i.name != "RUN" && i.name != "COPY" && i.name != "ADD" || strings.HasPrefix(i.rest, "[") {
		return nil, nil
	}
	var docs []heredoc
	for _, word := range strings.Fields(i.rest) {
		m := opening().FindStringSubmatch(word)
		if m == nil || m[2] != m[4] {
			continue
		}
		doc, ok := r.heredoc(m[3], m[1] == "-")
		if !ok {
			return nil, r.file.fault(i, "the text after <<"+m[3]+" has no end", "end it with a line "+m[3])
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

func (r *reader) heredoc(end string, tabs bool) (doc heredoc, ok bool) {
	for r.at < len(r.lines) {
		l := r.lines[r.at]
		r.at++
		doc.text += l + "\n"
		if tabs {
			l = strings.TrimLeft(l, "\t")
		}
		if l == end {
			return doc, true
		}
		doc.body = append(doc.body, l)
	}
	return doc, false
}
