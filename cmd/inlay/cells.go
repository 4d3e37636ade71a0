// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"inlay/cache"
	"inlay/cmd/inlay/progress"
	"inlay/layers/hint"
	"inlay/resolve/cell"
	"inlay/resolve/parent"
	"inlay/resolve/python"
	"inlay/resolve/sandbox"
)

// isolation returns what isolates uv and pip: the sandbox, or where there is none
// and none was asked for, or one that can't show them this machine's programs,
// nothing, which the build says.
func (s *site) isolation(c *cli.Context, show progress.Display) python.Isolation {
	mode := c.String("sandbox")
	box := sync.OnceValues(func() (cell.Sandbox, error) {
		r, err := s.rung()
		if err != nil {
			return nil, err
		}
		return r, s.tryCells(c.Context, r, mode)
	})
	i := &cell.Isolation{
		Open:    func(context.Context) (cell.Sandbox, error) { return box() },
		Files:   s.cache.Path(cache.Wheels),
		Outside: s.outside,
	}
	switch mode {
	case "", "auto", sandbox.RungFuse, sandbox.RungChroot: // of these two nobody has the choice of a stronger one
		var once sync.Once
		i.Without = func(err error) {
			once.Do(func() {
				show.Note("uv and pip run as this user, without a sandbox (nothing of a package is run): " + whyNot(err))
			})
		}
	}
	return i
}

// whyNot says in a line why there is no sandbox for uv and pip.
func whyNot(err error) string {
	var none *sandbox.NoRungError
	if errors.As(err, &none) && none.Asked == sandbox.RungChroot {
		return none.Asked + " " + none.Tried[0].Why
	}
	return strings.ReplaceAll(err.Error(), "\n ", ";")
}

// tryCells returns a *sandbox.NoRungError if a cell can't be made on a rung. That
// one can be is kept until the circumstances change.
func (s *site) tryCells(ctx context.Context, r *sandbox.Rung, mode string) error {
	if r.Name == sandbox.RungChroot {
		return &sandbox.NoRungError{Asked: mode, Tried: []sandbox.Rung{{Name: r.Name, Why: "can't show them this machine's programs"}}}
	}
	known, key := values(s.cache, cache.Resolutions), circumstances(s.cache, "cells", r.Name)
	if _, err := known.Get(key); err == nil {
		return nil
	}
	dir := s.cache.Scratch()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := cell.Try(ctx, r, dir)
	if err == nil {
		_ = known.Put(key, nil) // else it is found out again
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	tried := sandbox.Rung{Name: r.Name, Why: err.Error()}
	tried.Fix, _ = hint.Of(err)
	if mode == "auto" {
		mode = ""
	}
	return &sandbox.NoRungError{Asked: mode, Tried: []sandbox.Rung{tried}}
}

// uv finds the uv that resolves: in the sandbox a program, not a script that
// looks for one on this machine.
func (s *site) uv(ctx context.Context) (python.UV, error) {
	isolated, err := s.python.Isolation.Works(ctx)
	if err != nil || !isolated {
		return python.FindUV(ctx, s.find)
	}
	return python.FindBuildUV(ctx, s.find, parent.Libc{Family: "glibc"})
}
