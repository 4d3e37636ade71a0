// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"inlay/assemble/debian"
	"inlay/assemble/script"
)

// preUnpack runs what comes before the files of p: the prerm of the version
// before, and the preinst.
func (i *installer) preUnpack(ctx context.Context, p *pack) error {
	args := []string{"install"}
	if p.before != nil {
		if err := i.oldScript(ctx, p, "prerm", "upgrade", p.version); err != nil {
			return err
		}
		args = []string{"upgrade", p.before.version, p.version}
	} else if old := i.find(p.name); old != nil && strings.HasSuffix(old.fields.get("Status"), "config-files") {
		args = []string{"install", old.version, p.version}
	}
	return i.run(ctx, p, "preinst", p.deb.Control["preinst"], args...)
}

// keepPostrm remembers the postrm of the version before, whose file goes when
// the new one is unpacked.
func (i *installer) keepPostrm(p *pack) (err error) {
	if p.before == nil {
		return nil
	}
	name := infoDir + p.before.stem() + ".postrm"
	if i.tree.Exists(name) {
		p.postrm, err = i.tree.ReadFile(name)
	}
	return err
}

// postUnpack runs the postrm of the version before, and sets off what the
// package says that it does.
func (i *installer) postUnpack(ctx context.Context, p *pack) error {
	i.pending.activates(string(p.deb.Control["triggers"]))
	if p.before == nil {
		return nil
	}
	return i.run(ctx, p, "postrm", p.postrm, "upgrade", p.version)
}

// oldScript runs a script of the version before.
func (i *installer) oldScript(ctx context.Context, p *pack, kind string, args ...string) error {
	name := infoDir + p.before.stem() + "." + kind
	if !i.tree.Exists(name) {
		return nil
	}
	text, err := i.tree.ReadFile(name)
	if err != nil {
		return err
	}
	return i.run(ctx, p, kind, text, args...)
}

// configure runs the postinst of p, and marks it as installed unless a script
// of it did not run.
func (i *installer) configure(ctx context.Context, p *pack) error {
	before := ""
	if p.before != nil {
		before = p.before.version
	}
	if on := i.waitsFor(p); on != "" {
		i.leave(p, on)
	}
	if err := i.run(ctx, p, "postinst", p.deb.Control["postinst"], "configure", before); err != nil {
		return err
	}
	if p.failed == "" || slices.Contains(i.o.Unconfigured, p.name) {
		p.fields.set("Status", "install ok installed")
		p.fields = slices.DeleteFunc(p.fields, func(f field) bool { return f.name == "Config-Version" })
		return nil
	}
	if i.o.Scripts == Sandbox {
		return i.holdBack(p)
	}
	return nil
}

// run runs one script of p as a transaction: what one did that could not be run
// to its end is taken back.
func (i *installer) run(ctx context.Context, p *pack, kind string, text []byte, args ...string) error {
	if len(text) == 0 || p.failed != "" {
		return nil
	}
	if i.o.Scripts == None {
		p.failed = "scripts: native"
		i.report.add(Script{Package: p.name, Kind: kind, Needs: "scripts: native"})
		return nil
	}
	s := Script{Package: p.name, Kind: kind, Ran: true}
	skipped, err := i.interpret(ctx, p.entry, kind, text, args)
	s.Skipped = skipped
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		s.Ran, s.Skipped, s.Needs = false, nil, needs(err)
		s.Later = i.o.Scripts == Sandbox && kind == "postinst" && !slices.Contains(i.o.Unconfigured, p.name)
		p.failed = s.Needs
	}
	i.report.add(s)
	if i.o.Scripts == RequireAll && (!s.Ran || len(s.Skipped) > 0) {
		return &UnconfiguredError{p.name, kind, s.need()}
	}
	return nil
}

// needs says in words why a script did not run.
func needs(err error) string {
	var unknown *script.UnsupportedError
	if errors.As(err, &unknown) {
		return unknown.Needs
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "more time than is allowed"
	}
	return err.Error()
}

