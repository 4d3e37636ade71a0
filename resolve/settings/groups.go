// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"slices"

	"inlay/layers/pattern"
)

// ways are ZenML's names for commands that list what a Python has.
var ways = []string{"pip_freeze", "uv_freeze", "poetry_export"}

// groupFields are the fields that say what is installed beside the requirements
// of the settings and of the project.
func groupFields() []field {
	return []field{
		{Field{
			Name: "replicate_local_python_environment", Type: "boolean, list of strings or string", Default: "false", Example: "true",
			Doc: "Install first what this machine's Python has: `true` for `pip freeze`, or deprecated in ZenML, `pip_freeze`, `uv_freeze`, `poetry_export` or the words of a command.",
		}, "", replicate},
		{Field{
			Name: "install_stack_requirements", Type: "boolean", Default: "true", Example: "false",
			Doc: "Install what the components of the stack require.",
		}, "", unless(func(d *Docker) *bool { return &d.NoStack })},
		{Field{
			Name: "install_deployment_requirements", Type: "boolean", Default: "true", Example: "false",
			Doc: "Make an image for the stack's deployer, with what it requires to serve the pipeline.",
		}, "", unless(func(d *Docker) *bool { return &d.NoDeployment })},
		{Field{
			Name: "required_integrations", Type: "list of strings", Default: "[]", Example: "[sklearn, s3]",
			Doc: "ZenML integrations whose requirements and Debian packages are installed, before the project's.",
		}, "", integrations},
	}
}

// unless reads a boolean of which false is set where dst points.
func unless(dst func(*Docker) *bool) func(*loader, setting) error {
	return func(l *loader, s setting) error {
		on, err := s.boolean()
		*dst(l.docker) = !on
		return err
	}
}

var isIntegration = matches(pattern.New(`^\S+$`), "is not the name of an integration")

func integrations(l *loader, s setting) error {
	if s.kind != list {
		return s.wrongType()
	}
	var err error
	l.docker.Integrations, err = s.checkedList(l, isIntegration)
	return err
}

// replicate reads how the packages of this machine's Python are listed.
func replicate(l *loader, s setting) error {
	const deprecated = "deprecated by ZenML, which has `true` for `pip freeze`; to be sure of what is installed, write it into a file and name it in `requirements`"
	l.docker.Local = Local{}
	switch {
	case s.kind == list:
		words, err := s.strings()
		if len(words) > 0 {
			l.docker.Local.Command = words
			l.warn(s, deprecated)
		}
		return err
	case s.kind == scalar && slices.Contains(ways, s.text):
		l.docker.Local.Way = s.text
		l.warn(s, deprecated)
		return nil
	}
	on, err := s.boolean()
	if err != nil {
		return s.errorf("want true, false, pip_freeze, uv_freeze, poetry_export or a list of words, got %s", s.describe())
	}
	if on {
		l.docker.Local.Way = ways[0]
	}
	return nil
}
