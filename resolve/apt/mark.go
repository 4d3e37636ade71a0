// SPDX-License-Identifier: Apache-2.0

package apt

import "slices"

// A mode says what is to be done with a package.
type mode uint8

const (
	keep    mode = iota // as it is, installed or not
	install             // its candidate
	remove
)

// A mark is what a solver has decided about a package.
type mark struct {
	mode      mode
	candidate *ver // what can be installed; a solver may drop it
	auto      bool // nobody asked for it
	protected bool // it was asked for, or what was asked for can't do without it
	working   bool // its relations are being followed
	why       Why  // it is chosen
}

// A solver chooses packages as apt does: depth first, without ever going back
// on what it has decided, except where a package turns out to be impossible.
type solver struct {
	u          *universe
	recommends bool
	err        error // the first relation that couldn't be read
}

// start forgets all marks.
func (s *solver) start() {
	for _, p := range s.u.byID {
		p.mark = mark{candidate: p.candidate}
	}
}

// The three ways to pick a version of a package.
func current(p *pkg) *ver    { return p.current }
func obtainable(p *pkg) *ver { return p.mark.candidate }

// chosen returns the version that will be installed in the end.
func chosen(p *pkg) *ver {
	switch p.mark.mode {
	case install:
		return p.mark.candidate
	case remove:
		return nil
	default:
		return p.current
	}
}

// relations returns those of v. If they can't be read there are none, and the
// whole solution is void.
func (s *solver) relations(v *ver) *relations {
	r := s.u.relationsOf(v)
	if r.err != nil && s.err == nil {
		s.err = r.err
	}
	return r
}

// ask marks what was asked for: first each package alone, then what they need.
func (s *solver) ask(list []*pkg) {
	for _, p := range list {
		m := &p.mark
		m.protected, m.auto, m.why = true, false, Why{Requested: true}
		if m.candidate != p.current {
			m.mode = install
		}
	}
	for _, p := range list {
		if p.mark.mode == install || s.isBroken(p) {
			s.carryOut(p)
		}
	}
}

// install marks p for installation with all that it needs, and reports whether
// that can be done.
func (s *solver) install(p *pkg, why Why) bool {
	m := &p.mark
	switch {
	case m.working: // a circle: whoever began it goes on
		return true
	case m.candidate == nil, p.held && !m.why.Requested && m.candidate != p.current:
		return false
	case chosen(p) == m.candidate && !s.isBroken(p):
		return true
	}
	if m.mode != install && !m.why.Requested {
		m.auto, m.why = p.current == nil, why
	}
	return s.carryOut(p)
}

// carryOut installs p's candidate, unless that is impossible.
func (s *solver) carryOut(p *pkg) bool {
	m := &p.mark
	if !s.isPossible(p) {
		s.drop(p)
		return false
	}
	if m.mode = install; m.candidate == p.current {
		m.mode = keep
	}
	m.working = true
	ok := s.follow(p)
	m.working = false
	if !ok && !m.protected {
		m.mode = keep
	}
	return ok
}

// isBroken reports whether a chosen package lacks something it needs.
func (s *solver) isBroken(p *pkg) bool {
	v := chosen(p)
	return v != nil && slices.ContainsFunc(s.relations(v).positive, func(n need) bool {
		return s.counts(n, v) && !n.isMet(chosen)
	})
}

// isPossible reports whether there is something for each need of p's candidate.
func (s *solver) isPossible(p *pkg) bool {
	v := p.mark.candidate
	if v == p.current {
		return true
	}
	return !slices.ContainsFunc(s.relations(v).positive, func(n need) bool {
		return n.isCritical() && !n.isMet(obtainable) && !n.isMet(chosen)
	})
}

// drop makes sure that p's candidate won't be installed any more.
func (s *solver) drop(p *pkg) {
	if p.mark.mode == install {
		p.mark.mode = keep
	}
	p.mark.candidate = p.current
}

// follow does what installing p's candidate takes.
func (s *solver) follow(p *pkg) bool {
	v := p.mark.candidate
	needs := s.openNeeds(v)
	if !s.makeRoom(v) {
		return false
	}
	s.upgradeDependents(v)
	s.upgradeSiblings(v)
	for _, n := range needs {
		if !s.meet(v, n) && n.isCritical() {
			return false
		}
	}
	return true
}

// openNeeds returns the needs of v that aren't met; of what was asked for, all:
// what it can't do without is protected as well.
func (s *solver) openNeeds(v *ver) []need {
	var open []need
	for _, n := range s.relations(v).positive {
		if s.counts(n, v) && (v.pkg.mark.protected || !n.isMet(chosen)) {
			open = append(open, n)
		}
	}
	return open
}

