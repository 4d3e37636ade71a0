// SPDX-License-Identifier: Apache-2.0

package index

import (
	"net/url"
	"slices"

	"inlay/layers/pattern"
)

// WithFiles returns s with the credentials for files that requirements name by
// their URLs, perhaps with user and password. They are no indexes, but their
// servers and users belong to the Realm. The Transport of s then knows them too.
func (s *Set) WithFiles(urls ...string) *Set {
	out := &Set{known: &known{}}
	if s != nil {
		out.entries, out.known, out.files = s.entries, s.known, slices.Clone(s.files)
	}
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			continue // whoever fetches it says so
		}
		e := entry{user: u.User}
		u.User, u.RawQuery, u.Fragment, u.RawFragment = nil, "", "", ""
		e.URL = u.String()
		out.known.learn(&e)
		out.files = append(out.files, e)
	}
	return out
}

// token matches the name of a parameter whose value opens a file to whoever has
// it.
var token = pattern.New(`(?i)token|sig$|signature|secret|passw|credential|auth|jwt|(?:api|access|private)[-_]?key`)

// Public returns the URL of a file as it may be stored: without user, password
// and fragment, and without its query if a part of that is a token. As long as
// s lives, requests of the result by its Transport are authorized and signed.
func (s *Set) Public(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return Redact(raw)
	}
	if u.User != nil {
		s.WithFiles(raw)
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	tokens := tokens(u)
	if len(tokens) == 0 {
		return u.String()
	}
	query := u.RawQuery
	u.RawQuery = ""
	s.known.keep(u.String(), query)
	for _, t := range tokens {
		s.known.remember(Secret{Value: t, Of: u.Host})
	}
	return u.String()
}

// tokens returns the values in u's query that are as good as a password.
func tokens(u *url.URL) (found []string) {
	for name, values := range u.Query() {
		if token().MatchString(name) {
			found = append(found, values...)
		}
	}
	return found
}

// keep notes the query that belongs to a URL.
func (k *known) keep(public, query string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.signed == nil {
		k.signed = map[string]string{}
	}
	k.signed[public] = query
}

// remember notes a secret that belongs to no index.
func (k *known) remember(x Secret) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.more, x) {
		k.more = append(k.more, x)
	}
}

// sign gives u back the query that Public cut off.
func (s *Set) sign(u *url.URL) {
	if s == nil || u.RawQuery != "" {
		return
	}
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	u.RawQuery = s.known.signed[u.String()]
}
