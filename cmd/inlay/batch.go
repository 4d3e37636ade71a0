// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"inlay/cmd/inlay/progress"
	"inlay/resolve/pipeline"
	"inlay/resolve/pyproject"
	"inlay/resolve/settings"
)

// A batch is what one command makes: the images of a pipeline, mostly one. All
// are resolved before the first is made; what they share is found in the cache.
type batch struct {
	all   []*job // in the order of the settings
	jobs  []*job // those of them that are built: the others are their parents as they are
	whole bool   // all images of the pipeline are among them
	show  progress.Display
	// stackSum names the integrations of the stack, as ZenML's stack checksum
	// does; "" without a stack.
	stackSum string
}

// newBatch reads the command line and the settings.
func newBatch(c *cli.Context) (_ *batch, err error) {
	context, err := contextDir(c)
	if err != nil {
		return nil, err
	}
	if err := checkFlags(c); err != nil {
		return nil, err
	}
	run, warnings, err := loadSettings(c, context)
	if err != nil {
		return nil, err
	}
	o, err := readStack(run, context)
	if err != nil {
		return nil, err
	}
	from, err := findOrigin(c, run, o.Stack, context)
	if err != nil {
		return nil, err
	}
	o.Downloads = from.downloads
	images, err := imagesOf(c, run, o)
	if err != nil {
		return nil, err
	}
	b := &batch{show: display(c), whole: len(c.StringSlice("step")) == 0, stackSum: o.Stack.Checksum()}
	fresh := slices.ContainsFunc(images, func(im pipeline.Image) bool { return im.Settings.NoReuse })
	b.tellStack(o)
	for _, w := range warnings {
		b.show.Note("warning: " + w.String())
	}
	for _, im := range images {
		j := &job{
			of: im, several: len(images) > 1, fresh: fresh, settings: im.Settings, context: context,
			file: c.String("file"), metadata: c.String("metadata-file"), show: b.show,
		}
		jobs, err := j.perPlatform(c)
		if err != nil {
			b.close()
			return nil, err
		}
		b.all = append(b.all, jobs...)
		if !im.Settings.SkipBuild {
			b.jobs = append(b.jobs, jobs...)
		}
	}
	if err := b.decideCode(c, from, o.Stack); err != nil {
		b.close()
		return nil, err
	}
	if err := b.ready(c); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// tellStack says what of the stack adds nothing, for want of knowledge.
func (b *batch) tellStack(o pipeline.Options) {
	for _, flavor := range o.Stack.Unknown(o.Catalog) {
		b.show.Note(fmt.Sprintf("note: the stack's %s is not in the catalog and names no requirements: it adds none", flavor))
	}
	for _, x := range o.Strangers() {
		b.show.Note(fmt.Sprintf("warning: nobody knows whether the %s %q runs in containers: it gets no image of its own", spoken(x), x.Component.Flavor))
	}
}

// imagesOf returns the images that the flags ask for.
func imagesOf(c *cli.Context, run *settings.Run, o pipeline.Options) ([]pipeline.Image, error) {
	o.Only = c.StringSlice("step")
	images, err := pipeline.Images(run, o)
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, noImages(run, o)
	}
	if c.String("plan") != "" && len(o.Only) == 0 {
		images = images[:1]
	}
	if len(images) == 1 {
		return images, nil
	}
	names := make([]string, len(images))
	for i, im := range images {
		names[i] = im.Name()
	}
	for _, one := range oneImage(c) {
		return nil, &usageError{
			fmt.Sprintf("%s one image, and there are %d: %s", one, len(images), strings.Join(names, ", ")),
			"give `--step " + firstStep(images) + "` too, or leave it out: images of a pipeline are named by `name`, `registry` and `target_repository`",
		}
	}
	return images, nil
}

// noImages says why a stack has nothing to make an image for.
func noImages(run *settings.Run, o pipeline.Options) error {
	const problem = "no step runs in a container, so there is no image to make"
	strangers := o.Strangers()
	if len(strangers) == 0 {
		return run.Pipeline.TopError("stack", problem, "leave `stack` out, or name a stack with an orchestrator such as kubernetes")
	}
	x := strangers[0]
	flavor := x.Component.Flavor
	if x.Near != "" {
		return o.Stack.Fault(x.Component, fmt.Sprintf("nobody knows the %s %q, and "+problem, spoken(x), flavor), fmt.Sprintf("did you mean `flavor: %s`?", x.Near))
	}
	entry := "[" + flavor + "]"
	if x.List == "step_operators" {
		entry = "{" + flavor + ": " + flavor + "_step_operator}"
	}
	return o.Stack.Fault(x.Component, fmt.Sprintf("nobody knows whether the %s %q runs in containers, and "+problem, spoken(x), flavor),
		fmt.Sprintf("if it does, write `%s: %s` into a file and name that in `catalog`", x.List, entry))
}

// spoken is the kind of a component in words.
func spoken(x pipeline.Stranger) string { return strings.ReplaceAll(x.Component.Type, "_", " ") }

