// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// UVEnv returns the variables that tell uv its indexes, NAME=VALUE: URLs
// without credentials, and these by the names of their indexes.
func (s *Set) UVEnv() []string {
	if s == nil {
		return nil
	}
	var extra, env, taken []string
	for i, e := range s.entries {
		c := s.known.of(&e)
		label, variable := e.Name, variableOf(e.Name)
		if c.at != nil && label == "" || slices.Contains(taken, variable) {
			label = fmt.Sprintf("inlay-%d", i+1)
			variable = variableOf(label)
		}
		arg := e.URL
		if label != "" {
			arg, taken = label+"="+arg, append(taken, variable)
		}
		if e.Default {
			env = append(env, "UV_DEFAULT_INDEX="+arg)
		} else {
			extra = append(extra, arg)
		}
		if c.at != nil {
			env = append(env, "UV_INDEX_"+variable+"_USERNAME="+c.user, "UV_INDEX_"+variable+"_PASSWORD="+c.password)
		}
	}
	if len(extra) > 0 {
		env = append(env, "UV_INDEX="+strings.Join(extra, " "))
	}
	slices.Sort(env)
	return env
}

// variableOf writes the name of an index as uv's variables have it.
func variableOf(label string) string {
	return strings.ToUpper(notLetter().ReplaceAllString(label, "_"))
}

// PipEnv returns the variables that tell pip its indexes, NAME=VALUE. pip takes
// credentials in URLs only. It must not ask for others: it has all there are.
func (s *Set) PipEnv() []string {
	env := []string{"PIP_NO_INPUT=1", "PIP_KEYRING_PROVIDER=disabled"}
	var extra []string
	for _, e := range s.all() {
		raw := e.URL
		if c := s.known.of(&e); c.at != nil {
			u := *c.at
			u.User = url.UserPassword(c.user, c.password)
			raw = u.String()
		}
		if e.Default {
			env = append(env, "PIP_INDEX_URL="+raw)
		} else {
			extra = append(extra, raw)
		}
	}
	if len(extra) > 0 {
		env = append(env, "PIP_EXTRA_INDEX_URL="+strings.Join(extra, " "))
	}
	slices.Sort(env)
	return env
}

func (s *Set) all() []entry {
	if s == nil {
		return nil
	}
	return s.entries
}

// direct returns what WithFiles added.
func (s *Set) direct() []entry {
	if s == nil {
		return nil
	}
	return s.files
}

// At returns the indexes of s at other URLs, in the same order, where nobody asks
// for credentials.
func (s *Set) At(urls []string) *Set {
	out := &Set{known: &known{}}
	for i, x := range s.Indexes() {
		x.URL = urls[i]
		out.entries = append(out.entries, entry{Index: x})
	}
	return out
}

// Realm names the servers and users of the credentials: "" if there are none,
// else a digest. What one realm was told, another must not be: an installer's
// own cache knows URLs but not users, so each realm has a cache of its own.
// Passwords are no part of it, for they come and go.
func (s *Set) Realm() string {
	var all []string
	for _, e := range slices.Concat(s.all(), s.direct()) {
		c := s.known.of(&e)
		user := cmp.Or(c.user, e.username()) // a keyring isn't asked without a network
		if at, err := url.Parse(e.URL); err == nil && (c.at != nil || user != "") {
			all = append(all, fmt.Sprintf("%q %q", at.Scheme+"://"+at.Host, user))
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(all), "\n")))
	return hex.EncodeToString(sum[:8])
}

// A Secret is a text that must not leave the build.
type Secret struct {
	User  string // whose password it is; "" if that is not known
	Value string
	Of    string // the index, host or variable that it is for: its name or URL
}

// Secrets returns the passwords and tokens of the indexes, and of the servers
// of urls.
func (s *Set) Secrets(urls ...string) []Secret {
	if s == nil {
		return nil
	}
	s.known.mu.Lock()
	all := slices.Clone(s.known.creds)
	s.known.mu.Unlock()
	if len(all) == 0 && s.known.netrc == nil {
		urls = nil // nobody has any
	}
	for _, raw := range urls {
		if u, err := url.Parse(raw); err == nil {
			if c, ok := s.known.find(u); ok {
				all = append(all, c)
			}
		}
	}
	found := make([]Secret, len(all))
	for i, c := range all {
		found[i] = Secret{User: c.user, Value: c.secret(), Of: c.of}
	}
	s.known.mu.Lock()
	found = append(found, s.known.more...)
	s.known.mu.Unlock()
	var secrets []Secret
	for _, x := range found {
		if !slices.ContainsFunc(secrets, func(have Secret) bool { return have.Value == x.Value }) {
			secrets = append(secrets, x)
		}
	}
	return secrets
}

