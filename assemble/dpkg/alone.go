// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"

	"inlay/assemble/overlay"
)

// statusDir holds a file for each package, in images without dpkg.
const statusDir = adminDir + "status.d/"

// isAlone reports whether each package of the tree stands in a file of its own:
// there is no dpkg, and no shell for scripts.
func isAlone(tree *overlay.Tree) bool {
	if b, err := tree.ReadFile(statusFile); err == nil && len(bytes.TrimSpace(b)) > 0 {
		return false
	}
	names, err := tree.ReadDir(statusDir)
	return err == nil && len(names) > 0
}

// installAlone lays out the files of all packages, each with a file that says
// what it is, as the others have it. No script is run.
func (i *installer) installAlone(ctx context.Context) error {
	for _, p := range i.packs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := i.unpackAlone(p); err != nil {
			return err
		}
		for _, kind := range []string{"preinst", "postinst"} {
			if len(p.deb.Control[kind]) == 0 {
				continue
			}
			s := Script{Package: p.name, Kind: kind, Needs: "a parent image with dpkg"}
			i.report.add(s)
			if i.o.Scripts == RequireAll {
				return &UnconfiguredError{p.name, kind, s.Needs}
			}
		}
	}
	return nil
}

func (i *installer) unpackAlone(p *pack) error {
	sums := statusDir + p.name + ".md5sums"
	old, err := i.read(sums)
	if err != nil {
		return err
	}
	u := &unpacking{database: i.database, filter: i.filter, pkg: p, names: map[string]int{}, report: i.report, time: i.o.Time}
	if err := u.unpack(); err != nil {
		return err
	}
	if err := u.removeSummed(old); err != nil {
		return err
	}
	if err := i.tree.WriteFile(statusDir+p.name, []byte(p.fields.String()), 0o644); err != nil {
		return err
	}
	for j := range p.deb.Other {
		if f := &p.deb.Other[j]; f.Path == "md5sums" {
			return i.tree.WriteBody(sums, p.deb.Body(f), f.Size, 0o644)
		}
	}
	return i.tree.RemoveAll(sums)
}

// removeSummed removes the files that the sums of the version before name and
// this one has not.
func (u *unpacking) removeSummed(sums string) error {
	have := make(map[string]bool, len(u.list))
	for _, p := range u.list {
		have[p] = true
	}
	for line := range strings.Lines(sums) {
		_, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if p := "/" + name; ok && !have[p] {
			if err := u.tree.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, overlay.ErrNotDir) {
				return err
			}
		}
	}
	return nil
}
