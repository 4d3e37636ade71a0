// SPDX-License-Identifier: Apache-2.0

package pyproject

import (
	"fmt"
	"strings"
)

// A DirectoryError reports a project that is named by its directory.
type DirectoryError struct{ Path string }

func (e *DirectoryError) Error() string { return e.Path + " is a directory" }

// An Attempt is a command that failed.
type Attempt struct {
	Command string
	Exit    int    // its exit code
	Stderr  string // the end of what it said, without credentials
	Problem string // why there is no exit code; else ""
}

// String returns the command and below it what it said.
func (a Attempt) String() string {
	text := fmt.Sprintf("`%s` exits %d", a.Command, a.Exit)
	if a.Problem != "" {
		text = fmt.Sprintf("`%s`: %s", a.Command, a.Problem)
	}
	for line := range strings.Lines(a.Stderr) {
		if line = strings.TrimSpace(line); line != "" {
			text += "\n    " + line
		}
	}
	return text
}

// An ExportError reports a project that no command exports.
type ExportError struct {
	Project  string // as the settings name it
	Dir      string // its directory
	Custom   bool   // the settings name the command
	Poetry   bool   // it has a poetry.lock
	Attempts []Attempt
}

func (e *ExportError) Error() string {
	text := "no command exports " + e.Project
	if e.Custom {
		text = "the command of pyproject_export_command doesn't export " + e.Project
	}
	for _, a := range e.Attempts {
		text += "\n  " + a.String()
	}
	return text
}

// Hint says how to make one succeed.
func (e *ExportError) Hint() string {
	said := ""
	for _, a := range e.Attempts {
		said += a.Stderr
	}
	switch {
	case e.Custom:
		return "run it yourself until it prints requirements, or remove `pyproject_export_command`"
	case e.Poetry && strings.Contains(said, "command export does not exist"):
		return "run `poetry self add poetry-plugin-export`"
	case strings.Contains(said, "lockfile"):
		return fmt.Sprintf("run `uv lock --directory %s`", quoted(e.Dir))
	default:
		return "name the command that exports it in `pyproject_export_command`, or a file of requirements in `requirements`"
	}
}