// Hidden returns the passwords and tokens that what other programs say is to be
// shown without. A shorter one would be found where it means nothing.
func (s *Set) Hidden() (values []string) {
	const enough = 8
	for _, secret := range s.Secrets() {
		if len(secret.Value) >= enough {
			values = append(values, secret.Value)
		}
	}
	return values
}

// find returns the credentials for a request of u: of the index on the same
// server whose path is nearest, else of the netrc file.
func (k *known) find(u *url.URL) (credential, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	best, found := -1, credential{}
	for _, c := range k.creds {
		if origin(c.at) != origin(u) {
			continue
		}
		if n := shared(c.at.Path, u.Path); n > best {
			best, found = n, c
		}
	}
	if best >= 0 {
		return found, true
	}
	if m := k.machine(u.String(), ""); m != nil {
		return credential{user: m.Login, password: m.Password, of: u.Host, at: u}, true
	}
	return credential{}, false
}

// origin returns scheme, host and port.
func origin(u *url.URL) string {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// shared returns how many segments two paths begin with in common.
func shared(a, b string) (n int) {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for n < len(as) && n < len(bs) && as[n] == bs[n] {
		n++
	}
	return n
}

// Authorize adds to req the credentials for its server, unless it has some.
func (s *Set) Authorize(req *http.Request) {
	if s == nil || req.Header.Get("Authorization") != "" {
		return
	}
	if c, ok := s.known.find(req.URL); ok {
		req.SetBasicAuth(c.user, c.password)
	}
}

// Transport returns a RoundTripper that authorizes each request by its own URL,
// and hands it to base; nil is http.DefaultTransport. So no redirect takes
// credentials to a server that they are not for.
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
	authorized := req.Clone(req.Context())
	t.set.sign(authorized.URL)
	t.set.Authorize(authorized)
	return t.base.RoundTrip(authorized)
}

// A DeniedError reports a server that wants credentials, or others.
type DeniedError struct {
	Index string // the name or URL of the index; of a file elsewhere, the host
	Sent  bool   // credentials were sent
	Err   error  // the answer
}

func (e *DeniedError) Error() string { return e.Err.Error() }

// Unwrap returns the answer.
func (e *DeniedError) Unwrap() error { return e.Err }

// Temporary reports that no other try will be answered differently.
func (e *DeniedError) Temporary() bool { return false }

// Hint says how to give credentials.
func (e *DeniedError) Hint() string {
	if e.Sent {
		return fmt.Sprintf("check user and password of %s, and that they may read this file", e.Index)
	}
	return fmt.Sprintf("give credentials for %s: `machine HOST login USER password PASSWORD` in ~/.netrc, or `auth: env:VAR` in `indexes`", e.Index)
}

// Denied returns err, the refusal of a request of rawURL, with a hint that
// names the index and what is missing.
func (s *Set) Denied(rawURL string, err error) error {
	u, bad := url.Parse(rawURL)
	if bad != nil {
		return err
	}
	if s != nil {
		if c, ok := s.known.find(u); ok {
			return &DeniedError{Index: c.of, Sent: true, Err: err}
		}
	}
	for _, e := range s.all() {
		if at, bad := url.Parse(e.URL); bad == nil && origin(at) == origin(u) {
			return &DeniedError{Index: cmp.Or(e.Name, e.URL), Err: err}
		}
	}
	return &DeniedError{Index: u.Host, Err: err}
}

// Login returns user and password for what is at a URL, "" if none are known.
func (s *Set) Login(rawURL string) (user, password string) {
	u, err := url.Parse(rawURL)
	if s == nil || err != nil {
		return "", ""
	}
	c, _ := s.known.find(u)
	return c.user, c.password
}
