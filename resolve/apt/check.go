// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"cmp"
	"fmt"
	"slices"
)

// sweep drops new packages that nothing chosen needs any more: they were chosen
// for an alternative that failed later. What is recommended or, if suggests is
// set, suggested counts as needed.
func (s *solver) sweep(suggests bool) {
	var queue []*pkg
	for _, p := range s.u.byID {
		if chosen(p) != nil && (p.current != nil || !p.mark.auto) {
			queue = append(queue, p)
		}
	}
	reached := s.reach(queue, suggests)
	for _, p := range s.u.byID {
		if p.mark.mode == install && p.current == nil && !reached[p] {
			p.mark.mode = keep
		}
	}
}

// reach returns which packages those in queue need, directly or not.
func (s *solver) reach(queue []*pkg, suggests bool) map[*pkg]bool {
	reached := map[*pkg]bool{}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if reached[p] {
			continue
		}
		reached[p] = true
		for _, n := range s.relations(chosen(p)).positive {
			if n.field != "Suggests" || suggests {
				queue = append(queue, n.met()...)
			}
		}
	}
	return reached
}

// met returns the chosen packages that meet a need.
func (n need) met() (list []*pkg) {
	for _, a := range n.alternatives {
		for _, v := range a.among(chosen) {
			list = append(list, v.pkg)
		}
	}
	return list
}

// check returns what is not met once all is done, or nothing.
func (s *solver) check(requested []*pkg) (problems []string) {
	add := func(more []string) {
		for _, m := range more {
			if len(problems) < maxProblems && !slices.Contains(problems, m) {
				problems = append(problems, m)
			}
		}
	}
	for _, p := range requested {
		if chosen(p) == nil || chosen(p) != p.mark.candidate {
			add(s.explain(cmp.Or(p.mark.candidate, p.candidate)))
		}
	}
	for _, p := range s.u.byID {
		if v := chosen(p); v != nil {
			add(s.broken(v))
		}
	}
	return problems
}

// maxProblems bounds what is reported of one conflict.
const maxProblems = 8

// broken returns which relations of a chosen version aren't kept.
func (s *solver) broken(v *ver) (problems []string) {
	for _, n := range s.unmet(v) {
		problems = append(problems, fmt.Sprintf("%s needs %s, %s", v.pkg.name, n, lack(n)))
		problems = append(problems, s.explain(n.options()...)...)
	}
	for _, n := range s.relations(v).negative {
		for _, x := range n.hits(v, chosen) {
			problems = append(problems, fmt.Sprintf("%s can't be together with %s %s (%s: %s)", v.pkg.name, x.pkg.name, x.version, n.field, n))
		}
	}
	return problems
}

// lack says why a need isn't met.
func lack(n need) string {
	a := n.alternatives[0]
	switch c := a.target.candidate; {
	case len(n.options()) > 0:
		return "which isn't going to be installed"
	case c != nil:
		return "but there is only " + c.version
	default:
		return "which no source has"
	}
}

// options returns the versions that would meet the need, if they could be
// installed.
func (n need) options() (list []*ver) {
	for _, a := range n.alternatives {
		list = append(list, a.among(func(p *pkg) *ver { return p.candidate })...)
	}
	return list
}

// explain follows what versions need down to what can't be had.
func (s *solver) explain(queue ...*ver) (problems []string) {
	seen := map[*ver]bool{}
	for len(queue) > 0 && len(problems) < maxProblems {
		v := queue[0]
		queue = queue[1:]
		if v == nil || seen[v] || chosen(v.pkg) == v {
			continue
		}
		seen[v] = true
		open := s.unmet(v)
		for _, n := range open {
			options := n.options()
			if len(options) == 0 {
				problems = append(problems, fmt.Sprintf("%s needs %s, %s", v.pkg.name, n, lack(n)))
			}
			queue = append(queue, options...)
		}
		if len(open) == 0 {
			problems = append(problems, s.opponents(v)...)
		}
	}
	return problems
}

// unmet returns the needs of v that aren't met.
func (s *solver) unmet(v *ver) (list []need) {
	for _, n := range s.relations(v).positive {
		if n.isCritical() && !n.isMet(chosen) {
			list = append(list, n)
		}
	}
	return list
}

// opponents says which chosen packages v can't be together with.
func (s *solver) opponents(v *ver) (problems []string) {
	for _, n := range s.relations(v).negative {
		for _, x := range n.hits(v, chosen) {
			problems = append(problems, fmt.Sprintf("%s can't be together with %s %s (%s: %s)", v.pkg.name, x.pkg.name, x.version, n.field, n))
		}
	}
	for _, p := range s.u.byID {
		x := chosen(p)
		if x == nil || p == v.pkg {
			continue
		}
		for _, n := range s.relations(x).negative {
			if n.alternatives[0].meets(v) {
				problems = append(problems, fmt.Sprintf("%s %s can't be together with %s %s (%s: %s)", p.name, x.version, v.pkg.name, v.version, n.field, n))
			}
		}
	}
	return problems
}
