// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/fetch"
	"inlay/resolve/apt/archive"
)

// Solver names the behaviour that is reproduced: that of apt up to 3.1, whose
// "internal" solver didn't change since 2.6.
const Solver = "apt-2.6"

// Resolved is what installing packages comes to. It is plain data: equal
// parents, indexes and requests give equal values.
type Resolved struct {
	Arch         string    `json:"arch"`         // Debian's name
	StatusSHA256 string    `json:"statusSHA256"` // of the parent's status file, in hex: all depends on it
	StatusDir    bool      `json:"statusDir"`    // the parent has a file for each package, and no dpkg
	Requested    []string  `json:"requested"`    // as they were asked for
	Recommends   bool      `json:"recommends"`   // what packages recommend was followed
	Solver       string    `json:"solver"`
	Indexes      []Index   `json:"indexes"`  // that were trusted, in the order of the sources
	Packages     []Package `json:"packages"` // to be installed, by name
	Removed      []Removal `json:"removed"`  // of the parent, by name
	Notes        []string  `json:"notes"`    // what the user may want to know: archives without packages for the image
}

// An Index is one that was trusted.
type Index struct {
	Archive         string    `json:"archive"` // its URL, without user and password
	Suite           string    `json:"suite"`   // as the source has it
	Component       string    `json:"component"`
	Date            time.Time `json:"date"` // of the release file
	InReleaseSHA256 string    `json:"inReleaseSHA256"`
	PackagesSHA256  string    `json:"packagesSHA256"`
	SignedBy        string    `json:"signedBy"` // fingerprint of the key
}

// A Package is a .deb file to fetch and install.
type Package struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Arch      string `json:"arch"` // or "all"
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`   // in hex
	Filename  string `json:"filename"` // below the archive's URL
	Archive   string `json:"archive"`  // URL, without user and password
	Suite     string `json:"suite"`
	Component string `json:"component"`
	Auto      bool   `json:"auto"`               // nobody asked for it, and the parent hasn't got it
	Replaces  string `json:"replaces,omitempty"` // version that the parent has
	Why       Why    `json:"why"`
}

// File returns what a fetch.Store is asked for to get the file, checked.
func (p Package) File() fetch.File {
	return fetch.File{
		Name: path.Base(p.Filename), URL: p.Archive + p.Filename, Size: p.Size,
		Digest: v1.Hash{Algorithm: "sha256", Hex: p.SHA256},
	}
}

// A Removal is a package of the parent that has to go.
type Removal struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Why     Why    `json:"why"`
}

// Why says why something is done with a package: it was asked for, or because
// of another package and one of the fields after that.
type Why struct {
	Requested bool   `json:"requested,omitempty"`
	Package   string `json:"package,omitempty"`
	Relation  string `json:"relation,omitempty"` // of the other to this one: "Depends: libc6 (>= 2.36)"
	Broken    string `json:"broken,omitempty"`   // relation of this one, which an upgrade of the other breaks
	Source    string `json:"source,omitempty"`   // both are made of
}

func (w Why) String() string {
	switch {
	case w.Requested:
		return "asked for"
	case w.Broken != "":
		return "its " + w.Broken + " doesn't allow the new " + w.Package
	case w.Source != "":
		return "made of the source " + w.Source + ", as " + w.Package
	case w.Package == "":
		return "locked"
	default:
		return w.Package + " " + w.Relation
	}
}

// resolved collects what the marks say.
func (s *System) resolved(words []string) (*Resolved, error) {
	r := &Resolved{
		Arch: s.u.arch, StatusSHA256: s.status.sha256, StatusDir: s.status.alone, Requested: slices.Clone(words),
		Recommends: s.recommends, Solver: Solver, Indexes: indexes(s.indexes), Notes: slices.Clone(s.notes),
	}
	for _, p := range s.u.byID {
		switch v := chosen(p); {
		case p.mark.mode == remove:
			r.Removed = append(r.Removed, Removal{p.name, p.current.version, p.mark.why})
		case v != p.current:
			one, err := packageOf(v)
			if err != nil {
				return nil, err
			}
			r.Packages = append(r.Packages, one)
		}
	}
	r.detach()
	slices.SortFunc(r.Packages, func(a, b Package) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Removed, func(a, b Removal) int { return cmp.Compare(a.Name, b.Name) })
	return r, nil
}

// detach makes all strings r's own: parts of the indexes would keep these in
// memory as long as r is there.
func (r *Resolved) detach() {
	for i := range r.Packages {
		p := &r.Packages[i]
		own(&p.Name, &p.Version, &p.Arch, &p.SHA256, &p.Filename, &p.Archive, &p.Suite, &p.Component, &p.Replaces)
		p.Why.detach()
	}
	for i := range r.Removed {
		own(&r.Removed[i].Name, &r.Removed[i].Version)
		r.Removed[i].Why.detach()
	}
}

func (w *Why) detach() { own(&w.Package, &w.Relation, &w.Broken, &w.Source) }

func own(list ...*string) {
	for _, s := range list {
		*s = strings.Clone(*s)
	}
}

// packageOf returns how to get v. What the index says of it is checked: the
// file name must stay below the archive.
func packageOf(v *ver) (Package, error) {
	x := v.indexes[0]
	fail := func(problem string) (Package, error) {
		return Package{}, fmt.Errorf("the index of %s gives %s for %s %s", x.Source.Suite, problem, v.pkg.name, v.version)
	}
	p := Package{
		Name: v.pkg.name, Version: v.version, Arch: v.arch, SHA256: v.stanza.Get("SHA256"),
		Filename: path.Clean(v.stanza.Get("Filename")), Archive: public(x.Source.URL), Suite: x.Source.Suite, Component: x.Component,
		Auto: v.pkg.mark.auto, Why: v.pkg.mark.why,
	}
	if v.pkg.current != nil {
		p.Replaces = v.pkg.current.version
	}
	size, err := strconv.ParseInt(v.stanza.Get("Size"), 10, 64)
	switch {
	case err != nil || size <= 0:
		return fail("no size")
	case len(p.SHA256) != 64 || strings.Trim(p.SHA256, "0123456789abcdef") != "":
		return fail("no sha256")
	case p.Filename == "." || path.IsAbs(p.Filename) || strings.HasPrefix(p.Filename, "../") || strings.ContainsAny(p.Filename, "?#\n"):
		return fail("no path of a file")
	}
	p.Size = size
	return p, nil
}

func indexes(list []*archive.Index) []Index {
	all := make([]Index, len(list))
	for i, x := range list {
		all[i] = Index{
			Archive: public(x.Source.URL), Suite: x.Source.Suite, Component: x.Component, Date: x.Release.Date,
			InReleaseSHA256: x.Release.SHA256, PackagesSHA256: x.SHA256, SignedBy: x.Release.SignedBy,
		}
	}
	return all
}

// public returns a URL without user and password.
func public(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "" // sources are checked before
	}
	u.User = nil
	return u.String()
}
