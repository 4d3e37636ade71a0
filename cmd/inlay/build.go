// SPDX-License-Identifier: Apache-2.0

package main

import (
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
	"inlay/resolve/index"
	"inlay/resolve/plan"
	"inlay/resolve/settings"
	"inlay/resolve/tree"
)

func buildCommand() *cli.Command {
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
		Flags: append(planFlags(),
			&cli.StringFlag{Name: "metadata-file", Usage: "describe what was built as JSON in `FILE`"},
			&cli.StringFlag{Name: "plan", Usage: "build the plan in `FILE`, which plan --format json wrote, here or elsewhere"}),
		OnUsageError: usageProblem,
		Action:       build,
	}
}

// A job is a build or a plan: what the command line asks for, read.
type job struct {
	context  string    // the directory of the source
	file     string    // of the settings, "" for the context's own
	source   *tree.Dir // its files
	begun    time.Time
	refresh  bool
	settings *settings.Docker
	names    []string // of the image
	metadata string   // the file that is to describe it, "" for none
	outputs  []target
	index    *index.Set
	show     progress.Display
	site     *site
	locked   resolve.Lock    // what the lock file said
	resolved *resolve.Result // nil until then, and of a plan from a file
}

// newJob reads the command line and the settings.
func newJob(c *cli.Context) (*job, error) {
	context, err := contextDir(c)
	if err != nil {
		return nil, err
	}
	if err := checkFlags(c); err != nil {
		return nil, err
	}
	s, warnings, err := loadSettings(c, context)
	if err != nil {
		return nil, err
	}
	return jobOf(c, s, warnings, job{context: context, file: c.String("file"), metadata: c.String("metadata-file")})
}

// jobOf completes j, which settings describe, and opens what it needs.
func jobOf(c *cli.Context, s *settings.Docker, warnings []settings.Warning, j job) (_ *job, err error) {
	j.settings, j.begun, j.refresh = s, time.Now(), c.Bool("refresh")
	if j.names, err = imageNames(c, s); err != nil {
		return nil, err
	}
	j.show = display(c)
	for _, w := range warnings {
		j.show.Note("warning: " + w.String())
	}
	if err := j.open(c); err != nil {
		j.close()
		return nil, err
	}
	return &j, nil
}

// open opens what the job needs of this machine.
func (j *job) open(c *cli.Context) (err error) {
	if j.source, err = tree.Open(j.context); err != nil {
		return err
	}
	if !j.settings.SkipBuild {
		if j.index, err = j.indexes(c); err != nil {
			return err
		}
	}
	if j.site, err = open(c.Context, c, j.show, j.index); err != nil {
		return err
	}
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
	j.show.Close()
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

// prepare returns what to build. That an output is out of reach it finds out at
// the same time, before anything is downloaded.
func (j *job) prepare(c *cli.Context) (p plan.Plan, err error) {
	g, ctx := errgroup.WithContext(c.Context)
	g.Go(func() (err error) {
		p, err = j.plan(ctx, c)
		return err
	})
	for _, t := range j.outputs {
		g.Go(func() error { return t.output.Reach(ctx) })
	}
	err = g.Wait()
	return p, err
}

// plan returns what to build: the plan that a file holds, else what the
// settings resolve to.
func (j *job) plan(ctx context.Context, c *cli.Context) (plan.Plan, error) {
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
	j, err := newJob(c)
	if err != nil {
		return err
	}
	defer j.close()
	if j.settings.SkipBuild {
		return j.skip(c)
	}
	if err := j.checkMetadata(); err != nil {
		return err
	}
	if _, ok := j.pushes(); ok && c.Bool("offline") {
		return &usageError{"--offline leaves no network to push the image", "leave it out, or write a file: --output oci-archive:FILE"}
	}
	p, err := j.prepare(c)
	if err != nil {
		return err
	}
	planned := time.Now()
	img, err := assemble.Build(c.Context, p, j.options(c, j.tools(p)))
	if err != nil {
		return err
	}
	if c.Bool("refresh") && j.resolved != nil {
		if err := j.renewLock(j.resolved); err != nil {
			return err
		}
	}
	if err := j.site.records.Save(j.recordName(), record.Record{Plan: p, Digest: img.Digest.String()}); err != nil {
		// The image is where it was asked for; a record only helps to explain.
		j.show.Note(fmt.Sprintf("warning: %v: the next plan can't say what changed", err))
	}
	if err := j.writeMetadata(p, img, planned); err != nil {
		return err
	}
	return j.tell(c, img)
}

// options say how an image is made and where it goes.
func (j *job) options(c *cli.Context, tools step.Tools) assemble.Options {
	outputs := make([]assemble.Output, len(j.outputs))
	for i, t := range j.outputs {
		outputs[i] = t.output
	}
	return assemble.Options{
		Images:   j.parents(),
		Cache:    j.site.cache,
		Dirs:     values(j.site.cache, cache.Inventories),
		Anew:     c.Bool("no-cache"),
		Tools:    tools,
		Outputs:  outputs,
		Jobs:     c.Int("jobs"),
		Progress: j.show.Start,
	}
}

// skip prints the parent's name: nothing is built (skip_build).
func (j *job) skip(c *cli.Context) error {
	if c.IsSet("metadata-file") {
		return &usageError{"skip_build builds nothing that --metadata-file could describe", "leave out one of them"}
	}
	j.show.Note("skip_build: the image is the parent image as it is; nothing is built or pushed")
	fmt.Fprintln(c.App.Writer, j.settings.ParentImage)
	return nil
}

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
	return fmt.Sprintf("%q %q", absolute([]string{j.context, j.file}), slices.Compact(repositories))
}

// usageProblem turns the library's words about the command line into ours: it
// writes every flag with one dash.
func usageProblem(c *cli.Context, err error, _ bool) error {
	return &usageError{strings.Replace(err.Error(), "for flag -", "for flag --", 1), helpFor(c.Command.HelpName)}
}
