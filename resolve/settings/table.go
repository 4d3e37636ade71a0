// SPDX-License-Identifier: Apache-2.0

package settings

import "slices"

// table lists every field. The image's own come first, as ZenML 0.98 names
// them (spec/zenml.md sections 1.1 and 1.2), then inlay's (spec/cli.md). What
// describes one image stands in settings.docker, so that a step can have its
// own; what describes the project stands at the top of the file.
func table() []field {
	return slices.Concat(sections(), supported(), buildOptions(), accepted(), leftAlone())
}

func sections() []field {
	var all []field
	for _, name := range []string{
		"settings", "settings.docker", "settings.docker.apt", "settings.docker.build_config", "settings.docker.build_config.build_options",
		"settings.docker.parent_image_build_config", "settings.docker.parent_image_build_config.build_options",
		"steps", "steps.*", "steps.*.settings",
	} {
		all = append(all, field{Field: Field{Name: name, Type: "mapping", Example: "{}", Status: Supported}})
	}
	return all
}

func supported() []field {
	all := slices.Concat(contents(), groupFields(), projects(), indexFields(), aptFields(), platformFields(), naming(), running(), code(), optionFields(), recipeFields())
	for i := range all {
		all[i].Name = join(dockerPath, all[i].Name)
	}
	all = append(all,
		field{Field{
			Name: "name", Type: "string", Example: "training",
			Doc: "The name of the pipeline, of which the tag is made where `image_tag` gives none.",
		}, "", pipelineName},
		field{Field{
			Name: "registry", Type: "string", Example: "registry.example.com/team",
			Doc: "The registry of the image, perhaps with a path.",
		}, "", registry},
		field{Field{
			Name: "lock", Type: "path of a file or boolean", Default: "inlay.lock", Example: "locks/train.lock", Flags: []string{"--lock"},
			Doc: "The lock file, by its path in the context; `false` for none.",
		}, "", lockFile},
		field{Field{
			Name: "build", Type: "string", Example: "3f2a91c0d4e7", Flags: []string{"--build"},
			Doc: "An earlier build whose images are taken as they are: its ID, or a file that `inlay builds show --format json` wrote.",
		}, "", namedBuild},
		field{Field{
			Name: "zenml_version", Type: "string", Example: "0.98.0",
			Doc: "The version of ZenML whose image is the parent where none is named.",
		}, "", text(func(l *loader) *string { return &l.docker.ZenML }, isVersion)},
		field{Field{
			Name: "stack", Type: "path of a file", Example: "stack.yaml",
			Doc: "The file that lists the components of the stack, by its path in the context.",
		}, "", text(func(l *loader) *string { return &l.docker.Stack }, nil)},
		field{Field{
			Name: "catalog", Type: "path of a file", Example: "integrations.yaml",
			Doc: "A file of integrations over those that inlay knows, by its path in the context.",
		}, "", text(func(l *loader) *string { return &l.docker.Catalog }, nil)},
		field{Field{
			Name: stepDocker, Type: "mapping", Default: "{}", Example: "{requirements: [torch]}",
			Doc: "The settings of a step's image, over the pipeline's: lists and single values replace, mappings merge, null changes nothing.",
		}, "", ofStep},
		field{Field{
			Name: "steps.*.step_operator", Type: "boolean or string", Default: "false", Example: "vertex",
			Doc: "The step operator that runs the step: its name, or `true` for any of the stack.",
		}, "", stepOperator})
	for i := range all {
		all[i].Status = Supported
	}
	return all
}

