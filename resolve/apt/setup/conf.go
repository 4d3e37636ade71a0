// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"strings"
)

// Conf is apt's configuration (apt.conf(5)): the values of each name, in the
// order in which they are set. Names are in lower case, with "::" between their
// parts.
type Conf map[string][]string

// Get returns the last value of a name, or "".
func (c Conf) Get(name string) string {
	if values := c[strings.ToLower(name)]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// Bool returns the last value of a name as apt understands it, or otherwise if
// it has none or another.
func (c Conf) Bool(name string, otherwise bool) bool {
	return truth(c.Get(name), otherwise)
}

// truth reads what apt takes for yes or no.
func truth(s string, otherwise bool) bool {
	switch strings.ToLower(s) {
	case "yes", "true", "with", "on", "enable", "1":
		return true
	case "no", "false", "without", "off", "disable", "0":
		return false
	default:
		return otherwise
	}
}

// maxScopes bounds how deep scopes may be nested.
const maxScopes = 64

// read adds what a file sets.
func (c Conf) read(file, text string) error {
	s := &confScanner{text: text, line: 1}
	var scopes []string
	var words []string
	for {
		token, err := s.next()
		if err != nil {
			return &Error{File: file, Line: s.line, Problem: err.Error()}
		}
		switch token {
		case "{":
			scopes = append(scopes, join(scopes, first(words)))
			if len(scopes) > maxScopes {
				return &Error{File: file, Line: s.line, Problem: fmt.Sprintf("opens more than %d scopes", maxScopes)}
			}
		case "}":
			if len(scopes) == 0 {
				return &Error{File: file, Line: s.line, Problem: "closes a scope that isn't open"}
			}
			c.set(scopes, words)
			scopes = scopes[:len(scopes)-1]
		case ";", "":
			c.set(scopes, words)
		default:
			words = append(words, token)
			continue
		}
		words = nil
		if token == "" {
			return nil
		}
	}
}

// set sets what a statement of one or two words says.
func (c Conf) set(scopes, words []string) {
	switch {
	case len(words) == 0:
	case words[0] == "#clear":
		for _, name := range words[1:] {
			c.clear(join(scopes, unquote(name)))
		}
	case words[0] == "#include": // of a file outside the directories that are read
	case len(words) == 1 && strings.HasPrefix(words[0], `"`): // an element of a list
		name := join(scopes, "")
		c[name] = append(c[name], unquote(words[0]))
	case len(words) > 1:
		name := strings.TrimSuffix(join(scopes, unquote(words[0])), "::")
		c[name] = append(c[name], unquote(strings.Join(words[1:], " ")))
	}
}

func (c Conf) clear(name string) {
	for n := range c {
		if n == name || strings.HasPrefix(n, name+"::") {
			delete(c, n)
		}
	}
}

func first(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return unquote(words[0])
}

// join returns the full name of a name in the innermost scope.
func join(scopes []string, name string) string {
	name = strings.ToLower(name)
	if len(scopes) == 0 {
		return name
	}
	outer := scopes[len(scopes)-1]
	if name == "" {
		return outer
	}
	return outer + "::" + name
}

func unquote(s string) string { return strings.Trim(s, `"`) }

// A confScanner splits a file into words, quoted ones with their quotes, and
// the signs {, } and ;.
type confScanner struct {
	text string
	line int
}

// next returns the next word or sign, "" at the end.
func (s *confScanner) next() (string, error) {
	if err := s.skip(); err != nil || s.text == "" {
		return "", err
	}
	if strings.IndexByte("{};", s.text[0]) >= 0 {
		return s.take(1), nil
	}
	if s.text[0] == '"' {
		end := strings.IndexByte(s.text[1:], '"')
		if end < 0 {
			return "", fmt.Errorf("opens a quote that isn't closed")
		}
		return s.take(end + 2), nil
	}
	end := strings.IndexAny(s.text, " \t\r\n{};\"")
	if end < 0 {
		end = len(s.text)
	}
	return s.take(end), nil
}

func (s *confScanner) take(n int) string {
	token := s.text[:n]
	s.line += strings.Count(token, "\n")
	s.text = s.text[n:]
	return token
}

// skip skips blanks and comments.
func (s *confScanner) skip() error {
	for s.text != "" {
		switch {
		case strings.IndexByte(" \t\r\n", s.text[0]) >= 0:
			s.take(1)
		case strings.HasPrefix(s.text, "//"), s.text[0] == '#' && !isDirective(s.text):
			end := strings.IndexByte(s.text, '\n')
			if end < 0 {
				end = len(s.text)
			}
			s.take(end)
		case strings.HasPrefix(s.text, "/*"):
			end := strings.Index(s.text, "*/")
			if end < 0 {
				return fmt.Errorf("opens a comment that isn't closed")
			}
			s.take(end + 2)
		default:
			return nil
		}
	}
	return nil
}

func isDirective(text string) bool {
	return strings.HasPrefix(text, "#clear ") || strings.HasPrefix(text, "#include ")
}
