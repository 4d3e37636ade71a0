// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"inlay/resolve"
	"inlay/resolve/lock"
)

func lockCommand(common []cli.Flag) *cli.Command {
	return &cli.Command{
		Name:      "lock",
		Usage:     "write down what the names of a build stand for",
		ArgsUsage: "[CONTEXT]",
		Description: examples("Resolves like build, and writes the digest of the parent and the sha256 of each wheel and Debian package into inlay.lock in\n"+
			"CONTEXT. Later builds use it. What it says already stays, unless it no longer fits or --refresh is given.\n"+
			"Prints the path of the file.",
			"inlay lock",
			"inlay lock --refresh",
			"inlay lock --platform linux/arm64 src"),
		Flags:        lockFlags(common),
		OnUsageError: usageProblem,
		Action:       writeLock,
	}
}

// lockFlags are those of plan without what names, delivers and makes an image.
func lockFlags(common []cli.Flag) []cli.Flag {
	return slices.DeleteFunc(slices.Clone(common), func(f cli.Flag) bool {
		return slices.Contains([]string{"tag", "push", "output", "no-cache", "build"}, f.Names()[0])
	})
}

func writeLock(c *cli.Context) error {
	b, err := newBatch(c)
	if err != nil {
		return err
	}
	defer b.close()
	switch {
	case len(b.jobs) == 0:
		return &usageError{"nothing is built (`skip_build`), so there is nothing to lock", "name the parent image by its digest"}
	case b.jobs[0].settings.NoLock:
		return &usageError{"the settings say that no lock file counts (`lock: false`)", "name one: `--lock inlay.lock`"}
	}
	err = b.each(func(j *job) error {
		_, err := j.resolve(c.Context, c)
		return err
	})
	if err != nil {
		return err
	}
	if err := b.lock(); err != nil {
		return err
	}
	b.show.Close()
	fmt.Fprintln(c.App.Writer, b.jobs[0].lockPath())
	return nil
}

// lockPath returns the path of the lock file: by a flag, or in the context.
func (j *job) lockPath() string {
	name := j.settings.Lock
	if name == "" {
		name = lock.DefaultName
	}
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(j.context, name)
}

// readLock returns what the lock file says. Without one, a build resolves by
// itself, unless the settings name one.
func (j *job) readLock(c *cli.Context) (resolve.Lock, error) {
	path := j.lockPath()
	l := resolve.Lock{
		Name: path, Dir: absolute([]string{filepath.Dir(path)})[0], Step: j.of.Step(), Renew: c.Command.Name == "lock",
	}
	if j.settings.NoLock {
		return l, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if j.settings.Lock != "" && !l.Renew && !c.Bool("refresh") {
			return l, &usageError{"there is no lock file " + path, "run `inlay lock` with the same settings, which writes it"}
		}
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("reading the lock file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	l.File, err = lock.Decode(path, f)
	return l, err
}

// lock writes what all images were resolved to, beside what the file has for
// other platforms and for images that were not asked for.
func (b *batch) lock() error {
	first := b.jobs[0]
	path, f := first.lockPath(), first.locked.File
	if b.whole {
		steps := make([]string, len(b.jobs))
		for i, j := range b.jobs {
			steps[i] = j.of.Step()
		}
		f = f.Of(steps)
	}
	var images []string
	for _, j := range b.jobs {
		f = f.With(*j.resolved.Locked())
		images = append(images, j.lockedWords())
	}
	text, err := f.Encode()
	if err != nil {
		return err
	}
	n := strings.Join(images, ", ")
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		b.show.Note(fmt.Sprintf("%s stays as it is: %s", path, n))
		return nil
	}
	if err := replaceFile(path, text); err != nil {
		return err
	}
	b.show.Note(fmt.Sprintf("locked %s in %s", n, path))
	return nil
}

// lockedWords says how much of an image is locked.
func (j *job) lockedWords() string {
	r := j.resolved.Locked()
	what := count(len(r.Wheels), "wheel")
	if p := r.Packages; p != nil {
		what += " and " + count(len(p.Debs), "package")
	}
	if step := j.of.Step(); step != "" {
		what += " of " + step
	}
	return fmt.Sprintf("%s for %s", what, r.Platform)
}
