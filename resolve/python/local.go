// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"inlay/cache/disk"
	"inlay/resolve/plan"
)

// readLocals reads the wheels of this machine that groups name, by their URLs.
// Which file it is, its content says: the path decides nothing.
func readLocals(ctx context.Context, groups []Group) (map[string]plan.Wheel, error) {
	wheels := map[string]plan.Wheel{}
	for _, g := range groups {
		for _, l := range slices.Concat(g.Lines, g.Constraints) {
			if _, ok := wheels[l.URL]; ok || l.Path() == "" || l.Sources {
				continue
			}
			w, err := readLocal(ctx, l)
			if err != nil {
				return nil, err
			}
			wheels[l.URL] = w
		}
	}
	return wheels, nil
}

func readLocal(ctx context.Context, l Line) (plan.Wheel, error) {
	u, err := url.Parse(l.URL)
	if err != nil {
		return plan.Wheel{}, err
	}
	w := plan.Wheel{Name: l.Name, File: path.Base(u.Path), URL: l.URL}
	if !wheelName().MatchString(w.File) {
		return w, l.Refuse(w.File+" is no name of a wheel (PEP 427)", "give the file the name that it was built with")
	}
	w.Version = strings.Split(w.File, "-")[1]
	f, err := os.Open(l.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return w, l.Refuse("there is no file "+l.Path(), "name a wheel by its path")
	}
	if err != nil {
		return w, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return w, err
	}
	if !info.Mode().IsRegular() {
		return w, l.Refuse(l.Path()+" is not a regular file", "name a wheel by its path")
	}
	sum, err := disk.Sum(ctx, f)
	if err != nil {
		return w, fmt.Errorf("reading %s: %w", l.Path(), err)
	}
	w.Digest, w.Size = "sha256:"+sum, info.Size()
	if len(l.Hashes) > 0 && !slices.Contains(l.Hashes, w.Digest) {
		return w, &HashError{Package: Package{Name: w.Name, Version: w.Version}, File: w.File, Digest: w.Digest, Want: l.Hashes}
	}
	return w, nil
}

// takeLocals moves the wheels of this machine from what c adds to d.
func (c *choice) takeLocals(d *delta, g Group, locals map[string]plan.Wheel) {
	var rest []change
	for _, a := range c.add {
		w, ok := a.local(g, locals)
		if !ok {
			rest = append(rest, a)
			continue
		}
		w.Version = cmp.Or(a.Version, w.Version)
		d.add = append(d.add, w)
		d.direct[w.Name] = cmp.Or(w.URL, a.from) // what was built has no URL
	}
	c.add = rest
}

// local returns the wheel of this machine that a is. Lines for one name can
// differ in their markers; the file's name tells which of them it is.
func (a change) local(g Group, locals map[string]plan.Wheel) (plan.Wheel, bool) {
	if !strings.HasPrefix(a.from, "file:") {
		return plan.Wheel{}, false
	}
	for _, l := range slices.Concat(g.Lines, g.Constraints) {
		w, ok := locals[l.URL]
		if from, err := url.Parse(a.from); ok && err == nil && l.Name == a.Name && path.Base(from.Path) == w.File {
			return w, true
		}
	}
	return plan.Wheel{}, false
}