// contents are the fields that say what is in the image and how it starts.
func contents() []field { //nolint:revive // a table is as long as it has rows
	return []field{
		{
			Field{
				Name: "parent_image", Type: "string", Example: "python:3.11-slim", Flags: []string{"--parent-image"},
				Doc: "The image to build on: a reference, `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`, or `apt:SUITE+PACKAGE…` for one made of Debian packages alone.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.ParentImage }, nil),
		},
		{Field{
			Name: "requirements", Type: "list of strings or path of a file", Example: "[numpy==2.3.1, pandas]",
			Flags: []string{"--requirement", "--requirements"},
			Doc:   "Python requirements, or the path of a requirements file.",
		}, "", requirements},
		{Field{
			Name: "python", Type: "string", Example: "/opt/python/bin/python3",
			Doc: "Absolute path of the parent's interpreter, where it is not the first `python3` of its `PATH`.",
		}, "", python},
		{
			Field{
				Name: "environment", Type: "mapping of strings", Example: `{PYTHONUNBUFFERED: "1"}`, Flags: []string{"--env"},
				Doc: "Environment variables of the image.",
			},
			"",
			variables(func(d *Docker) *[]string { return &d.Environment }),
		},
		{
			Field{
				Name: "runtime_environment", Type: "mapping of strings", Example: "{LOG_LEVEL: info}", Flags: []string{"--runtime-env"},
				Doc: "Environment variables that only containers see.",
			},
			"",
			variables(func(d *Docker) *[]string { return &d.RuntimeEnvironment }),
		},
		{
			Field{
				Name: "user", Type: "string", Example: `"1000:1000"`, Flags: []string{"--user"},
				Doc: "The user that owns `/app` and runs the container: a name of the parent or a number, perhaps with `:group`.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.User }, isUser),
		},
		{
			Field{
				Name: "workdir", Type: "string", Default: "/app", Example: "/app",
				Doc: "The working directory of containers, absolute.",
			},
			"",
			cleanPath(func(l *loader) *string { return &l.docker.WorkDir }),
		},
		{
			Field{
				Name: "entrypoint", Type: "list of strings or shell command", Example: "[python, -m, app]",
				Doc: "The entrypoint in place of the parent's; `[]` for none.",
			},
			"",
			command(func(d *Docker) *[]string { return &d.Entrypoint }),
		},
		{
			Field{
				Name: "cmd", Type: "list of strings or shell command", Example: "[python, main.py]",
				Doc: "The command in place of the parent's; `[]` for none.",
			},
			"",
			command(func(d *Docker) *[]string { return &d.Cmd }),
		},
		{
			Field{
				Name: "local_project_install_command", Type: "string", Example: "pip install . --no-deps",
				Doc: "A command of the shell that installs the source: run as root in `/app`, in a sandbox.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.InstallCommand }, nil),
		},
		{
			Field{
				Name: "labels", Type: "mapping of strings", Example: "{org.opencontainers.image.title: demo}", Flags: []string{"--label"},
				Doc: "Labels of the image, over those of `build_options`.",
			},
			"",
			stringMap(func(l *loader) *map[string]string { return &l.docker.Labels }),
		},
		{
			Field{
				Name: "annotations", Type: "mapping of strings", Example: "{org.opencontainers.image.title: demo}", Flags: []string{"--annotation"},
				Doc: "Annotations of the manifest.",
			},
			"",
			stringMap(func(l *loader) *map[string]string { return &l.docker.Annotations }),
		},
	}
}

// platformFields say what the image is for.
func platformFields() []field {
	return []field{
		{Field{
			Name: "build_config.build_options.platform", Type: "string", Example: "linux/amd64",
			Doc: "The platform of the image, or several with commas: as `platforms`.",
		}, "", dockerPlatform},
		{Field{
			Name: "platforms", Type: "list of strings", Default: "[]", Example: "[linux/amd64, linux/arm64]", Flags: []string{"--platform"},
			Doc: "The platforms of the image. For several, an image for each is made, and an index that lists them.",
		}, "", platforms},
	}
}

// naming are the fields that say how the image is made and what it is called.
func naming() []field {
	return []field{
		{
			Field{
				Name: "build_config.dockerignore", Type: "string", Default: ".dockerignore", Example: "train.dockerignore", Flags: []string{"--dockerignore"},
				Doc: "The file that says what of the source is left out.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.Dockerignore }, nil),
		},
		{
			Field{
				Name: "build_config.build_options.labels", Type: "mapping of strings", Example: "{team: ml}",
				Doc: "Labels of the image, where ZenML has them.",
			},
			"",
			stringMap(func(l *loader) *map[string]string { return &l.buildLabels }),
		},
		{
			Field{
				Name: "target_repository", Type: "string", Default: "zenml", Example: "team/train",
				Doc: "The repository of the image, without its registry.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.Target.Repository }, isRepository),
		},
		{
			Field{
				Name: "image_tag", Type: "string", Example: `"1.0"`,
				Doc: "The tag of the image, as it is.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.Target.Tag }, isTag),
		},
		{Field{
			Name: "skip_build", Type: "boolean", Default: "false", Example: "false",
			Doc: "Use the parent image as it is; needs `parent_image`.",
		}, "", skipBuild},
		{Field{
			Name: "prevent_build_reuse", Type: "boolean", Default: "false", Example: "true",
			Doc: "Never take the image of an earlier build; if it is set for any image of a pipeline, that holds for all.",
		}, "", func(l *loader, s setting) (err error) { l.docker.NoReuse, err = s.boolean(); return err }},
		{Field{
			Name: "compression", Type: "string", Default: "gzip", Example: "zstd", Flags: []string{"--compression"},
			Doc:    "How new layers are compressed: gzip or zstd.",
			Values: []string{"gzip", "zstd"},
		}, "", choiceOf(func(l *loader) *string { return &l.docker.Compression })},
		{Field{
			Name: "bytecode", Type: "string", Default: "off", Example: "unchecked-hash",
			Doc:    "Whether the modules of wheels are compiled, in layers of their own, for containers that start faster: unchecked-hash, which `on` is too, or off.",
			Values: []string{"off", "on", "unchecked-hash"},
		}, "", bytecode},
	}
}

// buildOptions are the options of docker build, in ZenML's and docker-py's
// spelling, that mean nothing here.
func buildOptions() []field {
	var all []field
	add := func(section, name, doc, why string) {
		all = append(all, field{
			Field{Name: join(join(dockerPath, section), join("build_options", name)), Type: "any value", Example: "true", Doc: doc, Status: NoEffect}, why, noEffect,
		})
	}
	add("build_config", "target", "The stage of a Dockerfile.", "the stage of `dockerfile` is named in parent_image_build_config.build_options.target")
	for _, name := range []string{
		"rm", "forcerm", "squash", "shm_size", "shmsize", "cache_from", "cachefrom", "network_mode", "extra_hosts",
		"container_limits", "isolation", "use_config_proxy", "quiet", "timeout", "gzip",
	} {
		for _, section := range []string{"build_config", recipeSection} {
			add(section, name, "An option of the Docker daemon.", "it is an option of the Docker daemon, and there is none")
		}
	}
	return all
}

// accepted are fields of ZenML that change nothing here, or are other names of
// fields.
func accepted() []field {
	const d = dockerPath + "."
	var all []field
	add := func(name, typ, example, doc, why string, read func(*loader, setting) error) {
		all = append(all, field{Field{Name: d + name, Type: typ, Doc: doc, Example: example, Status: NoEffect}, why, read})
	}
	add("python_package_installer_cache_mount", "string", `"type=cache,target=/cache"`, "A cache for the installer.", "the cache is always there and never in a layer", noEffect)
	add("dockerignore", "string", ".dockerignore", "Deprecated: `build_config.dockerignore`.", "", oldDockerignore)
	add("source_files", "string", "include", "Deprecated: the `allow_` fields.", "", migrated)
	const gone = "it is deprecated, and ZenML does not use it either"
	add("build_options", "mapping", "{}", "Deprecated, unused.", gone+"; write `build_config.build_options`", noEffect)
	add("copy_files", "boolean", "true", "Deprecated, unused.", gone, noEffect)
	add("copy_global_config", "boolean", "true", "Deprecated, unused.", gone, noEffect)
	add("required_hub_plugins", "list of strings", "[]", "Deprecated, unused.", gone, noEffect)
	return all
}

// leftAlone are the keys of a ZenML run configuration and of its steps that
// have no part in the image.
func leftAlone() []field {
	both := []string{
		"enable_cache", "enable_artifact_metadata", "enable_artifact_visualization", "enable_step_logs", "environment",
		"secrets", "extra", "model", "parameters", "retry", "substitutions", "cache_policy",
		"failure_hook_source", "success_hook_source", "start_hook_source", "end_hook_source",
	}
	run := []string{
		"run_name", "enable_pipeline_logs", "enable_heartbeat", "schedule", "tags", "execution_mode", "init_hook_source",
		"init_hook_kwargs", "cleanup_hook_source", "pause_hook_source", "resume_hook_source", "skip_successful_steps",
		"steps_to_skip", "step_input_overrides", "step_default_input_overrides",
	}
	step := []string{"experiment_tracker", "runtime", "heartbeat_healthy_threshold", "group", "outputs"}
	var all []field
	add := func(section string, names ...string) {
		for _, name := range names {
			all = append(all, field{Field: Field{
				Name: join(section, name), Type: "any value",
				Doc: "ZenML's; inlay does not read it.", Status: LeftAlone,
			}})
		}
	}
	add("", slices.Concat(both, run)...)
	add("steps.*", slices.Concat(both, step)...)
	return all
}
