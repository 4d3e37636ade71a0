// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"slices"
	"strings"

	"inlay/layers/version"
	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/deb822"
)

// A universe is every package that is installed, can be had, or is mentioned.
type universe struct {
	arch      string
	packages  map[string]*pkg
	installed []*pkg
	byID      []*pkg
	room      []ver            // for versions, of which there are many
	of        []*archive.Index // that are read, for all versions of them
}

// A pkg is a name of a package: "git", or "git:any" where a relation says so.
type pkg struct {
	name      string
	id        int         // counts names in the order in which they are met: it decides ties
	versions  []*ver      // newest first
	current   *ver        // installed
	candidate *ver        // what installing it would install
	held      bool        // may not be changed unless that is asked for
	mark      mark        // what is to be done with it
	provided  []provision // by others, and by its own versions for ":any"
}

// A ver is a version of a package.
type ver struct {
	pkg       *pkg
	version   string
	arch      string
	multiArch string
	essential bool
	important bool
	priority  int // of the archive, see priorities
	pin       int // apt's priority, set by policy
	stanza    deb822.Stanza
	indexes   []*archive.Index // that have it, nil for the status file; the first one's file is fetched
	needs     *relations       // read when asked for
	provides  []claim
}

// A provision is a version that stands in for a package.
type provision struct {
	by      *ver
	version string // as which it counts, "" if for none
}

// A claim is the other direction.
type claim struct {
	pkg     *pkg
	version string
}

// newUniverse returns one without packages, with room for those of the indexes.
func newUniverse(arch string, indexes []*archive.Index) *universe {
	n := 0
	for _, x := range indexes {
		n += x.Len()
	}
	n += n / 4 // that are only mentioned
	return &universe{arch: arch, packages: make(map[string]*pkg, n), byID: make([]*pkg, 0, n)}
}

// version returns a new version that the index has.
func (u *universe) version(stanza deb822.Stanza, index *archive.Index) *ver {
	if len(u.room) == 0 {
		u.room = make([]ver, 256)
	}
	if len(u.of) == 0 || u.of[0] != index {
		u.of = []*archive.Index{index} // full: to append makes another
	}
	v := &u.room[0]
	u.room = u.room[1:]
	v.stanza, v.indexes = stanza, u.of
	return v
}

// named returns the package of a name, which it makes if need be.
func (u *universe) named(name string) *pkg {
	if p := u.packages[name]; p != nil {
		return p
	}
	p := &pkg{name: name, id: len(u.byID)}
	u.packages[name] = p
	u.byID = append(u.byID, p)
	return p
}

// target returns the package that a relation names.
func (u *universe) target(r version.Relation) *pkg {
	if r.Arch == "" || r.Arch == u.arch {
		return u.named(r.Name)
	}
	return u.named(r.Name + ":" + r.Arch)
}

// mention makes the packages that a list of relations names.
func (u *universe) mention(relations string) {
	own := ":" + u.arch
	for name := range version.Mentions(relations) {
		u.named(strings.TrimSuffix(name, own))
	}
}

// priorities are the archive's words for how important a package is. apt takes
// a package without one for more important than any other.
var priorities = map[string]int{"required": 1, "important": 2, "standard": 3, "optional": 4, "extra": 5}

// read makes a version of a stanza of an index, or with a nil index of the
// status file. A stanza of another architecture is left out.
func (u *universe) read(stanza deb822.Stanza, index *archive.Index) *ver {
	v := u.version(stanza, index)
	var provides string
	for name, value := range stanza.Fields() {
		switch name {
		case "Package":
			v.pkg = u.named(value)
		case "Version":
			v.version = value
		case "Architecture":
			v.arch = value
			if value != u.arch && value != "all" {
				return nil
			}
		case "Multi-Arch":
			v.multiArch = value
		case "Essential":
			v.essential = value == "yes"
		case "Important", "Protected":
			v.important = v.important || value == "yes"
		case "Priority":
			v.priority = priorities[value]
		case "Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests", "Replaces", "Enhances":
			u.mention(value)
		case "Provides":
			u.mention(value)
			provides = value
		}
	}
	if v.version == "" {
		return nil // not installed any more
	}
	if v.arch == "all" && v.multiArch == "same" {
		v.multiArch = "no"
	}
	if v.pkg.name == "apt" {
		v.essential, v.important = true, true
	}
	return u.place(v, provides)
}

// place puts v among the versions of its package. If it is there already, and
// depends on the same, it is the same one.
func (u *universe) place(v *ver, provides string) *ver {
	at := len(v.pkg.versions)
	for i, old := range v.pkg.versions {
		c := version.Compare(v.version, old.version)
		if c == 0 && v.sum() == old.sum() {
			old.indexes = append(old.indexes, v.indexes...)
			return old
		}
		if c > 0 {
			at = i
			break
		}
	}
	v.pkg.versions = slices.Insert(v.pkg.versions, at, v)
	u.provide(v, provides)
	return v
}

// provide notes what v stands in for.
func (u *universe) provide(v *ver, provides string) {
	note := func(name, as string) {
		p := u.named(name)
		p.provided = append(p.provided, provision{v, as})
		v.provides = append(v.provides, claim{p, as})
	}
	groups, _ := version.ParseRelations(provides) // what can't be read provides nothing
	for _, g := range groups {
		for _, r := range g {
			if r.Op != version.Any && r.Op != version.Equal || r.Arch != "" && r.Arch != u.arch && r.Arch != "any" {
				continue
			}
			note(r.Name, r.Version)
			if v.multiArch == "allowed" {
				note(r.Name+":any", r.Version)
			}
		}
	}
	if v.multiArch == "allowed" {
		note(v.pkg.name+":any", v.version)
	}
}

// sum returns what must be equal in two versions of the same name for them to
// be one.
func (v *ver) sum() string {
	var b strings.Builder
	for _, name := range []string{"Installed-Size", "Depends", "Pre-Depends", "Conflicts", "Breaks", "Replaces"} {
		b.WriteString(strings.ToLower(blank.Replace(v.stanza.Get(name))))
		b.WriteByte('\n')
	}
	return b.String()
}

// blank drops what may differ in relations that say the same.
var blank = strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "", "=", "", "0:", "")

// source returns the name and version of the source package.
func (v *ver) source() (name, ver string) {
	name, ver = v.stanza.Get("Source"), v.version
	if name == "" {
		return v.pkg.name, ver
	}
	name, rest, ok := strings.Cut(name, "(")
	if ok {
		ver = strings.TrimSuffix(strings.TrimSpace(rest), ")")
	}
	return strings.TrimSpace(name), strings.TrimSpace(ver)
}

// isInstalled reports whether v is the version that the parent has.
func (v *ver) isInstalled() bool { return v.pkg.current == v }
