// SPDX-License-Identifier: Apache-2.0

// Package pipeline says which images a pipeline needs on a stack, and what the
// stack adds to them. Steps whose settings ask for the same image share one.
package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/xrash/smetrics"

	"inlay/resolve/catalog"
	"inlay/resolve/settings"
	"inlay/resolve/yamlfile"
)

// orchestrator is the key of the images that an orchestrator runs steps in.
const orchestrator = "orchestrator"

// deployer is the key of the image that serves a pipeline.
const deployer = "deployer"

// An Image is one that a pipeline needs.
type Image struct {
	Keys     []string // what ZenML calls the builds: "orchestrator", "train.orchestrator"
	Steps    []string // that run in it, as far as the file names them
	Settings *settings.Docker
	Packages []string // Debian packages that the settings don't list; Settings have them too
	Groups   []Group  // requirements that the settings don't list, in the order in which they are installed
}

// A Group is a list of requirements.
type Group struct {
	Name         string
	Requirements []string
}

// Options say which images are wanted, and where the pipeline runs.
type Options struct {
	Only    []string         // steps: only the images that these run in
	Catalog *catalog.Catalog // may be nil where there is no stack and the settings require no integration
	Stack   *catalog.Stack   // nil for one that runs steps in containers and needs nothing
	// Downloads reports whether the source of an image comes from the stack's code
	// repository; nil is never.
	Downloads func(*settings.Docker) bool
}

// Name is the first key: what an image goes by among those of its pipeline.
func (i Image) Name() string {
	if len(i.Keys) == 0 {
		return ""
	}
	return i.Keys[0]
}

// Step is the step that an image is named after, "" for the pipeline's own.
func (i Image) Step() string {
	if len(i.Steps) > 0 && strings.HasPrefix(i.Name(), i.Steps[0]+".") {
		return i.Steps[0]
	}
	return ""
}

