// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/settings"
)

// topics are the pages of docs that are about fields, each with those whose table
// it has. Names are as in the tables: below settings.docker.
var topics = map[string][]string{
	"apt": {"apt_packages", "apt.mirror", "apt.keyring", "apt.sources", "apt.recommends", "apt.allow_remove", "apt.scripts", "apt.accept_unconfigured"},
	"builds": {
		"build", "prevent_build_reuse", "build_config.build_options.pull", "build_config.build_options.no_cache", "build_config.build_options.nocache",
	},
	"bytecode": {"bytecode"},
	"code": {
		"allow_including_files_in_images", "allow_download_from_code_repository", "allow_download_from_artifact_store", "build_config.dockerignore",
		"local_project_install_command",
	},
	"dockerfile": {
		"dockerfile", "build_context_root", "parent_image_build_config.dockerignore", "parent_image_build_config.build_options.target",
		"parent_image_build_config.build_options.platform", "parent_image_build_config.build_options.labels", "parent_image_build_config.build_options.pull",
		"parent_image_build_config.build_options.no_cache", "parent_image_build_config.build_options.nocache",
		"parent_image_build_config.build_options.build_args", "parent_image_build_config.build_options.buildargs",
	},
	"from-dockerfiles": {
		"parent_image", "environment", "runtime_environment", "user", "workdir", "entrypoint", "cmd", "labels", "build_config.build_options.labels",
		"exposed_ports", "volumes", "stop_signal", "healthcheck",
	},
	"indexes": {"indexes", "keep_secrets_in_env"},
	"installers": {
		"python_package_installer", "python_package_installer_args", "build_config.build_options.build_args", "build_config.build_options.buildargs",
	},
	"lock":      {"lock"},
	"outputs":   {"platforms", "build_config.build_options.platform", "compression", "annotations"},
	"pipelines": {"name", "registry", "target_repository", "image_tag", "skip_build", "steps.*.settings.docker", "steps.*.step_operator"},
	"pyproject": {"pyproject_path", "pyproject_export_command"},
	"requirements": {
		"requirements", "disable_automatic_requirements_detection", "python",
	},
	"stacks": {
		"replicate_local_python_environment", "required_integrations", "install_stack_requirements", "install_deployment_requirements", "stack", "catalog",
		"zenml_version",
	},
}

// TestTopics keeps the tables of fields in the pages of docs what the program
// itself says, and holds that every field has its place in one of them.
func TestTopics(t *testing.T) {
	placed := map[string]int{}
	for page, names := range topics {
		compareFields(t, "docs/"+page+".md", func(f settings.Field) bool {
			name := strings.TrimPrefix(f.Name, "settings.docker.")
			if f.Status != settings.Supported || !slices.Contains(names, name) {
				return false
			}
			placed[name]++
			return true
		})
	}
	for _, f := range settings.Fields() {
		if name := strings.TrimPrefix(f.Name, "settings.docker."); f.Status == settings.Supported && placed[name] != 1 {
			t.Errorf("%s is in the tables of %d pages, want 1: give it its place in topics", name, placed[name])
		}
	}
}

// compareFields keeps the table of a page what the program says of the fields for
// which of is true.
func compareFields(t *testing.T, name string, of func(settings.Field) bool) {
	t.Helper()
	const (
		begin = "<!-- fields: " + docsBegin
		end   = "<!-- /fields -->"
	)
	before, rest, ok := strings.Cut(read(t, name), begin)
	got, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no place for the fields between %q and %q", name, begin, end)
	}
	want := fieldsTable(of)
	if *update {
		write(t, name, before+begin+want+end+after)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fields in %s are not the program's; run `just golden` (-want +got):\n%s", name, diff)
	}
}

// TestFromDockerfiles holds that what the page makes of a Dockerfile is settings
// without a mistake, and that it names no field that there isn't.
func TestFromDockerfiles(t *testing.T) {
	page := read(t, "docs/from-dockerfiles.md")
	_, rest, _ := strings.Cut(page, "```yaml\n")
	yaml, _, ok := strings.Cut(rest, "```")
	run, warnings, err := settings.LoadRun("inlay.yaml", strings.NewReader(yaml), settings.Options{})
	if !ok || err != nil || len(warnings) > 0 || run.Pipeline.ParentImage != "python:3.11-slim" {
		t.Errorf("the settings of the page: %v, %v", warnings, err)
	}
	named := 0
	page, _, _ = strings.Cut(page, "## Fields")
	for _, m := range regexp.MustCompile("`([a-z_]+_[a-z_.]+)(?:: [a-z]+)?`").FindAllStringSubmatch(page, -1) {
		named++
		if !slices.ContainsFunc(settings.Fields(), func(f settings.Field) bool { return strings.TrimPrefix(f.Name, "settings.docker.") == m[1] }) {
			t.Errorf("the page names %s, and there is no such field", m[1])
		}
	}
	if named == 0 {
		t.Error("the page names no field")
	}
}
