// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"inlay/assemble"
	"inlay/assemble/record"
	"inlay/assemble/step"
	"inlay/cache"
	"inlay/cmd/inlay/progress"
	"inlay/resolve"
	"inlay/resolve/code"
	"inlay/resolve/index"
	"inlay/resolve/pipeline"
	"inlay/resolve/plan"
	"inlay/resolve/pyproject"
	"inlay/resolve/settings"
	"inlay/resolve/tree"
)

func buildCommand(common []cli.Flag) *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "build an image and deliver it",
		ArgsUsage: "[CONTEXT]",
		Description: examples("Reads the settings in inlay.yaml of CONTEXT (default: the working directory), resolves what the\n"+
			"parent image lacks, and writes it as layers. Prints the image's digest, and nothing else, to standard output.",
			"inlay build --push -t registry.example.com/team/app:v1",
			"inlay build --parent-image python:3.12-slim -r requests -o docker-archive:app.tar src",
			"docker run $(inlay build --push -t registry.example.com/team/app:v1)",
			"docker run --rm $(inlay build -o engine:docker)"),
		Flags: append(slices.Clip(common),
			&cli.StringFlag{Name: "metadata-file", Usage: "describe what was built as JSON in `FILE`"},
			&cli.StringFlag{Name: "plan", Usage: "build the plan in `FILE`, which plan --format json wrote, here or elsewhere"}),
		OnUsageError: usageProblem,
		Action:       build,
	}
}

// A job is an image to be planned or built: what the command line asks for,
// read.
type job struct {
	of         pipeline.Image
	fresh      bool              // no image of an earlier build is taken
	several    bool              // other images of the pipeline are made too
	family     *family           // of an image for several platforms, of which this is one; else nil
	context    string            // the directory of the source
	file       string            // of the settings, "" for the context's own
	source     *tree.Dir         // its files
	recipe     *tree.Dir         // the files of the Dockerfile's context; nil: there is none
	args       map[string]string // build arguments for commands, whose values no plan holds
	remade     *assemble.Made    // layers, where all are made anew
	noCache    bool
	begun      time.Time
	refresh    bool
	settings   *settings.Docker
	names      []string // of the image
	metadata   string   // the file that is to describe it, "" for none
	outputs    []target
	index      *index.Set
	given      []step.Secret // to the command that installs the source
	show       progress.Display
	site       *site
	locked     resolve.Lock        // what the lock file said
	resolved   *resolve.Result     // nil until then, and of a plan from a file
	plan       plan.Plan           // what to build, once it is decided
	keys       [][]plan.Key        // of its steps
	id         string              // its digest, once somebody asked for it
	recent     *assemble.Recent    // layers of the last build
	planned    time.Time           // when that was
	foreseen   []assemble.Forecast // which of its layers the cache has, once that is known
	made       *assemble.Result
	unrecorded bool         // it was made, and the cache can't be written to
	said       bytes.Buffer // what `inlay plan` says of it
	opened     *openedImages
	asked      *pyproject.Said // what commands of this machine said to other images
	way        code.Way        // how the source gets into containers
	origin     *origin
	fetched    *codePlace // where the source is, if containers fetch it; nil until then
}

// ready completes j, whose settings are known, and opens what it needs.
func (j *job) ready(c *cli.Context) (err error) {
	j.begun, j.refresh = time.Now(), c.Bool("refresh")
	if j.names, err = imageNames(c, j.settings); err != nil {
		return err
	}
	return j.open(c)
}

// open opens what the job needs of this machine.
func (j *job) open(c *cli.Context) (err error) {
	if j.given, err = givenSecrets(c, os.LookupEnv); err != nil {
		return err
	}
	if j.source, err = tree.Open(j.context); err != nil {
		return err
	}
	j.noCache, j.remade = j.anew(c), &assemble.Made{}
	if err := j.openRecipe(); err != nil {
		return err
	}
	if !j.settings.SkipBuild {
		if j.index, err = j.indexes(c); err != nil {
			return err
		}
	}
	if j.settings.Pull && c.Bool("offline") {
		return j.settings.FieldError("build_config.build_options.pull", "--offline leaves nobody to ask for the parent", "leave out `--offline`, or give `--set build_config.build_options.pull=false`")
	}
	if j.site, err = open(c, j.show, j.index, j.environ()); err != nil {
		return err
	}
	j.hideLogins()
	j.outputs, err = j.targets(c)
	return err
}

func (j *job) close() {
	if j.site != nil {
		j.site.close()
	}
	if j.source != nil {
		_ = j.source.Close() // only read
	}
	if j.recipe != nil {
		_ = j.recipe.Close() // only read
	}
}

// resolve returns the plan.
func (j *job) resolve(ctx context.Context, c *cli.Context) (*resolve.Result, error) {
	var err error
	if j.locked, err = j.readLock(c); err != nil {
		return nil, err
	}
	req, err := j.request(c)
	if err != nil {
		return nil, err
	}
	j.resolved, err = resolve.Resolve(ctx, req)
	return j.resolved, err
}

