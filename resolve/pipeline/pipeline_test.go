// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/catalog"
	"inlay/resolve/pipeline"
	"inlay/resolve/settings"
)

func load(t *testing.T, yaml string) *settings.Run {
	t.Helper()
	run, _, err := settings.LoadRun("inlay.yaml", strings.NewReader(yaml), settings.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// options are those for a stack, of which "" is none.
func options(t *testing.T, stack string, only ...string) pipeline.Options {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	o := pipeline.Options{Only: only, Catalog: c}
	if stack != "" {
		if o.Stack, err = catalog.LoadStack("stack.yaml", strings.NewReader("components:\n"+stack), c); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

const file = `
name: demo
settings: {docker: {parent_image: base, requirements: [a]}}
steps:
  load: {}
  train: {settings: {docker: {requirements: [torch]}}}
  eval: {settings: {docker: {requirements: [torch]}}}
  clean: {settings: {docker: {requirements: [a]}}}
  serve: {settings: {docker: {user: "1000"}}}
`

// describe writes images as lines: keys, steps, tag.
func describe(images []pipeline.Image) []string {
	var out []string
	for _, im := range images {
		out = append(out, fmt.Sprintf("%v %v %s", im.Keys, im.Steps, im.Settings.Target.Tag))
	}
	return out
}

func TestImages(t *testing.T) {
	const (
		own   = "[orchestrator] [load clean] demo-orchestrator"
		train = "[train.orchestrator eval.orchestrator] [train eval] demo-train-orchestrator"
		serve = "[serve.orchestrator] [serve] demo-serve-orchestrator"
	)
	tests := []struct {
		name string
		yaml string
		only []string
		want []string
	}{
		{"all", file, nil, []string{own, train, serve}},
		{"of a step", file, []string{"eval"}, []string{train}},
		{"of a step that differs in nothing", file, []string{"clean"}, []string{own}},
		{"of two steps that share it", file, []string{"train", "eval"}, []string{train}},
		{"of several", file, []string{"serve", "load"}, []string{own, serve}},
		{
			"without a name", "steps: {train: {settings: {docker: {user: a}}}}", nil,
			[]string{"[orchestrator] [] orchestrator", "[train.orchestrator] [train] train-orchestrator"},
		},
		{
			"with a tag", "settings: {docker: {image_tag: x}}\nsteps: {train: {settings: {docker: {user: a}}}}", nil,
			[]string{"[orchestrator] [] x", "[train.orchestrator] [train] x"},
		},
		{"alone without a name", "steps: {train: {}}", nil, []string{"[orchestrator] [train] "}},
		{"without steps", "name: demo", nil, []string{"[orchestrator] [] demo-orchestrator"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pipeline.Images(load(t, tt.yaml), options(t, "", tt.only...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, describe(got)); diff != "" {
				t.Errorf("Images (-want +got):\n%s", diff)
			}
		})
	}
}

// TestManySteps holds that as many images are made as there are different
// settings, however many steps have them.
func TestManySteps(t *testing.T) {
	var b strings.Builder
	b.WriteString("settings: {docker: {parent_image: base}}\nsteps:\n")
	for i := range 200 {
		fmt.Fprintf(&b, "  s%d: {settings: {docker: {requirements: [pkg%d]}}}\n", i, i%10)
	}
	got, err := pipeline.Images(load(t, b.String()), options(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 11 || len(got[1].Steps) != 20 {
		t.Errorf("200 steps with 10 settings need %d images, want 11 with the pipeline's own", len(got))
	}
}

// The orchestrators and operators of ZenML, and what is built for them
// (spec/zenml.md section 2.1).
func TestStacks(t *testing.T) {
	const plain = `
name: demo
settings: {docker: {parent_image: base}}
steps:
  load: {}
  train: {settings: {docker: {requirements: [torch]}}}
  eval: {step_operator: false}
`
	const steps = `
name: demo
settings: {docker: {parent_image: base}}
steps:
  load: {}
  train: {step_operator: vertex, settings: {docker: {requirements: [torch]}}}
  eval: {step_operator: true}
  other: {step_operator: mine}
`
	const (
		kubernetes = "- {type: orchestrator, flavor: kubernetes}\n"
		local      = "- {type: orchestrator, flavor: local}\n"
		operators  = "- {type: step_operator, flavor: vertex}\n- {type: step_operator, flavor: sagemaker, name: mine}\n"
		docker     = "- {type: deployer, flavor: docker}\n"
	)
	tests := []struct {
		name, stack, yaml string
		want              []string
	}{
		{"an orchestrator", kubernetes, plain, []string{"[orchestrator] [load eval] demo-orchestrator", "[train.orchestrator] [train] demo-train-orchestrator"}},
		{"nothing in a container", local, plain, nil},
		{"step operators", kubernetes + operators, steps, []string{
			"[orchestrator eval.vertex_step_operator eval.sagemaker_step_operator other.sagemaker_step_operator] [load eval other] demo-orchestrator",
			"[train.orchestrator train.vertex_step_operator] [train] demo-train-orchestrator",
		}},
		{"step operators alone", local + operators, steps, []string{
			"[train.vertex_step_operator] [train] demo-train-vertex_step_operator",
			"[eval.vertex_step_operator eval.sagemaker_step_operator other.sagemaker_step_operator] [eval other] demo-eval-vertex_step_operator",
		}},
		{"a deployer", local + docker, plain, []string{"[deployer] [] demo-deployer"}},
		{"a deployer of no container", local + "- {type: deployer, flavor: local}\n", plain, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pipeline.Images(load(t, tt.yaml), options(t, tt.stack))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, describe(got)); diff != "" {
				t.Errorf("Images (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnknownOperator holds that a step isn't run by another operator than it asks
// for in silence.
func TestUnknownOperator(t *testing.T) {
	const orchestrator, operator = "- {type: orchestrator, flavor: kubernetes}\n", "- {type: step_operator, flavor: vertex, name: gpus}\n"
	tests := []struct{ operator, stack, want, hint string }{
		{"gpu", orchestrator + operator, `the stack has no step operator "gpu"`, "did you mean `gpus`?"},
		{"vertex", orchestrator + operator, `the stack has no step operator "vertex"`, "name one that it has: gpus"},
		{"true", orchestrator, "the stack has no step operator", "remove `step_operator`, or add `{type: step_operator, flavor: …}` to the components of the stack"},
		{"gpus", orchestrator, "the stack has no step operator", "remove `step_operator`, or add `{type: step_operator, flavor: …}` to the components of the stack"},
	}
	for _, tt := range tests {
		_, err := pipeline.Images(load(t, "steps:\n  a: {}\n  train: {step_operator: "+tt.operator+"}\n"), options(t, tt.stack))
		var e *settings.FieldError
		if !errors.As(err, &e) || e.Error() != "inlay.yaml:3: steps.train.step_operator: "+tt.want || e.Hint() != tt.hint {
			t.Errorf("Images with the operator %s = %v, want %s (%s)", tt.operator, err, tt.want, tt.hint)
		}
	}
	if _, err := pipeline.Images(load(t, "steps: {train: {step_operator: gpus}}"), options(t, "")); err != nil {
		t.Errorf("Images without a stack, which may have any operator: %v", err)
	}
}

// TestLongNames holds that a name which is too long for a tag is cut, whatever
// image of the pipeline it is for.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("p", 200)
	images, err := pipeline.Images(load(t, "name: "+long+"\nsteps: {train: {settings: {docker: {user: a}}}}"),
		options(t, "- {type: orchestrator, flavor: kubernetes}\n- {type: deployer, flavor: docker}\n"))
	if err != nil || len(images) != 3 {
		t.Fatalf("Images = %v, %v, want three", images, err)
	}
	for _, im := range images {
		if got := im.Settings.Target.Tag; got != long[:128] {
			t.Errorf("the tag of %s is %s, want %s", im.Name(), got, long[:128])
		}
	}
}

// TestGroups holds what the stack, a deployer and integrations add to an image,
// and in which order it is installed.
func TestGroups(t *testing.T) {
	const stack = "- {type: orchestrator, flavor: kubernetes}\n- {type: deployer, flavor: docker}\n" +
		"- {type: orchestrator, flavor: vm_aws, requirements: [mine]}\n" +
		"- {type: container_registry, flavor: default, config: {uri: reg.example, default_repository: team}}\n"
	stackGroup := pipeline.Group{Name: "the stack's requirements", Requirements: []string{"Jinja2", "kubernetes>=21.7,<26", "mine", "skypilot[aws]>=0.11.0,<0.12.0"}}
	deployment := pipeline.Group{Name: "the deployer's requirements", Requirements: []string{"Jinja2", "asgiref~=3.10.0", "fastapi", "secure~=1.0.1", "uvicorn"}}
	integrations := pipeline.Group{Name: "the requirements of integrations", Requirements: []string{"lightgbm>=1.0.0", "scikit-learn"}}
	tests := []struct {
		name, docker string
		want         map[string][]pipeline.Group
		packages     []string
	}{
		{
			"all", "{required_integrations: [sklearn, lightgbm], apt_packages: [git, rsync]}",
			map[string][]pipeline.Group{"orchestrator": {stackGroup, integrations}, "deployer": {stackGroup, deployment, integrations}},
			[]string{"git", "rsync", "openssh-client", "libgomp1"},
		},
		{"without the stack's", "{install_stack_requirements: false}", map[string][]pipeline.Group{"orchestrator": nil, "deployer": {deployment}}, nil},
		{
			"without a deployer", "{install_deployment_requirements: false}",
			map[string][]pipeline.Group{"orchestrator": {stackGroup}},
			[]string{"openssh-client", "rsync"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			images, err := pipeline.Images(load(t, "settings: {docker: "+tt.docker+"}"), options(t, stack))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]pipeline.Group{}
			for _, im := range images {
				got[im.Name()] = im.Groups
				if own := len(tt.packages) - len(im.Packages); !slices.Equal(im.Packages, tt.packages[own:]) || own != strings.Count(tt.docker, "git")*2 {
					t.Errorf("%s adds the packages %q", im.Name(), im.Packages)
				}
				if diff := cmp.Diff(tt.packages, im.Settings.Apt.Packages); diff != "" {
					t.Errorf("the packages of %s (-want +got):\n%s", im.Name(), diff)
				}
				if got := im.Settings.Target.Registry + " " + im.Settings.Target.Repository; got != "reg.example team" {
					t.Errorf("%s goes to %s, want reg.example team", im.Name(), got)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the groups (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStepOfImage holds which step an image is called after, whatever its name
// holds.
func TestStepOfImage(t *testing.T) {
	images, err := pipeline.Images(load(t, "steps: {orchestrator: {}, a.b: {settings: {docker: {user: x}}}}"), options(t, "- {type: orchestrator, flavor: kubernetes}\n- {type: deployer, flavor: aws}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, im := range images {
		got = append(got, im.Name()+": "+im.Step())
	}
	if diff := cmp.Diff([]string{"orchestrator: ", "a.b.orchestrator: a.b", "deployer: "}, got); diff != "" {
		t.Errorf("the steps (-want +got):\n%s", diff)
	}
}

func TestUnknownIntegration(t *testing.T) {
	_, err := pipeline.Images(load(t, "settings:\n  docker:\n    required_integrations: [s3, sklaern]\n"), options(t, ""))
	const want = `inlay.yaml:3: settings.docker.required_integrations[1]: no integration "sklaern" of ZenML 0.98.0`
	if err == nil || err.Error() != want {
		t.Errorf("Images = %v, want %s", err, want)
	}
}

func TestUnknownStep(t *testing.T) {
	tests := []struct{ yaml, name, want, hint string }{
		{file, "trian", `the settings name no step "trian"`, "did you mean train?"},
		{file, "x", `the settings name no step "x"`, "name one of these: load, train, eval, clean, serve"},
		{"name: a", "x", `the settings name no step "x"`, "leave out `--step`: the settings name no steps, so all run in one image"},
	}
	for _, tt := range tests {
		_, err := pipeline.Images(load(t, tt.yaml), options(t, "", tt.name))
		var e *pipeline.StepError
		if !errors.As(err, &e) || e.Error() != tt.want || e.Hint() != tt.hint {
			t.Errorf("Images with --step %s = %v, want %s (%s)", tt.name, err, tt.want, tt.hint)
		}
	}
}
