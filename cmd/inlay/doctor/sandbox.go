// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"strings"

	"inlay/cache"
	"inlay/cache/disk"
	"inlay/resolve/sandbox"
)

// Sandbox checks how commands are isolated, with the cache in root, by running
// one. A plain build runs none.
func Sandbox(root string) Check {
	return Check{"sandbox", func(ctx context.Context) []Finding {
		dir, err := cache.Open(root)
		if err != nil {
			return broken(err, "name another with --cache-dir DIR")
		}
		scratch, remove, err := disk.Scratch(ctx, dir.Scratch())
		if err != nil {
			return broken(err, "name another with --cache-dir DIR")
		}
		defer remove()
		return Rungs(sandbox.Probe(ctx, scratch))
	}}
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
	return One(Note, "no command can be isolated, and so none is run: "+strings.Join(why, "; "), fix)
}
