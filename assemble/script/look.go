// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what md5sum prints
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"inlay/layers"
)

func cat(_ context.Context, c *Call) error {
	_, rest, err := c.Flags("u")
	if err != nil {
		return err
	}
	return c.each(orInput(rest), func(p string) error {
		b, err := c.read(p)
		if err == nil {
			_, err = c.Out.Write(b)
		}
		return err
	})
}

// read returns the content of a file, or of standard input for "-".
func (c *Call) read(p string) ([]byte, error) {
	if p == "-" || p == "/dev/stdin" {
		return c.Input()
	}
	if p == "/dev/null" {
		return nil, nil
	}
	b, err := c.Tree.ReadFile(c.Abs(p))
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return nil, fmt.Errorf("%s: %w", p, pe.Err)
	}
	return b, err
}

// inputs is the content of files, or of standard input if there are none.
func (c *Call) inputs(paths []string) ([]byte, error) {
	if len(paths) == 0 {
		return c.Input()
	}
	var all []byte
	for _, p := range paths {
		b, err := c.read(p)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

func tee(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("a", "append:a")
	if err != nil {
		return err
	}
	b, err := c.Input()
	if err != nil {
		return err
	}
	_, _ = c.Out.Write(b)
	return c.each(rest, func(p string) error {
		var old []byte
		if has(set, "a") {
			if old, err = c.Tree.ReadFile(c.Abs(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return c.Tree.WriteFile(c.Abs(p), append(old, b...), 0o666&^c.umask)
	})
}

func readlink(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("femnqsv", "canonicalize:f", "canonicalize-existing:e", "canonicalize-missing:m", "no-newline:n")
	if err != nil {
		return err
	}
	status := error(nil)
	for _, p := range rest {
		out, ok := c.resolve(p, set)
		if !ok {
			status = Exit(1)
			continue
		}
		fmt.Fprintf(c.Out, "%s", out)
		if !has(set, "n") {
			fmt.Fprintln(c.Out)
		}
	}
	return status
}

// resolve is what readlink prints.
func (c *Call) resolve(p string, set map[string]string) (string, bool) {
	if !has(set, "f") && !has(set, "e") && !has(set, "m") {
		f, err := c.Tree.Lstat(c.Abs(p))
		return f.Link, err == nil && f.Mode.Type() == fs.ModeSymlink
	}
	real, err := c.Tree.Resolve(c.Abs(p))
	if err != nil && has(set, "m") {
		return path.Clean(c.Abs(p)), true
	}
	if has(set, "e") && !c.Tree.Exists("/"+real) {
		return "", false
	}
	return path.Join("/", real), err == nil
}

func realpath(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("emqsLPz", "canonicalize-existing:e", "canonicalize-missing:m", "no-symlinks:s")
	if err != nil {
		return err
	}
	if has(set, "L") || has(set, "z") {
		return c.Usage()
	}
	if !has(set, "e") && !has(set, "m") {
		set["f"] = ""
	}
	return c.each(rest, func(p string) error {
		if has(set, "s") {
			fmt.Fprintln(c.Out, path.Clean(c.Abs(p)))
			return nil
		}
		out, ok := c.resolve(p, set)
		if !ok {
			return fmt.Errorf("%s: %w", p, fs.ErrNotExist)
		}
		fmt.Fprintln(c.Out, out)
		return nil
	})
}

func stat(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("Lc:", "dereference:L", "format=:c", "printf=:c")
	if err != nil {
		return err
	}
	if set["c"] == "" {
		return c.Usage()
	}
	return c.each(rest, func(p string) error {
		f, err := c.Tree.Lstat(c.Abs(p))
		if has(set, "L") {
			f, err = c.Tree.Stat(c.Abs(p))
		}
		if err != nil {
			return err
		}
		out, err := c.statFormat(set["c"], map[byte]string{
			'a': fmt.Sprintf("%o", layers.UnixMode(f.Mode)), 'u': strconv.Itoa(f.UID), 'g': strconv.Itoa(f.GID),
			's': strconv.FormatInt(f.Size, 10), 'n': p, '%': "%",
			'U': c.nameOf("/etc/passwd", f.UID), 'G': c.nameOf("/etc/group", f.GID),
		})
		fmt.Fprintln(c.Out, out)
		return err
	})
}

func (c *Call) statFormat(format string, values map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		v, ok := values[format[i]]
		if !ok {
			return "", &UnsupportedError{"stat " + format}
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func ls(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("1AadL", "all:a")
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		rest = []string{"."}
	}
	return c.each(rest, func(p string) error {
		f, err := c.Tree.Stat(c.Abs(p))
		if err != nil {
			return err
		}
		if !f.Mode.IsDir() || has(set, "d") {
			fmt.Fprintln(c.Out, p)
			return nil
		}
		if len(rest) > 1 || has(set, "a") {
			return c.Usage()
		}
		return c.lsDir(p, has(set, "A"))
	})
}

// lsDir prints the names in a directory; those with a dot only if all is set.
func (c *Call) lsDir(p string, all bool) error {
	names, err := c.Tree.ReadDir(c.Abs(p))
	for _, n := range names {
		if all || !strings.HasPrefix(n, ".") {
			fmt.Fprintln(c.Out, n)
		}
	}
	return err
}

func basename(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("s:a", "suffix=:s")
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return c.Usage()
	}
	suffix := set["s"]
	if len(rest) == 2 && !has(set, "s") && !has(set, "a") {
		suffix, rest = rest[1], rest[:1]
	}
	for _, p := range rest {
		b := path.Base(p)
		if b != suffix {
			b = strings.TrimSuffix(b, suffix)
		}
		fmt.Fprintln(c.Out, b)
	}
	return nil
}

func dirname(_ context.Context, c *Call) error {
	_, rest, err := c.Flags("")
	for _, p := range rest {
		fmt.Fprintln(c.Out, path.Dir(strings.TrimRight(p, "/")))
	}
	return err
}

func md5sum(_ context.Context, c *Call) error {
	_, rest, err := c.Flags("b")
	if err != nil {
		return err
	}
	return c.each(orInput(rest), func(p string) error {
		b, err := c.read(p)
		if err != nil {
			return err
		}
		sum := md5.Sum(b) //nolint:gosec // see above
		fmt.Fprintf(c.Out, "%s  %s\n", hex.EncodeToString(sum[:]), p)
		return nil
	})
}

func compare(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("s", "quiet:s", "silent:s")
	if err != nil {
		return err
	}
	if len(rest) != 2 {
		return c.Usage()
	}
	a, err := c.read(rest[0])
	if err == nil {
		var b []byte
		if b, err = c.read(rest[1]); err == nil && bytes.Equal(a, b) {
			return nil
		}
	}
	if err != nil {
		if err = c.Fail(err); errors.Is(err, Exit(1)) {
			return Exit(2)
		}
		return err
	}
	if !has(set, "s") {
		return c.Usage()
	}
	return Exit(1)
}
