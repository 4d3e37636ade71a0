// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxLine  = 1 << 20 // bytes of a logical line
	maxLines = 100_000 // of a requirements file
)

// A Group is a list of requirements that are resolved together.
type Group struct {
	Name  string // where they stand, for messages: the path of a file, or a field
	Lines []Line
}

// A Line is one requirement: PEP 508, with the comments and the --hash options
// that requirements files allow.
type Line struct {
	Number int // in its source, from 1
	Text   string
}

// ParseRequirements reads a requirements file, which messages call name. A
// line number is that of a requirement's first line. What such files allow but
// this program doesn't is a *RequirementError, and so is what isn't a
// requirement at first sight; the rest is uv's to judge.
func ParseRequirements(name string, r io.Reader) (Group, error) {
	g := Group{Name: name}
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	var joined []byte
	first, number := 1, 0
	for s.Scan() {
		number++
		text, more := continued(s.Text(), number == 1)
		joined = append(joined, text...)
		if len(joined) >= maxLine || number > maxLines {
			return Group{}, g.tooLong(first)
		}
		if more {
			continue
		}
		if err := g.add(first, string(joined)); err != nil {
			return Group{}, err
		}
		joined, first = joined[:0], number+1
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return Group{}, g.tooLong(first)
	} else if s.Err() != nil {
		return Group{}, fmt.Errorf("reading %s: %w", name, s.Err())
	}
	if err := g.add(first, string(joined)); err != nil { // a file may end in a continuation
		return Group{}, err
	}
	return g, nil
}

