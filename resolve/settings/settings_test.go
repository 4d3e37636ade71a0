// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"inlay/resolve/settings"
)

// variables are what ${NAME} stands for in the tests.
var variables = map[string]string{
	"TAG": "1.2", "EMPTY": "", "KEY": "FROM_VARIABLE", "PASSWORD": "hunter2 hunter2", "TRUE": "true",
	"NUL": "a\x00b", "LATIN": "\xe9", "BIG": strings.Repeat("x", 1<<19),
}

func lookup(name string) (string, bool) {
	v, ok := variables[name]
	return v, ok
}

func load(yaml string, overrides ...settings.Override) (*settings.Docker, []settings.Warning, error) {
	d, w, err := settings.Load("inlay.yaml", strings.NewReader(yaml), settings.Options{Lookup: lookup, Overrides: overrides})
	if len(overrides) == 0 {
		loaded.add(yaml, err)
	}
	return d, w, err
}

var ignorePositions = cmpopts.IgnoreUnexported(settings.Docker{})

// docker indents the text as what stands below settings.docker.
func docker(fields string) string {
	return "settings:\n  docker:\n    " + strings.ReplaceAll(strings.TrimSpace(fields), "\n", "\n    ") + "\n"
}

// every is a file with every field that changes the image.
const every = `
name: my pipe/1
registry: registry.example.com:5000/team/
lock: locks/every.lock
stack: stacks/k8s.yaml
catalog: rows.yaml
zenml_version: 0.98.0
build: 3f2a
settings:
  docker:
    parent_image: oci:parent
    requirements: [numpy==2.3.1, "pandas[sql]", 7]
    replicate_local_python_environment: "yes"
    required_integrations: [sklearn, s3]
    install_stack_requirements: no
    install_deployment_requirements: "off"
    pyproject_path: sub/pyproject.toml
    pyproject_export_command: [pdm, export, "--project={directory}", 7]
    disable_automatic_requirements_detection: "no"
    python_package_installer: pip
    python_package_installer_args: {no-deps: null, --timeout: 5, upgrade-package: [a, "b${EMPTY}"], pre: true}
    indexes:
      - https://u:p${TAG}@a.example/simple
      - {name: corp, url: https://b.example/simple, default: "on", auth: env:CORP}
    keep_secrets_in_env: yes
    apt_packages: [git, "curl=7.88.1-10"]
    apt:
      mirror: https://mirror.example/debian
      keyring: keys.gpg
      sources: [{url: http://apt.example/x, suites: [a, b], components: main, key: x.asc}, {url: file:///srv/flat, suites: ./, key: y.gpg}]
      recommends: yes
      allow_remove: yes
      scripts: require-all
      accept_unconfigured: [tex-common]
    python: /opt/py/bin/../bin/python3
    environment:
      quoted: it's "so" $HOME
      B: 1.10
      A: off
      EMPTY: ""
      TAG: v${TAG}-${TAG}
      ${KEY}: "$${TAG} ${TAG:-x} $TAG"
    runtime_environment: {Z: ~/x, D: 2020-01-02}
    user: 1000:1000
    workdir: /srv/./app/
    entrypoint: [python, -m, app, 8]
    cmd: exec $0
    local_project_install_command: pip install . && true
    labels: {a.b/c: 1.0, team: two}
    annotations: {org.opencontainers.image.title: "true"}
    compression: zstd
    bytecode: on
    allow_including_files_in_images: yes
    prevent_build_reuse: on
    exposed_ports: [8080, 53/udp, 08080/tcp]
    volumes: [/data/, /a]
    stop_signal: SIGINT
    healthcheck: {test: [curl, x], interval: 1m30s, timeout: 3s, start_period: 0s, start_interval: null, retries: 2}
    build_config:
      dockerignore: train.dockerignore
      build_options: {platform: linux/aarch64/v8, labels: {team: one, from: zenml}, pull: true, no_cache: on, build_args: {TOKEN: "x${TAG}"}}
    platforms: [linux/aarch64/v8]
    dockerfile: docker/Dockerfile
    build_context_root: docker
    parent_image_build_config:
      dockerignore: docker/.ignore
      build_options: {target: runtime, platform: linux/arm64/v8, labels: {team: zero, recipe: yes}, buildargs: {VERSION: 1.10}}
    target_repository: team/train
    image_tag: 1.10
    skip_build: "False"
steps:
  eval: {step_operator: false}
`

