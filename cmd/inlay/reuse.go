// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"inlay/assemble"
	"inlay/assemble/output"
	"inlay/assemble/record"
	"inlay/layers/pattern"
	"inlay/resolve/plan"
	"inlay/resolve/source"
)

// planID is the digest of the plan as records have it.
func (j *job) planID() string {
	if j.id == "" {
		key := j.plan.Digest(j.keys)
		j.id = hex.EncodeToString(key[:])
	}
	return j.id
}

// An earlierImage is one of an earlier build that can be taken for a plan.
type earlierImage struct {
	build     string
	reference string
	digest    string
}

// earlier returns an image that an earlier build made of the same plan and
// pushed to where this one goes, nil if there is none or the settings want none.
// Where the cache has all layers none is needed.
func (j *job) earlier(c *cli.Context, forecast []assemble.Forecast) (*earlierImage, error) {
	missing := slices.ContainsFunc(forecast, func(f assemble.Forecast) bool { return f.Layer == nil })
	if _, pushes := j.pushes(); !pushes || len(j.outputs) > 1 || !missing || j.fresh || j.anew(c) || c.Bool("refresh") || c.Bool("offline") {
		return nil, nil
	}
	m, ok, err := j.site.builds.Pushed(j.planID())
	if err != nil || !ok {
		return nil, err
	}
	tags, err := j.tags()
	if err != nil {
		return nil, err
	}
	for _, ref := range m.References {
		name, digest, _ := strings.Cut(ref, "@")
		for _, t := range tags {
			if record.Remote(ref) && name == t.Context().Name() {
				return &earlierImage{m.Build, ref, digest}, nil
			}
		}
	}
	return nil, nil
}

// reuse takes the image of an earlier build if there is one, and it is still
// where it was.
func (j *job) reuse(c *cli.Context) error {
	forecast, err := j.foresee(c, nil)
	if err != nil {
		return err
	}
	j.foreseen = forecast
	e, err := j.earlier(c, forecast)
	if err != nil || e == nil {
		return err
	}
	img, err := j.openBuilt(c.Context, e.reference, e.digest)
	if err != nil {
		j.show.Note(fmt.Sprintf("note: the image of build %s is made again: %v", e.build, err))
		return nil
	}
	j.show.Note(fmt.Sprintf("reusing the image of build %s: %s", e.build, e.reference))
	o, err := j.options(c, j.tools(j.plan))
	if err != nil {
		return err
	}
	j.made, err = assemble.Again(c.Context, j.plan, img, o)
	return err
}

// openBuilt opens an image that an earlier build delivered, and checks that it
// is the one.
func (j *job) openBuilt(ctx context.Context, reference, digest string) (v1.Image, error) {
	ref, err := source.Parse(reference)
	if err != nil {
		return nil, err
	}
	img, err := j.site.images.Anew().Open(ctx, ref, j.plan.Platform) // it may be gone
	if err != nil {
		return nil, err
	}
	if got, err := img.Digest(); err != nil || got.String() != digest {
		return nil, &source.ReferenceError{Reference: reference, Problem: "it is another image", Fix: "build it again"}
	}
	return img, nil
}

// buildID is an ID, perhaps cut short.
var buildID = pattern.New(`^[0-9a-f]{1,12}$`)

// named returns the build whose images the settings want to be taken, nil if
// they name none.
func (b *batch) named() (*record.Build, error) {
	if len(b.jobs) == 0 || b.jobs[0].settings.Build == "" {
		return nil, nil
	}
	j := b.jobs[0]
	name := j.settings.Build
	if buildID().MatchString(name) {
		found, err := j.site.builds.Find(name)
		return &found, err
	}
	path := name
	if at := j.settings.TopError("build", "", "").File; !strings.HasPrefix(at, "--") && !filepath.IsAbs(name) {
		path = filepath.Join(j.context, name) // as all files that the settings name
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, j.settings.TopError("build", fmt.Sprintf("there is no build %q, and no such file", name), "name the ID of a build, as `inlay builds list` shows it, or a file that `inlay builds show --format json` wrote")
	}
	defer f.Close() //nolint:errcheck // only read
	found, err := record.Read(f)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("%s: %v", name, err), "write it with `inlay builds show --format json ID`"}
	}
	return &found, nil
}

