// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"slices"
	"strings"

	"inlay/layers/pattern"
)

// An Index is a package index. Its URL may hold user and password: only a
// message that hides them may show it.
type Index struct {
	Field   string // as FieldError wants it: "indexes[0]"
	Name    string
	URL     string
	Default bool   // in place of the installer's own
	Auth    string // "env:VAR", "file:PATH", "netrc", "keyring" or ""
}

// indexKeys are the fields of an index.
var indexKeys = []string{"name", "url", "default", "auth"}

var (
	isIndexName = matches(pattern.New(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`), "is not the name of an index: letters, digits, and . - _ between them")
	isAuth      = matches(pattern.New(`^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|netrc|keyring)$`), "is not a place for credentials: env:VARIABLE, file:PATH, netrc or keyring")
)

// indexes reads the package indexes, in the order in which they are asked.
func indexes(l *loader, s setting) error {
	if s.kind != list {
		return s.wrongType()
	}
	l.docker.Indexes = nil
	for i := range s.items {
		at := s.item(i)
		l.docker.at[at.path] = at.position
		x, err := at.index(l)
		if err != nil {
			return err
		}
		x.Field = fmt.Sprintf("indexes[%d]", i)
		if err := at.beside(x, l.docker.Indexes); err != nil {
			return err
		}
		l.docker.Indexes = append(l.docker.Indexes, x)
	}
	return nil
}

// index reads one index: its URL, or a mapping.
func (s setting) index(l *loader) (x Index, err error) {
	if s.kind != mapping {
		x.URL, err = s.scalar("URL or mapping")
		return x, err
	}
	for i, key := range s.keys {
		at := s.item(i)
		l.docker.at[at.path] = at.position
		switch key.text {
		case "name":
			x.Name, err = at.checked(isIndexName)
		case "url":
			x.URL, err = at.scalar("string")
		case "default":
			x.Default, err = at.boolean()
		case "auth":
			x.Auth, err = at.checked(isAuth)
		default:
			err = s.unknownKey(key, indexKeys)
		}
		if err != nil {
			return x, err
		}
	}
	if x.URL == "" {
		return x, s.errorf("an index without a `url`")
	}
	return x, nil
}

// checked returns a text that a rule takes.
func (s setting) checked(check rule) (string, error) {
	t, err := s.scalar("string")
	if err != nil {
		return "", err
	}
	if reason := check(t); reason != "" {
		return "", s.errorf("%s %s", s.shown(), reason)
	}
	return t, nil
}

func (s setting) unknownKey(key *value, keys []string) error {
	fix := "the fields here are " + strings.Join(keys, ", ")
	if near := nearest(key.text, keys); near != "" {
		fix = fmt.Sprintf("did you mean `%s`?", near)
	}
	return key.fault(join(s.path, key.raw), "unknown field", fix)
}

// beside refuses an index that can't stand beside those before it.
func (s setting) beside(x Index, before []Index) error {
	switch {
	case x.Default && slices.ContainsFunc(before, func(b Index) bool { return b.Default }):
		return s.fault(s.path, "a second index with `default: true`", "leave it at one of them")
	case x.Name != "" && slices.ContainsFunc(before, func(b Index) bool { return b.Name == x.Name }):
		return s.fault(s.path, fmt.Sprintf("a second index with the name %q", x.Name), "give it another name")
	default:
		return nil
	}
}

// keepSecrets reads whether credentials of the environment stay in the image.
func keepSecrets(l *loader, s setting) (err error) {
	l.docker.KeepSecrets, err = s.boolean()
	return err
}

// indexFields are the fields about package indexes.
func indexFields() []field {
	return []field{
		{Field{
			Name: "indexes", Type: "list of indexes", Default: "[]",
			Example: "[{name: corp, url: https://pypi.example.com/simple, auth: env:CORP_LOGIN}]",
			Doc:     "Package indexes beside the installer's own, or with `default: true` in its place: URLs, or mappings with `name`, `url`, `default` and `auth` (`env:VARIABLE`, `file:PATH`, `netrc` or `keyring`).",
		}, "", indexes},
		{Field{
			Name: "keep_secrets_in_env", Type: "boolean", Default: "false", Example: "true",
			Doc: "Leave variables that hold credentials for a package index in the image, where everybody who has it can read them.",
		}, "", keepSecrets},
	}
}
