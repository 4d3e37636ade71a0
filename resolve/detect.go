// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"inlay/resolve/pyproject"
	"inlay/resolve/python"
	"inlay/resolve/python/reqfile"
	"inlay/resolve/settings"
)

// Projects export the requirements of a pyproject.toml, as a requirements file; *pyproject.Exporter does.
type Projects interface {
	Export(ctx context.Context, name string, p pyproject.Project, o pyproject.Options) (text string, err error)
}

// Where requirements are looked for in the source, as ZenML has it.
const (
	requirementsFile = "requirements.txt"
	projectFile      = "pyproject.toml"
)

// detect returns req with the requirements of the source in its settings, where
// these name none and ask for that (spec/zenml.md section 1.1); where they
// don't say whether they ask, it tells what is not installed.
func detect(req Request) (Request, error) {
	s := *req.Settings
	local := s.Local.Way != "" || len(s.Local.Command) > 0
	if len(s.Requirements) > 0 || s.RequirementsFile != "" || s.Pyproject != "" || local || s.Detection == settings.DetectionOff {
		return req, nil
	}
	for _, name := range []string{requirementsFile, projectFile} {
		_, err := os.Stat(filepath.Join(req.Context, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return req, fmt.Errorf("looking for requirements: %w", err)
		}
		if s.Detection != settings.DetectionOn {
			req.note("warning: the requirements of %s are not installed: name it in `%s`, or write `disable_automatic_requirements_detection: true` if that is meant",
				name, map[string]string{requirementsFile: "requirements", projectFile: "pyproject_path"}[name])
			return req, nil
		}
		if name == projectFile {
			s.Pyproject = name
		} else {
			s.RequirementsFile = name
		}
		req.Settings = &s
		req.note("the requirements are those of %s", name)
		return req, nil
	}
	return req, nil
}

// Locals list what a Python of this machine has, as a requirements file;
// *pyproject.Exporter does.
type Locals interface {
	Local(ctx context.Context, l pyproject.Local) (text string, err error)
}

// groupsBefore returns the requirements that come before those of the settings:
// what this machine's Python has, what nobody wrote, and the project's
// (spec/zenml.md section 2.4).
func groupsBefore(ctx context.Context, req Request) ([]python.Group, error) {
	groups, err := replicated(ctx, req)
	if err != nil {
		return nil, err
	}
	for _, g := range req.Groups {
		lines, err := reqfile.Reader{}.List(g.Name, g.Requirements)
		if err != nil {
			return nil, err
		}
		if len(lines.Lines) > 0 {
			groups = append(groups, lines)
		}
	}
	project, err := exported(ctx, req)
	return append(groups, project...), err
}

// replicated returns what this machine's Python has.
func replicated(ctx context.Context, req Request) ([]python.Group, error) {
	s := req.Settings
	if s.Local.Way == "" && len(s.Local.Command) == 0 {
		return nil, nil
	}
	dir, err := filepath.Abs(req.Context)
	if err != nil {
		return nil, err
	}
	text, err := req.Locals.Local(ctx, pyproject.Local{Way: s.Local.Way, Command: s.Local.Command, Dir: dir})
	if err != nil {
		return nil, fmt.Errorf("reading requirements: %w", err)
	}
	r := reqfile.Reader{Open: openFile, Dir: dir, Lookup: req.Lookup}
	return group(r, "the packages of this machine's Python", text, fixLocal)
}

// fixLocal is what helps where this machine's Python has what no image can
// install, such as a project that is being worked on.
const fixLocal = "give a command that leaves it out, such as `replicate_local_python_environment: [pip, freeze, --exclude-editable]`, or list what the image needs in `requirements`"

// group returns the requirements that a command printed, as one group if there
// are any. A line that can't be installed is an error with the fix.
func group(r reqfile.Reader, name, text, fix string) ([]python.Group, error) {
	g, err := r.Text(name, strings.NewReader(text))
	var bad *python.RequirementError
	if errors.As(err, &bad) {
		bad.Fix = fix
	}
	if err != nil || len(g.Lines) == 0 {
		return nil, err
	}
	return []python.Group{g}, nil
}

// exported returns the requirements of the project that the settings name.
func exported(ctx context.Context, req Request) ([]python.Group, error) {
	name := req.Settings.Pyproject
	if name == "" {
		return nil, nil
	}
	p, err := projectOf(req)
	if err != nil {
		return nil, err
	}
	text, err := req.Projects.Export(ctx, name, p, pyproject.Options{Offline: req.Offline, Refresh: req.Refresh})
	if err != nil {
		return nil, fmt.Errorf("reading requirements: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(p.File))
	if err != nil {
		return nil, err
	}
	r := reqfile.Reader{Open: openFile, Dir: dir, Lookup: req.Lookup}
	return group(r, "the export of "+name, text, fixExport)
}

// fixExport is what helps where the project's own tool lists what can't be
// installed, such as another project of its workspace.
const fixExport = "name a command that leaves it out in `pyproject_export_command`, such as `[uv, export, --format=requirements-txt, " +
	"\"--directory={directory}\", --no-emit-project, --no-emit-workspace]`"

// projectOf returns the project that the settings name, which must exist.
func projectOf(req Request) (pyproject.Project, error) {
	s := req.Settings
	p := pyproject.Project{File: inContext(req.Context, s.Pyproject), Dir: req.Context, Command: s.PyprojectCommand}
	err := p.Check()
	var dir *pyproject.DirectoryError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, s.FieldError("pyproject_path", fmt.Sprintf("there is no file %s", s.Pyproject), "name a pyproject.toml by its path in the context")
	case errors.As(err, &dir):
		return p, s.FieldError("pyproject_path", s.Pyproject+" is a directory", "name the pyproject.toml in it")
	default:
		return p, err
	}
}
