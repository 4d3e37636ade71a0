// SPDX-License-Identifier: Apache-2.0

// Package index knows the package indexes of a build (PEP 503) and the
// credentials for them. An Index and every name and error hold URLs without
// user and password. Credentials leave a Set in three ways only: in the
// environment of uv or pip, in the Authorization field of a request to the
// server that they belong to, and as the secrets that a build must not contain.
package index

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"inlay/layers/pattern"
)

// An Index is a package index.
type Index struct {
	Name    string // as uv has it: letters, digits, ".", "-" and "_"; "" if it has none
	URL     string // without user and password
	Default bool   // asked last, and in place of the installer's own
}

// A Set is the indexes that a build asks, in their order. The nil Set has none:
// the installer's own is asked. Several goroutines may use one.
type Set struct {
	entries []entry
	known   *known
	unused  []entry // defaults of weaker levels
	files   []entry // no indexes: files that requirements name by their URLs
}

// An entry is an index with what was said of its credentials.
type entry struct {
	Index
	user *url.Userinfo // of its URL
	auth string        // of the settings: "env:VAR", "file:PATH", "netrc", "keyring" or ""
	from string        // where the index was named, for errors
}

// Indexes returns the indexes in the order in which they are asked.
func (s *Set) Indexes() []Index {
	if s == nil {
		return nil
	}
	all := make([]Index, len(s.entries))
	for i, e := range s.entries {
		all[i] = e.Index
	}
	return all
}

// Default returns the URL of the index that replaces the installer's own, ""
// if none does.
func (s *Set) Default() string {
	for _, x := range s.Indexes() {
		if x.Default {
			return x.URL
		}
	}
	return ""
}

// Key names the indexes in what is stored: their URLs, in order, without
// credentials and without the names that users gave them.
func (s *Set) Key() []string {
	var key []string
	for _, x := range s.Indexes() {
		if x.Default {
			x.URL = "default " + x.URL
		}
		key = append(key, x.URL)
	}
	return key
}

// With returns s with more indexes, which requirements files name. They are
// asked after those of s, and one that is a Default counts if s has none. Their
// URLs may hold user and password, which the Transport of s then knows too.
// The error is an *Error, whose Where is from.
func (s *Set) With(from string, more ...Index) (*Set, error) {
	out := &Set{known: &known{}}
	if s != nil {
		out.entries, out.known, out.files = slices.Clone(s.entries), s.known, s.files
	}
	for _, x := range more {
		e, err := parse(x.URL, from)
		if err != nil {
			return nil, err
		}
		e.Name, e.Default = x.Name, x.Default
		out.add(e)
	}
	out.order()
	for i := range out.entries {
		out.known.learn(&out.entries[i])
	}
	return out, nil
}

// add appends an index. One that is there already keeps its place, and takes
// over what the new one adds to it.
func (s *Set) add(e entry) {
	i := slices.IndexFunc(s.entries, func(have entry) bool { return same(have.URL, e.URL) })
	if i < 0 {
		if e.Default && s.Default() != "" { // a stronger level has one
			s.unused = append(s.unused, e)
			return
		}
		s.entries = append(s.entries, e)
		return
	}
	have := &s.entries[i]
	have.Name, have.auth = cmp.Or(have.Name, e.Name), cmp.Or(have.auth, e.auth)
	have.Default = have.Default || e.Default && s.Default() == ""
	if have.user == nil {
		have.user = e.user
	}
}

// order puts the default index last.
func (s *Set) order() {
	slices.SortStableFunc(s.entries, func(a, b entry) int {
		switch {
		case a.Default == b.Default:
			return 0
		case a.Default:
			return 1
		default:
			return -1
		}
	})
}

// same reports whether two URLs name one index.
func same(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }

var (
	name      = pattern.New(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	notLetter = pattern.New(`[^A-Za-z0-9]`)
)

// parse reads the URL of an index, perhaps with user and password. Of a URL
// that can't be read nothing is quoted that may be a password.
func parse(raw, from string) (entry, error) {
	fault := func(shown, problem, fix string) error {
		return &Error{Where: from, Index: shown, Problem: problem, Fix: fix}
	}
	const example = "write it as `https://HOST/simple`"
	u, err := url.Parse(raw)
	switch {
	case strings.ContainsAny(raw, " \t\n"):
		return entry{}, fault(Redact(raw), "a URL has no spaces", example)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return entry{}, fault(Redact(raw), "want an http or https URL", example+"; in a user or password, write `%40` for @, `%2F` for / and `%23` for #")
	case strings.Contains(u.Path, "@"):
		return entry{}, fault(Redact(raw), "an @ follows the host", "write `%2F` for a / in a password")
	case u.RawQuery != "" || u.Fragment != "":
		return entry{}, fault(Redact(raw), "the URL of an index has no ? and no #", example)
	}
	e := entry{user: u.User, from: from}
	u.User = nil
	e.URL = u.String()
	return e, nil
}

// Redact hides the credentials in a URL as a user wrote it, also those that
// don't fit into one because a letter in them wasn't escaped, and its query. It
// rather hides too much.
func Redact(raw string) string {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		scheme, rest = "", raw
	} else {
		scheme += "://"
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = "****" + rest[at:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i] + "?****"
	}
	return scheme + rest
}

// An Error reports an index, or credentials for one, that can't be used as
// they are given.
type Error struct {
	Where   string // that names the index: a flag, a variable, a file and line
	Index   string // its name or URL, without credentials
	Problem string
	Fix     string // what to write instead
}

func (e *Error) Error() string {
	if e.Index == "" {
		return fmt.Sprintf("%s: %s", e.Where, e.Problem)
	}
	return fmt.Sprintf("%s: the index %q: %s", e.Where, e.Index, e.Problem)
}

// Hint says what to write instead.
func (e *Error) Hint() string { return e.Fix }
