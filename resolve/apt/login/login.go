// SPDX-License-Identifier: Apache-2.0

// Package login knows the users and passwords of Debian archives: those that
// URLs hold, and those of apt's own files (apt_auth.conf(5)). Only the server
// that a login is for hears it, and no error says it.
package login

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"inlay/cache/fetch"
)

// Reads reports whether a file of that path from the root, without a slash in
// front, holds logins.
func Reads(name string) bool {
	dir, base := path.Split(name)
	return name == "etc/apt/auth.conf" || dir == "etc/apt/auth.conf.d/" && path.Ext(base) == ".conf" && base[0] != '.'
}

// Texts returns the texts of the files with logins in a tree, the first that
// counts first: as far as they are there, and can be read.
func Texts(root fs.FS) (texts []string) {
	names := []string{"etc/apt/auth.conf"}
	more, _ := fs.ReadDir(root, "etc/apt/auth.conf.d")
	for _, e := range more { // sorted
		if name := "etc/apt/auth.conf.d/" + e.Name(); Reads(name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		info, err := fs.Stat(root, name)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
			continue
		}
		if b, err := fs.ReadFile(root, name); err == nil {
			texts = append(texts, string(b))
		}
	}
	return texts
}

// maxFile bounds a file with logins, in bytes.
const maxFile = 1 << 20

// A Set is what is known of logins. Its zero value knows none, and nil is one
// that learns none. Several goroutines may use one.
type Set struct {
	// Files returns the texts of this machine's files with logins, the first that
	// counts first. It is asked once, before the first request; nil has none.
	Files func() []string
	// More is asked once, when a server wants a login that isn't known, and may
	// call Strip and Read; nil knows no more.
	More func(context.Context) error

	files sync.Once
	mu    sync.Mutex
	asked bool
	urls  []entry // of URLs: these count first
	all   []entry
}

// An entry is one login and what it is for.
type entry struct {
	scheme         string // "" is https
	host           string // as it stands in the file: with a port, or for every port
	path           string // the beginning of those it is for
	user, password string
	used           bool
}

// A Secret is a text that nothing may hold.
type Secret struct{ User, Value, Of string }

// Strip returns a URL without user and password, which are kept for what lies
// below it. What is no URL stays as it is.
func (s *Set) Strip(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw
	}
	e := entry{scheme: u.Scheme, host: u.Host, path: u.Path, user: u.User.Username()}
	e.password, _ = u.User.Password()
	u.User = nil
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.ContainsFunc(s.urls, e.same) {
			s.urls = append(s.urls, e)
		}
	}
	return u.String()
}

func (e entry) same(o entry) bool {
	o.used = e.used
	return e == o
}

// Read takes the logins of a file over, after those that are known. Words that
// mean nothing are skipped, as apt does.
func (s *Set) Read(text string) {
	words := strings.Fields(text)
	var found []entry
	for len(words) > 1 {
		value := words[1]
		switch last := len(found) - 1; {
		case words[0] == "machine":
			found = append(found, machine(value))
		case words[0] == "login" && last >= 0:
			found[last].user = value
		case words[0] == "password" && last >= 0:
			found[last].password = value
		default:
			words = words[1:]
			continue
		}
		words = words[2:]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range found {
		if !slices.ContainsFunc(s.all, e.same) {
			s.all = append(s.all, e)
		}
	}
}

// machine reads [protocol://]hostname[:port][/path].
func machine(word string) (e entry) {
	rest := word
	if scheme, after, ok := strings.Cut(word, "://"); ok {
		e.scheme, rest = scheme, after
	}
	e.host = rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		e.host, e.path = rest[:i], rest[i:]
	}
	return e
}

// covers reports whether e is for u, as apt takes it: without a port it is for all
// ports, but with a path only for the usual one.
func (e entry) covers(u *url.URL) bool {
	scheme := e.scheme
	if scheme == "" {
		scheme = "https"
	}
	host := strings.EqualFold(e.host, u.Host) || e.path == "" && strings.EqualFold(e.host, u.Hostname())
	return scheme == u.Scheme && host && strings.HasPrefix(u.Path, e.path)
}

// find returns the login for a URL, and whether there is one: the first entry
// that covers it counts, even if it says none.
func (s *Set) find(u *url.URL) (entry, bool) {
	s.files.Do(func() {
		if s.Files != nil {
			for _, text := range s.Files() {
				s.Read(text)
			}
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range [][]entry{s.urls, s.all} {
		for i := range list {
			if e := &list[i]; e.covers(u) {
				e.used = e.user != "" || e.password != ""
				return *e, e.used
			}
		}
	}
	return entry{}, false
}

// Secrets returns the passwords that were sent, and those for urls.
func (s *Set) Secrets(urls ...string) (all []Secret) {
	if s == nil {
		return nil
	}
	for _, raw := range urls {
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			s.find(u)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Concat(s.urls, s.all) {
		if value := e.password; e.used {
			if value == "" { // a token
				value = e.user
			}
			all = append(all, Secret{e.user, value, "the archive " + e.host})
		}
	}
	return all
}

// Transport returns base, or http's own if it is nil, with the logins of s.
func (s *Set) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return transport{s, base}
}

type transport struct {
	set  *Set
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	signed := t.set.sign(req)
	resp, err := t.base.RoundTrip(signed)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || signed != req || !t.set.more() {
		return resp, err
	}
	if err := t.set.More(req.Context()); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	if signed = t.set.sign(req); signed == req {
		return resp, nil
	}
	_ = resp.Body.Close()
	return t.base.RoundTrip(signed)
}

// more reports, once, whether there may be more logins.
func (s *Set) more() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.asked && s.More != nil
	s.asked = true
	return first
}

// sign returns req with the login for it, or req itself if there is none.
func (s *Set) sign(req *http.Request) *http.Request {
	if req.Header.Get("Authorization") != "" {
		return req
	}
	e, ok := s.find(req.URL)
	if !ok {
		return req
	}
	signed := req.Clone(req.Context())
	signed.SetBasicAuth(e.user, e.password)
	return signed
}

// A DeniedError reports an archive that wants a login, or another one.
type DeniedError struct {
	Host string
	Sent bool  // a login was sent
	Err  error // the answer
}

func (e *DeniedError) Error() string { return e.Err.Error() }

// Unwrap returns the answer.
func (e *DeniedError) Unwrap() error { return e.Err }

// Temporary reports that no other try will be answered differently.
func (e *DeniedError) Temporary() bool { return false }

// Hint says how to give a login.
func (e *DeniedError) Hint() string {
	if e.Sent {
		return fmt.Sprintf("check the user and password for %s, and that they may read this file", e.Host)
	}
	return fmt.Sprintf("give a login for %s: in the URL of the archive, or as a line of /etc/apt/auth.conf: `machine https://%s login USER password PASSWORD`", e.Host, e.Host)
}

// Denied returns err as a *DeniedError if it is that of a server that wants a
// login, or another one.
func (s *Set) Denied(err error) error {
	var status *fetch.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusUnauthorized && status.Code != http.StatusForbidden {
		return err
	}
	u, parsed := url.Parse(status.URL)
	if parsed != nil {
		return err
	}
	_, sent := s.find(u)
	return &DeniedError{u.Host, sent, err}
}