// counts reports whether a need of v is followed. What an upgrade recommends is
// followed only if the installed version didn't recommend it, or had it.
func (s *solver) counts(n need, v *ver) bool {
	if n.isCritical() {
		return true
	}
	if n.field != "Recommends" || !s.recommends {
		return false
	}
	old := v.pkg.current
	if old == nil {
		return true
	}
	if old == v {
		return false
	}
	for _, before := range s.relations(old).positive {
		if before.field == "Suggests" || !before.names(n.alternatives[0].target) {
			continue
		}
		return before.isMet(current)
	}
	return true
}

func (n need) names(p *pkg) bool {
	return slices.ContainsFunc(n.alternatives, func(a alternative) bool { return a.target == p })
}

// makeRoom upgrades, removes or unmarks the packages that v can't be together
// with.
func (s *solver) makeRoom(v *ver) bool {
	for _, n := range s.relations(v).negative {
		for _, x := range n.hits(v, obtainable) {
			if !x.isInstalled() && !s.unmark(x, v.pkg.mark.protected) {
				return false
			}
		}
		for _, x := range n.hits(v, current) {
			if !s.evade(x, n, v) {
				return false
			}
		}
	}
	return true
}

// unmark gives up a candidate; for good, if what it is in the way of was asked
// for.
func (s *solver) unmark(x *ver, forGood bool) bool {
	m := &x.pkg.mark
	if m.mode == install {
		if m.protected || m.working {
			return false
		}
		m.mode = keep
	}
	if forGood {
		s.drop(x.pkg)
	}
	return true
}

// evade upgrades the installed version x if its candidate can be together with
// v, and else removes it.
func (s *solver) evade(x *ver, n need, v *ver) bool {
	m := &x.pkg.mark
	if m.mode == remove {
		return true
	}
	if m.candidate != nil && m.candidate != x && !contains(n.hits(v, obtainable), m.candidate) {
		if s.install(x.pkg, Why{Package: v.pkg.name, Relation: n.field + ": " + n.String()}) {
			return true
		}
	}
	if m.protected || m.working || x.pkg.held || x.essential || x.important {
		return false
	}
	m.mode, m.why = remove, Why{Package: v.pkg.name, Relation: n.field + ": " + n.String()}
	return true
}

// upgradeDependents upgrades the installed packages that need the version of
// v's package that v replaces.
func (s *solver) upgradeDependents(v *ver) {
	old := v.pkg.current
	if old == nil || old == v {
		return
	}
	for _, p := range s.u.installed {
		if p == v.pkg || chosen(p) != p.current || p.mark.candidate == p.current {
			continue
		}
		for _, n := range s.relations(p.current).positive {
			if n.isCritical() && n.isMet(current) && !n.isMet(chosen) {
				s.install(p, Why{Package: v.pkg.name, Broken: n.field + ": " + n.String()})
				break
			}
		}
	}
}

// upgradeSiblings upgrades the installed packages that are made of v's source,
// to v's version of that.
func (s *solver) upgradeSiblings(v *ver) {
	name, version := v.source()
	for _, p := range s.u.installed {
		c := p.mark.candidate
		if p == v.pkg || c == nil || c == p.current || chosen(p) == c || p.mark.mode == remove {
			continue
		}
		if n, ver := c.source(); n == name && ver == version {
			s.install(p, Why{Package: v.pkg.name, Source: name})
		}
	}
}

// meet installs the first package that meets the need n of v and can be
// installed.
func (s *solver) meet(v *ver, n need) bool {
	list := s.options(n)
	only := len(list) == 1 && n.isCritical() && v.pkg.mark.protected
	if n.isMet(chosen) {
		if only {
			list[0].pkg.mark.protected = true
		}
		return true
	}
	for _, o := range list {
		if o.pkg.mark.candidate != o {
			continue // dropped while trying another
		}
		if only {
			o.pkg.mark.protected = true
		}
		if s.install(o.pkg, Why{Package: v.pkg.name, Relation: n.field + ": " + n.String()}) {
			return true
		}
	}
	return false
}

// options returns the candidates that meet n, the best first.
func (s *solver) options(n need) []*ver {
	var list []*ver
	for _, a := range n.alternatives {
		found := a.among(obtainable)
		slices.SortStableFunc(found, func(x, y *ver) int { return prefer(x, y, a.target) })
		for _, v := range found {
			if !contains(list, v) {
				list = append(list, v)
			}
		}
	}
	slices.SortStableFunc(list, func(x, y *ver) int { return first(x.pkg.current != nil, y.pkg.current != nil) })
	return list
}

// prefer orders those who meet a relation to target: the better is less.
func prefer(x, y *ver, target *pkg) int {
	for _, c := range []int{
		first(x.pkg.mark.protected || x.pkg.mark.working, y.pkg.mark.protected || y.pkg.mark.working),
		first(x.pkg.current != nil, y.pkg.current != nil),
		first(x.pkg == target, y.pkg == target),
		first(x.essential, y.essential),
		first(x.important, y.important),
		x.priority - y.priority,
	} {
		if c != 0 {
			return c
		}
	}
	return y.pkg.id - x.pkg.id
}

// first orders what has a property before what has not.
func first(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	default:
		return 1
	}
}