func TestLoad(t *testing.T) {
	tests := []struct {
		name string
		yaml string
		want settings.Docker
	}{
		{"an empty file", "", settings.Docker{}},
		{"only comments", "# nothing\n", settings.Docker{}},
		{"a document that is null", "---\n", settings.Docker{}},
		{"null headers", "settings:\n  docker:\n    environment:\n    requirements:\n    user:\n    skip_build:\n    apt_packages:\nsteps:\n", settings.Docker{}},
		{"every field", every, settings.Docker{
			ParentImage:      "oci:parent",
			Local:            settings.Local{Way: "pip_freeze"},
			Integrations:     []string{"sklearn", "s3"},
			Stack:            "stacks/k8s.yaml",
			Catalog:          "rows.yaml",
			NoStack:          true,
			NoDeployment:     true,
			Requirements:     []string{"numpy==2.3.1", "pandas[sql]", "7"},
			Pyproject:        "sub/pyproject.toml",
			PyprojectCommand: []string{"pdm", "export", "--project={directory}", "7"},
			Detection:        settings.DetectionOn,
			InstallerArgs: []settings.InstallerArg{
				{Name: "no-deps", Null: true},
				{Name: "timeout", Values: []string{"5"}},
				{Name: "upgrade-package", Values: []string{"a", "b"}},
				{Name: "pre", Values: []string{"true"}},
			},
			Installer: "pip",
			Indexes: []settings.Index{
				{Field: "indexes[0]", URL: "https://u:p1.2@a.example/simple"},
				{Field: "indexes[1]", Name: "corp", URL: "https://b.example/simple", Default: true, Auth: "env:CORP"},
			},
			Apt: settings.Apt{
				Packages: []string{"git", "curl=7.88.1-10"}, Mirror: "https://mirror.example/debian", Keyring: "keys.gpg", Recommends: true, AllowRemove: true,
				Sources: []settings.AptSource{
					{Field: "apt.sources[0]", URL: "http://apt.example/x", Suites: []string{"a", "b"}, Components: []string{"main"}, Key: "x.asc"},
					{Field: "apt.sources[1]", URL: "file:///srv/flat", Suites: []string{"./"}, Key: "y.gpg"},
				},
				Scripts: "require-all", Unconfigured: []string{"tex-common"},
			},
			KeepSecrets:        true,
			Python:             "/opt/py/bin/python3",
			Environment:        []string{`quoted=it's "so" $HOME`, "B=1.10", "A=off", "EMPTY=", "TAG=v1.2-1.2", "FROM_VARIABLE=$1.2 ${TAG:-x} $TAG"},
			RuntimeEnvironment: []string{"Z=~/x", "D=2020-01-02"},
			User:               "1000:1000",
			WorkDir:            "/srv/app",
			Entrypoint:         []string{"python", "-m", "app", "8"},
			Cmd:                []string{"/bin/sh", "-c", "exec $0"},
			InstallCommand:     "pip install . && true",
			Labels:             map[string]string{"a.b/c": "1.0", "team": "two", "from": "zenml", "recipe": "yes"},
			Annotations:        map[string]string{"org.opencontainers.image.title": "true"},
			Ports:              []string{"53/udp", "8080/tcp"},
			Volumes:            []string{"/a", "/data"},
			StopSignal:         "SIGINT",
			Healthcheck:        &settings.Healthcheck{Test: []string{"CMD", "curl", "x"}, Interval: 90 * time.Second, Timeout: 3 * time.Second, Retries: 2},
			Pull:               true,
			NoCache:            true,
			BuildArgs:          []string{"TOKEN=x1.2"},
			ZenML:              "0.98.0",
			NoReuse:            true,
			Build:              "3f2a",
			Name:               "my pipe/1",
			Compression:        "zstd",
			Bytecode:           true,
			Recipe:             settings.Recipe{Dockerfile: "docker/Dockerfile", Root: "docker", Dockerignore: "docker/.ignore", Target: "runtime", Args: []string{"VERSION=1.10"}},
			Dockerignore:       "train.dockerignore",
			Platform:           "linux/arm64/v8",
			Target:             settings.Target{Registry: "registry.example.com:5000/team", Repository: "team/train", Tag: "1.10"},
			Lock:               "locks/every.lock",
		}},
		{"a number where a string is wanted", docker("user: 1000\nimage_tag: 1.0\nparent_image: 0x10"), settings.Docker{
			User: "1000", ParentImage: "0x10", Target: settings.Target{Repository: "zenml", Tag: "1.0"},
		}},
		{"a requirements file", docker("requirements: reqs/${TAG}.txt"), settings.Docker{RequirementsFile: "reqs/1.2.txt"}},
		{"empty is not given", docker(`{requirements: [], user: "", image_tag: "${EMPTY}", parent_image: "", environment: {}, labels: {}}`), settings.Docker{}},
		{"nothing is looked for", docker("disable_automatic_requirements_detection: true"), settings.Docker{Detection: settings.DetectionOff}},
		{"the default command", docker("pyproject_export_command: []"), settings.Docker{}},
		{"no entrypoint and no command", docker("entrypoint: []\ncmd: []"), settings.Docker{Entrypoint: []string{}, Cmd: []string{}}},
		{"an image that is its parent", docker("{parent_image: a, skip_build: '${TRUE}'}"), settings.Docker{ParentImage: "a", SkipBuild: true}},
		{"aliases and merge keys", `
extra:
  common: &common {user: "7", environment: &env {A: old, B: b}}
settings:
  docker:
    <<: *common
    environment: {<<: [*env, {B: later, C: c}], A: new}
    runtime_environment: *env
`, settings.Docker{User: "7", Environment: []string{"B=b", "C=c", "A=new"}, RuntimeEnvironment: []string{"A=old", "B=b"}}},
		{"a quoted merge key", docker(`labels: {"<<": x}`), settings.Docker{Labels: map[string]string{"<<": "x"}}},
		{"a variable in what ZenML alone reads", "parameters: {x: \"${UNSET}\", x: !any 1}\n", settings.Docker{}},
		{"Windows line ends and a byte order mark", "\ufeffsettings:\r\n  docker:\r\n    user: me\r\n", settings.Docker{User: "me"}},
		{
			"index variables with credentials", docker("environment: {PIP_INDEX_URL: 'https://u:p@pypi.example.com/simple', URL: 'https://a:b@example.com'}"),
			settings.Docker{Environment: []string{"PIP_INDEX_URL=https://u:p@pypi.example.com/simple", "URL=https://a:b@example.com"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := load(tt.yaml)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("Load(%q) gave %v, warnings %v", tt.yaml, err, warnings)
			}
			if diff := cmp.Diff(&tt.want, got, ignorePositions); diff != "" {
				t.Errorf("Load(%q) (-want +got):\n%s", tt.yaml, diff)
			}
		})
	}
}

