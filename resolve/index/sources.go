// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Options are all the places where indexes and credentials may be named. What
// a user names closer to the command wins: flags, then the variables of the
// host, then the settings, then the variables that the settings set.
type Options struct {
	Default string   // --index-url
	Extra   []string // --extra-index-url
	Env     []string // of the host, NAME=VALUE
	// Settings are those of the field `indexes`.
	Settings []Setting
	// Variables are those of the settings' environment, NAME=VALUE.
	Variables []string
	// Unused are variables that name no index here, but may hold secrets.
	Unused []string

	// Netrc is the path of a netrc file, which need not exist.
	Netrc string
	// File reads a file that `auth: file:PATH` names.
	File func(path string) ([]byte, error)
	// Keyring runs the program keyring and returns what it prints. Nil if it
	// must not be asked now: without a network.
	Keyring func(ctx context.Context, args ...string) (string, error)
}

// A Setting is an index of the settings.
type Setting struct {
	Index        // the URL may hold user and password
	Auth  string // where its credentials are: "env:VAR", "file:PATH", "netrc", "keyring" or ""
	// Fault makes an error about the setting; nil makes an *Error.
	Fault func(problem, fix string) error
}

// Gather returns the indexes that o names, and what credentials it has for
// them. A mistake is what the Fault of a setting makes of it, else an *Error.
func Gather(ctx context.Context, o Options) (*Set, error) {
	host, image := variables(o.Env), variables(o.Variables)
	k := &known{vars: []map[string]string{host, image}, ask: o.Keyring, file: o.File}
	k.ambient = asksKeyring(host)
	if err := k.readNetrc(o.Netrc); err != nil {
		return nil, err
	}
	s := &Set{known: k}
	if err := s.flags(o); err != nil {
		return nil, err
	}
	if err := s.variables(host, ""); err != nil {
		return nil, err
	}
	for _, x := range o.Settings {
		e, err := parse(x.URL, "indexes")
		if err != nil {
			return nil, x.fail(err)
		}
		e.Name, e.Default, e.auth = x.Name, x.Default, x.Auth
		s.add(e)
	}
	if err := s.variables(image, "environment: "); err != nil {
		return nil, err
	}
	s.order()
	for i := range s.entries {
		e := &s.entries[i]
		if err := k.authenticate(ctx, e); err != nil {
			return nil, faulty(o.Settings, e, err)
		}
	}
	for i := range s.unused {
		k.learn(&s.unused[i])
	}
	k.spot(slices.Concat(o.Env, o.Variables, o.Unused))
	return s, nil
}

// flags adds the indexes of the command line.
func (s *Set) flags(o Options) error {
	for _, raw := range o.Extra {
		if err := s.named(raw, "--extra-index-url", false); err != nil {
			return err
		}
	}
	if o.Default == "" {
		return nil
	}
	return s.named(o.Default, "--index-url", true)
}

// variables adds the indexes that the variables of uv and pip name. uv's come
// first: it is the default installer, and of its own the new names replace the
// old ones.
func (s *Set) variables(vars map[string]string, where string) error {
	for _, v := range []struct {
		names []string
		def   bool
	}{
		{[]string{"UV_INDEX", "UV_EXTRA_INDEX_URL"}, false},
		{[]string{"PIP_EXTRA_INDEX_URL"}, false},
		{[]string{"UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"}, true},
	} {
		for _, n := range v.names {
			for _, raw := range strings.Fields(vars[n]) {
				if err := s.named(raw, where+n, v.def); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// named adds the index of one URL, or of NAME=URL as uv has it.
func (s *Set) named(raw, from string, def bool) error {
	label, rest, ok := strings.Cut(raw, "=")
	if !ok || strings.ContainsAny(label, ":/") {
		label, rest = "", raw
	}
	if label != "" && !name().MatchString(label) {
		return &Error{Where: from, Index: Redact(raw), Problem: "the name before the = has other letters than A-Z, a-z, 0-9, `.`, `-` and `_`", Fix: "write NAME=https://HOST/simple"}
	}
	e, err := parse(rest, from)
	if err != nil {
		return err
	}
	e.Name, e.Default = label, def
	s.add(e)
	return nil
}

// variables returns an environment as a map. The last of a name counts.
func variables(env []string) map[string]string {
	vars := make(map[string]string, len(env))
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	return vars
}

// asksKeyring reports whether the user lets uv or pip ask the program keyring
// for users that URLs name.
func asksKeyring(vars map[string]string) bool {
	return cmp.Or(vars["UV_KEYRING_PROVIDER"], vars["PIP_KEYRING_PROVIDER"]) == "subprocess"
}

// faulty returns an error about an index in the words of the setting that names
// it, if one does.
func faulty(settings []Setting, e *entry, err error) error {
	i := slices.IndexFunc(settings, func(x Setting) bool {
		p, bad := parse(x.URL, "")
		return bad == nil && same(p.URL, e.URL)
	})
	if i < 0 || e.auth == "" {
		return err
	}
	return settings[i].fail(err)
}

func (x Setting) fail(err error) error {
	fault, ok := err.(*Error) //nolint:errorlint // made in this package, never wrapped
	if x.Fault == nil || !ok {
		return err
	}
	return x.Fault(fault.Problem, fault.Fix)
}