// check tells in what a build doesn't fit that is to be taken
// (spec/zenml.md section 4.3), and which images would be.
func (b *batch) check(from *record.Build) error {
	if from.StackChecksum != b.stackSum {
		b.show.Note(fmt.Sprintf("warning: build %s was made for another stack", from.ID))
	}
	if from.ContainsCode {
		b.show.Note(fmt.Sprintf("warning: the images of build %s hold the source of that time, which is what will run", from.ID))
	}
	if from.IsLocal {
		b.show.Note(fmt.Sprintf("warning: the images of build %s are in no registry: other machines don't have them", from.ID))
	}
	for _, j := range b.jobs {
		im, ok := from.Image(j.plan.Platform, j.of.Keys...)
		if !ok {
			return &usageError{fmt.Sprintf("build %s has no image %s for %s", from.ID, j.of.Name(), j.plan.Platform), "name another build, or leave `--build` out"}
		}
		if err := j.checkCode(from, im); err != nil {
			return err
		}
		if im.Plan != j.planID() {
			b.show.Note(fmt.Sprintf("warning: the image %s of build %s was made of another plan: the settings, the source or what names stand for changed since", j.of.Name(), from.ID))
		}
		fmt.Fprintf(&j.said, "taken from build %s as it is: %s\n", from.ID, im.Image)
	}
	return nil
}

// take takes the images of a build in place of making them.
func (b *batch) take(c *cli.Context, from *record.Build) error {
	if err := b.check(from); err != nil {
		return err
	}
	for _, j := range b.jobs {
		im, _ := from.Image(j.plan.Platform, j.of.Keys...)
		if err := j.take(c, from, im); err != nil {
			return j.told(err)
		}
		if j.family == nil || !j.last() {
			continue
		}
		if err := j.family.finish(c); err != nil {
			return j.told(err)
		}
		if len(j.family.made.Delivered) == 0 {
			j.family.taken(from, im)
		}
	}
	return nil
}

func (j *job) take(c *cli.Context, from *record.Build, im record.Image) error {
	if im.RequiresCodeDownload {
		if err := j.deliverCode(c); err != nil {
			return err
		}
	}
	_, digest, _ := strings.Cut(im.Image, "@")
	img, err := j.openBuilt(c.Context, im.Image, digest)
	if err != nil {
		return fmt.Errorf("taking the image of build %s: %w", from.ID, err)
	}
	o := assemble.Options{Tools: j.tools(j.plan)}
	if c.IsSet("output") || c.Bool("push") {
		o, err = j.options(c, o.Tools)
		if err != nil {
			return err
		}
	}
	p := j.plan
	if im.Plan != j.planID() {
		p.Stages = []plan.Stage{{}} // its layers are not known
	}
	if j.made, err = assemble.Again(c.Context, p, img, o); err != nil {
		return err
	}
	if len(o.Outputs) == 0 {
		j.outputs = []target{{said: func(d output.Delivered) string { return "taken from build " + from.ID + ": " + d.Reference }}}
		j.made.Delivered = []output.Delivered{{Reference: im.Image, Digest: j.made.Digest}}
	}
	return nil
}

// record keeps what was built. A record only helps later: one that can't be
// kept is a warning.
func (b *batch) record() {
	if len(b.jobs) == 0 || slices.ContainsFunc(b.jobs, func(j *job) bool { return j.unrecorded }) {
		return // that was told
	}
	build, err := b.describe()
	if err == nil {
		err = b.jobs[0].site.builds.Save(build)
	}
	if err != nil {
		b.show.Note(fmt.Sprintf("warning: %v: the list of builds lacks it", err))
	}
}

