// SPDX-License-Identifier: Apache-2.0

package dockerfile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// variables are what words may name: those of the image, then arguments.
type variables struct {
	env  []string
	args []Arg
}

// Get returns the value of a variable.
func (v variables) Get(name string) (string, bool) {
	if value, ok := lookup(v.env, name); ok {
		return value, true
	}
	for _, a := range v.args {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// Keys lists the variables.
func (v variables) Keys() []string {
	var keys []string
	for _, kv := range v.env {
		name, _, _ := strings.Cut(kv, "=")
		keys = append(keys, name)
	}
	for _, a := range v.args {
		keys = append(keys, a.Name)
	}
	return keys
}

// lookup returns the value of a variable of env.
func lookup(env []string, name string) (string, bool) {
	for _, kv := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// set returns env with a variable set: where it stands, if it is there.
func set(env []string, name, value string) []string {
	kv := name + "=" + value
	if i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }); i >= 0 {
		env = slices.Clone(env)
		env[i] = kv
		return env
	}
	return append(slices.Clip(env), kv)
}

// word resolves the variables of a text and takes its quotes away, as Docker
// does. What becomes part of the image may not be a secret.
func (e *evaluation) word(i instruction, text string) (string, error) {
	r, err := shell.NewLex(e.file.escape).ProcessWordWithMatches(text, variables{e.state.Env, e.args})
	if err != nil {
		return "", e.file.fault(i, fmt.Sprintf("%q can't be read: %v", text, err), "check its quotes, braces and dollar signs")
	}
	for _, a := range e.args {
		if _, used := r.Matched[a.Name]; used && a.Secret {
			if _, hidden := lookup(e.state.Env, a.Name); !hidden {
				return "", e.file.fault(i, fmt.Sprintf("the argument %s seems to hold a secret, and would become part of the image", a.Name), "use it in RUN only, where no layer keeps it")
			}
		}
	}
	return r.Result, nil
}

// words are word for several.
func (e *evaluation) words(i instruction, texts []string) ([]string, error) {
	var all []string
	for _, t := range texts {
		w, err := e.word(i, t)
		if err != nil {
			return nil, err
		}
		if w != "" {
			all = append(all, w)
		}
	}
	return all, nil
}

// array reads a text that is an array of strings in JSON; ok is false if it is
// none.
func array(text string) (words []string, ok bool) {
	if !strings.HasPrefix(text, "[") {
		return nil, false
	}
	words = []string{}
	if json.Unmarshal([]byte(text), &words) != nil {
		return nil, false
	}
	return words, true
}

// list reads the words of a text: an array in JSON, or words between blanks.
func list(text string) []string {
	if words, ok := array(text); ok {
		return words
	}
	return strings.Fields(text)
}

// quoted splits a text at the blanks that are not quoted, and keeps the quotes.
func (f *File) quoted(text string) (words []string) {
	var out strings.Builder
	var quote, before rune
	for _, c := range text {
		switch {
		case before == f.escape && quote != '\'':
			before = 0
			out.WriteRune(c)
			continue
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && unicode.IsSpace(c):
			if out.Len() > 0 {
				words = append(words, out.String())
			}
			out.Reset()
			before = 0
			continue
		}
		before = c
		out.WriteRune(c)
	}
	if out.Len() > 0 {
		words = append(words, out.String())
	}
	return words
}

// A pair is a name with a value, as they are written.
type pair struct{ name, value string }

// pairs reads NAME=VALUE NAME=VALUE, or NAME VALUE.
func (f *File) pairs(i instruction) ([]pair, error) {
	words := f.quoted(i.rest)
	if len(words) == 0 || !strings.Contains(words[0], "=") {
		name, value, ok := strings.Cut(strings.ReplaceAll(i.rest, "\t", " "), " ")
		if !ok {
			return nil, f.fault(i, "want a name and a value", "write "+i.name+" NAME=VALUE")
		}
		return []pair{{name, strings.TrimLeft(value, " ")}}, nil
	}
	var all []pair
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return nil, f.fault(i, fmt.Sprintf("%q is not of the form NAME=VALUE", w), "put a value with blanks between quotes")
		}
		all = append(all, pair{name, value})
	}
	return all, nil
}
