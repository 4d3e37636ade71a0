// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"slices"
	"strings"
	"time"

	"inlay/resolve/apt"
	"inlay/resolve/lock"
	"inlay/resolve/settings"
	"inlay/resolve/source"
)

// packageQuestion returns what a lock file says of packages that are asked for,
// nil if none are.
func packageQuestion(a settings.Apt) *lock.Packages {
	if len(a.Packages) == 0 {
		return nil
	}
	return &lock.Packages{Requested: slices.Clone(a.Packages), Recommends: a.Recommends, AllowRemove: a.AllowRemove}
}

// lockPackages completes p with what it came to.
func lockPackages(p *lock.Packages, r *apt.Resolved) {
	if p == nil || r == nil {
		return
	}
	for _, x := range r.Indexes {
		p.Sources = append(p.Sources, lock.Source{
			Archive: lock.Public(x.Archive), Suite: x.Suite, Component: x.Component, Date: x.Date.UTC().Format(time.RFC3339),
			InRelease: x.InReleaseSHA256, SignedBy: x.SignedBy,
		})
	}
	for _, d := range r.Packages {
		p.Debs = append(p.Debs, lock.Deb{
			Name: d.Name, Version: d.Version, Arch: d.Arch, URL: d.Archive + d.Filename, SHA256: d.SHA256, Size: d.Size, Auto: d.Auto, Replaces: d.Replaces,
		})
	}
	for _, g := range r.Removed {
		p.Gone = append(p.Gone, lock.Gone{Name: g.Name, Version: g.Version})
	}
}

// lockRoot returns what a lock file says of a parent that is made of packages
// alone, nil if r isn't one.
func lockRoot(req Request, r *Result) *lock.Packages {
	ref, err := source.Parse(r.Under.Name)
	if err != nil || ref.Transport != source.Apt || req.Root == nil {
		return nil
	}
	made := req.Root(r.Under.Digest)
	if made == nil {
		return nil
	}
	var root Root
	root.Suite, root.Packages = ref.Root()
	p := &lock.Packages{Requested: root.words(), Recommends: req.Settings.Apt.Recommends}
	lockPackages(p, made)
	return p
}

// Root returns what the lock file says that a parent of that digest is made
// of, nil if nothing.
func (l Lock) Root(digest string) *apt.Resolved {
	if l.File == nil {
		return nil
	}
	for _, im := range l.File.Images {
		if im.Parent.Digest == digest {
			return resolvedOf(im.Parent.Packages, "")
		}
	}
	return nil
}

// packagesOf returns what a lock file says of packages, nil if nothing.
func packagesOf(im *lock.Image, arch string) *apt.Resolved {
	if im == nil {
		return nil
	}
	return resolvedOf(im.Packages, arch)
}

func resolvedOf(p *lock.Packages, arch string) *apt.Resolved {
	if p == nil {
		return nil
	}
	r := &apt.Resolved{Arch: arch, Requested: p.Requested, Recommends: p.Recommends, Solver: apt.Solver}
	for _, x := range p.Sources {
		r.Indexes = append(r.Indexes, apt.Index{Archive: x.Archive, Suite: x.Suite, Component: x.Component, InReleaseSHA256: x.InRelease, SignedBy: x.SignedBy})
	}
	for _, g := range p.Gone {
		r.Removed = append(r.Removed, apt.Removal{Name: g.Name, Version: g.Version})
	}
	for _, d := range p.Debs {
		i := strings.LastIndexByte(d.URL, '/') + 1
		r.Packages = append(r.Packages, apt.Package{
			Name: d.Name, Version: d.Version, Arch: d.Arch, Size: d.Size, SHA256: d.SHA256, Archive: d.URL[:i], Filename: d.URL[i:],
			Auto: d.Auto, Replaces: d.Replaces, Why: apt.Why{Requested: isRequested(p.Requested, d.Name)},
		})
	}
	return r
}

// isRequested reports whether one of words names the package.
func isRequested(words []string, name string) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		w, _, _ = strings.Cut(w, "=")
		w, _, _ = strings.Cut(w, "/")
		w, _, _ = strings.Cut(w, ":")
		return w == name
	})
}
