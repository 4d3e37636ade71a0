// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"inlay/assemble/overlay"
)

// An AbsentError reports a package that is to be removed and isn't there.
type AbsentError struct{ Package string }

func (e *AbsentError) Error() string {
	return fmt.Sprintf("package %s is to be removed, but the parent image hasn't got it", e.Package)
}

// removeAll takes packages out of the tree as dpkg --remove does: those that
// need others before these. Configuration files stay.
func (i *installer) removeAll(ctx context.Context) error {
	packs := make([]*pack, len(i.o.Remove))
	for j, name := range i.o.Remove {
		e := i.find(name)
		if e == nil || !e.installed() || i.alone {
			return &AbsentError{name}
		}
		packs[j] = &pack{entry: e, before: e}
	}
	for _, p := range slices.Backward(sorted(packs)) {
		i.report.Removed = append(i.report.Removed, p.name)
		if err := i.remove(ctx, p); err != nil {
			return fmt.Errorf("removing package %s: %w", p.name, err)
		}
	}
	return nil
}

// remove takes one package out. A script that can't be run is told of, and what
// it would have undone stays.
func (i *installer) remove(ctx context.Context, p *pack) error {
	if err := i.oldScript(ctx, p, "prerm", "remove"); err != nil {
		return err
	}
	p.failed = "" // the next script has its own chance
	triggers, err := i.read(infoDir + p.stem() + ".triggers")
	if err != nil {
		return err
	}
	i.pending.activates(triggers)
	left, err := i.takeFiles(p)
	if err != nil {
		return err
	}
	if err := i.oldScript(ctx, p, "postrm", "remove"); err != nil {
		return err
	}
	i.pending.declare(p.entry, "")
	if len(conffilesOf(p.entry)) == 0 && !i.tree.Exists(infoDir+p.stem()+".postrm") {
		return i.forget(p)
	}
	if err := i.dropInfo(p.stem(), ".list", ".postrm"); err != nil {
		return err
	}
	i.recordRemoved(p)
	return i.setList(p.stem(), left)
}

// takeFiles removes the files of p but for those of the configuration, and
// returns what of its list is left.
func (i *installer) takeFiles(p *pack) (left []string, err error) {
	list, err := i.list(p.stem())
	if err != nil {
		return nil, err
	}
	i.pending.files(list)
	configuration := map[string]bool{}
	for _, c := range conffilesOf(p.entry) {
		for f := c[0]; f != "/" && f != "."; f = path.Dir(f) {
			configuration[f] = true
		}
	}
	for _, f := range slices.Backward(list) {
		stays := configuration[f]
		if !stays {
			if stays, err = i.takeFile(p, f, left); err != nil {
				return nil, err
			}
		}
		if stays {
			left = append(left, f)
		}
	}
	slices.Reverse(left)
	return left, nil
}

// takeFile removes a file of p, or a directory that nobody else has. It reports
// whether something stays there that is still p's.
func (i *installer) takeFile(p *pack, f string, left []string) (bool, error) {
	to := i.divert(f, p.name)
	if at, err := i.tree.Stat(to); err == nil && at.Mode.IsDir() {
		if slices.ContainsFunc(left, func(l string) bool { return strings.HasPrefix(l, f+"/") }) {
			return true, nil
		}
		owners, err := i.owner(f)
		if err != nil || slices.ContainsFunc(owners, func(stem string) bool { return stem != p.stem() }) {
			return false, err
		}
		if f == "/." {
			return true, nil
		}
	}
	err := i.tree.Remove(to)
	switch {
	case errors.Is(err, overlay.ErrNotEmpty):
		return true, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, overlay.ErrNotDir), errors.Is(err, overlay.ErrLoop):
		return false, nil
	}
	return false, err
}

// recordRemoved notes that only the configuration of p is there.
func (i *installer) recordRemoved(p *pack) {
	e := *p.entry
	e.text, e.fields = "", slices.DeleteFunc(slices.Clone(e.fields), func(f field) bool { return f.name == "Essential" })
	e.fields.set("Status", "deinstall ok config-files")
	e.fields.set("Config-Version", e.version)
	e.fields = e.fields.recorded()
	i.add(&e)
}

// forget drops a package of which nothing is left.
func (i *installer) forget(p *pack) error {
	if err := i.forgetList(p.stem()); err != nil {
		return err
	}
	same := func(e *entry) bool { return e == p.entry }
	i.packages = slices.DeleteFunc(i.packages, same)
	i.byName[p.name] = slices.DeleteFunc(i.byName[p.name], same)
	return i.dropInfo(p.stem())
}

// dropInfo removes the files that the database has of a package, but for those
// with the endings that are kept.
func (i *installer) dropInfo(stem string, kept ...string) error {
	names, err := i.tree.ReadDir(infoDir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if ext := path.Ext(n); strings.TrimSuffix(n, ext) == stem && !slices.Contains(kept, ext) {
			if err := i.tree.Remove(infoDir + n); err != nil {
				return err
			}
		}
	}
	return nil
}
