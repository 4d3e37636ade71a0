// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"slices"
	"strings"
	"testing"

	"inlay/resolve/settings"
)

// fieldsOf lists the names of all fields of a status below settings.docker, or
// at the top where there is no such prefix.
func fieldsOf(status settings.Status) []string {
	var names []string
	for _, f := range settings.Fields() {
		if f.Status == status {
			names = append(names, f.Name)
		}
	}
	return names
}

// nest writes a value at a dotted path.
func nest(path, value string) string {
	names := strings.Split(strings.ReplaceAll(path, "*", "train"), ".")
	return strings.Join(names, ": {") + ": " + value + strings.Repeat("}", len(names)-1) + "\n"
}

// TestZenMLFields holds that every field of ZenML 0.98 is known, and what
// becomes of it. The names are those of spec/zenml.md sections 1.1 and 1.2.
func TestZenMLFields(t *testing.T) {
	want := map[settings.Status]string{
		settings.Supported: `parent_image skip_build target_repository image_tag requirements environment runtime_environment user
			install_stack_requirements install_deployment_requirements required_integrations replicate_local_python_environment
			allow_download_from_code_repository allow_download_from_artifact_store
			pyproject_path pyproject_export_command disable_automatic_requirements_detection python_package_installer
			python_package_installer_args apt_packages local_project_install_command allow_including_files_in_images prevent_build_reuse
			build_config.build_options.pull build_config.build_options.no_cache build_config.build_options.nocache
			build_config.build_options.build_args build_config.build_options.buildargs
			build_config.dockerignore build_config.build_options.platform build_config.build_options.labels
			dockerfile build_context_root parent_image_build_config.dockerignore
			parent_image_build_config.build_options.target parent_image_build_config.build_options.platform
			parent_image_build_config.build_options.labels parent_image_build_config.build_options.pull
			parent_image_build_config.build_options.build_args parent_image_build_config.build_options.buildargs
			parent_image_build_config.build_options.no_cache parent_image_build_config.build_options.nocache`,
		settings.NoEffect: `python_package_installer_cache_mount build_options dockerignore source_files copy_files
			copy_global_config required_hub_plugins
			build_config.build_options.target parent_image_build_config.build_options.rm
			build_config.build_options.rm build_config.build_options.squash build_config.build_options.network_mode
			build_config.build_options.shm_size build_config.build_options.shmsize
			build_config.build_options.cache_from build_config.build_options.cachefrom`,
	}
	for status, names := range want {
		known := fieldsOf(status)
		for _, name := range strings.Fields(names) {
			if !slices.Contains(known, "settings.docker."+name) {
				t.Errorf("settings.docker.%s is not among the fields of status %q", name, status)
			}
		}
	}
}

// TestOwnFields does the same for the fields of spec/cli.md.
func TestOwnFields(t *testing.T) {
	want := map[settings.Status]string{
		settings.Supported: `name registry lock stack catalog zenml_version build settings.docker.python settings.docker.cmd settings.docker.entrypoint
			settings.docker.workdir settings.docker.indexes settings.docker.keep_secrets_in_env settings.docker.labels settings.docker.annotations
			settings.docker.exposed_ports settings.docker.volumes settings.docker.healthcheck settings.docker.stop_signal
			settings.docker.compression settings.docker.bytecode settings.docker.platforms steps.*.settings.docker steps.*.step_operator`,
		settings.LeftAlone: `parameters enable_cache model schedule tags run_name retry extra environment secrets
			steps.*.parameters steps.*.enable_cache steps.*.experiment_tracker`,
	}
	for status, names := range want {
		known := fieldsOf(status)
		for _, name := range strings.Fields(names) {
			if !slices.Contains(known, name) {
				t.Errorf("%s is not among the fields of status %q", name, status)
			}
		}
	}
}

// TestEveryFieldHasItsEffect loads each field alone, by its example and, if it is
// supported, its default.
func TestEveryFieldHasItsEffect(t *testing.T) {
	for _, f := range settings.Fields() {
		if f.Doc == "" || f.Type == "" || f.Status == settings.Supported && f.Example == "" {
			t.Errorf("field %+v lacks a description, a type or an example", f)
		}
		switch f.Status {
		case settings.Supported, settings.LeftAlone:
			for _, value := range []string{f.Example, f.Default, "null"} {
				if _, w, err := load(nest(f.Name, value)); err != nil || len(w) > 0 {
					t.Errorf("%s: %s gave %v, warnings %v", f.Name, value, err, w)
				}
			}
		case settings.NoEffect:
			if _, w, err := load(nest(f.Name, f.Example)); err != nil || len(w) != 1 {
				t.Errorf("%s: %s gave %v, warnings %v, want one", f.Name, f.Example, err, w)
			}
		default:
			t.Errorf("%s has the status %q", f.Name, f.Status)
		}
	}
}

// TestEverySupportedFieldIsInTheExample holds that the file the other tests
// load names every field that changes the image.
func TestEverySupportedFieldIsInTheExample(t *testing.T) {
	for _, f := range settings.Fields() {
		name := f.Name[strings.LastIndexByte(f.Name, '.')+1:]
		if f.Status == settings.Supported && !strings.Contains(every, name+":") &&
			name != "nocache" && name != "buildargs" && !strings.HasPrefix(name, "install_") && !strings.HasPrefix(name, "allow_") {
			t.Errorf("the example does not name %s", f.Name)
		}
	}
}

// TestZenMLFile holds that settings ZenML takes work unchanged, with all that
// is ZenML's business in the file.
func TestZenMLFile(t *testing.T) {
	d, w, err := load(`
enable_cache: false
run_name: "{date}"
parameters: {a: [1, {b: !x c}]}
model: {name: m, tags: [a]}
tags: [a]
settings:
  resources: {cpu_count: 2}
  orchestrator: {synchronous: true}
  orchestrator.kubernetes: {pod_settings: {}}
  step_operator:mine: {}
  docker:
    parent_image: python:3.11-slim
    requirements: [scikit-learn]
    install_stack_requirements: false
    python_package_installer: uv
    allow_download_from_artifact_store: false
    build_config: {dockerignore: null, build_options: {pull: false, labels: {a: b}}}
    apt_packages: []
steps:
  train:
    enable_cache: true
    experiment_tracker: mlflow
    settings: {resources: {gpu_count: 1}, docker: {}}
    step_operator: null
`)
	if err != nil || len(w) > 0 || d.ParentImage != "python:3.11-slim" || len(d.Requirements) != 1 || d.Labels["a"] != "b" {
		t.Errorf("Load = %+v, %v, %v", d, w, err)
	}
}