// interpret runs a script in a transaction.
func (i *installer) interpret(ctx context.Context, e *entry, kind string, text []byte, args []string) (skipped []string, err error) {
	if first, _, _ := strings.Cut(string(text), "\n"); !isShell(first) {
		return nil, &script.UnsupportedError{Needs: strings.TrimSpace(strings.TrimPrefix(first, "#!"))}
	}
	i.tree.Begin()
	undo := i.remember()
	m, err := i.machine(ctx, e, kind, text, args)
	if err == nil {
		err = m.Run(ctx, "/"+infoDir+e.stem()+"."+kind, text, args...)
	}
	if err == nil && i.o.Scripts == Sandbox && kind == "postinst" {
		err = undone(m.Skipped())
	}
	if err != nil {
		i.tree.Rollback()
		undo()
		return nil, err
	}
	i.tree.Commit()
	return m.Skipped(), nil
}

func isShell(first string) bool {
	words := strings.Fields(strings.TrimPrefix(first, "#!"))
	if !strings.HasPrefix(first, "#!") || len(words) == 0 || len(words) > 2 {
		return false
	}
	return slices.Contains([]string{"/bin/sh", "/bin/dash", "/bin/bash", "/usr/bin/sh"}, words[0]) && (len(words) == 1 || strings.Trim(words[1], "-eu") == "")
}

// remember keeps what scripts may change beside the tree.
func (i *installer) remember() (undo func()) {
	diversions, pending := slices.Clone(i.diversions), i.pending.clone()
	overrides := make(map[string]override, len(i.overrides))
	for p, o := range i.overrides {
		overrides[p] = o
	}
	return func() { i.diversions, i.pending, i.overrides = diversions, pending, overrides }
}

// machine makes what a script is run on.
func (i *installer) machine(ctx context.Context, e *entry, kind string, text []byte, args []string) (*script.Machine, error) {
	if i.debconf == nil {
		d, err := debian.NewDebconf(i.tree)
		if err != nil {
			return nil, err
		}
		i.debconf = d
	}
	sys := &debian.System{Day: i.o.Time / 86400, Debconf: i.debconf, Libraries: &i.libraries}
	commands := sys.Commands()
	for name, f := range i.commands(e) {
		commands[name] = f
	}
	m := &script.Machine{
		Tree: i.tree, Commands: commands, Env: i.env(e, kind), Time: i.o.Time,
		Sourced: map[string]string{debian.Confmodule: debian.ConfmoduleText()},
	}
	if !strings.Contains(string(text), debian.Confmodule) {
		return m, nil
	}
	return m, i.ask(ctx, m, e, kind, args)
}

// ask does what debconf does when a script turns to it: it learns the package's
// questions, and lets its config script ask them.
func (i *installer) ask(ctx context.Context, m *script.Machine, e *entry, kind string, args []string) error {
	templates, err := i.read(infoDir + e.stem() + ".templates")
	if err != nil {
		return err
	}
	i.debconf.Load(e.stem(), templates)
	config, err := i.read(infoDir + e.stem() + ".config")
	if err != nil || config == "" || kind != "postinst" || args[0] != "configure" {
		return err
	}
	inner := &script.Machine{Tree: m.Tree, Time: m.Time, Commands: m.Commands, Env: i.env(e, "config"), Sourced: m.Sourced}
	err = inner.Run(ctx, "/"+infoDir+e.stem()+".config", []byte(config), args...)
	for _, s := range inner.Skipped() {
		m.Skip(s)
	}
	return err
}

// env is what dpkg tells its scripts.
func (i *installer) env(e *entry, kind string) []string {
	return []string{
		"PATH=" + script.Path, "DPKG_ADMINDIR=/var/lib/dpkg", "DPKG_ROOT=", "DPKG_MAINTSCRIPT_PACKAGE=" + e.name,
		"DPKG_MAINTSCRIPT_ARCH=" + e.arch, "DPKG_MAINTSCRIPT_NAME=" + kind, "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1",
		"DPKG_MAINTSCRIPT_DEBUG=0", "DPKG_RUNNING_VERSION=" + i.dpkgVersion(), "DEBIAN_FRONTEND=noninteractive",
		"DEBCONF_NONINTERACTIVE_SEEN=true", "LC_ALL=C.UTF-8",
	}
}

func (i *installer) dpkgVersion() string {
	if e := i.find("dpkg"); e != nil {
		return e.version
	}
	return ""
}

// runTriggers runs the postinst of packages that wait for what happened, until
// nothing new does.
func (i *installer) runTriggers(ctx context.Context) error {
	for range 10 {
		waiting := i.pending.take()
		if len(waiting) == 0 {
			return nil
		}
		for _, w := range waiting {
			if err := i.triggered(ctx, w); err != nil {
				return err
			}
		}
	}
	i.report.note("triggers set each other off without end; the last ones were left out")
	return nil
}

