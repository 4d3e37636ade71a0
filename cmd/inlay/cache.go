// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"inlay/assemble/deb"
	"inlay/cache"
)

func cacheCommand() *cli.Command {
	return &cli.Command{
		Name:         "cache",
		Usage:        "show, prune or verify the local cache",
		OnUsageError: usageProblem,
		Subcommands: []*cli.Command{
			{
				Name: "show", Usage: "say where the cache is and what it holds",
				Description: examples("Counts what there is of each kind, and its bytes.", "inlay cache show"),
				Flags:       globalFlags(), OnUsageError: usageProblem, Action: cacheShow,
			},
			{
				Name: "prune", Usage: "remove what wasn't used lately",
				Description: examples("Waits until no build uses the cache.",
					"inlay cache prune", "inlay cache prune --older 24h --max-size 10GB", "inlay cache prune --all"),
				Flags: append([]cli.Flag{
					&cli.BoolFlag{Name: "all", Usage: "remove everything"},
					&cli.DurationFlag{Name: "older", Usage: "remove what wasn't used for `DURATION`", Value: 30 * 24 * time.Hour},
					&cli.StringFlag{Name: "max-size", Usage: "then remove the least recently used until no more than `SIZE` is left, such as 10GB"},
				}, globalFlags()...),
				OnUsageError: usageProblem, Action: cachePrune,
			},
			{
				Name: "verify", Usage: "read everything and remove what is damaged",
				Description: examples("Compares every file with its digest. The status is 1 if something was damaged.", "inlay cache verify"),
				Flags:       globalFlags(), OnUsageError: usageProblem, Action: cacheVerify,
			},
		},
		Action: noSubcommand,
	}
}

// noSubcommand shows the help, or names the one that was probably meant.
func noSubcommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	var names []string
	for _, sub := range c.Command.Subcommands {
		names = append(names, sub.Name)
	}
	of, arg := c.Command.Name, c.Args().First()
	return &usageError{fmt.Sprintf("no command %q of %s", arg, of), cmp.Or(nearest(arg, names, of+" "), helpFor("inlay "+of))}
}

func openCache(c *cli.Context) (*cache.Dir, string, error) {
	if c.Args().Present() {
		return nil, "", &usageError{fmt.Sprintf("cache %s takes no arguments", c.Command.Name), helpFor(c.Command.HelpName)}
	}
	root, err := cacheDir(c)
	if err != nil {
		return nil, "", err
	}
	if _, err := os.Stat(filepath.Join(root, "CACHEDIR.TAG")); errors.Is(err, fs.ErrNotExist) {
		return nil, "", &usageError{fmt.Sprintf("there is no cache in %s", root), "a build makes it; name another with --cache-dir DIR"}
	}
	dir, err := cache.Open(root)
	if err != nil {
		return nil, "", err
	}
	keepTrees(dir)
	return dir, root, nil
}

func cacheShow(c *cli.Context) error {
	dir, root, err := openCache(c)
	if err != nil {
		return err
	}
	usage, err := dir.Usage()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, root)
	printUsage(c, usage)
	return nil
}

// printUsage prints a table with a line for each kind and the sum.
func printUsage(c *cli.Context, usage []cache.Usage) {
	var t table
	var n int
	var sum int64
	for _, u := range usage {
		t.row(string(u.Kind), strconv.Itoa(u.Count), inBytes(u.Bytes))
		n += u.Count
		sum += u.Bytes
	}
	t.row("in all", strconv.Itoa(n), inBytes(sum))
	t.print(c.App.Writer)
}

func cachePrune(c *cli.Context) error {
	o := cache.TrimOptions{All: c.Bool("all"), Before: time.Now().Add(-c.Duration("older"))}
	if s := c.String("max-size"); s != "" {
		n, err := humanize.ParseBytes(s)
		if err != nil || n > 1<<62 {
			return &usageError{fmt.Sprintf("--max-size %q is no size", s), "write a number and a unit: --max-size 10GB"}
		}
		o.MaxBytes = int64(max(n, 1)) // 0 means any number
	}
	dir, _, err := openCache(c)
	if err != nil {
		return err
	}
	removed, err := dir.Trim(c.Context, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, "removed")
	printUsage(c, removed)
	return nil
}

// A damageError reports damaged entries, which were removed.
type damageError struct{ n int }

func (e *damageError) Error() string { return fmt.Sprintf("%d entries of the cache were damaged", e.n) }

// Hint says what became of them.
func (e *damageError) Hint() string { return "they were removed; run `inlay build` to make them again" }

func cacheVerify(c *cli.Context) error {
	dir, root, err := openCache(c)
	if err != nil {
		return err
	}
	dir.CheckUnpacked = deb.Check
	checkTrees(dir)
	n := 0
	err = dir.Verify(c.Context, func(p cache.Problem) {
		n++
		fmt.Fprintf(c.App.Writer, "%s %s %s\n", p.Kind, p.Name, p.What)
	})
	if err != nil {
		return err
	}
	if n > 0 {
		return &damageError{n}
	}
	fmt.Fprintf(c.App.Writer, "%s is whole\n", root)
	return nil
}
