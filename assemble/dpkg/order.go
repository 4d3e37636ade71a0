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
func sorted(packs []*pack) []*pack {
	slices.SortFunc(packs, func(a, b *pack) int { return strings.Compare(a.name+":"+a.arch, b.name+":"+b.arch) })
	o := ordering{provided: make(map[string][]*pack), seen: make(map[*pack]bool)}
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
	for _, p := range packs {
		o.visit(p)
	}
	return o.out
}

// visit appends p, and before it what it depends on. A cycle is cut where it
// is entered.
func (o *ordering) visit(p *pack) {
	if o.seen[p] {
		return
	}
	o.seen[p] = true
	needs := p.fields.get("Pre-Depends") + "," + p.fields.get("Depends")
	for one := range strings.FieldsFuncSeq(needs, func(r rune) bool { return r == ',' || r == '|' }) {
		for _, q := range o.provided[named(one).Name] {
			o.visit(q)
		}
	}
	o.out = append(o.out, p)
}