// Images returns the images of a pipeline: its own, which steps run in that the
// file doesn't name, those of steps whose settings differ, in the order of the
// file, and that of the stack's deployer (spec/zenml.md section 2.1). With names
// of steps, it returns only those that these run in.
func Images(run *settings.Run, o Options) ([]Image, error) {
	if err := check(run, o.Only); err != nil {
		return nil, err
	}
	if err := o.checkOperators(run); err != nil {
		return nil, err
	}
	all := o.ofSteps(run)
	if o.deploys() && !run.Pipeline.NoDeployment {
		all = append(all, Image{Keys: []string{deployer}, Settings: run.Pipeline.Called(deployer)})
	}
	if len(all) > 1 && all[0].Name() == orchestrator {
		all[0].Settings = all[0].Settings.Called(orchestrator) // it must be told from the others
	}
	if len(o.Only) > 0 {
		all = slices.DeleteFunc(all, func(im Image) bool {
			return !slices.ContainsFunc(o.Only, func(name string) bool { return slices.Contains(im.Steps, name) })
		})
	}
	for i := range all {
		if err := o.complete(&all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ofSteps returns the images that steps run in.
func (o Options) ofSteps(run *settings.Run) []Image {
	var all []Image
	orchestrated := o.orchestrates()
	if orchestrated {
		all = []Image{{Keys: []string{orchestrator}, Settings: run.Pipeline}}
	}
	for _, s := range run.Steps {
		keys := o.operators(s)
		if orchestrated {
			keys = append([]string{orchestrator}, keys...)
		}
		if len(keys) == 0 {
			continue // it runs without a container
		}
		i := slices.IndexFunc(all, func(im Image) bool { return im.Settings.Same(s.Docker) })
		if i < 0 {
			all, i = append(all, Image{Settings: s.Docker.Called(keys[0])}), len(all)
		}
		for _, key := range keys {
			if all[i].Name() != key {
				all[i].Keys = append(all[i].Keys, s.Name+"."+key)
			}
		}
		all[i].Steps = append(all[i].Steps, s.Name)
	}
	return all
}

// orchestrates reports whether the stack runs steps in containers.
func (o Options) orchestrates() bool {
	return o.Stack == nil || slices.ContainsFunc(o.Stack.Of("orchestrator"), func(x catalog.Component) bool {
		return slices.Contains(o.Catalog.Orchestrators, x.Flavor)
	})
}

// deploys reports whether the stack has a deployer that runs in a container.
func (o Options) deploys() bool {
	return o.Stack != nil && slices.ContainsFunc(o.Stack.Of(deployer), func(x catalog.Component) bool {
		return slices.Contains(o.Catalog.Deployers, x.Flavor)
	})
}

// operators returns the keys of the builds for the operator that a step uses.
func (o Options) operators(s settings.Step) (keys []string) {
	if s.Operator == "" || o.Stack == nil {
		return nil
	}
	for _, x := range o.Stack.Of("step_operator") {
		if key, ok := o.Catalog.StepOperators[x.Flavor]; ok && (s.Operator == "true" || s.Operator == x.Name) {
			keys = append(keys, key)
		}
	}
	return keys
}

// checkOperators refuses steps that want to be run by an operator which the
// stack doesn't have.
func (o Options) checkOperators(run *settings.Run) error {
	if o.Stack == nil {
		return nil
	}
	var known []string
	for _, x := range o.Stack.Of("step_operator") {
		known = append(known, x.Name)
	}
	for _, s := range run.Steps {
		fix := "remove `step_operator`, or add `{type: step_operator, flavor: …}` to the components of the stack"
		switch near := yamlfile.Nearest(s.Operator, known); {
		case s.Operator == "" || slices.Contains(known, s.Operator):
		case len(known) == 0:
			return s.OperatorError("the stack has no step operator", fix)
		case s.Operator == "true":
		case near != "":
			return s.OperatorError(fmt.Sprintf("the stack has no step operator %q", s.Operator), fmt.Sprintf("did you mean `%s`?", near))
		default:
			return s.OperatorError(fmt.Sprintf("the stack has no step operator %q", s.Operator), "name one that it has: "+strings.Join(known, ", "))
		}
	}
	return nil
}

// A Stranger is a component of which nobody knows whether it runs in containers.
type Stranger struct {
	Component catalog.Component
	List      string // of the catalog, that would say so
	Near      string // the flavor that was perhaps meant, "" if none is like it
}

// Strangers returns the orchestrators, step operators and deployers of the stack
// that get no image because the catalog doesn't know them.
func (o Options) Strangers() (all []Stranger) {
	if o.Stack == nil {
		return nil
	}
	unknown := o.Stack.Strangers(o.Catalog)
	for _, kind := range []struct {
		name, list string
		flavors    []string
	}{
		{orchestrator, "orchestrators", o.Catalog.Orchestrators},
		{"step_operator", "step_operators", slices.Sorted(maps.Keys(o.Catalog.StepOperators))},
		{deployer, "deployers", o.Catalog.Deployers},
	} {
		for _, x := range o.Stack.Of(kind.name) {
			if slices.Contains(unknown, x.Type+"/"+x.Flavor) {
				all = append(all, Stranger{x, kind.list, yamlfile.Nearest(x.Flavor, kind.flavors)})
			}
		}
	}
	return all
}

// complete adds to an image what the stack, the deployer and integrations need.
func (o Options) complete(im *Image) error {
	var packages []string
	add := func(name string, n catalog.Needs) {
		packages = append(packages, n.AptPackages...)
		if len(n.Requirements) > 0 {
			im.Groups = append(im.Groups, Group{Name: name, Requirements: n.Requirements})
		}
	}
	if o.Stack != nil && !im.Settings.NoStack {
		n, err := o.Stack.Needs(o.Catalog, o.Downloads != nil && o.Downloads(im.Settings))
		if err != nil {
			return err
		}
		client := o.Stack.Client(o.Catalog, im.Settings.ZenML)
		n.Requirements = slices.Sorted(slices.Values(slices.Concat(n.Requirements, client)))
		add("the stack's requirements", n)
	}
	if im.Keys[0] == deployer {
		add("the deployer's requirements", catalog.Needs{Requirements: slices.Sorted(slices.Values(o.Catalog.Deployment))})
	}
	if len(im.Settings.Integrations) > 0 {
		n, err := o.integrations(im.Settings)
		if err != nil {
			return err
		}
		add("the requirements of integrations", n)
	}
	listed := im.Settings.Apt.Packages
	im.Settings = im.Settings.With(packages)
	im.Packages = im.Settings.Apt.Packages[len(listed):]
	if o.Stack != nil {
		im.Settings = im.Settings.In(o.Stack.Registry())
	}
	return nil
}

// integrations returns what the integrations need that settings name.
func (o Options) integrations(d *settings.Docker) (catalog.Needs, error) {
	n, err := o.Catalog.Needs(d.Integrations)
	var unknown *catalog.UnknownError
	if errors.As(err, &unknown) {
		i := slices.Index(d.Integrations, unknown.Name)
		return n, d.FieldError(fmt.Sprintf("required_integrations[%d]", i), unknown.Error(), unknown.Hint())
	}
	return n, err
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
