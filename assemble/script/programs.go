// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

func xargs(ctx context.Context, c *Call) error {
	i := 1
	empty, null := true, false
	for ; i < len(c.Args) && strings.HasPrefix(c.Args[i], "-"); i++ {
		switch c.Args[i] {
		case "-r", "--no-run-if-empty":
			empty = false
		case "-0", "--null":
			null = true
		case "-r0", "-0r":
			null, empty = true, false
		default:
			return c.unknown(c.Args[i])
		}
	}
	words, err := c.xargsWords(null)
	if err != nil || len(words) == 0 && !empty {
		return err
	}
	args := append([]string{}, c.Args[i:]...)
	if len(args) == 0 || args[0] == "echo" {
		fmt.Fprintln(c.Out, strings.Join(append(args[min(1, len(args)):], words...), " "))
		return nil
	}
	inner := *c
	inner.In = strings.NewReader("")
	err = inner.Exec(ctx, append(args, words...)...)
	var status Exit
	if errors.As(err, &status) && status < 126 {
		return Exit(123)
	}
	return err
}

// xargsWords splits standard input into words.
func (c *Call) xargsWords(null bool) ([]string, error) {
	b, err := c.Input()
	switch {
	case err != nil:
		return nil, err
	case null:
		return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"), nil
	case strings.ContainsAny(string(b), "'\"\\"):
		return nil, c.unknown("with quotes in its input")
	}
	return strings.Fields(string(b)), nil
}

// runParts runs what is in a directory, if nothing is.
func runParts(_ context.Context, c *Call) error {
	dir := c.Args[len(c.Args)-1]
	names, err := c.Tree.ReadDir(c.Abs(dir))
	if err != nil {
		return c.Fail(err)
	}
	if len(names) > 0 {
		return &UnsupportedError{"run-parts " + dir}
	}
	return nil
}

// mountpoint knows what is mounted wherever packages are installed: nothing of
// an image, but what the kernel shows.
func mountpoint(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("q", "quiet:q")
	if err != nil || len(rest) != 1 || !has(set, "q") {
		return c.Usage()
	}
	switch path.Clean(c.Abs(rest[0])) {
	case "/proc", "/sys", "/dev", "/":
		return nil
	}
	return Exit(32)
}

func which(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("as")
	if err != nil {
		return err
	}
	if has(set, "s") {
		c.Out = io.Discard
	}
	return c.which(rest)
}

func env(ctx context.Context, c *Call) error {
	args := c.Args[1:]
	for len(args) > 0 && strings.Contains(args[0], "=") && !strings.HasPrefix(args[0], "-") {
		name, value, _ := strings.Cut(args[0], "=")
		outer := c.Env
		c.Env = func(n string) string {
			if n == name {
				return value
			}
			return outer(n)
		}
		args = args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return c.Usage()
	}
	return c.Exec(ctx, args...)
}

func uname(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("s", "kernel-name:s")
	if err != nil || len(rest) > 0 || len(set) > 1 {
		return c.Usage()
	}
	fmt.Fprintln(c.Out, "Linux")
	return nil
}

// date tells the time of the build, for people.
func date(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("ud:", "utc:u", "date=:d")
	if err != nil {
		return err
	}
	now := time.Unix(c.Time, 0).UTC().Format("Mon Jan _2 15:04:05 UTC 2006")
	if d, ok := set["d"]; len(rest) > 0 || ok && d != now {
		return c.Usage()
	}
	fmt.Fprintln(c.Out, now)
	return nil
}