func (i *installer) triggered(ctx context.Context, w activated) error {
	e := i.find(w.pkg)
	if e == nil || i.o.Scripts == None || i.waits(e, w.names) || !e.configured() {
		return nil
	}
	text, err := i.read(infoDir + e.stem() + ".postinst")
	if err != nil || text == "" {
		return err
	}
	skipped, err := i.interpret(ctx, e, "postinst", []byte(text), []string{"triggered", strings.Join(w.names, " ")})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s := Script{Package: e.name, Kind: "postinst triggered", Ran: err == nil, Skipped: skipped}
	if err != nil {
		s.Needs = needs(err)
		if s.Later = i.o.Scripts == Sandbox; s.Later {
			i.setPending(e, w.names)
		}
	}
	i.report.add(s)
	if i.o.Scripts == RequireAll && (!s.Ran || len(s.Skipped) > 0) {
		return &UnconfiguredError{e.name, s.Kind, s.need()}
	}
	return nil
}

// An activated package waits for triggers.
type activated struct {
	pkg   string
	names []string
}

// A Script is one maintainer script that was to be run.
type Script struct {
	Package string   `json:"package"`
	Kind    string   `json:"kind"` // "preinst", "postinst", "postinst triggered", …
	Ran     bool     `json:"ran"`
	Skipped []string `json:"skipped,omitempty"` // what it called and was left out
	Needs   string   `json:"needs,omitempty"`   // why it did not run
	Later   bool     `json:"later,omitempty"`   // dpkg is to run it, in the sandbox

	follows bool // it is run later because another is
}

func (s Script) need() string {
	if s.Needs != "" {
		return s.Needs
	}
	return strings.Join(s.Skipped, ", ")
}

// A Report says what was done with the scripts of packages.
type Report struct {
	Packages int      `json:"packages"`
	Removed  []string `json:"removed,omitempty"` // names
	Scripts  []Script `json:"scripts"`
	Notes    []string `json:"notes,omitempty"` // about files that were left as they are

	o Options
}

func (r *Report) add(s Script) { r.Scripts = append(r.Scripts, s) }

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Lines returns the report in words: how much ran, and a line for everything
// that somebody may miss.
func (r *Report) Lines() []string {
	total, ran, follow := 0, 0, 0
	var failed, skips, later []string
	for _, s := range r.Scripts {
		if s.Kind == "postinst" {
			total++
			if s.Ran {
				ran++
			}
		}
		switch {
		case s.follows:
			follow++
		case s.Later:
			later = append(later, fmt.Sprintf("%s (needs: %s)", s.Package, s.Needs))
		case !s.Ran:
			failed = append(failed, fmt.Sprintf("%s: %s NOT run (needs: %s). %s", s.Package, s.Kind, s.Needs, r.consequence(s)))
		case len(s.Skipped) > 0:
			skips = append(skips, fmt.Sprintf("%s (%s)", s.Package, strings.Join(s.Skipped, "; ")))
		}
	}
	line := fmt.Sprintf("%d packages, %d of %d postinst run", r.Packages, ran, total)
	if len(r.Removed) > 0 {
		line += ", removed: " + strings.Join(slices.Sorted(slices.Values(r.Removed)), ", ")
	}
	if len(skips) > 0 {
		line += ", with skips: " + strings.Join(skips, ", ")
	}
	if len(later) > 0 {
		line += ", for the sandbox: " + strings.Join(later, ", ")
	}
	if follow > 0 {
		line += fmt.Sprintf(" and %d after them", follow)
	}
	return append(append([]string{line}, failed...), r.Notes...)
}

// consequence says what it means that a script did not run.
func (r *Report) consequence(s Script) string {
	switch {
	case s.Kind == "postinst triggered":
		return "Its trigger is left undone"
	case slices.Contains(r.Removed, s.Package):
		return "The package is removed, what the script would have undone is not"
	case slices.Contains(r.o.Unconfigured, s.Package):
		return "The package counts as configured"
	case r.o.Scripts == Sandbox:
		return "The package is configured in the sandbox without it"
	default:
		return "The package is unpacked, not configured"
	}
}