func TestNoFile(t *testing.T) {
	got, _, err := settings.Load("inlay.yaml", nil, settings.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&settings.Docker{}, got, ignorePositions); diff != "" {
		t.Errorf("Load(nil) (-want +got):\n%s", diff)
	}
}

func TestReadError(t *testing.T) {
	broken := errors.New("broken")
	_, _, err := settings.Load("inlay.yaml", iotest.ErrReader(broken), settings.Options{})
	if !errors.Is(err, broken) || err.Error() != "reading inlay.yaml: broken" {
		t.Errorf("Load(broken reader) = %v, want reading inlay.yaml: broken", err)
	}
}

func TestTarget(t *testing.T) {
	tests := []struct{ yaml, want string }{
		{"name: my pipe/1", "zenml:mypipe1-orchestrator"},
		{"name: .x", "zenml:_x-orchestrator"},
		{"name: " + strings.Repeat("n", 200), "zenml:" + strings.Repeat("n", 128)},
		{"registry: localhost:5000//", "localhost:5000/zenml"},
		{"{registry: '[::1]:5000', name: n}", "[::1]:5000/zenml:n-orchestrator"},
		{docker("target_repository: a/b"), "a/b"},
		{docker("image_tag: V_1"), "zenml:V_1"},
		{"name: n\n" + docker("{target_repository: a__b/c--d, image_tag: v}"), "a__b/c--d:v"},
	}
	for _, tt := range tests {
		d, _, err := load(tt.yaml)
		if err != nil {
			t.Errorf("Load(%q) = %v", tt.yaml, err)
			continue
		}
		if got := d.Target.String(); got != tt.want {
			t.Errorf("Load(%q).Target = %q, want %q", tt.yaml, got, tt.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	d, got, err := load(docker(`
dockerignore: old.ignore
copy_files: false
source_files: include
build_options: {pull: true}
python_package_installer_cache_mount: type=cache,target=/c
build_config: {build_options: {rm: true, shmsize: 1}}
parent_image: a
skip_build: true
user: me
environment: {A: b}
install_stack_requirements: false`))
	if err != nil {
		t.Fatal(err)
	}
	if d.Dockerignore != "old.ignore" {
		t.Errorf("Dockerignore = %q, want the deprecated field's", d.Dockerignore)
	}
	want := []string{
		"inlay.yaml:5: settings.docker.source_files: deprecated: write allow_including_files_in_images, allow_download_from_code_repository and allow_download_from_artifact_store",
		"inlay.yaml:3: settings.docker.dockerignore: deprecated: write it as build_config.dockerignore",
		"inlay.yaml:4: settings.docker.copy_files: no effect: it is deprecated, and ZenML does not use it either",
		"inlay.yaml:6: settings.docker.build_options: no effect: it is deprecated, and ZenML does not use it either; write `build_config.build_options`",
		"inlay.yaml:7: settings.docker.python_package_installer_cache_mount: no effect: the cache is always there and never in a layer",
		"inlay.yaml:8: settings.docker.build_config.build_options.rm: no effect: it is an option of the Docker daemon, and there is none",
		"inlay.yaml:8: settings.docker.build_config.build_options.shmsize: no effect: it is an option of the Docker daemon, and there is none",
		"inlay.yaml:10: settings.docker.skip_build: the parent image is used as it is, without environment, user",
	}
	var lines []string
	for _, w := range got {
		lines = append(lines, w.String())
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestDockerignoreWinsOverDeprecated(t *testing.T) {
	d, _, err := load(docker("build_config: {dockerignore: new}\ndockerignore: old"))
	if err != nil || d.Dockerignore != "new" {
		t.Errorf("Dockerignore = %q, %v, want new", d.Dockerignore, err)
	}
}

func TestFieldErrorOfLaterSteps(t *testing.T) {
	d, _, err := load(docker("requirements:\n  - a\n  - b\nenvironment:\n  A: b\nuser: me"),
		settings.Override{Flag: "--dockerignore", Values: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ field, want string }{
		{"requirements", "inlay.yaml:3: settings.docker.requirements: gone"},
		{"requirements[1]", "inlay.yaml:5: settings.docker.requirements[1]: gone"},
		{"requirements[9]", "inlay.yaml:3: settings.docker.requirements[9]: gone"},
		{"environment.A", "inlay.yaml:7: settings.docker.environment.A: gone"},
		{"user", "inlay.yaml:8: settings.docker.user: gone"},
		{"build_config.dockerignore", "--dockerignore: settings.docker.build_config.dockerignore: gone"},
		{"parent_image", "inlay.yaml:2: settings.docker.parent_image: gone"},
	}
	for _, tt := range tests {
		e := d.FieldError(tt.field, "gone", "find it")
		if e.Error() != tt.want || e.Hint() != "find it" {
			t.Errorf("FieldError(%q) = %q, hint %q, want %q", tt.field, e, e.Hint(), tt.want)
		}
	}
	var none settings.Docker
	if got, want := none.FieldError("user", "gone", "").Error(), "settings.docker.user: gone"; got != want {
		t.Errorf("FieldError of a zero Docker = %q, want %q", got, want)
	}
}

// `false` is no path, whether the file or a flag says it; the stronger wins.
func TestNoLock(t *testing.T) {
	for _, tt := range []struct {
		yaml  string
		flags []settings.Override
		want  settings.Docker
	}{
		{"lock: false", nil, settings.Docker{NoLock: true}},
		{"lock: 'false'", nil, settings.Docker{NoLock: true}},
		{"lock: x.lock", []settings.Override{flag("--lock", "false")}, settings.Docker{NoLock: true}},
		{"lock: false", []settings.Override{flag("--lock", "x.lock")}, settings.Docker{Lock: "x.lock"}},
		{"lock: null", nil, settings.Docker{}},
	} {
		got, _, err := load(tt.yaml, tt.flags...)
		if err != nil {
			t.Errorf("Load(%q, %v): %v", tt.yaml, tt.flags, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, got, ignorePositions); diff != "" {
			t.Errorf("Load(%q, %v) (-want +got):\n%s", tt.yaml, tt.flags, diff)
		}
	}
}
