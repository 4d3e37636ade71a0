// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/settings"
)

func flag(name string, values ...string) settings.Override {
	return settings.Override{Flag: name, Values: values}
}

const under = `
settings:
  docker:
    parent_image: old
    requirements: [a, b]
    environment: {A: "1", B: "2"}
    user: me
    labels: {a: b}
`

func TestOverrides(t *testing.T) {
	base := func() *settings.Docker {
		return &settings.Docker{
			ParentImage: "old", Requirements: []string{"a", "b"}, Environment: []string{"A=1", "B=2"},
			User: "me", Labels: map[string]string{"a": "b"},
		}
	}
	tests := []struct {
		name  string
		flags []settings.Override
		edit  func(*settings.Docker)
	}{
		{"no flag", nil, func(*settings.Docker) {}},
		{"a flag without values", []settings.Override{flag("--user")}, func(*settings.Docker) {}},
		{
			"a scalar is replaced by the last",
			[]settings.Override{flag("--parent-image", "a", "b")},
			func(d *settings.Docker) { d.ParentImage = "b" },
		},
		{"an empty scalar takes back", []settings.Override{flag("--user", "")}, func(d *settings.Docker) { d.User = "" }},
		{
			"a list is replaced",
			[]settings.Override{flag("--requirement", "c", "d,e")},
			func(d *settings.Docker) { d.Requirements = []string{"c", "d,e"} },
		},
		{
			"a file replaces a list",
			[]settings.Override{flag("--requirements", "r.txt")},
			func(d *settings.Docker) { d.Requirements, d.RequirementsFile = nil, "r.txt" },
		},
		{
			"a mapping merges, in its place",
			[]settings.Override{flag("--env", "C=3=3", "A=", "C=4")},
			func(d *settings.Docker) { d.Environment = []string{"A=", "B=2", "C=4"} },
		},
		{
			"runtime environment",
			[]settings.Override{flag("--runtime-env", "A=${TAG}")},
			func(d *settings.Docker) { d.RuntimeEnvironment = []string{"A=${TAG}"} },
		},
		{
			"labels and annotations",
			[]settings.Override{flag("--label", "a=c", "x.y=z"), flag("--annotation", "k=v")},
			func(d *settings.Docker) {
				d.Labels, d.Annotations = map[string]string{"a": "c", "x.y": "z"}, map[string]string{"k": "v"}
			},
		},
		{
			"below a mapping that the file lacks",
			[]settings.Override{flag("--platform", "linux/arm64"), flag("--dockerignore", "i")},
			func(d *settings.Docker) { d.Platform, d.Dockerignore = "linux/arm64", "i" },
		},
		{
			"several platforms",
			[]settings.Override{flag("--platform", "linux/arm64,linux/x86_64", "linux/arm/v7", "linux/arm64")},
			func(d *settings.Docker) { d.Platforms = []string{"linux/arm64", "linux/amd64", "linux/arm/v7"} },
		},
		{
			"docker's option, with commas",
			[]settings.Override{flag("--set", "build_config.build_options.platform=linux/arm64, linux/amd64")},
			func(d *settings.Docker) { d.Platforms = []string{"linux/arm64", "linux/amd64"} },
		},
		{
			"set, as in the file",
			[]settings.Override{flag("--set", "image_tag=${TAG}", "cmd=[a, b]", "environment={B: 5, D: ~x}", "name=n")},
			func(d *settings.Docker) {
				d.Environment, d.Cmd = []string{"A=1", "B=5", "D=~x"}, []string{"a", "b"}
				d.Target, d.Name = settings.Target{Repository: "zenml", Tag: "1.2"}, "n"
			},
		},
		{
			"set with its whole path",
			[]settings.Override{flag("--set", "settings.docker.build_config.build_options.platform=linux/amd64", "registry=localhost:5000")},
			func(d *settings.Docker) {
				d.Platform, d.Target = "linux/amd64", settings.Target{Registry: "localhost:5000", Repository: "zenml"}
			},
		},
		{
			"set a key with dots",
			[]settings.Override{flag("--set", "labels.org.opencontainers.image.title=x")},
			func(d *settings.Docker) {
				d.Labels = map[string]string{"a": "b", "org.opencontainers.image.title": "x"}
			},
		},
		{
			"an empty list takes back",
			[]settings.Override{flag("--set", "requirements=[]")},
			func(d *settings.Docker) { d.Requirements = nil },
		},
		{"an empty mapping changes nothing", []settings.Override{flag("--set", "environment={}")}, func(*settings.Docker) {}},
		{
			"the last of one flag wins",
			[]settings.Override{flag("--set", "user=a", "user=b")},
			func(d *settings.Docker) { d.User = "b" },
		},
		{
			"a flag and a key of its mapping",
			[]settings.Override{flag("--env", "A=3"), flag("--set", "environment.B=4")},
			func(d *settings.Docker) { d.Environment = []string{"A=3", "B=4"} },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := load(under, tt.flags...)
			if err != nil {
				t.Fatalf("Load with %v = %v", tt.flags, err)
			}
			want := base()
			tt.edit(want)
			if diff := cmp.Diff(want, got, ignorePositions); diff != "" {
				t.Errorf("Load with %v (-want +got):\n%s", tt.flags, diff)
			}
		})
	}
}

