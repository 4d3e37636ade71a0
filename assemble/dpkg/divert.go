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

	"inlay/assemble/script"
	"inlay/layers"
)

// statoverride says what files are whatever their packages say.
func (i *installer) statoverride(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("", "list", "add", "remove", "update", "quiet", "force", "force-all", "force-statoverride-add")
	if err != nil {
		return err
	}
	_, list := set["list"]
	_, add := set["add"]
	switch {
	case list && len(rest) <= 1:
		return i.listOverrides(c, rest)
	case add && len(rest) == 4:
		_, update := set["update"]
		return i.addOverride(c, rest, update)
	}
	return c.Usage()
}

func (i *installer) listOverrides(c *script.Call, rest []string) error {
	found := false
	for _, p := range sortedKeys(i.overrides) {
		if len(rest) == 0 || match(rest[0], p) {
			o := i.overrides[p]
			fmt.Fprintf(c.Out, "%s %s %o %s\n", o.owner, o.group, layers.UnixMode(o.mode), p)
			found = true
		}
	}
	if !found {
		return script.Exit(1)
	}
	return nil
}

func (i *installer) addOverride(c *script.Call, args []string, update bool) error {
	mode, err := parseMode(args[2])
	if err != nil {
		return c.Usage()
	}
	p := path.Clean(args[3])
	if _, ok := i.overrides[p]; ok {
		fmt.Fprintf(c.Err, "an override for %s already exists\n", p)
		return script.Exit(2)
	}
	i.overrides[p] = override{args[0], args[1], mode}
	if err := i.writeOverrides(); err != nil {
		return c.Fail(err)
	}
	if _, err := i.tree.Lstat(p); !update || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	uid, gid, err := c.Owner(args[0] + ":" + args[1])
	if err == nil {
		err = i.tree.Chown(p, uid, gid, false)
	}
	if err == nil {
		err = i.tree.Chmod(p, mode)
	}
	if err != nil {
		return c.Fail(err)
	}
	return nil
}

// diversion is dpkg-divert(1).
func (i *installer) diversion(c *script.Call, e *entry) error {
	set, rest, err := c.Flags("", "add", "remove", "list", "listpackage", "package=", "local", "divert=", "rename", "no-rename", "quiet", "truename")
	if err != nil {
		return err
	}
	d := diversion{owner: e.name}
	if p := set["package"]; p != "" {
		d.owner = p
	}
	if _, local := set["local"]; local {
		d.owner = ":"
	}
	if len(rest) != 1 || !strings.HasPrefix(rest[0], "/") {
		if _, list := set["list"]; !list {
			return c.Usage()
		}
	}
	if len(rest) == 1 {
		d.from, d.to = rest[0], rest[0]+".distrib"
		if to := set["divert"]; to != "" {
			d.to = to
		}
	}
	_, rename := set["rename"]
	switch {
	case has(set, "list"):
		return i.listDiversions(c, rest)
	case has(set, "truename"):
		fmt.Fprintln(c.Out, i.divert(d.from, ""))
		return nil
	case has(set, "listpackage"):
		return i.diversionOwner(c, d.from)
	case has(set, "remove"):
		return i.removeDiversion(c, d, rename)
	}
	return i.addDiversion(c, d, rename)
}

func has(set map[string]string, name string) bool {
	_, ok := set[name]
	return ok
}

func (i *installer) listDiversions(c *script.Call, patterns []string) error {
	for _, d := range i.diversions {
		if len(patterns) > 0 && !match(patterns[0], d.from) && !match(patterns[0], d.to) && patterns[0] != d.owner {
			continue
		}
		by := "diversion of %s to %s by %s\n"
		if d.owner == ":" {
			fmt.Fprintf(c.Out, "local diversion of %s to %s\n", d.from, d.to)
			continue
		}
		fmt.Fprintf(c.Out, by, d.from, d.to, d.owner)
	}
	return nil
}

func (i *installer) diversionOwner(c *script.Call, from string) error {
	for _, d := range i.diversions {
		if d.from == from {
			owner := d.owner
			if owner == ":" {
				owner = "LOCAL"
			}
			fmt.Fprintln(c.Out, owner)
		}
	}
	return nil
}

func (i *installer) addDiversion(c *script.Call, d diversion, rename bool) error {
	for _, o := range i.diversions {
		if o == d {
			return nil
		}
		if o.from == d.from || o.to == d.from || o.from == d.to || o.to == d.to {
			fmt.Fprintf(c.Err, "%s clashes with another diversion\n", d.from)
			return script.Exit(2)
		}
	}
	owners, err := i.owner(d.from)
	if err != nil {
		return err
	}
	if rename && !slices.Contains(owners, d.owner) {
		if err := i.renameDiverted(d.from, d.to); err != nil {
			return c.Fail(err)
		}
	}
	i.diversions = append(i.diversions, d)
	if err := i.writeDiversions(); err != nil {
		return c.Fail(err)
	}
	return nil
}

// renameDiverted moves a file out of the way. Its content must be at hand.
func (i *installer) renameDiverted(from, to string) error {
	f, err := i.tree.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && f.Mode.IsRegular() {
		_, err = i.tree.Body(from)
	}
	if err != nil {
		return err
	}
	return i.tree.Rename(from, to)
}

func (i *installer) removeDiversion(c *script.Call, d diversion, rename bool) error {
	at := slices.IndexFunc(i.diversions, func(o diversion) bool {
		return o.from == d.from && (o.owner == d.owner || d.owner == ":" && o.owner == ":")
	})
	if at < 0 {
		return nil
	}
	d = i.diversions[at]
	if rename {
		if err := i.renameDiverted(d.to, d.from); err != nil {
			return c.Fail(err)
		}
	}
	i.diversions = slices.Delete(slices.Clone(i.diversions), at, at+1)
	if err := i.writeDiversions(); err != nil {
		return c.Fail(err)
	}
	return nil
}
