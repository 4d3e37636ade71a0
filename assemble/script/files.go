// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"inlay/assemble/overlay"
)

// standard returns the commands that every system has. They are no variable,
// because some of them run others.
func standard() map[string]Command {
	return map[string]Command{
		"rm": remove, "rmdir": rmdir, "mkdir": mkdir, "chmod": chmod, "chown": chown, "chgrp": chown, "ln": link,
		"mv": move, "cp": copyFiles, "touch": touch, "install": install, "mktemp": mktemp, "tempfile": mktemp,

		"cat": cat, "tee": tee, "readlink": readlink, "realpath": realpath, "stat": stat, "find": find, "ls": ls,
		"basename": basename, "dirname": dirname, "md5sum": md5sum, "cmp": compare, "xargs": xargs,
		"getent": getent, "id": id, "run-parts": runParts, "mountpoint": mountpoint,

		"grep": grep, "egrep": grep, "fgrep": grep, "sed": sed, "awk": awk, "mawk": awk, "gawk": awk, "sort": sortLines,
		"uniq": uniq, "tr": translate, "cut": cut, "head": head, "tail": tailLines, "wc": count, "expr": expr,
		"seq": seq, "date": date, "uname": uname, "env": env, "which": which, "sync": nop, "sleep": nop,
		"true": nop, "false": func(context.Context, *Call) error { return Exit(1) },
	}
}

func nop(context.Context, *Call) error { return nil }

// each calls f for every path, goes on after those that fail, and fails then.
func (c *Call) each(paths []string, f func(p string) error) error {
	failed := false
	for _, p := range paths {
		if err := f(p); err != nil {
			if err = c.Fail(err); !errors.Is(err, Exit(1)) {
				return err
			}
			failed = true
		}
	}
	if failed {
		return Exit(1)
	}
	return nil
}

func remove(_ context.Context, c *Call) error {
	set, paths, err := c.Flags("rRfvid", "recursive:r", "force:f", "verbose:v")
	if err != nil {
		return err
	}
	force, all := has(set, "f"), has(set, "r") || has(set, "R")
	return c.each(paths, func(p string) error {
		f, err := c.Tree.Lstat(c.Abs(p))
		switch {
		case err != nil && force && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, overlay.ErrNotDir)):
			return nil
		case err != nil:
			return err
		case all:
			return c.Tree.RemoveAll(c.Abs(p))
		case f.Mode.IsDir() && !has(set, "d"):
			return fmt.Errorf("cannot remove %s: %w", p, overlay.ErrIsDir)
		default:
			return c.Tree.Remove(c.Abs(p))
		}
	})
}

func rmdir(_ context.Context, c *Call) error {
	set, paths, err := c.Flags("pv", "ignore-fail-on-non-empty", "parents:p")
	if err != nil {
		return err
	}
	return c.each(paths, func(p string) error {
		for {
			err := c.removeDir(p)
			if errors.Is(err, overlay.ErrNotEmpty) && has(set, "ignore-fail-on-non-empty") {
				return nil
			}
			if p = path.Dir(strings.TrimRight(p, "/")); err != nil || !has(set, "p") || p == "." || p == "/" {
				return err
			}
		}
	})
}

// removeDir removes a directory that is empty.
func (c *Call) removeDir(p string) error {
	f, err := c.Tree.Lstat(c.Abs(p))
	if err != nil {
		return err
	}
	if !f.Mode.IsDir() {
		return overlay.ErrNotDir
	}
	return c.Tree.Remove(c.Abs(p))
}

func mkdir(_ context.Context, c *Call) error {
	set, paths, err := c.Flags("pm:v", "parents:p", "mode=:m")
	if err != nil {
		return err
	}
	mode := fs.ModePerm &^ c.umask
	if m, ok := set["m"]; ok {
		if mode, err = Mode(m, fs.ModePerm, c.umask); err != nil {
			return c.Fail(err)
		}
	}
	return c.each(paths, func(p string) error {
		p = c.Abs(p)
		if has(set, "p") {
			if f, err := c.Tree.Stat(p); err == nil && f.Mode.IsDir() {
				return nil
			}
			if err := c.Tree.MkdirAll(path.Dir(path.Clean(p)), fs.ModePerm&^c.umask); err != nil {
				return err
			}
		}
		return c.Tree.Mkdir(p, overlay.File{Mode: mode})
	})
}

// walk calls f for p and all below it, links not followed.
func (c *Call) walk(p string, f func(p string, at overlay.File) error) error {
	at, err := c.Tree.Lstat(c.Abs(p))
	if err != nil {
		return err
	}
	if err := f(p, at); err != nil || !at.Mode.IsDir() {
		return err
	}
	names, err := c.Tree.ReadDir(c.Abs(p))
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := c.walk(strings.TrimSuffix(p, "/")+"/"+n, f); err != nil {
			return err
		}
	}
	return nil
}

