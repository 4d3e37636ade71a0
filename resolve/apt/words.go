// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"cmp"
	"slices"
	"strings"

	"github.com/xrash/smetrics"

	"inlay/layers/version"
	"inlay/resolve/apt/archive"
)

// find returns the package that a word of a request means, with its candidate
// set to the version that the word names.
func (s *solver) find(word string) (*pkg, error) {
	name, wanted, pinned := strings.Cut(word, "=")
	name, suite, fromSuite := strings.Cut(name, "/")
	bare, arch, _ := strings.Cut(name, ":")
	if !version.IsName(bare) || pinned && wanted == "" || fromSuite && suite == "" || pinned && fromSuite {
		return nil, &WordError{word, "is no name of a package, nor name=version or name/suite"}
	}
	if arch != "" && arch != s.u.arch {
		return nil, &WordError{word, "is for another architecture than the image, which is for " + s.u.arch}
	}
	p := s.u.packages[bare]
	if p == nil || len(p.versions) == 0 {
		return s.findVirtual(p, bare, word)
	}
	switch {
	case pinned:
		return p, s.pick(p, word, func(v *ver) bool { return v.version == wanted })
	case fromSuite:
		if err := s.pick(p, word, func(v *ver) bool { return v.isOf(suite) }); err != nil {
			return nil, err
		}
		s.pickNeeds(p, suite)
		return p, nil
	case p.mark.candidate == nil:
		return nil, &NoCandidateError{Package: bare, Versions: versions(p)}
	}
	return p, nil
}

// findVirtual returns the only package that provides a name.
func (s *solver) findVirtual(p *pkg, name, word string) (*pkg, error) {
	var by []*ver
	if p != nil {
		by = alternative{Relation: version.Relation{Name: name}, target: p}.among(obtainable)
	}
	switch {
	case len(by) == 0 && (strings.HasSuffix(word, "-") || strings.HasSuffix(word, "+")):
		return nil, &WordError{word, "ends in a sign that apt-get takes for removing or installing; here packages are only installed"}
	case len(by) == 0:
		return nil, &NotFoundError{Package: name, Near: s.near(name)}
	case name != word:
		return nil, &WordError{word, "names a version of something that only other packages provide"}
	case len(by) > 1:
		e := &VirtualError{Package: name}
		for _, v := range by {
			e.Providers = append(e.Providers, v.pkg.name)
		}
		slices.Sort(e.Providers)
		return nil, e
	}
	return by[0].pkg, nil
}

// pick makes the newest version that fits the candidate of p.
func (s *solver) pick(p *pkg, word string, fits func(*ver) bool) error {
	i := slices.IndexFunc(p.versions, fits)
	if i < 0 {
		return &NoCandidateError{Package: p.name, Word: word, Versions: versions(p)}
	}
	p.mark.candidate = p.versions[i]
	return nil
}

// pickNeeds makes candidates of what p's candidate needs of the same suite,
// where other candidates wouldn't do.
func (s *solver) pickNeeds(p *pkg, suite string) {
	for _, n := range s.relations(p.mark.candidate).positive {
		if !n.isCritical() || n.isMet(obtainable) || n.isMet(chosen) {
			continue
		}
		for _, a := range n.alternatives {
			i := slices.IndexFunc(a.target.versions, func(v *ver) bool { return v.isOf(suite) && a.Allows(v.version) })
			if i >= 0 {
				a.target.mark.candidate = a.target.versions[i]
				s.pickNeeds(a.target, suite)
				break
			}
		}
	}
}

// isOf reports whether v is in a suite, by any of its names.
func (v *ver) isOf(suite string) bool {
	return slices.ContainsFunc(v.indexes, func(x *archive.Index) bool {
		return x != nil && (x.Release.Suite == suite || x.Release.Codename == suite || x.Source.Suite == suite)
	})
}

// versions returns the versions of p that can be had.
func versions(p *pkg) []string {
	var all []string
	for _, v := range p.versions {
		if slices.ContainsFunc(v.indexes, func(x *archive.Index) bool { return x != nil }) {
			all = append(all, v.version)
		}
	}
	return slices.Compact(all)
}

// Near names are at least this similar, 1 being equal. There are at most so
// many of them.
const (
	similar = 0.85
	maxNear = 3
)

// near returns the names of packages that are most like name.
func (s *solver) near(name string) []string {
	type scored struct {
		name  string
		score float64
	}
	var all []scored
	for _, p := range s.u.byID {
		if p.mark.candidate == nil {
			continue
		}
		if score := smetrics.JaroWinkler(p.name, name, 0.7, 4); score >= similar {
			all = append(all, scored{p.name, score})
		}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.name, b.name)) })
	var names []string
	for _, x := range all[:min(len(all), maxNear)] {
		names = append(names, x.name)
	}
	return names
}
