// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"inlay/assemble"
	"inlay/assemble/output"
	"inlay/cache"
	"inlay/resolve"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/source"
)

func planCommand(common []cli.Flag) *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "say what a build would do, and why",
		ArgsUsage: "[CONTEXT]",
		Description: examples("Goes as far as build does before it makes anything, and prints for each layer what it holds, whether\n"+
			"it is there or has to be made, what changed since the last build, and what a push would move.\n"+
			"Writes nothing but the cache.",
			"inlay plan",
			"inlay plan --push -t registry.example.com/team/app:v1 src",
			"inlay plan --format json >plan.json"),
		Flags: append(slices.Clip(common),
			choice("format", "print the plan as `FORMAT`", "text", "text", "json")),
		OnUsageError: usageProblem,
		Action:       explain,
	}
}

func explain(c *cli.Context) error {
	b, err := newBatch(c)
	if err != nil {
		return err
	}
	defer b.close()
	from, err := b.named()
	if err != nil {
		return err
	}
	if err := b.each(func(j *job) error { return j.explain(c) }); err != nil {
		return err
	}
	if from != nil {
		if err := b.check(from); err != nil {
			return err
		}
	}
	return b.print(c, func(j *job) error {
		if j.titled() {
			fmt.Fprintln(c.App.Writer, j.heading())
		}
		_, err := j.said.WriteTo(c.App.Writer)
		return err
	})
}

// explain says what a build of the image would do.
func (j *job) explain(c *cli.Context) error {
	r, err := j.resolve(c.Context, c)
	if err != nil {
		return err
	}
	j.plan, j.keys = r.Plan, r.Plan.Keys()
	if err := assemble.CheckPlan(r.Plan, j.secrets(r.Plan)); err != nil {
		return err
	}
	if c.Bool("refresh") && j.locked.File != nil {
		j.show.Note("a plan writes nothing: " + j.locked.Name + " stays, and `inlay lock --refresh` or a build with --refresh renews it")
	}
	if c.String("format") == "json" {
		return r.Plan.Encode(&j.said)
	}
	last, known, err := j.site.records.Last(j.recordName())
	if err != nil {
		return err
	}
	var before *plan.Plan
	if known {
		before = &last.Plan
	}
	forecast, err := j.foresee(c, before)
	if err != nil {
		return err
	}
	moves, err := j.moves(c.Context, r, forecast)
	if err != nil {
		return err
	}
	printPlan(&j.said, r, forecast)
	printCode(&j.said, r.Plan)
	e, err := j.earlier(c, forecast)
	if err != nil {
		return err
	}
	if e != nil {
		fmt.Fprintf(&j.said, "a build would reuse the image of build %s as it is: %s\n", e.build, e.reference)
	}
	if known {
		if changes := plan.Around(last.Plan, r.Plan); len(changes) > 0 {
			fmt.Fprintf(&j.said, "changed beside the layers: %s\n", strings.Join(changes, ", "))
		}
	}
	if moves != "" {
		fmt.Fprintln(&j.said, moves)
	}
	return nil
}

// foresee says what a build with the same flags would do for each step.
func (j *job) foresee(c *cli.Context, last *plan.Plan) ([]assemble.Forecast, error) {
	o := assemble.Options{Cache: j.site.cache, Dirs: values(j.site.cache, cache.Inventories)}
	j.recent = assemble.Recall(o.Dirs, j.recordName())
	o.Recent = j.recent
	forecast, err := assemble.Foresee(c.Context, j.plan, j.keys, last, o)
	if err != nil || !j.anew(c) {
		return forecast, err
	}
	why := "--no-cache"
	if j.settings.NoCache {
		why = "no_cache"
	}
	for i := range forecast {
		forecast[i].Layer, forecast[i].Reason = nil, append(forecast[i].Reason, why)
	}
	return forecast, nil
}

// printPlan prints what would become of each layer.
func printPlan(w io.Writer, r *resolve.Result, forecast []assemble.Forecast) {
	fmt.Fprintf(w, "parent %s (%s, %s)\n", r.Under.Reference, r.Plan.Platform, count(len(r.Under.Layers), "layer"))
	if py := r.Base.Python; py != nil {
		fmt.Fprintf(w, "python %s at %s, %s installed\n", py.Version, py.Interpreter, count(len(py.Dists), "distribution"))
	}
	var t table
	for _, f := range forecast {
		t.row(verdict(f), f.Step.Name, size(f), why(f))
	}
	t.print(w)
	for _, f := range forecast {
		for _, line := range f.Report {
			fmt.Fprintln(w, line)
		}
	}
	printCommands(w, r.Plan)
	printBuilds(w, r.Plan)
	printDebs(w, r.Packages)
	if len(forecast) == 0 {
		fmt.Fprintln(w, "no layers: the parent has it all")
	}
}

