// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"inlay/cache"
	"inlay/cmd/inlay/progress"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/sdist"
)

// builder returns what builds wheels of sources: in the sandbox, over the image
// that they are for.
func (s *site) builder(show progress.Display, find python.FindOptions) *sdist.Builder {
	return &sdist.Builder{
		Open: func(ctx context.Context, of *parent.Inventory) (sdist.Sandbox, []string, error) {
			r, err := s.rung()
			if err != nil {
				return nil, nil, err
			}
			all, err := of.Image().Layers()
			if err != nil {
				return nil, nil, err
			}
			tree, err := treesShown(s.cache, r, show, runtime.NumCPU()).Tree(ctx, all)
			if err != nil {
				return nil, nil, err
			}
			return r, tree.Dirs, nil
		},
		UV: func(ctx context.Context, of *parent.Inventory) (python.UV, error) {
			return python.FindBuildUV(ctx, find, of.Libc)
		},
		Runner:  find.Runner,
		Temp:    s.cache.Path(cache.Trees),
		Files:   s.cache.Path(cache.Wheels),
		Outside: s.outside,
	}
}

// goneWheel is the error that a wheel is nowhere: no index has it.
func goneWheel(w plan.Wheel) error {
	return &usageError{
		fmt.Sprintf("%s was built where the plan was made, of %s, and is not in the cache here", w.File, w.Source.File),
		"plan the build on this machine, with `--refresh` if it was here before",
	}
}

// printBuilds prints which commands of packages are run to make the plan.
func printBuilds(w io.Writer, p plan.Plan) {
	for _, st := range p.Image().Steps {
		if st.Python == nil {
			continue
		}
		for _, x := range st.Python.Wheels {
			if x.Source != (plan.Source{}) {
				fmt.Fprintf(w, "built in the sandbox: %s %s, by `%s`\n", x.Name, x.Version, x.Source.Command)
			}
		}
	}
}
