// SPDX-License-Identifier: Apache-2.0

// Package dpkg installs Debian packages into the tree of an image without
// running anything of them: it lays their files where dpkg would, writes dpkg's
// and apt's databases, and interprets maintainer scripts over the tree. A
// script whose commands it doesn't know exactly is taken back as a whole and
// its package left unpacked, which dpkg has a word for: nothing is guessed.
// Equal packages over an equal tree give an equal layer.
package dpkg

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"inlay/assemble/deb"
	"inlay/assemble/debian"
	"inlay/assemble/overlay"
	"inlay/layers"
)

// A Package is one to install.
type Package struct {
	Name, Version, Arch string
	Auto                bool // nobody asked for it: another needs it
	Deb                 *deb.Package
}

// The policies for maintainer scripts.
const (
	Native     = "native"      // interpret them; those that can't be leave their package unpacked
	None       = "none"        // run none
	RequireAll = "require-all" // one that can't be interpreted in full is an error
	Sandbox    = "sandbox"     // those that can't be interpreted in full wait for dpkg itself
)

// Options say how packages are installed.
type Options struct {
	Scripts string // Native, None, RequireAll or Sandbox
	// Remove names packages that go before the others come.
	Remove []string
	// Unconfigured are packages that count as configured even if their scripts
	// didn't run.
	Unconfigured []string
	// Time is that of the build in seconds since 1970, or 0: no file is later.
	Time int64
}

// An UnconfiguredError reports a maintainer script that was not run in full,
// where all have to.
type UnconfiguredError struct {
	Package, Script, Needs string
}

func (e *UnconfiguredError) Error() string {
	return fmt.Sprintf("the %s script of package %s can't be run in full: it needs %s", e.Script, e.Package, e.Needs)
}

// Hint says how to build all the same.
func (e *UnconfiguredError) Hint() string {
	return "use scripts: sandbox, which runs it, or scripts: native, which leaves the package unpacked"
}

// A pack is a package on its way into the tree.
type pack struct {
	*entry
	deb    *deb.Package
	auto   bool
	before *entry            // the version in the parent, or nil
	fresh  map[string]string // of unpacking
	last   string            // the version that was configured last, "" if none was
	failed string            // why it can't be configured, or ""
	postrm []byte            // of the version before
}

// An installer installs packages.
type installer struct {
	*database
	o         Options
	filter    filter
	packs     []*pack // in the order of their dependencies
	order     *ordering
	report    *Report
	pending   triggers
	debconf   *debian.Debconf
	libraries debian.Libraries
	bare      bool // there was nothing before
	alone     bool // there is no dpkg, but a file for each package
}

// Install removes and installs packages in tree. What is there then is complete:
// what packages depend on is there. What it did is in the tree, and told in the
// report.
func Install(ctx context.Context, tree *overlay.Tree, packages []Package, o Options) (*Report, error) {
	i := &installer{o: o, report: &Report{o: o}}
	if err := i.prepare(tree, packages); err != nil {
		return nil, err
	}
	if err := i.removeAll(ctx); err != nil {
		return nil, err
	}
	if i.alone {
		return i.report, i.installAlone(ctx)
	}
	if err := i.unpackAll(ctx); err != nil {
		return nil, err
	}
	for _, p := range i.packs {
		if err := i.configure(ctx, p); err != nil {
			return nil, err
		}
	}
	if err := i.runTriggers(ctx); err != nil {
		return nil, err
	}
	return i.report, i.finish()
}

// unpackAll lays out the files of all packages. Where nothing was before, the
// scripts that come before files have no programs to call: they come after.
func (i *installer) unpackAll(ctx context.Context) error {
	for _, p := range i.packs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !i.bare {
			if err := i.preUnpack(ctx, p); err != nil {
				return err
			}
		}
		if err := i.unpack(ctx, p); err != nil {
			return err
		}
	}
	if !i.bare {
		return nil
	}
	for _, p := range i.packs {
		if err := i.preUnpack(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// prepare reads the database, or begins one.
func (i *installer) prepare(tree *overlay.Tree, packages []Package) (err error) {
	if i.alone = isAlone(tree); !i.alone && !tree.Exists(statusFile) {
		i.bare = true
		if err := bootstrap(tree, packages); err != nil {
			return err
		}
	}
	if i.database, err = readDatabase(tree); err != nil {
		return err
	}
	i.unlisted = i.alone
	if i.filter, err = readFilter(tree); err != nil {
		return err
	}
	if err := i.pending.read(i.database); err != nil {
		return err
	}
	packs := make([]*pack, len(packages))
	for j, p := range packages {
		if packs[j], err = i.pack(p); err != nil {
			return err
		}
	}
	i.order = newOrdering(packs)
	i.packs = i.order.sorted(packs)
	if i.bare { // the others' scripts ask for accounts
		rank := func(p *pack) int { return slices.Index([]string{"base-files", "base-passwd"}, p.name) }
		slices.SortStableFunc(i.packs, func(a, b *pack) int { return rank(b) - rank(a) })
	}
	i.report.Packages = len(packs)
	return nil
}

// pack reads what a package says of itself, which must be what it was chosen
// for.
func (i *installer) pack(p Package) (*pack, error) {
	all, err := stanzas(string(p.Deb.Control["control"]))
	if err != nil || len(all) != 1 {
		return nil, &deb.FormatError{Package: p.Name, Problem: "has a control file that is no single paragraph"}
	}
	s := all[0]
	e := &entry{
		name: s.get("Package"), arch: s.get("Architecture"), version: s.get("Version"),
		same: s.get("Multi-Arch") == "same", fields: s,
	}
	if e.name != p.Name || e.version != p.Version || e.arch != p.Arch {
		return nil, &deb.FormatError{Package: p.Name, Problem: fmt.Sprintf("is %s %s %s, not %s %s as the index says",
			e.name, e.version, e.arch, p.Version, p.Arch)}
	}
	if !isName(e.name) || !isName(e.arch) {
		return nil, &deb.FormatError{Package: p.Name, Problem: "has a name that no package can have"}
	}
	out := &pack{entry: e, deb: p.Deb, auto: p.Auto}
	for _, o := range i.byName[e.name] {
		if o.installed() && (o.arch == e.arch || !o.same || !e.same) {
			out.before, out.last = o, o.version
		} else if last := o.fields.get("Config-Version"); last != "" {
			out.last = last
		}
	}
	return out, nil
}

// isName reports whether s can be a part of a file's name (deb-control(5)).
func isName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789+-.", r)
	}) < 0 && s[0] != '.'
}

