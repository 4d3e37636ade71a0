// SPDX-License-Identifier: Apache-2.0

// Package recipe turns a Dockerfile into stages of a plan. What an instruction
// does to files depends on what is there: after a command, that is known once
// the command has run, so an image is made where a later instruction asks for
// it, and nowhere else. What can't be done as Docker does it is an error that
// names file and line.
package recipe

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"inlay/resolve/apt/setup"
	"inlay/resolve/dockerfile"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
)

// Context is what plan.Files.From says of files of the Dockerfile's context.
const Context = "dockerfile"

// Options are all that a recipe depends on.
type Options struct {
	File    *dockerfile.File
	Options dockerfile.Options
	// Context lists the files that COPY can name; nil: there is no context.
	Context *plan.Files
	// Head returns the beginning of a file of the context.
	Head    func(name string) ([]byte, error)
	Created int64 // of the plan
	Zstd    bool  // layers are compressed that way
	// Open lists what the image of a name holds.
	Open func(ctx context.Context, name string) (*parent.Inventory, error)
	// Look makes the image of the last of stages, and lists what it holds.
	Look func(ctx context.Context, stages []plan.Stage, of *parent.Inventory) (*parent.Inventory, error)
	// Values takes the values of arguments that no plan holds, by name.
	Values map[string]string
}

// A Recipe is a Dockerfile as stages of a plan.
type Recipe struct {
	Stages []plan.Stage // the last is the image
	// Base is the image below the last, and State its configuration.
	Base  *parent.Inventory
	State dockerfile.State
}

// Resolve returns the recipe of o.
func Resolve(ctx context.Context, o Options) (*Recipe, error) {
	needed, err := o.File.Stages(o.Options)
	if err != nil {
		return nil, err
	}
	b := &builder{Options: o, made: map[*dockerfile.Stage]*stage{}}
	for _, s := range needed {
		if b.made[s], err = b.stage(ctx, s); err != nil {
			return nil, err
		}
	}
	last := b.made[needed[len(needed)-1]]
	return &Recipe{Stages: append(b.stages, last.plan(o)), Base: last.base, State: last.state}, nil
}

// A builder goes through the stages of a Dockerfile.
type builder struct {
	Options
	made   map[*dockerfile.Stage]*stage
	stages []plan.Stage // that others copy from
}

// A stage is one on its way.
type stage struct {
	base  *parent.Inventory // that it begins with
	steps []plan.Step
	state dockerfile.State
	hosts []string // that commands may reach
	// tree is what is there: what was looked at last, and what was added since.
	tree  *tree
	stale bool // something was done that tree doesn't know
}

// plan returns s as a stage of a plan.
func (s *stage) plan(o Options) plan.Stage {
	out := plan.Stage{Parent: plan.Parent{Image: s.base.Reference, Digest: s.base.Digest}, Steps: slices.Clone(s.steps), Config: s.state.Changes}
	if o.Zstd {
		for i := range out.Steps {
			out.Steps[i].Compression = plan.Zstd
		}
	}
	return out
}

// stage evaluates the instructions of from.
func (b *builder) stage(ctx context.Context, from *dockerfile.Stage) (*stage, error) {
	s, err := b.begin(ctx, from)
	if err != nil {
		return nil, err
	}
	ops, state, err := from.Evaluate(s.state, b.Options.Options)
	if err != nil {
		return nil, err
	}
	s.state = state
	for _, op := range ops {
		switch {
		case op.Run != nil:
			err = b.run(s, op)
		case op.Copy != nil:
			err = b.copy(ctx, s, op)
		default:
			err = b.dir(ctx, s, op)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// begin returns the stage that from begins with: another, or an image.
func (b *builder) begin(ctx context.Context, from *dockerfile.Stage) (*stage, error) {
	if from.Of != nil {
		s := *b.made[from.Of]
		s.steps = slices.Clone(s.steps)
		return &s, nil
	}
	inv, err := b.Open(ctx, from.From)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: FROM %s: %w", b.File.Name, from.Line, from.From, err)
	}
	c := inv.Config.Config
	if len(c.OnBuild) > 0 {
		return nil, &dockerfile.Error{
			File: b.File.Name, Line: from.Line, Instruction: "FROM", Problem: fmt.Sprintf("%s has ONBUILD instructions, which are not run", from.From),
			Fix: "write them into the Dockerfile, and build on the image that it is made of: " + strings.Join(c.OnBuild, "; "),
		}
	}
	view, err := inv.View(ctx)
	if err != nil {
		return nil, err
	}
	return &stage{
		base: inv, tree: &tree{inv: inv, view: view}, hosts: hosts(view),
		state: dockerfile.State{Env: c.Env, User: c.User, WorkDir: c.WorkingDir, Shell: c.Shell},
	}, nil
}

// hosts returns where the packages of an image's apt come from. A setup that
// can't be read says nothing: apt will complain.
func hosts(view fsys) (all []string) {
	set, err := setup.Read(view)
	if err != nil {
		return nil
	}
	for _, s := range set.Sources {
		if u, err := url.Parse(s.URL); err == nil && u.Host != "" {
			all = append(all, u.Host)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// run adds a command.
func (b *builder) run(s *stage, op dockerfile.Op) error {
	r := &plan.Run{
		Parent: treeOf(s.base), Command: op.Run.Command, Dir: op.Run.Dir, Env: op.Run.Env, Created: b.Created, Exact: true,
		User: op.Run.User, Caches: op.Run.Caches, Secrets: op.Run.Secrets, Hosts: s.hosts, Setting: fmt.Sprintf("%s:%d: RUN", b.File.Name, op.Line),
	}
	h := sha256.New()
	for _, a := range op.Run.Args {
		if !a.Given && !a.Secret {
			r.Env = append(r.Env, a.Name+"="+a.Value)
			continue
		}
		if other, ok := b.Values[a.Name]; ok && other != a.Value {
			return &dockerfile.Error{
				File: b.File.Name, Line: op.Line, Instruction: "RUN", Problem: fmt.Sprintf("the argument %s seems to be a secret, and has two values in the file", a.Name),
				Fix: "give it one value as a build argument, and no default",
			}
		}
		b.Values[a.Name] = a.Value
		r.Args = append(r.Args, a.Name)
		if !a.Secret {
			fmt.Fprintf(h, "%q %q\n", a.Name, a.Value)
		}
	}
	if len(r.Args) > 0 {
		r.ArgsDigest = fmt.Sprintf("sha256:%x", h.Sum(nil))
	}
	s.steps = append(s.steps, plan.Step{Name: op.Text, Run: r})
	s.stale = true
	return nil
}

// look returns what is there now.
func (b *builder) look(ctx context.Context, s *stage) (*tree, error) {
	if !s.stale {
		return s.tree, nil
	}
	inv, err := b.Look(ctx, append(slices.Clone(b.stages), s.plan(b.Options)), s.base)
	if err != nil {
		return nil, err
	}
	view, err := inv.View(ctx)
	if err != nil {
		return nil, err
	}
	s.tree, s.stale = &tree{inv: inv, view: view}, false
	return s.tree, nil
}

func treeOf(inv *parent.Inventory) string {
	ids := make([]string, len(inv.Layers))
	for i, l := range inv.Layers {
		ids[i] = l.DiffID
	}
	return plan.Tree(ids)
}