// A null is a value where it is an argument of the installer, so it goes over
// what the file says.
func TestOverrideArguments(t *testing.T) {
	const file = "settings: {docker: {python_package_installer_args: {no-deps: false, timeout: 5}}}"
	got, _, err := load(file, flag("--set", "python_package_installer_args={no-deps: null, pre: null}"))
	if err != nil {
		t.Fatal(err)
	}
	want := []settings.InstallerArg{{Name: "no-deps", Null: true}, {Name: "timeout", Values: []string{"5"}}, {Name: "pre", Null: true}}
	if diff := cmp.Diff(want, got.InstallerArgs); diff != "" {
		t.Errorf("the arguments (-want +got):\n%s", diff)
	}
}

func TestOverrideErrors(t *testing.T) {
	tests := []struct {
		yaml       string
		flags      []settings.Override
		want, hint string
	}{
		{under, []settings.Override{flag("--nonsense", "x")}, "--nonsense: no setting has this flag", "write `--set path.to.field=YAML`"},
		{under, []settings.Override{flag("--env", "A")}, "--env: settings.docker.environment: a name without a value", "write `--env NAME=VALUE`"},
		{under, []settings.Override{flag("--env", "A=\xe9")}, "--env: settings.docker.environment: not UTF-8", "write `--env` with text in UTF-8"},
		{under, []settings.Override{flag("--set", "user=\xe9")}, "--set: settings.docker.user: not text: a byte or character that YAML does not allow", "save the file as UTF-8 text"},
		{
			under,
			[]settings.Override{flag("--env", "=x")},
			`--env: settings.docker.environment: "" is not the name of a variable`,
			"write, for example, `environment: {PYTHONUNBUFFERED: \"1\"}`",
		},
		{
			under,
			[]settings.Override{flag("--user", "a b")},
			`--user: settings.docker.user: "a b" is not a user: a name or a number, perhaps with :group`,
			"write, for example, `user: \"1000:1000\"`",
		},
		{under, []settings.Override{flag("--set", "user")}, "--set: no `=` after the path", "write `--set path.to.field=YAML`"},
		{under, []settings.Override{flag("--set", "usr=x")}, "--set: settings.docker.usr: unknown field", "did you mean `user`?"},
		{under, []settings.Override{flag("--set", "=x")}, "--set: settings.docker.: unknown field", "the fields here are " + dockerFields},
		{
			under,
			[]settings.Override{flag("--set", "user.x=y")},
			"--set: settings.docker.user: a string has no field x",
			"write, for example, `--set settings.docker.user='\"1000:1000\"'`",
		},
		{under, []settings.Override{flag("--set", "user=[a")}, "--set: settings.docker.user: not YAML: did not find expected ',' or ']'", "close the list with ]"},
		{
			under,
			[]settings.Override{flag("--set", "cmd=[a, [b]]")},
			"--set: settings.docker.cmd[1]: want a string, got a list",
			"write, for example, `cmd: [python, main.py]`",
		},
		{under, []settings.Override{flag("--set", "user=${UNSET}")}, "--set: settings.docker.user: the variable UNSET is not set", "run `export UNSET=…` first"},
		{under, []settings.Override{flag("--set", "user=null")}, "--set: settings.docker.user: null does not take back what the file says", "write \"\" or []"},
		{under, []settings.Override{flag("--set", "environment={A: null}")}, "--set: settings.docker.environment.A: null does not take back what the file says", "write \"\" or []"},
		{under, []settings.Override{flag("--set", "parameters.x=1")}, "--set: parameters: inlay does not use this field", "remove the `--set` of it"},
		{under, []settings.Override{flag("--set", "settings.orchestrator.x=1")}, "--set: settings.orchestrator: inlay does not use this field", "remove the `--set` of it"},
		{
			under,
			[]settings.Override{flag("--requirement", "a"), flag("--requirements", "b")},
			"--requirements: settings.docker.requirements: given by --requirement as well", "remove `--requirement` or `--requirements`",
		},
		{
			under,
			[]settings.Override{flag("--set", "user=a"), flag("--user", "b")},
			"--user: settings.docker.user: given by --set as well", "remove `--set` or `--user`",
		},
		{
			docker("environment: [a]"),
			[]settings.Override{flag("--env", "A=b")},
			"inlay.yaml:3: settings.docker.environment: want a mapping, got a list", "write, for example, `environment: {}`",
		},
		{
			"settings: 5",
			[]settings.Override{flag("--user", "b")},
			"inlay.yaml:1: settings: want a mapping, got a number", "write, for example, `settings: {}`",
		},
	}
	for _, tt := range tests {
		_, _, err := load(tt.yaml, tt.flags...)
		checkError(t, fmt.Sprintf("Load with %v", tt.flags), err, tt.want, tt.hint)
	}
}

