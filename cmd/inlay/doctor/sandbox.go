// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"inlay/cache"
	"inlay/cache/disk"
	"inlay/resolve/cell"
	"inlay/resolve/sandbox"
)

// Sandbox checks how commands are isolated, with the cache in root, by running
// one, and whether uv and pip can be.
func Sandbox(root string) Check {
	return Check{"sandbox", func(ctx context.Context) []Finding {
		dir, err := cache.Open(root)
		if err != nil {
			return broken(err, "name another with --cache-dir DIR")
		}
		release, err := dir.Use(ctx)
		if err != nil {
			return broken(err, "name one on a file system with locks, with --cache-dir DIR")
		}
		defer release()
		scratch, remove, err := disk.Scratch(ctx, dir.Scratch())
		if err != nil {
			return broken(err, "name another with --cache-dir DIR")
		}
		defer remove()
		rungs := sandbox.Probe(ctx, scratch)
		found := Rungs(rungs)
		if i := slices.IndexFunc(rungs, func(r sandbox.Rung) bool { return r.Works }); i >= 0 {
			if err := cell.Try(ctx, &rungs[i], scratch); err != nil {
				fix := "keep the cache on a disk, with --cache-dir DIR"
				var h interface {
					error
					Hint() string
				}
				if errors.As(err, &h) {
					fix = h.Hint()
				}
				found = append(found, One(Note, fmt.Sprintf("uv and pip run as this user, without a sandbox: %v", err), fix)...)
			}
			return found
		}
		return append(found, Chroot(sandbox.TryChroot(ctx, scratch))...)
	}}
}

// Chroot says, where nothing else isolates commands, that what is weaker would.
func Chroot(r sandbox.Rung) []Finding {
	if !r.Works {
		return nil
	}
	return One(Note, "commands would run with --sandbox "+r.Name+", which is never chosen by itself: "+r.Why,
		"give --sandbox "+r.Name+" where the commands are trusted that far")
}

// Rungs says which of the ways to isolate commands is taken, and why none that
// is stronger.
func Rungs(rungs []sandbox.Rung) []Finding {
	var why []string
	fix := ""
	for _, r := range rungs {
		if fix == "" {
			fix = r.Fix // that of the strongest
		}
		if !r.Works {
			why = append(why, fmt.Sprintf("not %s: %s", r.Name, r.Why))
			continue
		}
		found := fmt.Sprintf("commands are isolated as %s: %s", r.Name, r.Why)
		if why != nil {
			found += " (" + strings.Join(why, "; ") + ")"
		}
		if fix == "" {
			return One(OK, found, "")
		}
		return One(Note, found, fix)
	}
	return One(Note, "no command can be isolated, and so none is run but uv and pip, as this user: "+strings.Join(why, "; "), fix)
}