// replaces reports whether p may take over files of e.
func (p *pack) replaces(e *entry) bool {
	for part := range strings.SplitSeq(p.fields.get("Replaces"), ",") {
		if r := named(part); r.Name == e.name && r.Allows(e.version) {
			return true
		}
	}
	return false
}

// unpack lays the files of a package out, and notes it in the database.
func (i *installer) unpack(ctx context.Context, p *pack) error {
	if err := i.keepPostrm(p); err != nil {
		return err
	}
	u := &unpacking{database: i.database, filter: i.filter, pkg: p, names: map[string]int{}, report: i.report, time: i.o.Time}
	if err := u.unpack(); err != nil {
		return err
	}
	if err := i.writeInfo(p); err != nil {
		return err
	}
	for path := range u.conffiles {
		if u.sums[path] == "" {
			u.sums[path] = u.known[path]
		}
	}
	p.fresh = u.fresh
	i.record(p, u)
	i.pending.declare(p.entry, string(p.deb.Control["triggers"]))
	i.pending.files(u.list)
	return i.postUnpack(ctx, p)
}

// record puts the package into the database, as one that is unpacked.
func (i *installer) record(p *pack, u *unpacking) {
	fields := append(stanza{}, p.fields...)
	fields.set("Status", "install ok unpacked")
	if p.last != "" {
		fields.set("Config-Version", p.last)
	}
	var lines strings.Builder
	for line := range strings.Lines(string(p.deb.Control["conffiles"])) {
		if f := strings.Fields(line); len(f) == 1 {
			fmt.Fprintf(&lines, "\n %s %s", f[0], u.sums[f[0]])
		}
	}
	for _, c := range conffilesOf(p.before) {
		if !u.conffiles[c[0]] && i.tree.Exists(c[0]) {
			fmt.Fprintf(&lines, "\n %s %s obsolete", c[0], c[1])
		}
	}
	if lines.Len() > 0 {
		fields.set("Conffiles", lines.String())
	}
	p.fields = fields.recorded()
	i.add(p.entry)
}

func conffilesOf(e *entry) [][2]string {
	if e == nil {
		return nil
	}
	return conffileLines(e.fields)
}

// writeInfo writes the files of control.tar where dpkg keeps them, and removes
// those of the version before.
func (i *installer) writeInfo(p *pack) error {
	if err := i.removeInfo(p); err != nil {
		return err
	}
	for _, name := range sortedKeys(p.deb.Control) {
		if name == "control" {
			continue
		}
		mode := uint32(0o644)
		if slices.Contains([]string{"preinst", "postinst", "prerm", "postrm", "config"}, name) {
			mode = 0o755
		}
		if err := i.tree.WriteFile(infoDir+p.stem()+"."+name, p.deb.Control[name], layers.FileMode(mode)); err != nil {
			return err
		}
	}
	for j := range p.deb.Other {
		f := &p.deb.Other[j]
		if err := i.tree.WriteBody(infoDir+p.stem()+"."+f.Path, p.deb.Body(f), f.Size, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// removeInfo removes the files of the version before. Its list stays if it has
// the name of the new one.
func (i *installer) removeInfo(p *pack) error {
	if p.before == nil {
		return nil
	}
	if stem := p.before.stem(); stem != p.stem() {
		return i.dropInfo(stem)
	}
	return i.dropInfo(p.stem(), ".list")
}

// finish writes what the database learned.
func (i *installer) finish() error {
	var auto []*entry
	for _, p := range i.packs {
		if p.auto && p.before == nil {
			auto = append(auto, p.entry)
		}
	}
	slices.SortFunc(auto, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	if err := i.pending.write(); err != nil {
		return err
	}
	if err := i.writeStates(auto); err != nil {
		return err
	}
	return i.write()
}

func parseMode(s string) (mode fsMode, err error) {
	n, err := strconv.ParseUint(s, 8, 12)
	return layers.FileMode(uint32(n)), err
}
