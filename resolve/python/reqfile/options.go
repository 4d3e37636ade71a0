// SPDX-License-Identifier: Apache-2.0

package reqfile

import (
	"path/filepath"
	"slices"
	"strings"
)

var (
	// long are the long forms of the one-letter options.
	long = map[byte]string{'r': "requirement", 'c': "constraint", 'e': "editable", 'i': "index-url", 'f': "find-links"}
	// flags are the options without a value, valued those with one.
	flags  = []string{"no-index", "pre", "prefer-binary", "require-hashes"}
	valued = []string{
		"requirement", "constraint", "editable", "index-url", "extra-index-url", "find-links", "no-binary", "only-binary", "trusted-host",
	}
)

// options reads a line of options: as pip, several may stand on one.
func (p *parser) options(at place, raw, text string) error {
	words, ok := split(text)
	if !ok {
		return at.refuse(raw, "a quotation mark is not closed", "close it, or remove it")
	}
	for len(words) > 0 {
		name, value, rest, problem := next(words)
		if problem != "" {
			return at.refuse(raw, problem, "remove the line")
		}
		if err := p.option(at, raw, name, value); err != nil {
			return err
		}
		words = rest
	}
	return nil
}

// next takes one option off words.
func next(words []string) (name, value string, rest []string, problem string) {
	word, rest := words[0], words[1:]
	hasValue := false
	switch {
	case strings.HasPrefix(word, "--"):
		name, value, hasValue = strings.Cut(word[2:], "=")
	case len(word) > 1 && word[0] == '-' && long[word[1]] != "":
		name, value = long[word[1]], strings.TrimPrefix(word[2:], "=")
		hasValue = len(word) > 2
	case word[0] == '-':
		return "", "", nil, "`" + word + "` is not an option of a requirements file"
	default:
		return "", "", nil, "only options may follow an option"
	}
	switch {
	case slices.Contains(flags, name):
		if hasValue {
			return "", "", nil, "`--" + name + "` takes no value"
		}
		return name, "", rest, ""
	case !slices.Contains(valued, name):
		return "", "", nil, "`--" + name + "` lines are not supported"
	case !hasValue && len(rest) > 0:
		value, rest = rest[0], rest[1:]
	}
	if value == "" {
		return "", "", nil, "`--" + name + "` needs a value"
	}
	return name, value, rest, ""
}

// option acts on one option.
func (p *parser) option(at place, raw, name, value string) error {
	switch name {
	case "requirement":
		return p.include(at, raw, value, false)
	case "constraint":
		return p.include(at, raw, value, true)
	case "editable":
		return p.editable(at, raw, value)
	case "find-links":
		if !strings.Contains(value, "://") || strings.HasPrefix(value, "file://") {
			path, ok := p.find(at, value)
			if !ok {
				return at.refuse(raw, "there is no directory "+rename(at.source, value), "name a directory of wheels")
			}
			value = path
		}
	}
	p.group.Options = append(p.group.Options, Option{
		Source: at.source, Number: at.number, Shown: RedactTyped(raw), Name: name, Value: filepath.ToSlash(value),
	})
	return nil
}

// editable reads the project that is to be installed for editing.
func (p *parser) editable(at place, raw, value string) error {
	l, problem, fix := p.requirement(at, value)
	if problem == "" && !l.Tree {
		problem, fix = "only a project can be installed for editing: a directory or a repository", "remove the `-e`"
	}
	if problem != "" {
		return at.refuse(raw, problem, fix)
	}
	l.Editable = true
	p.add(at, raw, l)
	return nil
}

// split splits a line into words as a shell does; it is false if a quotation
// mark isn't closed.
func split(text string) (words []string, ok bool) {
	var word strings.Builder
	var quote rune
	inside := false
	for _, c := range text {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, inside = c, true
		case quote == 0 && c == ' ':
			if inside {
				words = append(words, word.String())
			}
			word.Reset()
			inside = false
		default:
			word.WriteRune(c)
			inside = true
		}
	}
	if inside {
		words = append(words, word.String())
	}
	return words, quote == 0
}
