// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"inlay/layers/pattern"
)

// Apt says which Debian packages are installed, and how.
type Apt struct {
	Packages     []string // as apt-get takes them: "git", "git=1:2.39.5-0", "git/stable"
	Mirror       string   // URL of an archive in place of the parent's; "" is the parent's own
	Keyring      string   // path of a file with the keys of a parent made of packages; "" is what this machine trusts
	Sources      []AptSource
	Recommends   bool     // also what packages recommend
	AllowRemove  bool     // packages of the parent may go for others
	Scripts      string   // "native", "sandbox", "none" or "require-all"; "" is native
	Unconfigured []string // packages that count as configured even if their scripts did not run
}

// An AptSource is an archive beside the parent's.
type AptSource struct {
	Field      string // as FieldError wants it: "apt.sources[0]"
	URL        string
	Suites     []string // of one that ends in a slash there are no components
	Components []string
	Key        string // path of the file with its key
}

// aptSourceKeys are the fields of a source.
var aptSourceKeys = []string{"url", "suites", "components", "key"}

var (
	isAptPackage = matches(pattern.New(`^[A-Za-z0-9][A-Za-z0-9+._-]*(:[a-z0-9-]+)?([=/][^\s=/]+)?$`), "is not a package: NAME, NAME=VERSION or NAME/SUITE")
	isAptURL     = matches(pattern.New(`^(https?|file)://\S+$`), "is not the URL of an archive: http, https or file")
)

// aptFields are the fields about Debian packages.
func aptFields() []field {
	return []field{
		{
			Field{
				Name: "apt_packages", Type: "list of strings", Default: "[]", Example: "[git, curl]", Flags: []string{"--apt-package"},
				Doc: "Debian packages, as `apt-get install` takes them: with all they depend on, from the parent's own archives.",
			},
			"",
			aptWords(func(a *Apt) *[]string { return &a.Packages }, isAptPackage),
		},
		{
			Field{
				Name: "apt.mirror", Type: "string", Example: "https://mirror.example.com/debian", Flags: []string{"--apt-mirror"},
				Doc: "The archive to fetch Debian packages from, in place of the one that the parent names first, or for a parent `apt:SUITE`.",
			},
			"",
			func(l *loader, s setting) (err error) { l.docker.Apt.Mirror, err = s.aptURL(); return err },
		},
		{
			Field{
				Name: "apt.keyring", Type: "path of a file", Example: "debian-archive-keyring.gpg", Flags: []string{"--keyring"},
				Doc: "The file with the keys that sign the archive of a parent `apt:SUITE`, where this machine's apt has none.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.Apt.Keyring }, nil),
		},
		{Field{
			Name: "apt.sources", Type: "list of sources", Default: "[]",
			Example: "[{url: https://apt.example.com/debian, suites: [stable], components: [main], key: example.asc}]",
			Doc:     "Archives beside the parent's: mappings with `url`, `suites`, `components` and `key`, the path of the file with their key.",
		}, "", aptSources},
		{Field{
			Name: "apt.recommends", Type: "boolean", Default: "false", Example: "true",
			Doc: "Install also what packages recommend.",
		}, "", func(l *loader, s setting) (err error) { l.docker.Apt.Recommends, err = s.boolean(); return err }},
		{Field{
			Name: "apt.allow_remove", Type: "boolean", Default: "false", Example: "true",
			Doc: "Remove packages of the parent that can't be together with those that are installed, as apt would; without it that is an error, which names them.",
		}, "", func(l *loader, s setting) (err error) { l.docker.Apt.AllowRemove, err = s.boolean(); return err }},
		{
			Field{
				Name: "apt.scripts", Type: "string", Default: "native", Example: "require-all", Values: []string{"native", "sandbox", "none", "require-all"},
				Doc: "What becomes of maintainer scripts: `native` interprets those that it knows in full and leaves the packages of others unpacked, `sandbox` has dpkg configure these in the sandbox, `none` runs none, `require-all` fails where one can't be run.",
			},
			"",
			choiceOf(func(l *loader) *string { return &l.docker.Apt.Scripts }),
		},
		{
			Field{
				Name: "apt.accept_unconfigured", Type: "list of strings", Default: "[]", Example: "[tex-common]",
				Doc: "Packages that count as configured even if their scripts did not run.",
			},
			"",
			aptWords(func(a *Apt) *[]string { return &a.Unconfigured }, isAptPackage),
		},
	}
}

// aptWords reads a list of packages.
func aptWords(dst func(*Apt) *[]string, check rule) func(*loader, setting) error {
	return func(l *loader, s setting) error {
		if s.kind != list {
			return s.wrongType()
		}
		words, err := s.checkedList(l, check)
		*dst(&l.docker.Apt) = words
		return err
	}
}

// checkedList returns the texts of a list, all of which a rule takes; nil if
// there are none.
func (s setting) checkedList(l *loader, check rule) (words []string, err error) {
	for i := range s.items {
		at := s.item(i)
		l.docker.at[at.path] = at.position
		word, err := at.checked(check)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	return words, nil
}

// aptSources reads archives, in the order in which apt would.
func aptSources(l *loader, s setting) error {
	if s.kind != list {
		return s.wrongType()
	}
	l.docker.Apt.Sources = nil
	for i := range s.items {
		at := s.item(i)
		l.docker.at[at.path] = at.position
		x, err := at.aptSource(l)
		if err != nil {
			return err
		}
		x.Field = fmt.Sprintf("apt.sources[%d]", i)
		l.docker.Apt.Sources = append(l.docker.Apt.Sources, x)
	}
	return nil
}

func (s setting) aptSource(l *loader) (x AptSource, err error) {
	if s.kind != mapping {
		return x, s.errorf("want a mapping, got %s", s.describe())
	}
	for i, key := range s.keys {
		at := s.item(i)
		l.docker.at[at.path] = at.position
		switch key.text {
		case "url":
			x.URL, err = at.aptURL()
		case "suites":
			x.Suites, err = at.oneOrMore(l)
		case "components":
			x.Components, err = at.oneOrMore(l)
		case "key":
			x.Key, err = at.scalar("string")
		default:
			err = s.unknownKey(key, aptSourceKeys)
		}
		if err != nil {
			return x, err
		}
	}
	return x, s.wholeAptSource(x)
}

// wholeAptSource refuses a source that lacks something.
func (s setting) wholeAptSource(x AptSource) error {
	missing := ""
	switch {
	case x.URL == "":
		missing = "url"
	case len(x.Suites) == 0:
		missing = "suites"
	case x.Key == "":
		missing = "key"
	case len(x.Components) == 0 && !strings.HasSuffix(x.Suites[0], "/"):
		missing = "components"
	default:
		return nil
	}
	return s.errorf("a source without %s", cmp.Or(map[string]string{"url": "a `url`", "key": "a `key`"}[missing], "`"+missing+"`"))
}

// aptURL reads the URL of an archive; an empty one counts as not given.
func (s setting) aptURL() (string, error) {
	t, err := s.scalar("string")
	if err != nil || t == "" {
		return "", err
	}
	if u, err := url.Parse(t); strings.Contains(t, "@") && (err != nil || u.Host == "" || isAptURL(t) != "") { // not to be shown
		return "", s.errorf("it %s", isAptURL(""))
	}
	return s.checked(isAptURL)
}

// oneOrMore reads a list of words, or one.
func (s setting) oneOrMore(l *loader) ([]string, error) {
	isWord := matches(pattern.New(`^\S+$`), "is not one word")
	if s.kind == list {
		return s.checkedList(l, isWord)
	}
	word, err := s.checked(isWord)
	return []string{word}, err
}