func chmod(_ context.Context, c *Call) error {
	// Modes may begin with "-", which is no option.
	var words []string
	recursive := false
	for _, a := range c.Args[1:] {
		switch a {
		case "-R", "--recursive":
			recursive = true
		case "--", "-f", "-v", "-c":
		default:
			words = append(words, a)
		}
	}
	if len(words) == 0 || strings.HasPrefix(words[0], "--") {
		return c.Usage()
	}
	set := func(p string, at overlay.File) error {
		if recursive && at.Mode.Type() == fs.ModeSymlink {
			return nil
		}
		mode, err := Mode(words[0], at.Mode, c.umask)
		if err != nil {
			return err
		}
		return c.Tree.Chmod(c.Abs(p), mode)
	}
	return c.each(words[1:], func(p string) error {
		at, err := c.Tree.Stat(c.Abs(p))
		if err != nil {
			return err
		}
		if recursive {
			return c.walk(p, set)
		}
		return set(p, at)
	})
}

func chown(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("Rhvcf", "recursive:R", "no-dereference:h", "from=", "reference=")
	if err != nil {
		return err
	}
	if has(set, "from") || has(set, "reference") || len(rest) < 1 {
		return c.Usage()
	}
	spec := rest[0]
	if path.Base(c.Args[0]) == "chgrp" {
		spec = ":" + spec
	}
	uid, gid, err := c.Owner(spec)
	if err != nil {
		return c.Fail(err)
	}
	return c.each(rest[1:], func(p string) error {
		if has(set, "R") {
			return c.walk(p, func(p string, _ overlay.File) error { return c.Tree.Chown(c.Abs(p), uid, gid, false) })
		}
		return c.Tree.Chown(c.Abs(p), uid, gid, !has(set, "h"))
	})
}

func link(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("sfnTvr", "symbolic:s", "force:f", "no-dereference:n", "no-target-directory:T", "relative:r")
	if err != nil {
		return err
	}
	if has(set, "r") || len(rest) < 1 || len(rest) > 2 {
		return c.Usage()
	}
	target, name := rest[0], c.linkName(rest, set)
	if has(set, "f") {
		if at, err := c.Tree.Lstat(name); err == nil && !at.Mode.IsDir() {
			if err := c.Tree.Remove(name); err != nil {
				return c.Fail(err)
			}
		}
	}
	if has(set, "s") {
		err = c.Tree.Symlink(target, name)
	} else {
		err = c.Tree.Link(c.Abs(target), name)
	}
	if err != nil {
		return c.Fail(err)
	}
	return nil
}

// linkName returns the path of the link that ln is to make: one in the
// directory that is named, if one is.
func (c *Call) linkName(rest []string, set map[string]string) string {
	base := path.Base(rest[0])
	if len(rest) == 1 {
		return c.Abs(base)
	}
	name := c.Abs(rest[1])
	look := c.Tree.Stat
	if has(set, "n") {
		look = c.Tree.Lstat
	}
	if at, err := look(name); err == nil && at.Mode.IsDir() && !has(set, "T") {
		return path.Join(name, base)
	}
	return name
}

func touch(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("amchr:", "no-create:c", "no-dereference:h", "reference=:r")
	if err != nil {
		return err
	}
	return c.each(rest, func(p string) error {
		if _, err := c.Tree.Stat(c.Abs(p)); err == nil || has(set, "c") || has(set, "h") {
			return nil // times are the layer's
		}
		return c.Tree.WriteFile(c.Abs(p), nil, 0o666&^c.umask)
	})
}

// mktemp makes the first name that is free: which one is told to nobody but
// the script.
func mktemp(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("dtp:qu", "directory:d", "tmpdir=:p")
	if err != nil {
		return err
	}
	if len(rest) > 1 || has(set, "u") {
		return c.Usage()
	}
	template := "tmp.XXXXXXXXXX"
	if len(rest) == 1 {
		template = rest[0]
	}
	if !strings.Contains(template, "/") && (len(rest) == 0 || has(set, "t") || has(set, "p")) {
		template = path.Join(orElse(set["p"], "/tmp"), template)
	}
	i := strings.LastIndex(template, "XXX")
	if i < 0 {
		return c.Usage()
	}
	start := len(strings.TrimRight(template[:i+3], "X"))
	for n := range 10_000 {
		name := template[:start] + fmt.Sprintf("%0*d", i+3-start, n) + template[i+3:]
		if c.Tree.Exists(c.Abs(name)) {
			continue
		}
		if has(set, "d") {
			err = c.Tree.Mkdir(c.Abs(name), overlay.File{Mode: 0o700})
		} else {
			err = c.Tree.WriteFile(c.Abs(name), nil, 0o600)
		}
		if err != nil {
			return c.Fail(err)
		}
		fmt.Fprintln(c.Out, name)
		return nil
	}
	return c.Fail(errors.New("no name is free"))
}
