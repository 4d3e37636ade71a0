// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"inlay/assemble/debian"
	"inlay/assemble/script"
)

// undone returns why dpkg has to run a script that left out what it skipped: it
// made nothing of what programs need.
func undone(skipped []string) error {
	for _, s := range skipped {
		if debian.Needed(s) {
			name, _, _ := strings.Cut(s, ":")
			return &script.UnsupportedError{Needs: name}
		}
	}
	return nil
}

// waitsFor returns the name of a package that dpkg will configure and that p
// depends on: dpkg configures p after it.
func (i *installer) waitsFor(p *pack) string {
	if i.o.Scripts != Sandbox || p.failed != "" {
		return ""
	}
	for _, q := range i.order.needs(p) {
		if q != p && q.failed != "" && !q.configured() {
			return q.name
		}
	}
	return ""
}

// leave leaves p to dpkg, which has to configure another before.
func (i *installer) leave(p *pack, on string) {
	needs := on + " to be configured first"
	p.failed = needs
	if len(p.deb.Control["postinst"]) > 0 {
		i.report.add(Script{Package: p.name, Kind: "postinst", Needs: needs, Later: true, follows: true})
	}
}

// holdBack leaves the new configuration files of p as dpkg does until it
// configures p: other packages don't see them before.
func (i *installer) holdBack(p *pack) error {
	lines := strings.Split(p.fields.get("Conffiles"), "\n")
	for j, line := range lines {
		f := strings.Fields(line)
		if len(f) != 2 || p.fresh[f[0]] == "" {
			continue
		}
		at := p.fresh[f[0]]
		if err := i.tree.Rename(at, at+".dpkg-new"); err != nil {
			return err
		}
		lines[j] = " " + f[0] + " newconffile"
	}
	if len(p.fresh) > 0 {
		p.fields.set("Conffiles", strings.Join(lines, "\n"))
	}
	return nil
}

// waits reports whether dpkg has triggers of e to run, and adds names to them.
func (i *installer) waits(e *entry, names []string) bool {
	pending := e.fields.get("Triggers-Pending")
	if pending == "" {
		return false
	}
	for _, n := range names {
		if !slices.Contains(strings.Fields(pending), n) {
			pending += " " + n
		}
	}
	i.setPending(e, strings.Fields(pending))
	return true
}

// setPending leaves triggers of e to dpkg.
func (i *installer) setPending(e *entry, names []string) {
	fields := slices.Clone(e.fields)
	fields.set("Status", "install ok triggers-pending")
	fields.set("Triggers-Pending", strings.Join(names, " "))
	e.text, e.fields = "", fields.recorded()
}

// Unfinished returns the names of the packages of a tree that dpkg has to
// configure, or to run triggers of: none if it has no status file.
func Unfinished(tree fs.FS) ([]string, error) {
	b, err := fs.ReadFile(tree, statusFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := stanzas(string(b))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range all {
		words := strings.Fields(s.get("Status"))
		if len(words) == 3 && slices.Contains([]string{"unpacked", "half-configured", "triggers-pending", "triggers-awaited"}, words[2]) {
			names = append(names, s.get("Package"))
		}
	}
	return names, nil
}