// describe gathers what is known of the build.
func (b *batch) describe() (record.Build, error) {
	first := b.jobs[0]
	out := record.Build{
		Created: first.begun.UTC().Truncate(time.Second), Pipeline: first.settings.Name, Context: absolute([]string{first.context})[0],
		ZenMLVersion: first.settings.ZenML, StackChecksum: b.stackSum, Inlay: version,
		Duration: float64(seconds(time.Since(first.begun))),
	}
	for _, j := range b.all {
		if j.settings.SkipBuild {
			out.Images = append(out.Images, record.Image{Keys: j.of.Keys, Steps: j.of.Steps, Image: j.settings.ParentImage, Parent: plan.Parent{Image: j.settings.ParentImage}})
			continue
		}
		im, err := j.record()
		if err != nil {
			return out, err
		}
		out.Images = append(out.Images, im)
		if r := j.resolved; out.PythonVersion == "" && r != nil && r.Base.Python != nil {
			out.PythonVersion = r.Base.Python.Version
		}
	}
	return out, nil
}

// record describes the image.
func (j *job) record() (record.Image, error) {
	stage := j.plan.Image()
	im := record.Image{
		Keys: j.of.Keys, Steps: j.of.Steps, Digest: j.made.Digest.String(), Plan: j.planID(), Platform: j.plan.Platform,
		Parent: j.plan.Parent(), ContainsCode: slices.ContainsFunc(stage.Steps, holdsSource), RequiresCodeDownload: j.plan.Code != nil, Code: j.recordCode(),
	}
	for _, d := range j.made.Delivered {
		im.References = append(im.References, d.Reference)
	}
	if len(im.References) > 0 {
		im.Image = im.References[0]
	}
	if j.family != nil && len(j.family.made.Delivered) > 0 {
		im.Index = j.family.made.Delivered[0].Reference
	}
	for _, s := range stage.Steps {
		im.Wheels, im.Debs = append(im.Wheels, wheelFiles(s)...), append(im.Debs, debFiles(s)...)
	}
	if j.resolved != nil {
		for _, g := range j.resolved.Asked.Groups {
			im.Requirements = append(im.Requirements, g.Requirements...)
		}
	}
	var err error
	im.Layers, err = recordLayers(j.made.Layers)
	return im, err
}

// holdsSource reports whether a step copies the source, and not what fetches it.
func holdsSource(s plan.Step) bool {
	return s.Files != nil && slices.ContainsFunc(s.Files.Files, func(f plan.File) bool { return f.Text == "" })
}

func recordLayers(layers []assemble.Layer) ([]record.Layer, error) {
	all := make([]record.Layer, len(layers))
	for i, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return nil, fmt.Errorf("recording the build: %w", err)
		}
		size, err := l.Size()
		if err != nil {
			return nil, fmt.Errorf("recording the build: %w", err)
		}
		all[i] = record.Layer{Name: l.Name, Digest: digest.String(), Size: size, Asked: l.Asked}
	}
	return all, nil
}

// wheelFiles lists the wheels that a step installs.
func wheelFiles(s plan.Step) (files []record.File) {
	if s.Python == nil {
		return nil
	}
	for _, w := range s.Python.Wheels {
		f := record.File{Name: w.Name, Version: w.Version, Digest: w.Digest}
		if s := w.Source; s != (plan.Source{}) {
			f.Source = &record.Source{File: s.File, Digest: s.Digest, Command: s.Command, Asked: s.Asked}
		}
		files = append(files, f)
	}
	return files
}

// debFiles lists the Debian packages that a step installs.
func debFiles(s plan.Step) (files []record.File) {
	if s.Apt == nil {
		return nil
	}
	for _, d := range s.Apt.Debs {
		files = append(files, record.File{Name: d.Name, Version: d.Version, Digest: d.Digest})
	}
	return files
}
