// SPDX-License-Identifier: Apache-2.0

// Package resolve turns settings into a plan. It decides and makes nothing:
// after it, no name is left to look up.
package resolve

import (
	"context"
	"fmt"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"inlay/ignore"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/settings"
	"inlay/resolve/source"
	"inlay/resolve/tree"
)

// A Request is everything a plan depends on.
type Request struct {
	Settings *settings.Docker
	Context  string   // the directory of the source
	Source   fs.FS    // its files; a *tree.Dir as a rule
	Written  []string // paths in it that the build writes to, such as an output's; no part of the source
	Platform string   // of a parent for several, where the settings name none
	Created  int64    // SOURCE_DATE_EPOCH, or 0: seconds since 1970
	Refresh  bool     // resolve requirements anew
	Strict   bool     // requirements that later ones break are an error
	Offline  bool     // no network

	Index    *index.Set // the package indexes; nil asks the installer's own
	Images   Images
	Python   Python
	Projects Projects
	Store    Store                            // keeps what was learned of parents
	Digests  *tree.Cache                      // of files seen before; nil reads every file
	Jobs     int                              // files and parent layers read at a time
	Lookup   func(name string) (string, bool) // returns a variable of the user's environment, for requirements files; nil knows none
	Note     func(string)                     // is told what the user should know; safe for concurrent use; nil drops it
	// Default names the parent where the settings name none, and says why that
	// one; "" if there is none.
	Default func() (image, why string)
	// Progress is told of tasks; nil shows none.
	Progress func(task string, total int64) (add func(int64), done func(error))
}

// Images opens images by name; *source.Images does.
type Images interface {
	Open(ctx context.Context, ref source.Reference, platform string) (*source.Image, error)
}

// Python resolves requirements; *python.Resolver does.
type Python interface {
	Resolve(ctx context.Context, req python.Request) (*python.Resolution, error)
}

// A Store keeps small values by name. Get's error is fs.ErrNotExist if there
// is none.
type Store interface {
	Get(name string) ([]byte, error)
	Put(name string, b []byte) error
}

// A Result is a plan and what was learned on the way.
type Result struct {
	Plan       plan.Plan
	Parent     *parent.Inventory
	Resolution *python.Resolution // nil without requirements
}

// Resolve returns the plan for req.
func Resolve(ctx context.Context, req Request) (*Result, error) {
	rules, err := readIgnore(req)
	if err != nil {
		return nil, err
	}
	if req, err = detect(req); err != nil {
		return nil, err
	}
	groups, err := readRequirements(req)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	var files *plan.Files
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		files, err = snapshot(ctx, req, rules)
		return err
	})
	g.Go(func() (err error) {
		project, err := exported(ctx, req)
		if err != nil {
			return err
		}
		groups = append(project, groups...) // what the settings list wins
		if r.Parent, err = inspect(ctx, req); err != nil {
			return err
		}
		r.Resolution, err = requirements(ctx, req, r.Parent, groups)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	r.Plan, err = compose(req, r, files)
	return r, err
}

// inspect pins the parent and lists what it holds.
func inspect(ctx context.Context, req Request) (*parent.Inventory, error) {
	s := req.Settings
	name := s.ParentImage
	if name == "" {
		var why string
		if name, why = req.Default(); name == "" {
			return nil, s.FieldError("parent_image", "is missing", "add `parent_image: IMAGE` or give `--parent-image IMAGE`")
		}
		req.note("parent image %s: %s", name, why)
	}
	ref, err := source.Parse(name)
	if err != nil {
		return nil, s.FieldError("parent_image", err.Error(), hint(err))
	}
	platform := s.Platform
	if platform == "" && ref.Transport == "docker" {
		platform = req.Platform
	}
	img, err := req.Images.Open(ctx, ref, platform)
	if err != nil {
		return nil, fmt.Errorf("opening the parent image: %w", err)
	}
	inv, err := parent.Inspect(ctx, parent.Options{
		Image: img, Name: name, Reference: img.Reference, Platform: platform, Python: s.Python,
		Store: req.Store, Jobs: req.Jobs, Progress: req.Progress,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the parent image: %w", err)
	}
	for _, n := range inv.Notes {
		req.note("note: %s", n)
	}
	if len(inv.Config.Config.OnBuild) > 0 {
		req.note("warning: the parent's ONBUILD instructions are not run")
	}
	return inv, nil
}

// requirements resolves what the parent lacks.
func requirements(ctx context.Context, req Request, inv *parent.Inventory, groups []python.Group) (*python.Resolution, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	if err := inv.NeedPython(); err != nil {
		return nil, err
	}
	r, err := req.Python.Resolve(ctx, python.Request{
		Inventory: inv, View: inv.View, Groups: groups, Index: req.Index, Refresh: req.Refresh, Offline: req.Offline,
	})
	if err != nil {
		return nil, unresolved(req, err)
	}
	if len(r.Broken) > 0 && req.Strict {
		return nil, fmt.Errorf("resolving requirements: %w", &python.BrokenError{Problems: r.Broken})
	}
	for _, b := range r.Broken {
		req.note("warning: %s", b)
	}
	if !r.Recalled { // else an earlier build has said them
		for _, n := range r.Notes {
			req.note("note: %s", n)
		}
	}
	return r, nil
}

func snapshot(ctx context.Context, req Request, rules *ignore.Rules) (*plan.Files, error) {
	files, err := tree.Snapshot(ctx, tree.Options{
		FS: req.Source, Rules: rules, Written: req.Written, Target: target, ModTime: req.Created,
		Cache: req.Digests, Jobs: req.Jobs, Note: req.Note, Progress: req.Progress,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the source: %w", err)
	}
	return files, nil
}

func (req Request) note(format string, args ...any) {
	if req.Note != nil {
		req.Note(fmt.Sprintf(format, args...))
	}
}