// add appends a logical line to g, unless it holds nothing.
func (g *Group) add(number int, text string) error {
	l := Line{Number: number, Text: stripComment(text)}
	if l.Text == "" {
		return nil
	}
	g.Lines = append(g.Lines, l)
	_, err := g.parse(l)
	return err
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

func (g Group) tooLong(line int) error {
	return &RequirementError{
		Source: g.Name, Line: line, Text: "…",
		Problem: "the line is longer than 1 MiB or the file longer than 100000 lines",
		Fix:     "check that " + g.Name + " is a requirements file",
	}
}

var comment = regexp.MustCompile(`(?:^| )#.*$`)

// stripComment returns text without its comment and with single spaces.
func stripComment(text string) string {
	return comment.ReplaceAllString(strings.Join(strings.Fields(text), " "), "")
}

// A requirement is a line taken apart as far as this program needs it.
type requirement struct {
	text   string   // the line for uv, with its options
	name   string   // normalised
	url    string   // of "NAME @ URL", else ""
	hashes []string // "sha256:…": if there are some, the file must have one of them
}

var (
	option     = regexp.MustCompile(`(?:^|\s)-`)
	hashOption = regexp.MustCompile(`^--hash(?:=| )(\w+):([0-9a-fA-F]+)$`)
	named      = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)$`)
	archive    = regexp.MustCompile(`(?i)\.(?:whl|zip|tar\.[a-z0-9]+|tgz|tbz)$`)
	separators = regexp.MustCompile(`[-_.]+`)
	userinfo   = regexp.MustCompile(`(://)[^/?#@\s]*(?:@[^/?#@\s]*)*@`)
	query      = regexp.MustCompile("(://[^?#\\s`'\"<>()]*)\\?[^#\\s`'\"<>():]+")
)

// normalise returns a distribution's name as PEP 503 writes it.
func normalise(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// redact hides the credentials of the URLs in text, and their queries: a
// signature there is as good as a password.
func redact(text string) string {
	return query.ReplaceAllString(userinfo.ReplaceAllString(text, "${1}****@"), "${1}?****")
}

// redactTyped hides the credentials in what a user wrote: also those that don't
// fit a URL, because a space or a slash in a password wasn't escaped. It rather
// hides too much.
func redactTyped(text string) string {
	before, rest, found := strings.Cut(text, "://")
	end := strings.LastIndex(rest, "@")
	if !found || end < 0 {
		return redact(text)
	}
	secret := rest[:end]
	if at := strings.IndexAny(secret, "/?#"); at < 0 || strings.ContainsAny(secret[:at], ":@") || strings.Contains(secret, " ") {
		return redact(before + "://****" + rest[end:])
	}
	return redact(text)
}

// parse takes a line apart. The error is a *RequirementError.
func (g Group) parse(l Line) (requirement, error) {
	text := stripComment(l.Text)
	r, problem, fix := parseRequirement(text)
	if problem == "" {
		return r, nil
	}
	text = redactTyped(strings.ToValidUTF8(text, "\ufffd"))
	return requirement{}, &RequirementError{Source: g.Name, Line: l.Number, Text: text, Problem: problem, Fix: fix}
}

const notYet = " not supported yet"

func parseRequirement(text string) (r requirement, problem, fix string) {
	const example = "a requirement starts with the name of a package, as in `numpy>=2`"
	if text == "" {
		return r, "this is not a requirement", example
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return r, "this is not text", "save the file as UTF-8"
	}
	if strings.HasPrefix(text, "-") {
		problem, fix = lineOption(text)
		return r, problem, fix
	}
	if strings.HasSuffix(text, `\`) { // pip and uv read on only where nothing follows it
		return r, "blanks follow the `\\` that should continue the line", "remove the blanks after the `\\`"
	}
	if strings.Contains(text, "${") {
		return r, "variables in requirements are" + notYet, "write the value itself"
	}
	if problem, fix := notNamed(text); problem != "" {
		return r, problem, fix
	}
	r.text = text
	body := text
	if at := option.FindStringIndex(text); at != nil {
		body = strings.TrimSpace(text[:at[0]])
		if r.hashes, problem, fix = hashes(text[at[0]:]); problem != "" {
			return r, problem, fix
		}
	}
	m := named.FindStringSubmatch(body)
	if m == nil {
		return r, "this is not a requirement", example
	}
	r.name = normalise(m[1])
	if target, ok := strings.CutPrefix(m[2], "@"); ok {
		if r.url, problem, fix = directURL(target); problem != "" {
			return r, problem, fix
		}
	}
	return r, "", ""
}

// lineOption says why a line that is an option can't be used.
func lineOption(text string) (problem, fix string) {
	name := text
	if end := strings.IndexAny(text, "= "); end > 0 {
		name = text[:end]
	}
	fix = "remove the line"
	switch {
	case name == "--requirement" || strings.HasPrefix(name, "-r"):
		name, fix = "-r", "put the requirements of that file here"
	case name == "--constraint" || strings.HasPrefix(name, "-c"):
		name, fix = "-c", "put the versions into the requirements, as in `numpy==2.1.0`"
	case name == "--editable" || strings.HasPrefix(name, "-e"):
		name, fix = "-e", "list what the project requires; its source is copied into the image anyway"
	case name == "--index-url" || strings.HasPrefix(name, "-i"):
		name, fix = "--index-url", "give the index on the command line, as `--index-url URL`"
	case name == "--extra-index-url":
		fix = "give the index on the command line, as `--extra-index-url URL`"
	}
	return "`" + name + "` lines are" + notYet, fix
}

// notNamed recognises paths and URLs that don't follow a package's name.
func notNamed(text string) (problem, fix string) {
	const release = "name a released version, as in `NAME==1.0`"
	head := text
	if end := strings.IndexAny(text, "@<>=!~;[( "); end > 0 {
		head = text[:end] // where a name would stand
	}
	scheme, _, isURL := strings.Cut(head, "://")
	switch {
	case isURL && strings.Contains(scheme, "+"):
		return "version control URLs are" + notYet, release
	case isURL:
		return "a URL must follow the name of its package", "write `NAME @ " + scheme + "://…`"
	case strings.ContainsAny(head[:1], `.~`), strings.ContainsAny(head, `/\:`), archive.MatchString(head):
		return "paths of local files are" + notYet, release
	}
	return "", ""
}

// hashes reads the options that follow a requirement.
func hashes(text string) (sums []string, problem, fix string) {
	for _, o := range strings.Split(text, " -")[1:] {
		m := hashOption.FindStringSubmatch("-" + strings.TrimSpace(o))
		if m == nil {
			return nil, "only `--hash` is supported after a requirement", "write `--hash=sha256:` and 64 hex digits, or nothing"
		}
		if algorithm := strings.ToLower(m[1]); algorithm == "sha256" && len(m[2]) == 64 {
			sums = append(sums, algorithm+":"+strings.ToLower(m[2]))
		}
	}
	if len(sums) == 0 {
		return nil, "none of its hashes is a sha256", "write `--hash=sha256:` and 64 hex digits"
	}
	return sums, "", ""
}

// directURL checks what follows the "@" of a requirement.
func directURL(text string) (raw, problem, fix string) {
	raw, _, _ = strings.Cut(strings.TrimSpace(text), " ")
	raw, _, _ = strings.Cut(raw, ";")
	const example = "write `NAME @ https://HOST/NAME-1.0-py3-none-any.whl`"
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme == "":
		return "", "what follows the @ is not a URL", example
	case strings.Contains(u.Scheme, "+"):
		return "", "version control URLs are" + notYet, example
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "only http and https URLs are supported", example
	case u.Host == "":
		return "", "the URL has no host", example
	case u.User != nil:
		return "", "credentials in URLs are" + notYet, example
	case !strings.HasSuffix(path.Base(u.Path), ".whl"):
		return "", "only URLs of wheels are supported: sources would have to be built", example
	}
	return raw, "", ""
}

// A checked group is one whose lines have been taken apart.
type checked struct {
	name  string
	lines []Line
	reqs  []requirement // of the lines, by index
}

// check takes the lines of g apart, and leaves out empty ones.
func (g Group) check() (checked, error) {
	c := checked{name: g.Name}
	for _, l := range g.Lines {
		if stripComment(l.Text) == "" {
			continue
		}
		r, err := g.parse(l)
		if err != nil {
			return checked{}, err
		}
		c.lines, c.reqs = append(c.lines, l), append(c.reqs, r)
	}
	return c, nil
}

func (c checked) texts() []string {
	texts := make([]string, len(c.reqs))
	for i, r := range c.reqs {
		texts[i] = r.text
	}
	return texts
}

// direct returns the lines that give a URL for name. They can differ in their
// markers.
func (c checked) direct(name string) (lines []string) {
	for _, r := range c.reqs {
		if r.name == name && r.url != "" {
			lines = append(lines, r.text)
		}
	}
	return lines
}

// hashes returns the digests that the requirements allow for name; none means
// any.
func (c checked) hashes(name string) (sums []string) {
	for _, r := range c.reqs {
		if r.name == name {
			sums = append(sums, r.hashes...)
		}
	}
	return sums
}

// syntaxError names the line that uv can't parse. uv counts the bytes of what
// it was given, where each requirement is a line.
func (c checked) syntaxError(position int, problem string) error {
	for i, r := range c.reqs {
		if position -= len(r.text) + 1; position < 0 {
			return &RequirementError{
				Source: c.name, Line: c.lines[i].Number, Text: redactTyped(r.text), Problem: problem,
				Fix: "write it as PEP 508 does, as in `numpy>=2; python_version < \"3.14\"`",
			}
		}
	}
	return fmt.Errorf("uv can't parse %s: %s", c.name, problem)
}
