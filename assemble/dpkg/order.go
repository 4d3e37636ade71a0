// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"slices"
	"strings"
)

// An ordering visits packages after what they depend on.
type ordering struct {
	provided map[string][]*pack // by the names that dependencies have
	seen     map[*pack]bool
	out      []*pack
}

// sorted orders packages after what they depend on, else by name.
func sorted(packs []*pack) []*pack { return newOrdering(packs).sorted(packs) }

// newOrdering knows what each of packs, which it sorts by name, depends on.
func newOrdering(packs []*pack) *ordering {
	slices.SortFunc(packs, func(a, b *pack) int { return strings.Compare(a.name+":"+a.arch, b.name+":"+b.arch) })
	o := &ordering{provided: make(map[string][]*pack), seen: make(map[*pack]bool)}
	for _, p := range packs {
		o.provided[p.name] = append(o.provided[p.name], p)
	}
	for _, p := range packs {
		for part := range strings.SplitSeq(p.fields.get("Provides"), ",") {
			if d := named(part); d.Name != "" {
				o.provided[d.Name] = append(o.provided[d.Name], p)
			}
		}
	}
	return o
}

func (o *ordering) sorted(packs []*pack) []*pack {
	for _, p := range packs {
		o.visit(p)
	}
	return o.out
}

// needs returns the packages that p depends on.
func (o *ordering) needs(p *pack) (all []*pack) {
	needs := p.fields.get("Pre-Depends") + "," + p.fields.get("Depends")
	for one := range strings.FieldsFuncSeq(needs, func(r rune) bool { return r == ',' || r == '|' }) {
		all = append(all, o.provided[named(one).Name]...)
	}
	return all
}

// visit appends p, and before it what it depends on. A cycle is cut where it
// is entered.
func (o *ordering) visit(p *pack) {
	if o.seen[p] {
		return
	}
	o.seen[p] = true
	for _, q := range o.needs(p) {
		o.visit(q)
	}
	o.out = append(o.out, p)
}
