// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"fmt"

	"inlay/layers/version"
)

// Relations are what a version says about others.
type relations struct {
	positive []need // in the order in which apt follows them
	negative []need // each of one alternative
	err      error
}

// A need is an or-group of one field.
type need struct {
	field        string
	alternatives []alternative
}

func (n need) isCritical() bool { return n.field == "Depends" || n.field == "Pre-Depends" }

func (n need) String() string {
	g := make(version.Group, len(n.alternatives))
	for i, a := range n.alternatives {
		g[i] = a.Relation
	}
	return g.String()
}

// An alternative is a relation with the package that it names.
type alternative struct {
	version.Relation
	target *pkg
}

// relationsOf reads the relations of v that count.
func (u *universe) relationsOf(v *ver) *relations {
	if v.needs == nil {
		v.needs = u.readRelations(v)
	}
	return v.needs
}

func (u *universe) readRelations(v *ver) *relations {
	r := &relations{}
	for _, field := range []string{"Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests"} {
		groups, err := version.ParseRelations(v.stanza.Get(field))
		if err != nil {
			r.err = fmt.Errorf("reading %s of %s %s: %w", field, v.pkg.name, v.version, err)
			return r
		}
		for _, g := range groups {
			r.add(u.need(field, g))
		}
	}
	return r
}

// need finds the packages that a group names.
func (u *universe) need(field string, g version.Group) need {
	n := need{field: field}
	for _, one := range g {
		n.alternatives = append(n.alternatives, alternative{one, u.target(one)})
	}
	return n
}

// add adds a need. Alternatives of what is refused are refused each.
func (r *relations) add(n need) {
	if n.field != "Conflicts" && n.field != "Breaks" {
		r.positive = append(r.positive, n)
		return
	}
	for _, a := range n.alternatives {
		r.negative = append(r.negative, need{n.field, []alternative{a}})
	}
}

// meets reports whether v is what the relation names, by its own name or by
// what it provides.
func (a alternative) meets(v *ver) bool {
	if v == nil {
		return false
	}
	if v.pkg == a.target && a.Allows(v.version) {
		return true
	}
	for _, c := range v.provides {
		if c.pkg == a.target && a.allowsAs(c.version) {
			return true
		}
	}
	return false
}

// allowsAs reports whether a provision as that version is enough.
func (a alternative) allowsAs(v string) bool {
	if v == "" {
		return a.Op == version.Any
	}
	return a.Allows(v)
}

// among yields the versions that fit a relation and that pick chooses of their
// packages.
func (a alternative) among(pick func(*pkg) *ver) []*ver {
	var found []*ver
	if v := pick(a.target); v != nil && a.Allows(v.version) {
		found = append(found, v)
	}
	for _, p := range a.target.provided {
		v := pick(p.by.pkg)
		if v == p.by && a.allowsAs(p.version) && !contains(found, v) {
			found = append(found, v)
		}
	}
	return found
}

func contains(list []*ver, v *ver) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// isMet reports whether one of the versions that pick chooses meets the need.
func (n need) isMet(pick func(*pkg) *ver) bool {
	for _, a := range n.alternatives {
		if v := pick(a.target); v != nil && a.Allows(v.version) {
			return true
		}
		for _, p := range a.target.provided {
			if pick(p.by.pkg) == p.by && a.allowsAs(p.version) {
				return true
			}
		}
	}
	return false
}

// hits returns the versions that a negative need of v is about, among those
// that pick chooses: never v's own package.
func (n need) hits(v *ver, pick func(*pkg) *ver) []*ver {
	var found []*ver
	for _, x := range n.alternatives[0].among(pick) {
		if x.pkg != v.pkg {
			found = append(found, x)
		}
	}
	return found
}
