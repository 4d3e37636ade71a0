// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"inlay/assemble/overlay"
)

// A search is what find(1) is asked for: tests that must all hold, then what is
// done.
type search struct {
	tests []func(p string, f overlay.File) bool
	do    []func(p string) error
	min   int
	max   int
	late  bool // a directory comes after what it holds
	not   bool // the next test is turned around
}

func find(ctx context.Context, c *Call) error {
	i := 1
	for i < len(c.Args) && !strings.HasPrefix(c.Args[i], "-") && c.Args[i] != "!" && c.Args[i] != "(" {
		i++
	}
	roots := c.Args[1:i]
	if len(roots) == 0 {
		roots = []string{"."}
	}
	s := &search{max: 1 << 30}
	if err := s.parse(ctx, c, c.Args[i:]); err != nil {
		return err
	}
	if s.do == nil {
		s.do = append(s.do, func(p string) error { fmt.Fprintln(c.Out, p); return nil })
	}
	return c.each(roots, func(root string) error { return s.visit(c, root, 0) })
}

// parse reads tests and actions.
func (s *search) parse(ctx context.Context, c *Call, args []string) error {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if s.word(c, word) {
			continue
		}
		if len(args) == 0 {
			return c.unknown(word)
		}
		if word == "-exec" {
			end := slices.Index(args, ";")
			if end <= 0 {
				return c.unknown(word)
			}
			command := args[:end]
			args = args[end+1:]
			s.do = append(s.do, func(p string) error { return c.execOn(ctx, command, p) })
			continue
		}
		if err := s.valued(c, word, args[0]); err != nil {
			return err
		}
		args = args[1:]
	}
	return nil
}

// word takes one that has no value. It says whether the word is such a one.
func (s *search) word(c *Call, word string) bool {
	switch word {
	case "!", "-not":
		s.not = true
	case "-a", "-xdev":
	case "-empty":
		s.test(func(p string, f overlay.File) bool { return c.empty(p, f) })
	case "-print":
		s.do = append(s.do, func(p string) error { fmt.Fprintln(c.Out, p); return nil })
	case "-print0":
		s.do = append(s.do, func(p string) error { fmt.Fprintf(c.Out, "%s\x00", p); return nil })
	case "-delete":
		s.late = true
		s.do = append(s.do, func(p string) error { return c.Tree.Remove(c.Abs(p)) })
	case "-depth":
		s.late = true
	default:
		return false
	}
	return true
}

// valued takes a word with its value.
func (s *search) valued(c *Call, word, value string) error {
	switch word {
	case "-type":
		s.test(func(_ string, f overlay.File) bool { return isType(f.Mode, value) })
	case "-name":
		s.test(func(p string, _ overlay.File) bool { return glob(value, path.Base(p)) })
	case "-path":
		s.test(func(p string, _ overlay.File) bool { return glob(value, p) })
	case "-user", "-uid":
		uid, err := c.account("/etc/passwd", value)
		if err != nil {
			return c.Fail(err)
		}
		s.test(func(_ string, f overlay.File) bool { return f.UID == uid })
	case "-maxdepth", "-mindepth":
		n, err := strconv.Atoi(value)
		if err != nil {
			return c.unknown(word)
		}
		if word == "-maxdepth" {
			s.max = n
		} else {
			s.min = n
		}
	default:
		return c.unknown(word)
	}
	return nil
}

// test adds one, or its opposite after a "!".
func (s *search) test(f func(p string, f overlay.File) bool) {
	if s.not {
		g := f
		f = func(p string, at overlay.File) bool { return !g(p, at) }
	}
	s.tests, s.not = append(s.tests, f), false
}

// execOn runs a command on p. That it fails is no error.
func (c *Call) execOn(ctx context.Context, command []string, p string) error {
	args := make([]string, len(command))
	for i, a := range command {
		args[i] = strings.ReplaceAll(a, "{}", p)
	}
	err := c.Exec(ctx, args...)
	var status Exit
	if errors.As(err, &status) {
		return nil
	}
	return err
}

func (c *Call) empty(p string, f overlay.File) bool {
	if f.Mode.IsDir() {
		names, err := c.Tree.ReadDir(c.Abs(p))
		return err == nil && len(names) == 0
	}
	return f.Mode.IsRegular() && f.Size == 0
}

func isType(m fs.FileMode, letter string) bool {
	switch letter {
	case "f":
		return m.IsRegular()
	case "d":
		return m.IsDir()
	case "l":
		return m.Type() == fs.ModeSymlink
	default:
		return false
	}
}

// visit does what is asked at p, and below it.
func (s *search) visit(c *Call, p string, depth int) error {
	f, err := c.Tree.Lstat(c.Abs(p))
	if err != nil {
		return err
	}
	if depth >= s.min && !s.late {
		if err := s.act(p, f); err != nil {
			return err
		}
	}
	if !f.Mode.IsDir() || depth >= s.max {
		return s.leave(p, f, depth)
	}
	names, err := c.Tree.ReadDir(c.Abs(p))
	if err != nil {
		return nil //nolint:nilerr // what was done removed it
	}
	for _, n := range names {
		if err := s.visit(c, strings.TrimSuffix(p, "/")+"/"+n, depth+1); err != nil {
			return err
		}
	}
	return s.leave(p, f, depth)
}

// leave does what is asked once all below p was seen.
func (s *search) leave(p string, f overlay.File, depth int) error {
	if !s.late || depth < s.min {
		return nil
	}
	return s.act(p, f)
}

func (s *search) act(p string, f overlay.File) error {
	for _, t := range s.tests {
		if !t(p, f) {
			return nil
		}
	}
	for _, do := range s.do {
		if err := do(p); err != nil {
			return err
		}
	}
	return nil
}

// glob is fnmatch(3) without flags.
func glob(pattern, s string) bool {
	// path.Match knows "/" as a border: there is none here.
	const slash = "\x01"
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", slash), strings.ReplaceAll(s, "/", slash))
	return err == nil && ok
}
