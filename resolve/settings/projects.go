// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"slices"
	"strings"
)

// projects are the fields that say where requirements come from, beside
// requirements itself, and what resolves them.
func projects() []field {
	return []field{
		{
			Field{
				Name: "pyproject_path", Type: "string", Example: "pyproject.toml", Flags: []string{"--pyproject"},
				Doc: "A pyproject.toml whose locked dependencies are installed, before `requirements`.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.Pyproject }, nil),
		},
		{Field{
			Name: "pyproject_export_command", Type: "list of strings", Default: "[]", Example: "[uv, export, --format=requirements-txt, \"--directory={directory}\", --no-emit-project]",
			Doc: "The command that exports it, run by the shell of this machine, in place of `uv export` and `poetry export`.",
		}, "", exportCommand},
		{Field{
			Name: "disable_automatic_requirements_detection", Type: "boolean", Default: "true", Example: "false",
			Doc: "If `false`, and nothing else names requirements: `requirements.txt` of CONTEXT, else its `pyproject.toml`.",
		}, "", detection},
		{
			Field{
				Name: "python_package_installer", Type: "string", Default: "uv", Example: "pip", Flags: []string{"--installer"},
				Doc: "The program that resolves requirements: uv or pip.", Values: []string{"uv", "pip"},
			},
			"",
			choiceOf(func(l *loader) *string { return &l.docker.Installer }),
		},
		{Field{
			Name: "python_package_installer_args", Type: "mapping", Default: "{}", Example: "{no-deps: null, constraint: constraints.txt}",
			Doc: "Arguments of the installer: names without dashes; null for a bare flag, else a value or a list of values.",
		}, "", installerArgs},
	}
}

// exportCommand reads the words of a command; an empty list is none at all.
func exportCommand(l *loader, s setting) (err error) {
	if s.kind != list {
		return s.wrongType()
	}
	l.docker.PyprojectCommand, err = s.strings()
	if len(l.docker.PyprojectCommand) == 0 {
		l.docker.PyprojectCommand = nil
	}
	return err
}

// choiceOf reads one of the values that a field takes.
func choiceOf(dst func(*loader) *string) func(*loader, setting) error {
	return func(l *loader, s setting) error {
		t, err := s.scalar(s.field.Type)
		if err != nil {
			return err
		}
		if !slices.Contains(s.field.Values, t) {
			return s.errorf("want %s, got %s", strings.Join(s.field.Values, " or "), s.shown())
		}
		*dst(l) = t
		return nil
	}
}

func bytecode(l *loader, s setting) error {
	var how string
	err := choiceOf(func(*loader) *string { return &how })(l, s)
	l.docker.Bytecode = err == nil && how != "off"
	return err
}

const argumentsPath = dockerPath + ".python_package_installer_args"

// installerArgs reads arguments of the installer, in their order. What they may
// be, the installer's table says.
func installerArgs(l *loader, s setting) error {
	if s.kind != mapping {
		return s.wrongType()
	}
	l.docker.InstallerArgs = nil
	for i, key := range s.keys {
		at := s.item(i)
		l.docker.at[at.path] = at.position
		arg := InstallerArg{Name: strings.TrimLeft(key.text, "-"), Null: at.kind == null}
		switch {
		case arg.Name == "":
			return setting{key, s.field, s.path}.errorf("%q is not the name of an argument", key.raw)
		case at.kind == list:
			values, err := at.strings()
			if err != nil {
				return err
			}
			arg.Values = values
		case at.kind != null:
			value, err := at.scalar("value or a list of values")
			if err != nil {
				return err
			}
			arg.Values = []string{value}
		}
		l.docker.InstallerArgs = append(l.docker.InstallerArgs, arg)
	}
	return nil
}

// detection reads whether requirements are not looked for in the source.
func detection(l *loader, s setting) error {
	disabled, err := s.boolean()
	l.docker.Detection = map[bool]Detection{true: DetectionOff, false: DetectionOn}[disabled]
	return err
}
