// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"inlay/resolve/apt/deb822"
)

// A Source is an archive, one of its suites and what is used of that.
type Source struct {
	URL        string   // of the archive, with a slash at the end; may hold user and password
	Suite      string   // its name; with a slash at the end the directory of an archive without components
	Components []string // none if the suite ends with a slash
	Arches     []string // Debian's names; none: the architecture packages are resolved for
	SignedBy   []string // paths of keyrings, fingerprints ("…!": no subkeys), or keys in ASCII armour; none: all keys that apt trusts
	Trusted    bool     // signatures aren't wanted

	// CheckValidUntil and CheckDate are "yes", "no" or "": as the configuration
	// has it.
	CheckValidUntil, CheckDate string
	MaxAge                     time.Duration // that a release file may have; 0: any that it allows itself

	Where string // file and line, for errors
}

// Flat reports whether s is a directory without components.
func (s *Source) Flat() bool { return strings.HasSuffix(s.Suite, "/") }

// parseList reads a file of lines (sources.list(5), "one-line-style").
func parseList(file, text string) ([]Source, error) {
	var all []Source
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		kind, rest := cutWord(line)
		if kind == "" || kind == "deb-src" {
			continue
		}
		s := Source{Where: fmt.Sprintf("%s:%d", file, n)}
		err := s.parse(kind, rest)
		if err != nil {
			return nil, &Error{File: file, Line: n, Problem: err.Error()}
		}
		all = append(all, s)
	}
	return all, nil
}

// parse reads a line that begins with the word kind.
func (s *Source) parse(kind, rest string) error {
	if kind != "deb" {
		return fmt.Errorf("begins with %q, want deb or deb-src", kind)
	}
	if strings.HasPrefix(rest, "[") {
		inner, after, ok := strings.Cut(rest[1:], "]")
		if !ok {
			return fmt.Errorf("opens a bracket that isn't closed")
		}
		rest = after
		for _, option := range strings.Fields(inner) {
			name, value, _ := strings.Cut(option, "=")
			if err := s.set(name, strings.Split(value, ",")); err != nil {
				return err
			}
		}
	}
	words := strings.Fields(rest)
	if len(words) < 2 {
		return fmt.Errorf("lacks a URL or a suite")
	}
	s.URL, s.Suite, s.Components = words[0], words[1], words[2:]
	return s.check()
}

// cutWord returns the first word of a line and the rest.
func cutWord(line string) (word, rest string) {
	line = strings.TrimSpace(line)
	if i := strings.IndexAny(line, " \t["); i >= 0 {
		return line[:i], strings.TrimSpace(line[i:])
	}
	return line, ""
}

// parseStanzas reads a file of stanzas (sources.list(5), "deb822-style").
func parseStanzas(file, text string) ([]Source, error) {
	var all []Source
	r := deb822.NewReader(strings.NewReader(text))
	for {
		stanza, err := r.Next()
		if err != nil {
			return all, wholeFile(file, err)
		}
		fail := func(problem string) error {
			return &Error{File: file, Line: r.Line(), Problem: "begins a stanza that " + problem}
		}
		if !truth(stanza.Get("Enabled"), true) || !slices.Contains(strings.Fields(stanza.Get("Types")), "deb") {
			continue
		}
		s := Source{Where: fmt.Sprintf("%s:%d", file, r.Line())}
		for name, value := range stanza.Fields() {
			if err := s.set(optionName(name), values(name, value)); err != nil {
				return nil, fail(err.Error())
			}
		}
		s.Components = strings.Fields(stanza.Get("Components"))
		expanded, err := s.expand(strings.Fields(stanza.Get("URIs")), strings.Fields(stanza.Get("Suites")))
		if err != nil {
			return nil, fail(err.Error())
		}
		all = append(all, expanded...)
	}
}

// NewSources returns the suites of an archive, signed by a keyring. Where they
// come from is for errors.
func NewSources(url string, suites, components []string, signedBy, where string) ([]Source, error) {
	s := Source{Components: components, SignedBy: []string{signedBy}, Where: where}
	return s.expand([]string{url}, suites)
}

// expand returns s for each archive and suite.
func (s *Source) expand(urls, suites []string) ([]Source, error) {
	if len(urls) == 0 || len(suites) == 0 {
		return nil, fmt.Errorf("lacks URIs or Suites")
	}
	var all []Source
	for _, u := range urls {
		for _, suite := range suites {
			one := *s
			one.URL, one.Suite = u, suite
			if err := one.check(); err != nil {
				return nil, err
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// optionName returns the name that an option of a stanza has in a line.
func optionName(field string) string {
	switch name := strings.ToLower(field); name {
	case "architectures":
		return "arch"
	default:
		return name
	}
}

// values splits the value of a field, unless it holds a key.
func values(name, value string) []string {
	if strings.EqualFold(name, "Signed-By") && strings.Contains(value, "-----BEGIN") {
		return []string{armour(value)}
	}
	return strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t\n,", r) })
}

// armour undoes what a stanza does to the lines of a key: each has a blank in
// front, and " ." stands for an empty one.
func armour(value string) string {
	var b strings.Builder
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line == "." {
			line = ""
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// set sets an option. Unknown ones mean nothing for packages, or nothing here.
func (s *Source) set(name string, list []string) error {
	value := strings.Join(list, " ")
	switch strings.ToLower(name) {
	case "arch":
		s.Arches = list
	case "signed-by":
		s.SignedBy = list
	case "trusted":
		s.Trusted = truth(value, false)
	case "check-valid-until":
		s.CheckValidUntil = value
	case "check-date":
		s.CheckDate = value
	case "valid-until-max":
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return fmt.Errorf("has the Valid-Until-Max %q, want a number of seconds", value)
		}
		s.MaxAge = time.Duration(n) * time.Second
	}
	return nil
}

// check makes s complete.
func (s *Source) check() error {
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Errorf("has a URL that can't be read")
	}
	switch u.Scheme {
	case "http", "https", "file":
	case "copy":
		s.URL = "file" + strings.TrimPrefix(s.URL, "copy")
	default:
		return fmt.Errorf("has a URL of the kind %q, want http, https or file", u.Scheme)
	}
	if !strings.HasSuffix(s.URL, "/") {
		s.URL += "/"
	}
	switch {
	case s.Flat() && len(s.Components) > 0:
		return fmt.Errorf("has components, although its suite ends with a slash")
	case !s.Flat() && len(s.Components) == 0:
		return fmt.Errorf("lacks components, although its suite doesn't end with a slash")
	case slices.Contains(strings.Split(s.Suite, "/"), ".."), strings.HasPrefix(s.Suite, "/") && s.Suite != "/":
		return fmt.Errorf("has the suite %q, which leads out of the archive", s.Suite)
	}
	return nil
}
