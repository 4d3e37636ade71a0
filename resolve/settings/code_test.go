// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"strings"
	"testing"

	"inlay/resolve/settings"
)

// TestSourceFiles holds what the deprecated source_files means at each level:
// fields beside it at the same level win, weaker levels don't.
func TestSourceFiles(t *testing.T) {
	step := func(fields string) string { return "steps: {train: {settings: {docker: " + fields + "}}}\n" }
	tests := []struct {
		name, yaml string
		flags      []settings.Override
		noSource   bool // of the step train
		noRepo     bool
		warning    string
	}{
		{"download", docker("source_files: download") + step("{}"), nil, true, false, "deprecated: write allow_"},
		{"ignore", docker("source_files: ignore") + step("{}"), nil, true, true, "deprecated: write allow_"},
		{"include", docker("source_files: include") + step("{}"), nil, false, true, "deprecated: write allow_"},
		{"either", docker("source_files: download_or_include") + step("{}"), nil, false, false, "deprecated: write allow_"},
		{
			"beside a new field", docker("source_files: download\nallow_including_files_in_images: true") + step("{}"), nil, false, false,
			"ignored: it is deprecated, and allow_including_files_in_images is given",
		},
		{"of a step over the pipeline's", docker("allow_including_files_in_images: true") + step("{source_files: ignore}"), nil, true, true, "steps.train.settings.docker.source_files: deprecated"},
		{"of a step over the pipeline's old one", docker("source_files: ignore") + step("{source_files: include}"), nil, false, true, "steps.train.settings.docker.source_files: deprecated"},
		{"by a flag", step("{source_files: include}"), []settings.Override{flag("--set", "source_files=ignore")}, true, true, "--set: settings.docker.source_files: deprecated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run, warnings, err := loadRun(tt.yaml, tt.flags...)
			if err != nil {
				t.Fatal(err)
			}
			d := run.Steps[0].Docker
			if d.NoSource != tt.noSource || d.NoRepository != tt.noRepo {
				t.Errorf("NoSource, NoRepository = %v, %v, want %v, %v", d.NoSource, d.NoRepository, tt.noSource, tt.noRepo)
			}
			if given := tt.name != "beside a new field"; d.NoStore != given {
				t.Errorf("NoStore = %v: ZenML turned the artifact store off", d.NoStore)
			}
			var said strings.Builder
			for _, w := range warnings {
				said.WriteString(w.String() + "\n")
			}
			if !strings.Contains(said.String(), tt.warning) {
				t.Errorf("the warnings are\n%swant one with %q", said.String(), tt.warning)
			}
		})
	}
}

// TestSpellings holds that options of docker build mean the same in docker-py's
// spelling, and merge with ZenML's across levels.
func TestSpellings(t *testing.T) {
	run, _, err := loadRun(docker("build_config: {build_options: {buildargs: {A: 1, B: 2}, nocache: true}}")+
		"steps: {train: {settings: {docker: {build_config: {build_options: {build_args: {B: 3}, no_cache: false}}}}}}\n",
		flag("--set", "build_config.build_options.buildargs={C: 4}"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(run.Pipeline.BuildArgs, " "); got != "A=1 B=2 C=4" || !run.Pipeline.NoCache {
		t.Errorf("the pipeline's BuildArgs = %s, NoCache = %v", got, run.Pipeline.NoCache)
	}
	train := run.Steps[0].Docker
	if got := strings.Join(train.BuildArgs, " "); got != "A=1 B=3 C=4" || train.NoCache {
		t.Errorf("the step's BuildArgs = %s, NoCache = %v", got, train.NoCache)
	}
}
