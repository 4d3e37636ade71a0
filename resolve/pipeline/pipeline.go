// SPDX-License-Identifier: Apache-2.0

// Package pipeline says which images the steps of a pipeline run in. Steps
// whose settings ask for the same image share one.
package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xrash/smetrics"

	"inlay/resolve/settings"
)

// orchestrator is the key of the images that an orchestrator runs steps in.
const orchestrator = "orchestrator"

// An Image is one that a pipeline needs.
type Image struct {
	Keys     []string // what ZenML calls the build: "orchestrator", "train.orchestrator"
	Steps    []string // that run in it, as far as the file names them
	Settings *settings.Docker
}

// Name is the first key: what an image goes by among those of its pipeline.
func (i Image) Name() string { return i.Keys[0] }

// Step is the step that an image is named after, "" for the pipeline's own.
func (i Image) Step() string {
	if len(i.Keys) == 0 || i.Keys[0] == orchestrator {
		return ""
	}
	return i.Steps[0]
}

// Images returns the images of a pipeline: its own, which steps run in that the
// file doesn't name, and those of steps whose settings differ, in the order of
// the file. With names of steps, it returns only those that these run in.
func Images(run *settings.Run, only []string) ([]Image, error) {
	if err := check(run, only); err != nil {
		return nil, err
	}
	all := []Image{{Keys: []string{orchestrator}, Settings: run.Pipeline}}
	for _, s := range run.Steps {
		i := slices.IndexFunc(all, func(im Image) bool { return im.Settings.Same(s.Docker) })
		if i < 0 {
			all, i = append(all, Image{Settings: s.Docker}), len(all)
		}
		if i > 0 {
			all[i].Keys = append(all[i].Keys, s.Name+"."+orchestrator)
		}
		all[i].Steps = append(all[i].Steps, s.Name)
	}
	if len(only) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(im Image) bool {
		return !slices.ContainsFunc(only, func(name string) bool { return slices.Contains(im.Steps, name) })
	}), nil
}

// A StepError reports a step that the settings don't name.
type StepError struct {
	Name  string
	Known []string // those that they do
}

func (e *StepError) Error() string { return fmt.Sprintf("the settings name no step %q", e.Name) }

// Hint says which steps there are.
func (e *StepError) Hint() string {
	if len(e.Known) == 0 {
		return "leave out `--step`: the settings name no steps, so all run in one image"
	}
	const like = 0.8
	for _, name := range e.Known {
		if smetrics.JaroWinkler(e.Name, name, 0.7, 4) > like {
			return fmt.Sprintf("did you mean %s?", name)
		}
	}
	return "name one of these: " + strings.Join(e.Known, ", ")
}

func check(run *settings.Run, only []string) error {
	var known []string
	for _, s := range run.Steps {
		known = append(known, s.Name)
	}
	for _, name := range only {
		if !slices.Contains(known, name) {
			return &StepError{Name: name, Known: known}
		}
	}
	return nil
}
