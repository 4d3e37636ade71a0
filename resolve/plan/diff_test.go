// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
)

func TestAround(t *testing.T) {
	const base = "org.opencontainers.image.base.digest"
	demo := func() plan.Plan {
		return plan.Plan{Version: plan.Version, Platform: "linux/amd64", Stages: []plan.Stage{{
			Parent: plan.Parent{Image: "base@sha256:01", Digest: "sha256:01"},
			Steps:  []plan.Step{{Name: "a", Files: &plan.Files{Target: "/a"}}, {Name: "b", Files: &plan.Files{Target: "/b"}}},
			Config: plan.Config{Env: []string{"A=1"}, Annotations: map[string]string{base: "sha256:01"}},
		}}}
	}
	tests := []struct {
		change string
		edit   func(*plan.Plan, *plan.Stage)
		want   []string
	}{
		{"nothing", func(*plan.Plan, *plan.Stage) {}, nil},
		{"a step", func(_ *plan.Plan, s *plan.Stage) {
			s.Steps = []plan.Step{{Name: "x", Files: &plan.Files{Target: "/x"}}}
		}, nil},
		{"layers that are gone", func(_ *plan.Plan, s *plan.Stage) { s.Steps = s.Steps[:0] }, []string{"no layer of a", "no layer of b"}},
		{"the order of the layers", func(_ *plan.Plan, s *plan.Stage) { slices.Reverse(s.Steps) }, []string{"the order of the layers"}},
		{"how the parent is opened", func(_ *plan.Plan, s *plan.Stage) { s.Parent.Image = "oci:mirror@sha256:01" }, nil},
		{"the parent", func(_ *plan.Plan, s *plan.Stage) {
			s.Parent.Digest = "sha256:02"
			s.Config.Annotations = map[string]string{base: "sha256:02"}
		}, []string{"the parent, which was base@sha256:01"}},
		{"the platform", func(p *plan.Plan, _ *plan.Stage) { p.Platform = "linux/arm64" }, []string{"platform linux/amd64 → linux/arm64"}},
		{"the time", func(p *plan.Plan, _ *plan.Stage) { p.Created = 1 }, []string{"the time of the image (SOURCE_DATE_EPOCH)"}},
		{"no command in place of the parent's", func(_ *plan.Plan, s *plan.Stage) { s.Config.Cmd = []string{} }, []string{"cmd"}},
		{"the configuration", func(_ *plan.Plan, s *plan.Stage) {
			s.Config = plan.Config{
				Env: []string{"A=2"}, User: "u", WorkDir: "/w", Entrypoint: []string{"e"}, Cmd: []string{"c"},
				Labels: map[string]string{"l": ""}, Annotations: map[string]string{"a": ""},
				Ports: []string{"1/tcp"}, Volumes: []string{"/v"}, StopSignal: "1", Healthcheck: &plan.Healthcheck{},
			}
		}, []string{"environment", "user", "workdir", "entrypoint", "cmd", "exposed_ports", "volumes", "stop_signal", "healthcheck", "labels", "annotations"}},
	}
	for _, tt := range tests {
		t.Run(tt.change, func(t *testing.T) {
			now := demo()
			tt.edit(&now, &now.Stages[0])
			if diff := cmp.Diff(tt.want, plan.Around(demo(), now)); diff != "" {
				t.Errorf("Around (-want +got):\n%s", diff)
			}
		})
	}
}
