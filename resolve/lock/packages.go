// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"fmt"
	"net/url"

	"inlay/layers/pattern"
)

// Packages are the Debian packages that were asked for, and what they came to in
// the locked parent.
type Packages struct {
	Requested   []string `yaml:"requested"` // as the settings have them
	Recommends  bool     `yaml:"recommends,omitempty"`
	AllowRemove bool     `yaml:"allowRemove,omitempty"`
	Sources     []Source `yaml:"sources,omitempty"` // that were trusted; for people
	Debs        []Deb    `yaml:"debs,omitempty"`    // sorted by name
	Gone        []Gone   `yaml:"gone,omitempty"`    // sorted by name
}

// A Gone package is one of the parent that is removed.
type Gone struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
}

// A Source is an index of packages.
type Source struct {
	Archive   string `yaml:"archive"` // its URL, without credentials
	Suite     string `yaml:"suite"`
	Component string `yaml:"component,omitempty"`
	Date      string `yaml:"date"`      // of the release file (RFC 3339)
	InRelease string `yaml:"inRelease"` // its sha256
	SignedBy  string `yaml:"signedBy"`  // fingerprint of the key
}

// A Deb is a package to install.
type Deb struct {
	Name     string `yaml:"name"`
	Version  string `yaml:"version"`
	Arch     string `yaml:"arch"`
	URL      string `yaml:"url"`
	SHA256   string `yaml:"sha256"`
	Size     int64  `yaml:"size"`
	Auto     bool   `yaml:"auto,omitempty"`     // nobody asked for it
	Replaces string `yaml:"replaces,omitempty"` // version that the parent has
}

// changes says in what p was asked for otherwise than now.
func (p *Packages) changes(now *Packages) []string {
	var was, is Packages
	if p != nil {
		was = *p
	}
	if now != nil {
		is = *now
	}
	out := listChanges("apt_packages: ", was.Requested, is.Requested)
	if len(out) == 0 && was.Recommends != is.Recommends {
		out = append(out, "`apt.recommends`")
	}
	if len(out) == 0 && was.AllowRemove != is.AllowRemove {
		out = append(out, "`apt.allow_remove`")
	}
	return out
}

var (
	debNameForm    = pattern.New(`^[a-z0-9][a-z0-9+.-]+$`)
	debVersionForm = pattern.New(`^[0-9A-Za-z][0-9A-Za-z.+~:-]*$`)
	debArchForm    = pattern.New(`^[a-z0-9-]+$`)
)

func (c *checker) packages(p *Packages, at []any) {
	in := func(keys ...any) []any { return append(append([]any(nil), at...), keys...) }
	c.want(len(p.Requested) > 0, "it has packages that nobody asked for", at...)
	seen := map[string]bool{}
	for i, g := range p.Gone {
		c.want(!seen[g.Name], "a second package "+g.Name, in("gone", i)...)
		seen[g.Name] = true
		c.want(debNameForm().MatchString(g.Name), fmt.Sprintf("%q is not the name of a package", g.Name), in("gone", i, "name")...)
		c.want(debVersionForm().MatchString(g.Version), fmt.Sprintf("%q is not a version", g.Version), in("gone", i, "version")...)
	}
	for i, d := range p.Debs {
		c.want(!seen[d.Name], "a second package "+d.Name, in("debs", i)...)
		seen[d.Name] = true
		c.want(debNameForm().MatchString(d.Name), fmt.Sprintf("%q is not the name of a package", d.Name), in("debs", i, "name")...)
		c.want(debVersionForm().MatchString(d.Version), fmt.Sprintf("%q is not a version", d.Version), in("debs", i, "version")...)
		c.want(debArchForm().MatchString(d.Arch), fmt.Sprintf("%q is not an architecture", d.Arch), in("debs", i, "arch")...)
		c.want(sumForm().MatchString(d.SHA256), fmt.Sprintf("%q is not a sha256", d.SHA256), in("debs", i, "sha256")...)
		c.want(d.Size > 0, "a size below 1", in("debs", i, "size")...)
		u, err := url.Parse(d.URL)
		c.want(err == nil && (u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") || u.Scheme == "file"), "want an http, https or file URL", in("debs", i, "url")...)
		c.want(err != nil || u.User == nil, "a URL with credentials", in("debs", i, "url")...)
	}
}
