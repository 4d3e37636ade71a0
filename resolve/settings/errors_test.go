// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"inlay/resolve/settings"
)

// checkError fails unless the error is a *FieldError with this text and hint.
func checkError(t *testing.T, call string, err error, want, hint string) {
	t.Helper()
	var e *settings.FieldError
	if !errors.As(err, &e) {
		t.Errorf("%s = %v, want %s", call, err, want)
		return
	}
	if e.Error() != want {
		t.Errorf("%s\n got %s\nwant %s", call, e, want)
	}
	if e.Hint() != hint {
		t.Errorf("%s\n got hint %s\nwant hint %s", call, e.Hint(), hint)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct{ yaml, want, hint string }{
		{
			docker("pyproject_export_command: pdm export"),
			"inlay.yaml:3: settings.docker.pyproject_export_command: want a list of strings, got a string",
			"write, for example, `pyproject_export_command: [uv, export, --format=requirements-txt, \"--directory={directory}\", --no-emit-project]`",
		},
		{
			"- a\n",
			"inlay.yaml:1: want a mapping, got a list",
			"begin the file with `settings:`",
		},
		{
			"settings: 5",
			"inlay.yaml:1: settings: want a mapping, got a number",
			"write, for example, `settings: {}`",
		},
		{
			docker("x"),
			"inlay.yaml:2: settings.docker: want a mapping, got a string",
			"write, for example, `docker: {}`",
		},
		{
			"setings: {}",
			"inlay.yaml:1: setings: unknown field",
			"did you mean `settings`?",
		},
		{
			"user: me",
			"inlay.yaml:1: user: unknown field here",
			"from the top of the file, write `settings.docker.user`",
		},
		{
			"docker: {}",
			"inlay.yaml:1: docker: unknown field here",
			"from the top of the file, write `settings.docker`",
		},
		{
			"settings: {dockerr: {}}",
			"inlay.yaml:1: settings.dockerr: unknown field",
			"did you mean `docker`?",
		},
		{
			"settings: {orchestrator.kubernetes: {a: b}, orchestrtor: {}}",
			"inlay.yaml:1: settings.orchestrtor: unknown field",
			"did you mean `orchestrator`?",
		},
		{
			"settings: {'step_operator:mine': {}, quux: 1}",
			"inlay.yaml:1: settings.quux: unknown field",
			"the fields here are docker",
		},
		{
			docker("parent_imge: a"),
			"inlay.yaml:3: settings.docker.parent_imge: unknown field",
			"did you mean `parent_image`?",
		},
		{
			docker("quux: a"),
			"inlay.yaml:3: settings.docker.quux: unknown field",
			"the fields here are " + dockerFields,
		},
		{
			docker("registry: localhost:5000"),
			"inlay.yaml:3: settings.docker.registry: unknown field here",
			"from the top of the file, write `registry`",
		},
		{
			docker("apt-packages: [a]"),
			"inlay.yaml:3: settings.docker.apt-packages: unknown field",
			"did you mean `apt_packages`?",
		},
		{
			docker("platform: linux/amd64"),
			"inlay.yaml:3: settings.docker.platform: unknown field here",
			"from the top of the file, write `settings.docker.build_config.build_options.platform`",
		},
		{
			docker("build_config: {build_options: {platfrom: a}}"), //nolint:misspell // on purpose
			"inlay.yaml:3: settings.docker.build_config.build_options.platfrom: unknown field",
			"did you mean `platform`?",
		},
		{
			docker("build_config: {ignore: a}"),
			"inlay.yaml:3: settings.docker.build_config.ignore: unknown field",
			"the fields here are build_options, dockerignore",
		},
		{
			"settings: {docker: {parent_image: a}}\nsteps: {train: {settings: {docker: {skip_build: true}}}}",
			"inlay.yaml:2: steps.train.settings.docker.skip_build: parent_image is missing beside it, and the pipeline's doesn't count here",
			"add `parent_image:` to the settings of the step, or remove `skip_build`",
		},
		{
			docker("user: me") + "steps:\n  train:\n    settings:\n      docker:\n        requirement: [a]",
			"inlay.yaml:8: steps.train.settings.docker.requirement: unknown field",
			"did you mean `requirements`?",
		},
		{
			"steps: {train: {settings: {docker: {environment: [a]}}}}",
			"inlay.yaml:1: steps.train.settings.docker.environment: want a mapping of strings, got a list",
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			docker("environment: {A: b}") + "steps: {train: {settings: {docker: {environment: [a]}}}}",
			"inlay.yaml:4: steps.train.settings.docker.environment: want a mapping of strings, got a list",
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			"steps: {train: {settings: {docker: [a]}}}",
			"inlay.yaml:1: steps.train.settings.docker: want a mapping, got a list",
			"write, for example, `docker: {requirements: [torch]}`",
		},
		{
			"steps: {train: {step_operator: [a]}}",
			"inlay.yaml:1: steps.train.step_operator: want a boolean or string, got a list",
			"write, for example, `step_operator: vertex`",
		},
		{
			"steps: {train: {settings: {docker: {user: '${UNSET}'}}}}",
			"inlay.yaml:1: steps.train.settings.docker.user: the variable UNSET is not set",
			"run `export UNSET=…` first",
		},
		{
			docker("apt_packages:\n  - git\n  - git curl"),
			"inlay.yaml:5: settings.docker.apt_packages[1]: \"git curl\" is not a package: NAME, NAME=VERSION or NAME/SUITE",
			"write, for example, `apt_packages: [git, curl]`",
		},
		{
			docker("apt_packages: git"),
			"inlay.yaml:3: settings.docker.apt_packages: want a list of strings, got a string",
			"write, for example, `apt_packages: [git, curl]`",
		},
		{
			docker("apt: {script: none}"),
			"inlay.yaml:3: settings.docker.apt.script: unknown field",
			"did you mean `scripts`?",
		},
		{
			docker("apt: {scripts: all}"),
			"inlay.yaml:3: settings.docker.apt.scripts: want native or sandbox or none or require-all, got \"all\"",
			"write, for example, `scripts: require-all`",
		},
		{
			docker("apt: {mirror: \"ftp://u:s3cret@a.example/debian\"}"),
			"inlay.yaml:3: settings.docker.apt.mirror: it is not the URL of an archive: http, https or file",
			"write, for example, `mirror: https://mirror.example.com/debian`",
		},
		{
			docker("apt:\n  sources:\n    - url: https://a.example\n      suits: x"),
			"inlay.yaml:6: settings.docker.apt.sources[0].suits: unknown field",
			"did you mean `suites`?",
		},
		{
			docker("apt: {sources: [{url: https://a.example, suites: x, components: [main]}]}"),
			"inlay.yaml:3: settings.docker.apt.sources[0]: a source without a `key`",
			"write, for example, `sources: [{url: https://apt.example.com/debian, suites: [stable], components: [main], key: example.asc}]`",
		},
		{
			docker("python_package_installer: conda"),
			`inlay.yaml:3: settings.docker.python_package_installer: want uv or pip, got "conda"`,
			"write, for example, `python_package_installer: pip`",
		},
		{
			docker("prevent_build_reuse: maybe"),
			"inlay.yaml:3: settings.docker.prevent_build_reuse: want a boolean, got a string",
			"write, for example, `prevent_build_reuse: true`",
		},
		{
			"steps: {train: {enable_cach: true}}",
			"inlay.yaml:1: steps.train.enable_cach: unknown field",
			"did you mean `enable_cache`?",
		},
		{
			"steps: {eval: 7}",
			"inlay.yaml:1: steps.eval: want a mapping, got a number",
			"write, for example, `eval: {}`",
		},
		{
			docker("user: [a]"),
			"inlay.yaml:3: settings.docker.user: want a string, got a list",
			"write, for example, `user: \"1000:1000\"`",
		},
		{
			docker("user:\n  a: b"),
			"inlay.yaml:3: settings.docker.user: want a string, got a mapping",
			"write, for example, `user: \"1000:1000\"`",
		},
		{
			docker("requirements: {a: b}"),
			"inlay.yaml:3: settings.docker.requirements: want a list of strings or path of a file, got a mapping",
			"write, for example, `requirements: [numpy==2.3.1, pandas]`",
		},
		{
			docker("requirements:\n  - a\n  - b: 1"),
			"inlay.yaml:5: settings.docker.requirements[1]: want a string, got a mapping",
			"write, for example, `requirements: [numpy==2.3.1, pandas]`",
		},
		{
			docker("requirements: [~]"),
			"inlay.yaml:3: settings.docker.requirements[0]: want a string, got null",
			"write, for example, `requirements: [numpy==2.3.1, pandas]`",
		},
		{
			docker("environment: SECRET=b"),
			"inlay.yaml:3: settings.docker.environment: want a mapping of strings, got a string",
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			docker("environment: [A=b]"),
			"inlay.yaml:3: settings.docker.environment: want a mapping of strings, got a list",
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			docker("environment:\n  A:\n"),
			"inlay.yaml:4: settings.docker.environment.A: want a string, got null",
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			docker("environment:\n  A: [1]\n"),
			"inlay.yaml:4: settings.docker.environment.A: want a string, got a list",
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			docker("environment: {'': a}"),
			`inlay.yaml:3: settings.docker.environment: "" is not the name of a variable`,
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			docker("environment: {A=B: a}"),
			`inlay.yaml:3: settings.docker.environment: "A=B" is not the name of a variable`,
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			docker(`environment: {A: "a\0b"}`),
			"inlay.yaml:3: settings.docker.environment.A: a NUL byte",
			`remove the \0`,
		},
		{
			docker("environment: {A: '${NUL}'}"),
			"inlay.yaml:3: settings.docker.environment.A: a NUL byte",
			`remove the \0`,
		},
		{
			docker("environment: {A: '${LATIN}'}"),
			"inlay.yaml:3: settings.docker.environment.A: the variable LATIN is not UTF-8",
			"run `export LATIN=…` with text in UTF-8",
		},
		{
			docker("environment:\n  A: b\n  A: c\n"),
			"inlay.yaml:5: settings.docker.environment.A: given twice, first on line 4",
			"remove one of the two",
		},
		{
			docker("environment:\n  ${KEY}: b\n  FROM_VARIABLE: c\n"),
			"inlay.yaml:5: settings.docker.environment.FROM_VARIABLE: given twice, first on line 4",
			"remove one of the two",
		},
		{
			docker("environment: {A: '${UNSET}'}"),
			"inlay.yaml:3: settings.docker.environment.A: the variable UNSET is not set",
			"run `export UNSET=…` first",
		},
		{
			docker("environment: {'${UNSET}': a}"),
			"inlay.yaml:3: settings.docker.environment: the variable UNSET is not set",
			"run `export UNSET=…` first",
		},
		{
			docker("environment: {A: '${BIG}${BIG}${BIG}'}"),
			"inlay.yaml:3: settings.docker.environment.A: variables make the settings larger than 1 MiB",
			"give ${BIG} a shorter value",
		},
		{
			docker("indexes: {url: x}"),
			"inlay.yaml:3: settings.docker.indexes: want a list of indexes, got a mapping",
			"write, for example, `indexes: [{name: corp, url: https://pypi.example.com/simple, auth: env:CORP_LOGIN}]`",
		},
		{
			docker("indexes:\n  - https://u:s3cret@a.example/simple\n  - name: corp\n    atuh: https://u:s3cret@b.example/simple"),
			"inlay.yaml:6: settings.docker.indexes[1].atuh: unknown field",
			"did you mean `auth`?",
		},
		{
			docker("indexes: [{token: s3cret}]"),
			"inlay.yaml:3: settings.docker.indexes[0].token: unknown field",
			"the fields here are name, url, default, auth",
		},
		{
			docker("indexes: [{name: corp}]"),
			"inlay.yaml:3: settings.docker.indexes[0]: an index without a `url`",
			"write, for example, `indexes: [{name: corp, url: https://pypi.example.com/simple, auth: env:CORP_LOGIN}]`",
		},
		{
			docker("indexes: [[a]]"),
			"inlay.yaml:3: settings.docker.indexes[0]: want a URL or mapping, got a list",
			"write, for example, `indexes: [{name: corp, url: https://pypi.example.com/simple, auth: env:CORP_LOGIN}]`",
		},
		{
			docker("indexes: [{name: c*rp, url: https://a.example}]"),
			"inlay.yaml:3: settings.docker.indexes[0].name: \"c*rp\" is not the name of an index: letters, digits, and . - _ between them",
			"write, for example, `indexes: [{name: corp, url: https://pypi.example.com/simple, auth: env:CORP_LOGIN}]`",
		},
		{
			docker("indexes: [{url: https://a.example, auth: netrcfile}]"),
			"inlay.yaml:3: settings.docker.indexes[0].auth: \"netrcfile\" is not a place for credentials: env:VARIABLE, file:PATH, netrc or keyring",
			"write, for example, `indexes: [{name: corp, url: https://pypi.example.com/simple, auth: env:CORP_LOGIN}]`",
		},
		{
			docker("indexes:\n  - {url: https://a.example, default: true}\n  - {url: https://b.example, default: true}"),
			"inlay.yaml:5: settings.docker.indexes[1]: a second index with `default: true`",
			"leave it at one of them",
		},
		{
			docker("indexes:\n  - {url: https://a.example, name: a}\n  - {url: https://b.example, name: a}"),
			"inlay.yaml:5: settings.docker.indexes[1]: a second index with the name \"a\"",
			"give it another name",
		},
		{
			docker("environment: {A: '{{db.pass-word}}'}"),
			"inlay.yaml:3: settings.docker.environment.A: a reference to a ZenML secret, and there is no ZenML server to ask",
			"write `${DB_PASS_WORD}` here and run `export DB_PASS_WORD=…` first",
		},
		{
			docker("parent_image: '{{ a.b }}'"),
			"inlay.yaml:3: settings.docker.parent_image: a reference to a ZenML secret, and there is no ZenML server to ask",
			"write `${A_B}` here and run `export A_B=…` first",
		},
		{
			docker("user: {{a.b}}"),
			"inlay.yaml:3: settings.docker.user: want a name before the colon, got a mapping",
			"quote the value if it begins with {",
		},
		{
			docker("user: a:b:c"),
			`inlay.yaml:3: settings.docker.user: "a:b:c" is not a user: a name or a number, perhaps with :group`,
			"write, for example, `user: \"1000:1000\"`",
		},
		{
			docker("user: '${PASSWORD}'"),
			`inlay.yaml:3: settings.docker.user: "${PASSWORD}" is not a user: a name or a number, perhaps with :group`,
			"write, for example, `user: \"1000:1000\"`",
		},
		{
			docker("workdir: app"),
			`inlay.yaml:3: settings.docker.workdir: "app" is not an absolute path`,
			"write, for example, `workdir: /app`",
		},
		{
			docker("build_config: {build_options: {platform: amd64}}"),
			`inlay.yaml:3: settings.docker.build_config.build_options.platform: "amd64" is not a platform: linux/ARCHITECTURE, perhaps with /VARIANT`,
			"write, for example, `platform: linux/amd64`",
		},
		{
			docker("build_config: {build_options: {platform: windows/amd64}}"),
			`inlay.yaml:3: settings.docker.build_config.build_options.platform: "windows/amd64" is not a platform: linux/ARCHITECTURE, perhaps with /VARIANT`,
			"write, for example, `platform: linux/amd64`",
		},
		{
			docker("platforms: linux/amd64"),
			`inlay.yaml:3: settings.docker.platforms: want a list of strings, got a string`,
			"write, for example, `platforms: [linux/amd64, linux/arm64]`",
		},
		{
			docker("platforms: [linux/amd64, {}]"),
			`inlay.yaml:3: settings.docker.platforms[1]: want a string, got a mapping`,
			"write, for example, `platforms: [linux/amd64, linux/arm64]`",
		},
		{
			docker("platforms: [linux/amd64, arm64]"),
			`inlay.yaml:3: settings.docker.platforms[1]: "arm64" is not a platform: linux/ARCHITECTURE, perhaps with /VARIANT`,
			"write, for example, `platforms: [linux/amd64, linux/arm64]`",
		},
		{
			docker("{platforms: [linux/amd64, linux/arm64], build_config: {build_options: {platform: linux/arm64}}}"),
			`inlay.yaml:3: settings.docker.platforms: linux/amd64, linux/arm64, and build_config.build_options.platform says linux/arm64`,
			"remove one of them",
		},
		{
			docker("image_tag: a/b"),
			`inlay.yaml:3: settings.docker.image_tag: "a/b" is not a tag: letters, digits, _ . - and at most 128 of them`,
			"write, for example, `image_tag: \"1.0\"`",
		},
		{
			docker("image_tag: " + strings.Repeat("a", 129)),
			`inlay.yaml:3: settings.docker.image_tag: "` + strings.Repeat("a", 80) + `"… is not a tag: letters, digits, _ . - and at most 128 of them`,
			"write, for example, `image_tag: \"1.0\"`",
		},
		{
			docker("target_repository: A"),
			`inlay.yaml:3: settings.docker.target_repository: "A" is not a repository: lower case words between / without a registry`,
			"write, for example, `target_repository: team/train`",
		},
		{
			docker("target_repository: host:5000/a"),
			`inlay.yaml:3: settings.docker.target_repository: "host:5000/a" is not a repository: lower case words between / without a registry`,
			"write, for example, `target_repository: team/train`",
		},
		{
			"lock: true",
			"inlay.yaml:1: lock: want the path of a file or false, got a boolean",
			"write, for example, `lock: locks/train.lock`",
		},
		{
			"registry: https://registry.example.com",
			`inlay.yaml:1: registry: "https://registry.example.com" is not a registry: a host, perhaps with a port and a path, without a scheme`,
			"write, for example, `registry: registry.example.com/team`",
		},
		{
			"name: '/'",
			`inlay.yaml:1: name: "/" holds no letter that a tag may have`,
			"write, for example, `name: training`",
		},
		{
			docker("local_project_install_command: pip install .\nallow_including_files_in_images: false"),
			"inlay.yaml:3: settings.docker.local_project_install_command: allow_including_files_in_images is false, so there is no source in the image that it could install",
			"remove one of them",
		},
		{
			docker("skip_build: true"),
			"inlay.yaml:3: settings.docker.skip_build: parent_image is missing, and it is the image when nothing is built",
			"add `parent_image:`, or remove `skip_build`",
		},
		{
			docker("skip_build: 2"),
			"inlay.yaml:3: settings.docker.skip_build: want a boolean, got a number",
			"write, for example, `skip_build: false`",
		},
		{
			docker("python: 3.11"),
			"inlay.yaml:3: settings.docker.python: a version is not supported yet: the interpreter is the parent's",
			"write, for example, `python: /opt/python/bin/python3`",
		},
		{
			docker("python: bin/python"),
			`inlay.yaml:3: settings.docker.python: "bin/python" is not an absolute path`,
			"write, for example, `python: /opt/python/bin/python3`",
		},
		{
			docker("entrypoint: ''"),
			"inlay.yaml:3: settings.docker.entrypoint: an empty command",
			"write `[]` for none at all",
		},
		{
			docker("cmd: {a: b}"),
			"inlay.yaml:3: settings.docker.cmd: want a list of strings or shell command, got a mapping",
			"write, for example, `cmd: [python, main.py]`",
		},
		{
			docker("cmd: 2020-01-01\nentrypoint: [[a]]"),
			"inlay.yaml:4: settings.docker.entrypoint[0]: want a string, got a list",
			"write, for example, `entrypoint: [python, -m, app]`",
		},
		{
			docker("labels: {'': a}"),
			"inlay.yaml:3: settings.docker.labels: an empty key",
			"write, for example, `labels: {org.opencontainers.image.title: demo}`",
		},
		{
			docker("labels: true"),
			"inlay.yaml:3: settings.docker.labels: want a mapping of strings, got a boolean",
			"write, for example, `labels: {org.opencontainers.image.title: demo}`",
		},
		{
			docker("annotations: {a: [b]}"),
			"inlay.yaml:3: settings.docker.annotations.a: want a string, got a list",
			"write, for example, `annotations: {org.opencontainers.image.title: demo}`",
		},
		{
			docker("build_config: x"),
			"inlay.yaml:3: settings.docker.build_config: want a mapping, got a string",
			"write, for example, `build_config: {}`",
		},
		{
			docker("source_files: xx"),
			`inlay.yaml:3: settings.docker.source_files: want download, include, download_or_include or ignore, got "xx"`,
			"write, for example, `source_files: include`",
		},
		{
			docker("dockerignore: [a]"),
			"inlay.yaml:3: settings.docker.dockerignore: want a string, got a list",
			"write, for example, `dockerignore: .dockerignore`",
		},
		{
			docker("exposed_ports: [http]"),
			"inlay.yaml:3: settings.docker.exposed_ports[0]: \"http\" is not a port: a number, perhaps with /tcp, /udp or /sctp",
			"write, for example, `exposed_ports: [8080, 53/udp]`",
		},
		{
			docker("exposed_ports: [80, 70000]"),
			"inlay.yaml:3: settings.docker.exposed_ports[1]: \"70000\" is not a port: a number from 1 to 65535",
			"write, for example, `exposed_ports: [8080, 53/udp]`",
		},
		{
			docker("exposed_ports: 80"),
			"inlay.yaml:3: settings.docker.exposed_ports: want a list of strings, got a number",
			"write, for example, `exposed_ports: [8080, 53/udp]`",
		},
		{
			docker("volumes: [data]"),
			"inlay.yaml:3: settings.docker.volumes[0]: \"data\" is not an absolute path",
			"write, for example, `volumes: [/data]`",
		},
		{
			docker("stop_signal: TERM"),
			"inlay.yaml:3: settings.docker.stop_signal: \"TERM\" is not a signal: a name such as SIGTERM, or a number",
			"write, for example, `stop_signal: SIGINT`",
		},
		{
			docker("healthcheck: {interval: 30}"),
			"inlay.yaml:3: settings.docker.healthcheck.interval: \"30\" is not a duration such as 30s: from 1ms, or 0",
			"write, for example, `healthcheck: {test: [curl, -f, \"localhost:8080\"], interval: 30s, retries: 3}`",
		},
		{
			docker("healthcheck: {retries: -1}"),
			"inlay.yaml:3: settings.docker.healthcheck.retries: \"-1\" is not a number of tries",
			"write, for example, `healthcheck: {test: [curl, -f, \"localhost:8080\"], interval: 30s, retries: 3}`",
		},
		{
			docker("healthcheck: {interva: 30s}"),
			"inlay.yaml:3: settings.docker.healthcheck.interva: unknown field",
			"did you mean `interval`?",
		},
		{
			docker("healthcheck: curl"),
			"inlay.yaml:3: settings.docker.healthcheck: want a health check, got a string",
			"write, for example, `healthcheck: {test: [curl, -f, \"localhost:8080\"], interval: 30s, retries: 3}`",
		},
		{
			"zenml_version: latest",
			`inlay.yaml:1: zenml_version: "latest" is not a version of ZenML`,
			"write, for example, `zenml_version: 0.98.0`",
		},
		{
			docker("build_config: {build_options: {buildargs: {A: b}, build_args: {C: d}}}"),
			"inlay.yaml:3: settings.docker.build_config.build_options.build_args: given as buildargs too",
			"remove `build_args` or `buildargs`",
		},
		{
			docker("build_config: {build_options: {build_args: [A=b]}}"),
			"inlay.yaml:3: settings.docker.build_config.build_options.build_args: want a mapping of strings, got a list",
			"write, for example, `build_args: {PIP_RETRIES: \"9\"}`",
		},
		{
			docker("build_config: {build_options: {nocache: maybe}}"),
			"inlay.yaml:3: settings.docker.build_config.build_options.nocache: want a boolean, got a string",
			"write, for example, `nocache: false`",
		},
		{
			docker("requirements: |\n  numpy\n  pandas"),
			"inlay.yaml:3: settings.docker.requirements: a path of several lines",
			"write a list: `- ` before each requirement, and no `|` or `>`",
		},
		{
			docker("replicate_local_python_environment: conda"),
			"inlay.yaml:3: settings.docker.replicate_local_python_environment: want true, false, pip_freeze, uv_freeze, poetry_export or a list of words, got a string",
			"write, for example, `replicate_local_python_environment: true`",
		},
		{
			docker("replicate_local_python_environment: {a: b}"),
			"inlay.yaml:3: settings.docker.replicate_local_python_environment: want true, false, pip_freeze, uv_freeze, poetry_export or a list of words, got a mapping",
			"write, for example, `replicate_local_python_environment: true`",
		},
		{
			docker("required_integrations: sklearn"),
			"inlay.yaml:3: settings.docker.required_integrations: want a list of strings, got a string",
			"write, for example, `required_integrations: [sklearn, s3]`",
		},
		{
			docker("required_integrations: ['a b']"),
			"inlay.yaml:3: settings.docker.required_integrations[0]: \"a b\" is not the name of an integration",
			"write, for example, `required_integrations: [sklearn, s3]`",
		},
		{
			"stack: [a]",
			"inlay.yaml:1: stack: want a path of a file, got a list",
			"write, for example, `stack: stack.yaml`",
		},
		{
			docker("install_stack_requirements: x"),
			"inlay.yaml:3: settings.docker.install_stack_requirements: want a boolean, got a string",
			"write, for example, `install_stack_requirements: false`",
		},
		{
			docker("user: !foo a"),
			"inlay.yaml:3: settings.docker.user: the tag !foo is not supported",
			"remove the tag !foo",
		},
		{
			docker("user: !!binary aGk="),
			"inlay.yaml:3: settings.docker.user: the tag !!binary is not supported",
			"remove the tag !!binary",
		},
		{
			docker("? [a]\n: b"),
			"inlay.yaml:3: settings.docker: want a name before the colon, got a list",
			"quote the value if it begins with {",
		},
		{
			docker("~: b"),
			"inlay.yaml:3: settings.docker: want a name before the colon, got null",
			"quote the value if it begins with {",
		},
		{
			docker("user: &a b\ncmd: [*a, *c]"),
			"inlay.yaml:4: *c is used, but no &c stands above it",
			"quote the value if the * belongs to it",
		},
		{
			docker("labels: &l {a: *l}"),
			"inlay.yaml:3: settings.docker.labels.a: &l contains itself",
			"remove `*l`",
		},
		{
			docker("<<: 5"),
			"inlay.yaml:3: settings.docker.<<: want a mapping to merge, got a number",
			"write `<<: *name`",
		},
		{
			docker("<<: [{user: a}, b]"),
			"inlay.yaml:3: settings.docker.<<: want a mapping to merge, got a string",
			"write `<<: *name`",
		},
		{
			docker("user: a\nuser: ${TAG}"),
			"inlay.yaml:4: settings.docker.user: given twice, first on line 3",
			"remove one of the two",
		},
		{
			docker("x: " + strings.Repeat("[", 51) + strings.Repeat("]", 51)),
			"inlay.yaml:3: settings.docker.x" + strings.Repeat("[0]", 48) + ": too many or too deeply nested values",
			"use fewer aliases (`*name`)",
		},
		{
			"a: b: c\n",
			"inlay.yaml:1: not YAML: mapping values are not allowed in this context",
			"quote the value if it holds one of : # * & @ ` { [",
		},
		{
			"x: 1\na: b: c\n",
			"inlay.yaml:2: not YAML: mapping values are not allowed in this context",
			"quote the value if it holds one of : # * & @ ` { [",
		},
		{
			"settings:\n\tdocker:\n",
			"inlay.yaml:2: a tab is used to indent",
			"indent with spaces",
		},
		{
			"x: 1\n\ty: 2\n",
			"inlay.yaml:2: a tab is used to indent",
			"indent with spaces",
		},
		{
			"settings:\n  docker: {user: a\nname: b\n",
			"inlay.yaml:2: not YAML: did not find expected ',' or '}'",
			"close the mapping with }",
		},
		{
			"name: a\nenvironment: [a\n",
			"inlay.yaml:2: not YAML: did not find expected ',' or ']'",
			"close the list with ]",
		},
		{
			"a: *x\n",
			"inlay.yaml:1: *x is used, but no &x stands above it",
			"quote the value if the * belongs to it",
		},
		{
			"x: '*x'\na: 2*x\nb: *x\n",
			"inlay.yaml:3: *x is used, but no &x stands above it",
			"quote the value if the * belongs to it",
		},
		{
			"a: 1\n---\nb: 2\n",
			"inlay.yaml:2: a second document begins here",
			"keep one document and remove the line `---`",
		},
		{
			"name: a\nb: \xff\n",
			"inlay.yaml:2: not text: a byte or character that YAML does not allow",
			"save the file as UTF-8 text",
		},
		{
			"name: a\nb: \"\x01\"\n",
			"inlay.yaml:2: not text: a byte or character that YAML does not allow",
			"save the file as UTF-8 text",
		},
		{
			"x: \ufeff1",
			"inlay.yaml:1: not text: a byte or character that YAML does not allow",
			"save the file as UTF-8 text",
		},
		{
			"name: a\nb: 'x\nc: d\n",
			"inlay.yaml:2: not YAML: found unexpected end of stream",
			"close the quote",
		},
		{
			"x:\n  a: 1\n b: 2\n",
			"inlay.yaml:3: not YAML: did not find expected key",
			"indent the line as its neighbours, or write `name: value`",
		},
		{
			"a: 1\nb\nc: 2\n",
			"inlay.yaml:2: not YAML: could not find expected ':'",
			"write `name: value`",
		},
		{
			"a: 1\n...\nfoo\n",
			"inlay.yaml:3: not YAML: did not find expected <document start>",
			"remove the line `...`",
		},
		{
			"a: @x",
			"inlay.yaml:1: not YAML: found character that cannot start any token",
			"quote the value if it holds one of : # * & @ ` { [",
		},
		{
			"- a\nb: 1\n",
			"inlay.yaml:2: not YAML: did not find expected '-' indicator",
			"indent the line as its neighbours, or begin it with `-`",
		},
		{
			`name: "\q"`,
			"inlay.yaml:1: not YAML: found unknown escape character",
			`use single quotes, or write \\ for a backslash`,
		},
		{
			"name: a\n? a\n b\n",
			"inlay.yaml:2: a b: unknown field",
			"the fields here are build, catalog, lock, name, registry, settings, stack, steps, zenml_version",
		},
		{
			docker(`"\e[31m\n": a`),
			`inlay.yaml:3: "settings.docker.\x1b[31m\n": unknown field`,
			"the fields here are " + dockerFields,
		},
	}
	for _, tt := range tests {
		_, _, err := load(tt.yaml)
		checkError(t, fmt.Sprintf("Load(%q)", tt.yaml), err, tt.want, tt.hint)
	}
}

const dockerFields = "allow_download_from_artifact_store, allow_download_from_code_repository, allow_including_files_in_images, annotations, apt, apt_packages, build_config, build_context_root, " +
	"bytecode, cmd, compression, disable_automatic_requirements_detection, dockerfile, entrypoint, environment, exposed_ports, healthcheck, image_tag, indexes, install_deployment_requirements, install_stack_requirements, keep_secrets_in_env, labels, " +
	"local_project_install_command, parent_image, parent_image_build_config, platforms, prevent_build_reuse, pyproject_export_command, pyproject_path, python, python_package_installer, python_package_installer_args, replicate_local_python_environment, required_integrations, requirements, runtime_environment, skip_build, stop_signal, target_repository, user, volumes, workdir"