// oneImage lists the flags that can't be for several images, with a verb.
func oneImage(c *cli.Context) (all []string) {
	if c.IsSet("tag") {
		all = append(all, "--tag names")
	}
	if c.String("plan") != "" {
		all = append(all, "--plan is the plan of")
	}
	if c.String("format") == "json" {
		all = append(all, "--format json prints the plan of")
	}
	for _, out := range c.StringSlice("output") {
		transport, rest, _ := strings.Cut(out, ":")
		_, tag, _ := strings.Cut(rest, ":")
		if strings.HasSuffix(transport, "-archive") || transport == "oci" && tag != "" {
			all = append(all, "--output "+out+" is for")
		}
	}
	return all
}

// firstStep names a step that has an image of its own.
func firstStep(images []pipeline.Image) string {
	for _, im := range images {
		if im.Step() != "" {
			return im.Step()
		}
	}
	return ""
}

// ready completes the jobs.
func (b *batch) ready(c *cli.Context) error {
	said := map[string]string{}
	opened, asked := &openedImages{}, &pyproject.Said{}
	for _, j := range b.jobs {
		j.opened, j.asked = opened, asked
		if err := j.ready(c); err != nil {
			return err
		}
		if !j.leads() {
			continue // its names are the index's
		}
		for _, name := range j.names {
			if other, ok := said[name]; ok {
				b.show.Note(fmt.Sprintf("warning: %s and %s are both called %s: what is made last keeps the name", other, j.of.Name(), name))
			}
			said[name] = j.of.Name()
		}
	}
	return nil
}

func (b *batch) close() {
	for _, j := range b.jobs {
		if j.family != nil && j.leads() {
			j.family.close()
		}
		j.close()
	}
	b.show.Close()
}

// each does something for one image after the other, and says for which if
// there are several.
func (b *batch) each(do func(*job) error) error {
	for _, j := range b.jobs {
		if j.titled() {
			b.show.Note(j.heading())
		}
		if more := j.of.Packages; len(more) > 0 {
			b.show.Note("integrations and the stack need the Debian packages " + strings.Join(more, ", "))
		}
		if err := do(j); err != nil {
			return j.told(err)
		}
	}
	return nil
}

// titled reports whether it has to be said which image something is about.
func (j *job) titled() bool { return j.several || j.family != nil }

// heading says which image of the pipeline it is, and for which platform if
// there are several.
func (j *job) heading() string {
	line := "image"
	if j.several {
		line += " " + j.of.Name()
	}
	if j.family != nil {
		line += " for " + j.settings.Platform
	}
	return line + j.ofSteps()
}

// ofSteps names the steps that run in the image.
func (j *job) ofSteps() string {
	if len(j.of.Steps) == 0 || !j.several {
		return ""
	}
	return ", of " + plural(len(j.of.Steps), "step") + " " + strings.Join(j.of.Steps, ", ")
}

// plural writes a noun for so many.
func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// told says of which of several images an error is, unless that stands there.
func (j *job) told(err error) error {
	name := ""
	if j.several && !strings.Contains(err.Error(), "steps."+j.of.Step()+".") {
		name = " " + j.of.Name()
	}
	if j.family != nil {
		name += " for " + j.settings.Platform
	}
	if name == "" {
		return err
	}
	return fmt.Errorf("image%s: %w", name, err)
}

// tell prints what was made: the names on standard output.
func (b *batch) tell(c *cli.Context) error {
	return b.print(c, func(j *job) error {
		switch {
		case j.family == nil:
			return j.tell(c, j.made)
		case j.leads():
			return j.family.tell(c)
		}
		return nil
	})
}

// print ends the display and prints something for each image: of those that
// are not built, their parents.
func (b *batch) print(c *cli.Context, print func(*job) error) error {
	for _, j := range b.all {
		if j.settings.SkipBuild {
			note := "skip_build: the image is the parent image as it is; nothing is built or pushed"
			if j.several {
				note = j.heading() + ": " + note
			}
			b.show.Note(note)
		}
	}
	b.show.Close()
	for _, j := range b.all {
		if j.settings.SkipBuild {
			fmt.Fprintln(c.App.Writer, j.settings.ParentImage)
			continue
		}
		if err := print(j); err != nil {
			return err
		}
	}
	return nil
}

// checkMetadata refuses a place for the metadata that is no file's, and
// metadata of nothing.
func (b *batch) checkMetadata(c *cli.Context) error {
	if len(b.jobs) == 0 {
		if c.IsSet("metadata-file") {
			return &usageError{"skip_build builds nothing that --metadata-file could describe", "leave out one of them"}
		}
		return nil
	}
	return b.jobs[0].checkMetadata()
}

// renewLock writes the lock file anew after a build that was told to refresh:
// one that is there, or that the settings name.
func (b *batch) renewLock(c *cli.Context) error {
	if !c.Bool("refresh") || len(b.jobs) == 0 {
		return nil
	}
	j := b.jobs[0]
	if j.resolved == nil || j.settings.NoLock || j.locked.File == nil && j.settings.Lock == "" {
		return nil
	}
	return b.lock()
}
