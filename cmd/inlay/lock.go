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

	"github.com/urfave/cli/v2"

	"inlay/cache/disk"
	"inlay/resolve"
	"inlay/resolve/lock"
)

func lockCommand() *cli.Command {
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
		Flags:        lockFlags(),
		OnUsageError: usageProblem,
		Action:       writeLock,
	}
}

// lockFlags are those of plan without what names, delivers and makes an image.
func lockFlags() []cli.Flag {
	return slices.DeleteFunc(planFlags(), func(f cli.Flag) bool {
		return slices.Contains([]string{"tag", "push", "output", "no-cache"}, f.Names()[0])
	})
}

func writeLock(c *cli.Context) error {
	j, err := newJob(c)
	if err != nil {
		return err
	}
	defer j.close()
	switch {
	case j.settings.NoLock:
		return &usageError{"the settings say that no lock file counts (`lock: false`)", "name one: `--lock inlay.lock`"}
	case j.settings.SkipBuild:
		return &usageError{"nothing is built (`skip_build`), so there is nothing to lock", "name the parent image by its digest"}
	}
	r, err := j.resolve(c.Context, c)
	if err != nil {
		return err
	}
	if err := j.lock(r); err != nil {
		return err
	}
	j.show.Close()
	fmt.Fprintln(c.App.Writer, j.lockPath())
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
	l := resolve.Lock{Name: path, Dir: absolute([]string{filepath.Dir(path)})[0], Renew: c.Command.Name == "lock"}
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

// renewLock writes the lock file anew after a build that was told to refresh:
// one that is there, or that the settings name.
func (j *job) renewLock(r *resolve.Result) error {
	if j.settings.NoLock || j.locked.File == nil && j.settings.Lock == "" {
		return nil
	}
	return j.lock(r)
}

// lock writes what r was resolved to, beside what the file has for other
// platforms.
func (j *job) lock(r *resolve.Result) error {
	path := j.lockPath()
	b, err := j.locked.File.With(*r.Locked).Encode()
	if err != nil {
		return err
	}
	what := count(len(r.Locked.Wheels), "wheel")
	if p := r.Locked.Packages; p != nil {
		what += " and " + count(len(p.Debs), "package")
	}
	n := fmt.Sprintf("%s for %s", what, r.Locked.Platform)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		j.show.Note(fmt.Sprintf("%s stays as it is: %s", path, n))
		return nil
	}
	f, err := disk.Create(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if _, err := f.Commit(filepath.Base(path)); err != nil {
		return err
	}
	j.show.Note(fmt.Sprintf("locked %s in %s", n, path))
	return nil
}
