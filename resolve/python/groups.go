// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	"os"
	"path"
	"slices"
	"strings"

	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// A delta is what installing one group changes, whichever program decided it.
type delta struct {
	add      []plan.Wheel
	direct   map[string]string // of those, by name: the URL that the requirement gives
	remove   []Package
	warnings []string // for people
}

// An environment is the parent's Python with what groups changed of it. Groups
// are installed one after the other and the later wins; what one of them
// brought and another replaced never was.
type environment struct {
	purelib string
	dists   []parent.Dist         // what is installed
	wheels  map[string]plan.Wheel // what groups brought of that, by path
	removed []parent.Dist         // of the parent's, in the order of their removal
}

func newEnvironment(py *parent.Python) *environment {
	return &environment{purelib: py.Scheme.Purelib, dists: slices.Clone(py.Dists), wheels: map[string]plan.Wheel{}}
}

// change applies d, and returns which distributions go and come.
func (e *environment) change(d *delta) (gone, come []parent.Dist) {
	for _, p := range d.remove {
		gone = append(gone, installed(e.dists, p)...)
	}
	e.dists = slices.DeleteFunc(e.dists, func(i parent.Dist) bool { return slices.Contains(gone, i) })
	for _, g := range gone {
		if _, ours := e.wheels[g.Path]; !ours {
			e.removed = append(e.removed, g)
		}
		delete(e.wheels, g.Path)
	}
	for _, w := range d.add {
		c := parent.Dist{Name: w.Name, Version: w.Version, Path: path.Join(e.purelib, infoName(w))}
		e.wheels[c.Path] = w
		come = append(come, c)
	}
	e.dists = append(e.dists, come...)
	return gone, come
}

// infoName is what the directory that describes the installed w is called, as
// its file name spells name and version.
func infoName(w plan.Wheel) string {
	parts := strings.SplitN(w.File, "-", 3)
	return strings.Join(parts[:min(len(parts), 2)], "-") + ".dist-info"
}

// result returns the wheels that are left, sorted by name.
func (e *environment) result() []plan.Wheel {
	var wheels []plan.Wheel
	for _, w := range e.wheels {
		wheels = append(wheels, w)
	}
	slices.SortFunc(wheels, func(a, b plan.Wheel) int { return cmp.Compare(a.Name, b.Name) })
	return wheels
}

// installed returns the distributions that p names: those of its version if
// there are any, which an installer may write in another way.
func installed(dists []parent.Dist, p Package) (found []parent.Dist) {
	for _, d := range dists {
		if d.Name == p.Name && d.Version == p.Version {
			found = append(found, d)
		}
	}
	for _, d := range dists {
		if d.Name == p.Name && len(found) == 0 {
			return []parent.Dist{d}
		}
	}
	return found
}

// An installer is a session with uv or pip, which is shown the parent and what
// groups changed of it.
type installer interface {
	// ask makes what follows ask the indexes of set, for what g names.
	ask(ctx context.Context, set *index.Set, g Group, l links) error
	// decide says what installing g would change.
	decide(ctx context.Context, g Group, refresh bool) (*delta, error)
	// check says which requirements don't hold, in the words of `pip check`:
	// those of dists, which are installed, and those that groups list.
	check(ctx context.Context, dists []parent.Dist, groups []Group) ([]string, error)
	// change takes out what is gone and puts in what has come.
	change(gone, come []parent.Dist, files []installedFiles) error
	// sources returns the files of what has no wheel.
	sources(ctx context.Context, lacks *SdistError) ([]source, error)
	// offer lets what follows choose a wheel that no index has, and returns its
	// path. f is its content.
	offer(w plan.Wheel, f *os.File) (string, error)
	// hide keeps secrets out of what the session says.
	hide(secrets []string)
}

// An installation installs groups into what a session shows of the parent.
type installation struct {
	*environment
	resolver *Resolver
	session  installer
	replaced bool
	before   []string // what was broken before anything was replaced
	notes    []string // of what was built
}

// install installs groups, one after the other, and says in a what came of it.
func (r *Resolver) install(ctx context.Context, req Request, s installer, groups []Group, a *answer) error {
	in := &installation{environment: newEnvironment(req.Inventory.Python), resolver: r, session: s}
	groups = slices.Clone(groups)
	for i, g := range groups {
		s.hide(g.Secrets)
		l, err := linksOf(g)
		if err != nil {
			return err
		}
		req.links = l
		if err := s.ask(ctx, req.indexes[i], g, l); err != nil {
			return err
		}
		g, err = in.buildLines(ctx, req, req.indexes[i], g)
		if err != nil {
			return err
		}
		groups[i] = g
		d, err := in.decide(ctx, req, req.indexes[i], g)
		if err != nil {
			return err
		}
		a.Warnings = append(a.Warnings, d.warnings...)
		if err := in.apply(ctx, d, i == len(groups)-1); err != nil {
			return err
		}
	}
	a.Wheels, a.Remove, a.Warnings = in.result(), in.removed, append(a.Warnings, in.notes...)
	var err error
	a.Broken, err = in.broken(ctx, groups[:len(groups)-1])
	return err
}

// apply makes the changes of a group, and shows them to the next. After the
// last, nobody looks but for names and versions that replace others.
func (in *installation) apply(ctx context.Context, d *delta, last bool) (err error) {
	if len(d.remove) > 0 && !in.replaced {
		in.replaced = true
		if in.before, err = in.session.check(ctx, in.dists, nil); err != nil {
			return err
		}
	}
	gone, come := in.change(d)
	if last && !in.replaced {
		return nil
	}
	files := make([]installedFiles, len(come))
	wheels := make([]plan.Wheel, len(come))
	for i, c := range come {
		files[i] = installedFiles{metadata: minimal(c), url: d.direct[c.Name]}
		wheels[i] = in.wheels[c.Path]
	}
	if !last {
		all, err := in.resolver.metadata(ctx, wheels)
		if err != nil {
			return err
		}
		for i := range files {
			files[i].metadata = all[i]
		}
	}
	return in.session.change(gone, come, files)
}

// broken returns what holds no longer of the parent and of earlier groups. What
// is only added breaks nothing.
func (in *installation) broken(ctx context.Context, earlier []Group) ([]string, error) {
	if !in.replaced {
		return nil, nil
	}
	after, err := in.session.check(ctx, in.dists, earlier)
	return slices.DeleteFunc(after, func(b string) bool { return slices.Contains(in.before, b) }), err
}

// minimal is the METADATA of a distribution of which only that is known.
func minimal(d parent.Dist) []byte {
	return []byte("Metadata-Version: 2.1\nName: " + d.Name + "\nVersion: " + d.Version + "\n")
}

// requires returns l as a distribution's METADATA says what it requires.
func requires(l Line) string {
	text, _, _ := strings.Cut(l.Text, " --hash")
	return strings.TrimSpace(text)
}

// nameOf returns the name that a requirement begins with.
func nameOf(requirement string) string {
	end := strings.IndexFunc(requirement, func(c rune) bool { return !isNameRune(c) })
	if end < 0 {
		end = len(requirement)
	}
	return reqfile.Normalise(requirement[:end])
}

func isNameRune(c rune) bool {
	return c == '-' || c == '_' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
