// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
)

// stages is a plan whose image stands on another stage; a third stands aside.
func stages() plan.Plan {
	run := func(word string) plan.Step {
		return plan.Step{Name: "RUN " + word, Run: &plan.Run{Command: []string{word}, Setting: "Dockerfile:1: RUN", Exact: true}}
	}
	return plan.Plan{Version: plan.Version, Stages: []plan.Stage{
		{Parent: plan.Parent{Image: "a", Digest: "sha256:0a"}, Steps: []plan.Step{run("a")}},
		{Parent: plan.Parent{Image: "b", Digest: "sha256:0b"}, Steps: []plan.Step{run("b"), run("c")}},
		{Parent: plan.Parent{Image: plan.Below(1), Digest: "sha256:0c"}, Steps: []plan.Step{{Name: "files", Files: &plan.Files{Target: "/app", Files: []plan.File{{Path: "x", Source: "src/x"}}}}}},
	}}
}

func TestChain(t *testing.T) {
	p := stages()
	if diff := cmp.Diff([]int{1, 2}, p.Chain()); diff != "" {
		t.Errorf("Chain (-want +got):\n%s", diff)
	}
	if got := p.Parent().Image; got != "b" {
		t.Errorf("Parent = %s, want b", got)
	}
	var b bytes.Buffer
	if err := p.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Decode(&b); err != nil {
		t.Errorf("Decode: %v", err)
	}
	p.Stages[1].Parent.Image = plan.Below(1)
	if err := p.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Decode(&b); err == nil || !strings.Contains(err.Error(), "stage 1 stands on stage 1, which is not before it") {
		t.Errorf("Decode of a stage on itself: %v", err)
	}
}

// TestSince tells what changed in any of the stages.
func TestSince(t *testing.T) {
	tests := []struct {
		change string
		edit   func(*plan.Plan)
		want   [][]string
	}{
		{"nothing", func(*plan.Plan) {}, [][]string{nil, nil, nil, nil}},
		{"where a file comes from", func(p *plan.Plan) {
			p.Stages[2].Steps[0].Files.Files[0].Source, p.Stages[2].Steps[0].Files.From = "y", "z"
		}, [][]string{nil, nil, nil, nil}},
		{"what a command may reach", func(p *plan.Plan) { p.Stages[0].Steps[0].Run.Hosts = []string{"x"} }, [][]string{nil, nil, nil, nil}},
		{"a command", func(p *plan.Plan) { p.Stages[1].Steps[0].Run.Command = []string{"d"} }, [][]string{nil, {"the command changed"}, {"a layer below it changed"}, nil}},
		{"an argument", func(p *plan.Plan) { p.Stages[1].Steps[1].Run.ArgsDigest = "sha256:ff" }, [][]string{nil, nil, {"its build arguments changed"}, nil}},
		{"the user", func(p *plan.Plan) { p.Stages[1].Steps[1].Run.User = "u" }, [][]string{nil, nil, {"its user changed"}, nil}},
		{"the line", func(p *plan.Plan) { p.Stages[1].Steps[1].Run.Setting = "x" }, [][]string{nil, nil, nil, nil}},
		{"a file", func(p *plan.Plan) { p.Stages[2].Steps[0].Files.Files[0].Digest = "sha256:ff" }, [][]string{nil, nil, nil, {"x changed"}}},
	}
	for _, tt := range tests {
		now := stages()
		tt.edit(&now)
		if diff := cmp.Diff(tt.want, now.Since(stages())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.change, diff)
		}
	}
}
