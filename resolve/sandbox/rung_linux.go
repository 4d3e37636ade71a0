// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// A kind is a way to get ids.
type kind struct {
	name string
	ids  func() (ids, error)
	like string // what it is like where it works
}

// kinds are those that there are, the strongest first.
var kinds = []kind{
	{RungRoot, rootIDs, "root of a sandbox is nobody on the host; layers are overlaid"},
	{RungSubIDs, subIDs, "the ids of /etc/subuid by newuidmap; layers are overlaid"},
	{RungOneID, oneID, "root is the only id, changes of owners are pretended; layers are overlaid"},
}

func probe(ctx context.Context, dir string) []Rung {
	var all []Rung
	for _, name := range Rungs() {
		r := tryRung(ctx, dir, name)
		r.Works = r.Works && !r.Asked
		all = append(all, r)
	}
	return all
}

func choose(ctx context.Context, dir, name string) (*Rung, error) {
	names := Rungs()
	if name != "" {
		names = []string{name}
	}
	var tried []Rung
	for _, n := range names {
		r := tryRung(ctx, dir, n)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.Works && (!r.Asked || name == n) {
			return &r, nil
		}
		tried = append(tried, r)
	}
	return nil, &NoRungError{Asked: name, Tried: tried}
}

// tryRung does all that running a command takes, but for the command.
func tryRung(ctx context.Context, dir, name string) Rung {
	switch name {
	case RungFuse:
		return tryFuse(ctx, dir)
	case RungCopy:
		return tryIDs(ctx, dir, Rung{Name: RungCopy, copies: true}, ", but layers are copied for each command, which takes seconds")
	case RungChroot:
		return tryChroot(ctx, dir)
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	r := Rung{Name: name}
	if d, err := kinds[i].ids(); err != nil {
		r.Why, r.Fix = err.Error(), advice(name, err)
	} else {
		r.try(ctx, dir, d, kinds[i].like)
	}
	return r
}

// tryFuse tries the program that overlays layers.
func tryFuse(ctx context.Context, dir string) Rung {
	r := Rung{Name: RungFuse, fuse: program(fuseProgram)}
	if r.fuse == "" {
		r.Why, r.Fix = "there is no program "+fuseProgram, fuseAdvice
		return r
	}
	r = tryIDs(ctx, dir, r, ", but layers are overlaid by the program "+fuseProgram)
	if r.Asked {
		r.Why += ": INEXACT, it shows files again that were removed after another had taken their name, and so layers can be others"
		r.Fix = "give --sandbox " + RungFuse + " where no command does that"
	}
	return r
}

// tryIDs tries a rung with the strongest ids that work.
func tryIDs(ctx context.Context, dir string, like Rung, but string) Rung {
	r := like
	for _, k := range kinds {
		d, err := k.ids()
		if err != nil {
			continue
		}
		r = like
		if r.try(ctx, dir, d, "as "+k.name+but); r.Works {
			break
		}
	}
	return r
}

func (r *Rung) try(ctx context.Context, dir string, d ids, like string) {
	r.ids, r.Owners = d, d.owners()
	odd, err := r.rehearse(ctx, dir)
	if err != nil {
		r.Why, r.Fix = err.Error(), advice(r.Name, err)
		return
	}
	r.Works, r.Why = true, like
	if odd != "" {
		r.Why, r.Fix = r.Why+"; "+odd, "start the container that this is with --security-opt systempaths=unconfined"
	}
}

func (r *Rung) rehearse(ctx context.Context, dir string) (odd string, err error) {
	if dir, err = os.MkdirTemp(dir, "sandbox"); err != nil {
		return "", err
	}
	root := Root{Lower: []string{filepath.Join(dir, "lower")}, Scratch: filepath.Join(dir, "scratch")}
	defer func() {
		// What couldn't be made as this rung can't be removed as it, and is empty.
		_ = r.remove(context.WithoutCancel(ctx), []string{root.Scratch})
		_ = os.RemoveAll(dir)
	}()
	var files []string
	if r.fuse != "" {
		files = trialLower
	}
	if err := layTrial(root.Lower[0], files); err != nil {
		return "", err
	}
	if _, odd, err = r.runOddly(ctx, Command{Root: root}); err == nil && r.fuse != "" {
		r.Asked, err = r.tryChanges(ctx, root)
	}
	return odd, err
}

// layTrial makes a layer of empty files, which root of a sandbox can read whatever
// the umask is.
func layTrial(lower string, files []string) error {
	if err := os.Mkdir(lower, 0o700); err != nil {
		return err
	}
	for _, p := range files {
		p = filepath.Join(lower, p)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, nil, 0o600)); err != nil { //nolint:forbidigo // nobody else has the directory
			return err
		}
	}
	return filepath.WalkDir(lower, func(p string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(p, 0o755)) //nolint:gosec // as in most layers
	})
}

// advice says what to do so that a rung works.
func advice(name string, err error) string {
	switch {
	case name == RungChroot:
		return chrootAdvice
	case name == RungFuse:
		return fuseAdvice
	case errors.Is(err, errOverlay):
		return "keep the cache on a disk whose file system can be overlaid (ext4, xfs, btrfs), with --cache-dir DIR; Linux must be 5.11 or newer"
	case errors.Is(err, syscall.ENOSPC):
		return "allow user namespaces: set user.max_user_namespaces with sysctl"
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EINVAL):
		return "run it as root, or allow user namespaces: set kernel.apparmor_restrict_unprivileged_userns=0 with sysctl," +
			" or start the container that this is with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
	case name == RungSubIDs && os.Geteuid() != 0:
		return "run `usermod --add-subuids 100000-165535 --add-subgids 100000-165535` for this user, with the package uidmap installed"
	default:
		return ""
	}
}
