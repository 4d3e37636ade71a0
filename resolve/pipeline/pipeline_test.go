// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		{"without steps", "name: demo", nil, []string{"[orchestrator] [] demo-orchestrator"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pipeline.Images(load(t, tt.yaml), tt.only)
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
	got, err := pipeline.Images(load(t, b.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 11 || len(got[1].Steps) != 20 {
		t.Errorf("200 steps with 10 settings need %d images, want 11 with the pipeline's own", len(got))
	}
}

func TestUnknownStep(t *testing.T) {
	tests := []struct{ yaml, name, want, hint string }{
		{file, "trian", `the settings name no step "trian"`, "did you mean train?"},
		{file, "x", `the settings name no step "x"`, "name one of these: load, train, eval, clean, serve"},
		{"name: a", "x", `the settings name no step "x"`, "leave out `--step`: the settings name no steps, so all run in one image"},
	}
	for _, tt := range tests {
		_, err := pipeline.Images(load(t, tt.yaml), []string{tt.name})
		var e *pipeline.StepError
		if !errors.As(err, &e) || e.Error() != tt.want || e.Hint() != tt.hint {
			t.Errorf("Images with --step %s = %v, want %s (%s)", tt.name, err, tt.want, tt.hint)
		}
	}
}