// prepare decides what to build. That an output is out of reach it finds out at
// the same time, before anything is downloaded.
func (j *job) prepare(c *cli.Context) error {
	if _, ok := j.pushes(); ok && c.Bool("offline") {
		return &usageError{"--offline leaves no network to push the image", "leave it out, or write a file: --output oci-archive:FILE"}
	}
	g, ctx := errgroup.WithContext(c.Context)
	g.Go(func() (err error) {
		j.plan, err = j.decide(ctx, c)
		j.keys = j.plan.Keys()
		return err
	})
	for _, t := range j.outputs {
		if j.leads() {
			g.Go(func() error { return t.output.Reach(ctx) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	j.planned = time.Now()
	j.unread(j.plan)
	return nil
}

// decide returns what to build: the plan that a file holds, else what the
// settings resolve to.
func (j *job) decide(ctx context.Context, c *cli.Context) (plan.Plan, error) {
	name := c.String("plan")
	if name == "" {
		r, err := j.resolve(ctx, c)
		if err != nil {
			return plan.Plan{}, err
		}
		return r.Plan, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return plan.Plan{}, &usageError{fmt.Sprintf("reading the plan: %v", err), "write one with `inlay plan --format json >FILE`"}
	}
	defer f.Close() //nolint:errcheck // only read
	p, err := plan.Decode(f)
	if err != nil {
		return plan.Plan{}, &usageError{fmt.Sprintf("%s: %v", name, err), "write it anew with `inlay plan --format json >FILE`"}
	}
	return p, nil
}

func build(c *cli.Context) error {
	b, err := newBatch(c)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.checkMetadata(c); err != nil {
		return err
	}
	from, err := b.named()
	if err != nil {
		return err
	}
	if err := b.each(func(j *job) error { return j.prepare(c) }); err != nil {
		return err
	}
	if err := b.make(c, from); err != nil {
		return err
	}
	if err := b.renewLock(c); err != nil {
		return err
	}
	if err := b.writeMetadata(); err != nil {
		return err
	}
	return b.tell(c)
}

// make makes the images and records what it made, or takes those of a build if
// it isn't nil.
func (b *batch) make(c *cli.Context, from *record.Build) error {
	if from != nil {
		return b.take(c, from)
	}
	for _, j := range b.jobs {
		if err := j.make(c); err != nil {
			return j.told(err)
		}
		if j.family != nil && j.last() {
			if err := j.family.finish(c); err != nil {
				return j.told(err)
			}
		}
	}
	b.record()
	return nil
}

// make makes the image and delivers it.
func (j *job) make(c *cli.Context) (err error) {
	if err := j.deliverCode(c); err != nil {
		return err
	}
	if err := j.reuse(c); err != nil || j.made != nil {
		return err
	}
	o, err := j.options(c, j.tools(j.plan))
	if err != nil {
		return err
	}
	if j.made, err = assemble.Build(c.Context, j.plan, o); err != nil {
		return err
	}
	if err := j.site.records.Save(j.recordName(), record.Record{ID: j.planID(), Plan: j.plan, Digest: j.made.Digest.String()}); err != nil {
		// The image is where it was asked for; a record only helps to explain.
		j.show.Note(fmt.Sprintf("warning: %v: the next plan can't say what changed", err))
		j.unrecorded = true
	}
	return nil
}

// options say how an image is made and where it goes.
func (j *job) options(c *cli.Context, tools step.Tools) (assemble.Options, error) {
	outputs := make([]assemble.Output, len(j.outputs))
	for i, t := range j.outputs {
		outputs[i] = t.output
	}
	if j.family != nil {
		var err error
		if outputs, err = j.family.begin(); err != nil {
			return assemble.Options{}, err
		}
	}
	return assemble.Options{
		Images:   j.parents(),
		Cache:    j.site.cache,
		Dirs:     values(j.site.cache, cache.Inventories),
		Foreseen: j.foreseen,
		Recent:   j.recent,
		Anew:     j.anew(c),
		Made:     j.remade,
		Tools:    tools,
		Outputs:  outputs,
		Jobs:     c.Int("jobs"),
		Progress: j.show.Start,
	}, nil
}

// anew reports whether every layer is made, also those that the cache has.
func (j *job) anew(c *cli.Context) bool { return c.Bool("no-cache") || j.settings.NoCache }

// recordName names the build for the record: the context, the settings file
// and what the image is called, which is how a user would tell one build from
// another. Tags have no part in it: many builds have one of their own.
func (j *job) recordName() string {
	var repositories []string
	tags, _ := j.tags() // the names were checked
	for _, t := range tags {
		repositories = append(repositories, t.Context().Name())
	}
	slices.Sort(repositories)
	name := fmt.Sprintf("%q %q", absolute([]string{j.context, j.file}), slices.Compact(repositories))
	if j.of.Step() != "" {
		name += fmt.Sprintf(" %q", j.of.Name())
	}
	if j.family != nil {
		name += fmt.Sprintf(" %q", j.settings.Platform)
	}
	return name
}

// usageProblem turns the library's words about the command line into ours: it
// writes every flag with one dash.
func usageProblem(c *cli.Context, err error, _ bool) error {
	return &usageError{strings.Replace(err.Error(), "for flag -", "for flag --", 1), helpFor(c.Command.HelpName)}
}
