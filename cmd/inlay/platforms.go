// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"inlay/assemble"
	"inlay/assemble/output"
	"inlay/assemble/record"
	"inlay/resolve/source"
)

// A family is an image for several platforms: a job for each, and the index of
// what they make.
type family struct {
	jobs  []*job // in the order of the settings
	index *assemble.Index
	made  *assemble.IndexResult
}

// perPlatform returns the jobs that the image takes: itself, or one for each
// platform.
func (j *job) perPlatform(c *cli.Context) ([]*job, error) {
	if len(j.settings.Platforms) == 0 || j.settings.SkipBuild || c.String("plan") != "" {
		return []*job{j}, nil
	}
	f := &family{}
	var seen []string
	for _, p := range j.settings.Platforms {
		same, err := source.Platform(p)
		if err != nil {
			return nil, err
		}
		if slices.Contains(seen, same) {
			continue // linux/arm64 is linux/arm64/v8
		}
		seen = append(seen, same)
		one := *j
		one.settings, one.family = j.settings.For(p), f
		f.jobs = append(f.jobs, &one)
	}
	if len(f.jobs) == 1 {
		f.jobs[0].family = nil
	}
	return f.jobs, f.check(c)
}

// platforms lists what the image is for.
func (f *family) platforms() (all []string) {
	for _, j := range f.jobs {
		all = append(all, j.settings.Platform)
	}
	return all
}

// check refuses what can be for one platform only.
func (f *family) check(c *cli.Context) error {
	if len(f.jobs) < 2 {
		return nil
	}
	one := ""
	if c.String("format") == "json" {
		one = "--format json prints the plan for"
	}
	for _, out := range c.StringSlice("output") {
		if kind, _, _ := strings.Cut(out, ":"); kind == "docker-archive" || kind == "engine" {
			one = "--output " + out + " takes an image for"
		}
	}
	if one == "" {
		return nil
	}
	fix := "give `--platform " + f.jobs[0].settings.Platform + "` too"
	if strings.HasPrefix(one, "--output") {
		fix += ", or an output that takes an index: registry, oci:DIR or oci-archive:FILE"
	}
	return &usageError{fmt.Sprintf("%s one platform, and there are %d: %s", one, len(f.jobs), strings.Join(f.platforms(), ", ")), fix}
}

// leads reports whether the job stands for its image where that is for several
// platforms: the first does.
func (j *job) leads() bool { return j.family == nil || j.family.jobs[0] == j }

// last reports whether nothing of the image is made after the job.
func (j *job) last() bool { return j.family == nil || j.family.jobs[len(j.family.jobs)-1] == j }

// begin starts the delivery of the index, and returns where its images go.
func (f *family) begin() ([]assemble.Output, error) {
	if f.index != nil {
		return f.index.Outputs(), nil
	}
	var outputs []assemble.IndexOutput
	for _, t := range f.jobs[0].outputs {
		out, ok := t.output.(assemble.IndexOutput)
		if !ok {
			return nil, fmt.Errorf("%T takes no index", t.output) // check refused it
		}
		outputs = append(outputs, out)
	}
	var err error
	if f.index, err = assemble.BeginIndex(outputs); err != nil {
		return nil, err
	}
	return f.index.Outputs(), nil
}

// finish delivers the index, once all images are made.
func (f *family) finish(c *cli.Context) (err error) {
	images := make([]*assemble.Result, len(f.jobs))
	for i, j := range f.jobs {
		images[i] = j.made
	}
	if f.index == nil { // all were taken from an earlier build as they are
		f.index = &assemble.Index{}
	}
	f.made, err = f.index.Finish(c.Context, images)
	return err
}

// taken makes the index of images that a build had, and nothing of it goes
// anywhere.
func (f *family) taken(from *record.Build, im record.Image) {
	lead := f.jobs[0]
	lead.outputs = []target{{said: func(d output.Delivered) string { return "taken from build " + from.ID + ": " + d.Reference }}}
	f.made.Delivered = []output.Delivered{{Reference: im.Index, Digest: f.made.Digest}}
}

func (f *family) close() {
	if f.index != nil {
		f.index.Close()
	}
}
