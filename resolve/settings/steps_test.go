// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/settings"
)

func loadRun(yaml string, overrides ...settings.Override) (*settings.Run, []settings.Warning, error) {
	run, w, err := settings.LoadRun("inlay.yaml", strings.NewReader(yaml), settings.Options{Lookup: lookup, Overrides: overrides})
	if len(overrides) == 0 {
		loaded.add(yaml, err)
	}
	return run, w, err
}

// pipeline is what the steps of TestSteps are put over.
const pipeline = `
name: demo
settings:
  docker:
    parent_image: base
    requirements: [a, b]
    apt_packages: [git]
    environment: {A: "1", B: "2"}
    python_package_installer_args: {timeout: 5}
    build_config: {build_options: {labels: {team: ml}}}
    user: me
`

// TestSteps holds how the settings of a step go over the pipeline's: field by
// field (spec/zenml.md section 6.2), with flags over both.
func TestSteps(t *testing.T) {
	tests := []struct {
		name, step string
		flags      []settings.Override
		edit       func(*settings.Docker)
	}{
		{"nothing", "{}", nil, func(*settings.Docker) {}},
		{"null", "null", nil, func(*settings.Docker) {}},
		{"a scalar replaces", "{parent_image: other}", nil, func(d *settings.Docker) { d.ParentImage = "other" }},
		{"a list replaces", "{requirements: [c]}", nil, func(d *settings.Docker) { d.Requirements = []string{"c"} }},
		{"an empty list clears", "{apt_packages: []}", nil, func(d *settings.Docker) { d.Apt.Packages = nil }},
		{"a file replaces a list", "{requirements: r.txt}", nil, func(d *settings.Docker) { d.Requirements, d.RequirementsFile = nil, "r.txt" }},
		{"a mapping merges", "{environment: {B: x, C: y}}", nil, func(d *settings.Docker) { d.Environment = []string{"A=1", "B=x", "C=y"} }},
		{"an empty mapping changes nothing", "{environment: {}}", nil, func(*settings.Docker) {}},
		{"null never overrides", "{parent_image: null, requirements: null, environment: {A: null}}", nil, func(*settings.Docker) {}},
		{
			"a mapping in a mapping merges", "{build_config: {build_options: {labels: {stage: train}}}}", nil,
			func(d *settings.Docker) { d.Labels = map[string]string{"team": "ml", "stage": "train"} },
		},
		{
			"arguments merge", "{python_package_installer_args: {pre: true}}", nil,
			func(d *settings.Docker) {
				d.InstallerArgs = []settings.InstallerArg{{Name: "timeout", Values: []string{"5"}}, {Name: "pre", Values: []string{"true"}}}
			},
		},
		{"a variable", "{user: '${TAG}'}", nil, func(d *settings.Docker) { d.User = "1.2" }},
		{"flags are stronger", "{user: you}", []settings.Override{flag("--user", "us")}, func(d *settings.Docker) { d.User = "us" }},
		{
			"flags merge into both", "{environment: {B: x}}",
			[]settings.Override{flag("--env", "B=y", "D=z")},
			func(d *settings.Docker) { d.Environment = []string{"A=1", "B=y", "D=z"} },
		},
		{
			"a flag of the step's level", "{user: you}",
			[]settings.Override{flag("--set", "steps.train.settings.docker.user=them")},
			func(d *settings.Docker) { d.User = "them" },
		},
		{"no build", "{parent_image: x, skip_build: true}", nil, func(d *settings.Docker) { d.ParentImage, d.SkipBuild = "x", true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run, _, err := loadRun(pipeline+"steps: {train: {settings: {docker: "+tt.step+"}}}\n", tt.flags...)
			if err != nil {
				t.Fatal(err)
			}
			alone, _, err := loadRun(pipeline)
			if err != nil {
				t.Fatal(err)
			}
			want := *alone.Pipeline
			want.Target.Tag = "demo-train-orchestrator"
			tt.edit(&want)
			if len(run.Steps) != 1 || run.Steps[0].Name != "train" {
				t.Fatalf("Steps = %+v, want train", run.Steps)
			}
			if diff := cmp.Diff(&want, run.Steps[0].Docker, ignorePositions); diff != "" {
				t.Errorf("the settings of the step (-want +got):\n%s", diff)
			}
			if tt.flags == nil {
				if diff := cmp.Diff(alone.Pipeline, run.Pipeline, ignorePositions); diff != "" {
					t.Errorf("the step changed the pipeline's settings (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestSame holds that settings are the same if they ask for the same image,
// however they came about.
func TestSame(t *testing.T) {
	tests := []struct {
		step string
		want bool
	}{
		{"{}", true},
		{"{requirements: [a, b], user: me}", true},
		{"{python_package_installer_args: {timeout: null}}", true},
		{"{requirements: [b, a]}", false},
		{"{environment: {A: '2'}}", false},
		{"{image_tag: demo-orchestrator}", false},
		{"{target_repository: other}", false},
	}
	for _, tt := range tests {
		run, _, err := loadRun(pipeline + "steps: {train: {settings: {docker: " + tt.step + "}}}\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := run.Steps[0].Docker.Same(run.Pipeline); got != tt.want {
			t.Errorf("with %s, Same = %v, want %v", tt.step, got, tt.want)
		}
	}
}

func TestStepWarnings(t *testing.T) {
	run, got, err := loadRun(docker("copy_files: true") + `steps:
  train:
    settings: {docker: {copy_global_config: true, python_package_installer_args: {pre: null}}}
  eval: {step_operator: vertex}
  test: {step_operator: TRUE}
  last: {step_operator: off, settings: {docker: {}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []settings.Warning{
		{File: "inlay.yaml", Line: 3, Field: "settings.docker.copy_files", Text: "no effect: it is deprecated, and ZenML does not use it either"},
		{File: "inlay.yaml", Line: 6, Field: "steps.train.settings.docker.copy_global_config", Text: "no effect: it is deprecated, and ZenML does not use it either"},
		{
			File: "inlay.yaml", Line: 6, Field: "steps.train.settings.docker.python_package_installer_args.pre",
			Text: "no effect: a null of a step changes nothing; write `pre: true`, or put it into the pipeline's settings",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the warnings (-want +got):\n%s", diff)
	}
	var operators []string
	for _, s := range run.Steps {
		operators = append(operators, s.Name+" "+s.Operator)
	}
	if diff := cmp.Diff([]string{"train ", "eval vertex", "test true", "last "}, operators); diff != "" {
		t.Errorf("the operators (-want +got):\n%s", diff)
	}
}

// TestErrorOfStepLater holds that what turns out wrong after loading is told
// where it stands, be that in the step's settings or in the pipeline's.
func TestErrorOfStepLater(t *testing.T) {
	run, _, err := loadRun(docker("user: me\nrequirements: [a]") + "steps:\n  train:\n    settings:\n      docker:\n        user: you\n")
	if err != nil {
		t.Fatal(err)
	}
	d := run.Steps[0].Docker
	checkError(t, "FieldError", d.FieldError("user", "is unknown", "x"), "inlay.yaml:9: steps.train.settings.docker.user: is unknown", "x")
	checkError(t, "FieldError", d.FieldError("requirements[0]", "is bad", "x"), "inlay.yaml:4: settings.docker.requirements[0]: is bad", "x")
}