// TestFlags holds that the flags of spec/cli.md for these fields exist and
// that each sets the field that the table names.
func TestFlags(t *testing.T) {
	want := map[string]string{
		"--parent-image": "parent_image", "--requirement": "requirements", "--requirements": "requirements",
		"--env": "environment", "--runtime-env": "runtime_environment", "--user": "user", "--label": "labels",
		"--annotation": "annotations", "--dockerignore": "build_config.dockerignore",
		"--platform": "platforms", "--pyproject": "pyproject_path",
		"--dockerfile": "dockerfile", "--target": "parent_image_build_config.build_options.target", "--build-arg": "parent_image_build_config.build_options.build_args",
		"--lock":        "lock",
		"--build":       "build",
		"--installer":   "python_package_installer",
		"--compression": "compression",
		"--apt-package": "apt_packages", "--apt-mirror": "apt.mirror", "--keyring": "apt.keyring",
	}
	values := map[string]string{"--apt-mirror": "https://a.example", "--platform": "linux/amd64", "--installer": "pip", "--compression": "zstd"}
	got := map[string]string{}
	for _, f := range settings.Fields() {
		for _, name := range f.Flags {
			got[name] = strings.TrimPrefix(f.Name, "settings.docker.")
			value := values[name]
			if value == "" {
				value = "x=y"
			}
			d, _, err := settings.Load("", nil, settings.Options{Overrides: []settings.Override{flag(name, value)}})
			if d != nil && (name == "--lock" && d.Lock == value || name == "--build" && d.Build == value) {
				continue // a field of the project, not of the image
			}
			if err != nil || !slices.Contains([]string{name}, d.FieldError(got[name], "", "").File) {
				t.Errorf("Load with %s = %+v, %v", name, d, err)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}