// printCommands prints the commands that making the layers runs.
func printCommands(w io.Writer, p plan.Plan) {
	var compiles *plan.Bytecode
	for _, stage := range p.Stages {
		for _, s := range stage.Steps {
			switch {
			case s.Bytecode != nil && compiles == nil:
				compiles = s.Bytecode
				fmt.Fprintf(w, "runs in the sandbox: %s, to compile modules\n", compiles.Scheme.Interpreter)
			case s.Run == nil:
			case s.Run.Exact:
				fmt.Fprintf(w, "runs in the sandbox: %s, in %s, for %s\n", quote(s.Run.Command), s.Run.Dir, s.Run.Setting)
			default:
				fmt.Fprintf(w, "runs in the sandbox: %s, in %s, for %s\n", quote(s.Run.Command), s.Run.Dir, s.Name)
			}
		}
	}
}

// quote writes a command as a shell takes it.
func quote(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?[]#~`!{}") {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

func verdict(f assemble.Forecast) string {
	if f.Layer != nil {
		return "reuse"
	}
	return "make"
}

// size is the layer's if it is there, else what is known of what goes in.
func size(f assemble.Forecast) string {
	if f.Layer != nil {
		if n, err := f.Layer.Size(); err == nil {
			return inBytes(n)
		}
	}
	var n int64
	if f.Step.Python != nil {
		for _, w := range f.Step.Python.Wheels {
			if w.Size == 0 {
				return "size unknown" // not every index tells
			}
			n += w.Size
		}
		return "about " + inBytes(n)
	}
	if f.Step.Apt != nil {
		return "about " + inBytes(sizeOfDebs(f.Step.Apt))
	}
	if f.Step.Files != nil {
		for _, file := range f.Step.Files.Files {
			n += file.Size
		}
		return "from " + inBytes(n)
	}
	return ""
}

// sizeOfDebs is that of the packages without layers of their own.
func sizeOfDebs(a *plan.Apt) (n int64) {
	for _, d := range a.Debs {
		if !slices.Contains(a.Below, d.Digest) {
			n += d.Size
		}
	}
	return n
}

// reasons is how many changes are listed.
const reasons = 3

func why(f assemble.Forecast) string {
	switch {
	case len(f.Reason) > reasons:
		return fmt.Sprintf("%s and %d more", strings.Join(f.Reason[:reasons], ", "), len(f.Reason)-reasons)
	case len(f.Reason) > 0:
		return strings.Join(f.Reason, ", ")
	case f.Layer == nil:
		return "not in the cache"
	default:
		return ""
	}
}

// moves says what a push would move. Of a layer that isn't made yet it knows
// only what goes in.
func (j *job) moves(ctx context.Context, r *resolve.Result, forecast []assemble.Forecast) (string, error) {
	out, ok := j.pushes()
	if !ok {
		return "", nil
	}
	if j.site.images.Offline {
		return "offline: what a push would move isn't known", nil
	}
	blobs, sizes, err := parentBlobs(r.Under)
	if err != nil {
		return "", err
	}
	unmade := 0
	for _, f := range forecast {
		if f.Aside {
			continue
		}
		if f.Layer == nil {
			unmade++
			continue
		}
		d, err := f.Layer.Digest()
		if err != nil {
			return "", err
		}
		n, err := f.Layer.Size()
		if err != nil {
			return "", err
		}
		blobs, sizes = append(blobs, output.Blob{Digest: d}), append(sizes, n)
	}
	states, err := out.Check(ctx, blobs)
	if err != nil {
		return "", err
	}
	return tell(states, sizes, unmade), nil
}

// pushes returns the output to a registry, if there is one.
func (j *job) pushes() (output.Registry, bool) {
	for _, t := range j.outputs {
		if r, ok := t.output.(output.Registry); ok {
			return r, true
		}
	}
	return output.Registry{}, false
}

// parentBlobs lists the parent's layers and where they could be mounted from.
func parentBlobs(inv *parent.Inventory) ([]output.Blob, []int64, error) {
	var from name.Repository
	if ref, err := source.Parse(inv.Reference); err == nil && ref.Transport == "docker" {
		if from, err = name.NewRepository(ref.Name); err != nil {
			return nil, nil, err
		}
	}
	blobs, sizes := make([]output.Blob, len(inv.Layers)), make([]int64, len(inv.Layers))
	for i, l := range inv.Layers {
		d, err := v1.NewHash(l.Digest)
		if err != nil {
			return nil, nil, err
		}
		blobs[i], sizes[i] = output.Blob{Digest: d, From: from}, l.Size
	}
	return blobs, sizes, nil
}

func tell(states []output.State, sizes []int64, unmade int) string {
	var moved, mounted int
	var sum int64
	for i, s := range states {
		switch s {
		case output.Missing:
			moved++
			sum += sizes[i]
		case output.Mountable:
			mounted++
		}
	}
	var parts []string
	if moved > 0 {
		parts = append(parts, fmt.Sprintf("move %s in %s", inBytes(sum), count(moved, "layer")))
	}
	if mounted > 0 {
		parts = append(parts, fmt.Sprintf("mount %s", count(mounted, "layer")))
	}
	if unmade > 0 {
		parts = append(parts, fmt.Sprintf("move %s to be made", count(unmade, "layer")))
	}
	if len(parts) == 0 {
		return "a push would move no layer"
	}
	return "a push would " + strings.Join(parts, ", ")
}
