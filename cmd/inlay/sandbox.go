// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"inlay/assemble/rootfs"
	"inlay/assemble/step"
	"inlay/cache"
	"inlay/cache/disk"
	"inlay/cmd/inlay/progress"
	"inlay/resolve/sandbox"
)

// sandboxFlag says how commands are isolated.
func sandboxFlag() cli.Flag {
	return choice("sandbox", "isolate commands as `MODE` does; doctor says which work here", "auto",
		append(append([]string{"auto"}, sandbox.Rungs()...), sandbox.RungChroot)...)
}

// tasks are what child processes of the sandbox do for this program.
func tasks() map[string]sandbox.Task {
	all := map[string]sandbox.Task{}
	for _, name := range []string{rootfs.UnpackTask, rootfs.SumTask} {
		all[name] = func(ctx context.Context, t sandbox.TaskContext) error {
			return rootfs.Task(ctx, name, "/", t.OneID, t.In, t.Out)
		}
	}
	return all
}

// rung returns how commands are isolated here: as the flag says, or as well as it
// can be done, which builds say.
func rung(c *cli.Context, dir *cache.Dir, show progress.Display) (*sandbox.Rung, error) {
	name := c.String("sandbox")
	if name == "auto" {
		name = ""
	}
	r, err := choose(c.Context, dir, name)
	if err == nil && (c.Command.Name != "run" || r.Name == sandbox.RungChroot || r.Asked) {
		show.Note(fmt.Sprintf("commands are isolated as %s: %s", r.Name, r.Why))
	}
	return r, err
}

// choose returns the rung of that name, the best if it is "". What was found
// is kept until the circumstances change.
func choose(ctx context.Context, dir *cache.Dir, name string) (*sandbox.Rung, error) {
	if err := os.MkdirAll(dir.Path(cache.Trees), 0o755); err != nil {
		return nil, err
	}
	known, key := values(dir, cache.Resolutions), circumstances(dir, "sandbox", name)
	if b, err := known.Get(key); err == nil {
		if r, err := sandbox.Recall(b); err == nil {
			return r, nil
		}
	}
	r, err := sandbox.Choose(ctx, dir.Path(cache.Trees), name)
	if err != nil {
		return nil, err
	}
	if b, err := r.Memory(); err == nil {
		_ = known.Put(key, b) // else it is found out again
	}
	return r, nil
}

// circumstances names a value that holds for a sandbox of that name, as things
// are here.
func circumstances(dir *cache.Dir, what, name string) string {
	sum := sha256.Sum256([]byte(name + "\n" + sandbox.Circumstances(dir.Path(cache.Trees))))
	return what + "-" + hex.EncodeToString(sum[:])
}

// trees returns the store of unpacked layers for commands on a rung.
func trees(dir *cache.Dir, r *sandbox.Rung) *rootfs.Store {
	return &rootfs.Store{
		Dir: dir.Path(cache.Trees), Owners: r.Owners,
		Do: func(ctx context.Context, task, dir string, in io.Reader, out io.Writer) error {
			return r.Do(ctx, task, dir, sandbox.TaskContext{In: in, Out: out})
		},
		Remove: r.Remove,
	}
}

// treesShown is trees that shows what it unpacks.
func treesShown(dir *cache.Dir, r *sandbox.Rung, show progress.Display, jobs int) *rootfs.Store {
	s := trees(dir, r)
	s.Jobs, s.Progress = jobs, show.Start
	return s
}

// keepTrees says how unpacked layers are removed: some belong to ids that only
// the sandbox has.
func keepTrees(dir *cache.Dir) {
	dir.RemoveTree = func(ctx context.Context, path string) error {
		if disk.RemoveAll(path) == nil {
			return nil
		}
		r, err := choose(ctx, dir, "")
		if err != nil {
			return err
		}
		inside, err := filepath.Glob(filepath.Join(path, "*"))
		if err != nil {
			return err
		}
		return errors.Join(r.Remove(ctx, inside...), disk.RemoveAll(path))
	}
}

// checkTrees says how unpacked layers are checked. Where no command can run there
// are none that it could check.
func checkTrees(dir *cache.Dir) {
	dir.CheckTree = func(ctx context.Context, path string) error {
		r, err := choose(ctx, dir, "")
		if err != nil {
			return nil //nolint:nilerr // nobody uses them here
		}
		return trees(dir, r).Check(ctx, path)
	}
}

// sandbox returns what the commands of a plan for a platform run in.
func (j *job) sandbox(platform string) (*step.Sandbox, error) {
	r, err := j.site.rung()
	if err != nil {
		return nil, err
	}
	s := &step.Sandbox{
		Rung: r, Trees: treesShown(j.site.cache, r, j.show, runtime.NumCPU()), Scratch: j.site.cache.Path(cache.Trees),
		Network: j.network, Secrets: j.given, Limits: sandbox.BuildLimits(),
	}
	if own := "linux/" + runtime.GOARCH; platform != own && !strings.HasPrefix(platform, own+"/") {
		s.Foreign = platform
	}
	return s, nil
}
