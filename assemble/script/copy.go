// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"inlay/assemble/overlay"
)

// targets pairs the sources of mv and cp with where they go.
func (c *Call) targets(rest []string, asFile bool) (from, to []string, err error) {
	if len(rest) < 2 {
		return nil, nil, c.Usage()
	}
	last := rest[len(rest)-1]
	at, err := c.Tree.Stat(c.Abs(last))
	into := err == nil && at.Mode.IsDir() && !asFile
	if !into && len(rest) > 2 {
		return nil, nil, c.Fail(fmt.Errorf("target %s: %w", last, overlay.ErrNotDir))
	}
	for _, p := range rest[:len(rest)-1] {
		dest := last
		if into {
			dest = path.Join(last, path.Base(p))
		}
		from, to = append(from, p), append(to, dest)
	}
	return from, to, nil
}

func move(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("fvTnZu", "force:f", "no-target-directory:T", "no-clobber:n")
	if err != nil {
		return err
	}
	if has(set, "u") {
		return c.Usage()
	}
	from, to, err := c.targets(rest, has(set, "T"))
	if err != nil {
		return err
	}
	for i := range from {
		if has(set, "n") && c.Tree.Exists(c.Abs(to[i])) {
			continue
		}
		// The content must be at hand, or the layer couldn't be written.
		if at, err := c.Tree.Lstat(c.Abs(from[i])); err == nil && at.Mode.IsRegular() {
			if _, err := c.Tree.Body(c.Abs(from[i])); err != nil {
				return c.Fail(err)
			}
		}
		if err := c.Tree.Rename(c.Abs(from[i]), c.Abs(to[i])); err != nil {
			return c.Fail(err)
		}
	}
	return nil
}

func copyFiles(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("apfrRdPLvTnuZ", "archive:a", "force:f", "recursive:r", "no-target-directory:T",
		"preserve=:p", "no-dereference:P", "remove-destination", "no-clobber:n")
	if err != nil {
		return err
	}
	if has(set, "u") {
		return c.Usage()
	}
	from, to, err := c.targets(rest, has(set, "T"))
	if err != nil {
		return err
	}
	deep := has(set, "r") || has(set, "R") || has(set, "a")
	asIs := has(set, "a") || has(set, "d") || has(set, "P")
	for i := range from {
		if has(set, "n") && c.Tree.Exists(c.Abs(to[i])) {
			continue
		}
		if err := c.copyOne(from[i], to[i], copying{deep: deep, links: asIs || deep && !has(set, "L"), keep: has(set, "a") || has(set, "p")}); err != nil {
			return c.Fail(err)
		}
	}
	return nil
}

// copying says how files are copied.
type copying struct{ deep, links, keep bool }

func (c *Call) copyOne(from, to string, how copying) error {
	at, err := c.Tree.Stat(c.Abs(from))
	if how.links {
		at, err = c.Tree.Lstat(c.Abs(from))
	}
	if err != nil {
		return err
	}
	if !how.keep {
		at.UID, at.GID, at.Mode = 0, 0, at.Mode&^c.umask&^(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)
	}
	at.Time = 0
	switch {
	case at.Mode.IsDir():
		return c.copyDir(from, to, at, how)
	case at.Mode.Type() == fs.ModeSymlink:
		if c.Tree.Exists(c.Abs(to)) {
			if err := c.Tree.Remove(c.Abs(to)); err != nil {
				return err
			}
		}
		return c.Tree.Symlink(at.Link, c.Abs(to))
	}
	b, err := c.Tree.ReadFile(c.Abs(from))
	if err != nil {
		return err
	}
	if err := c.Tree.WriteFile(c.Abs(to), b, at.Mode); err != nil || !how.keep {
		return err
	}
	if err := c.Tree.Chown(c.Abs(to), at.UID, at.GID, true); err != nil {
		return err
	}
	return c.Tree.Chmod(c.Abs(to), at.Mode)
}

func (c *Call) copyDir(from, to string, at overlay.File, how copying) error {
	if !how.deep {
		return fmt.Errorf("%s: %w", from, overlay.ErrIsDir)
	}
	if _, err := c.Tree.Stat(c.Abs(to)); err != nil {
		if err := c.Tree.Mkdir(c.Abs(to), at); err != nil {
			return err
		}
	}
	names, err := c.Tree.ReadDir(c.Abs(from))
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := c.copyOne(path.Join(from, n), path.Join(to, n), how); err != nil {
			return err
		}
	}
	return nil
}

func install(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("dm:o:g:pDTv", "directory:d", "mode=:m", "owner=:o", "group=:g")
	if err != nil {
		return err
	}
	mode, err := Mode(orElse(set["m"], "755"), 0, 0)
	if err != nil {
		return c.Fail(err)
	}
	uid, gid, err := c.Owner(set["o"] + ":" + set["g"])
	if err != nil {
		return c.Fail(err)
	}
	if has(set, "d") {
		err = c.each(rest, func(p string) error { return c.Tree.MkdirAll(path.Clean(c.Abs(p)), 0o755) })
	} else {
		rest, err = c.installFiles(rest, set)
	}
	if err != nil {
		return err
	}
	return c.each(rest, func(p string) error {
		if err := c.Tree.Chown(c.Abs(p), max(uid, 0), max(gid, 0), true); err != nil {
			return err
		}
		return c.Tree.Chmod(c.Abs(p), mode)
	})
}

// installFiles copies files for install, and returns where they are.
func (c *Call) installFiles(rest []string, set map[string]string) ([]string, error) {
	from, made, err := c.targets(rest, has(set, "T"))
	if err != nil {
		return nil, err
	}
	for i := range from {
		if has(set, "D") {
			if err := c.Tree.MkdirAll(path.Dir(c.Abs(made[i])), 0o755); err != nil {
				return nil, c.Fail(err)
			}
		}
		if err := c.copyOne(from[i], made[i], copying{}); err != nil {
			return nil, c.Fail(err)
		}
	}
	return made, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
