// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"inlay/ignore"
	"inlay/resolve/python"
)

// readIgnore reads the ignore file: the one that the settings name, which must
// exist, or .dockerignore in the context if there is one.
func readIgnore(req Request) (*ignore.Rules, error) {
	name := req.Settings.Dockerignore
	if name == "" {
		f, err := os.Open(filepath.Join(req.Context, ".dockerignore"))
		if errors.Is(err, fs.ErrNotExist) {
			return &ignore.Rules{}, nil
		}
		return parseIgnore(f, err)
	}
	f, err := os.Open(inContext(req.Context, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, req.Settings.FieldError("build_config.dockerignore", fmt.Sprintf("there is no file %s", name), "name an ignore file by its path in the context")
	}
	return parseIgnore(f, err)
}

func parseIgnore(f *os.File, err error) (*ignore.Rules, error) {
	if err != nil {
		return nil, fmt.Errorf("reading the ignore file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	rules, err := ignore.ParseFile(f.Name(), f)
	if err != nil {
		return nil, fmt.Errorf("reading the ignore file: %w", err)
	}
	return rules, nil
}

// inline names the group of the requirements that the settings list.
const inline = "requirements"

// unresolved says what went wrong with the requirements: of one that the
// settings list, where that stands.
func unresolved(req Request, err error) error {
	var bad *python.RequirementError
	if !errors.As(err, &bad) || bad.Source != inline || bad.Line < 1 {
		return fmt.Errorf("resolving requirements: %w", err)
	}
	return req.Settings.FieldError(fmt.Sprintf("requirements[%d]", bad.Line-1), fmt.Sprintf("%q: %s", bad.Text, bad.Problem), bad.Fix)
}

// readRequirements returns the groups of requirements, in the order in which
// they are installed.
func readRequirements(req Request) ([]python.Group, error) {
	s := req.Settings
	if len(s.Requirements) > 0 {
		g := python.Group{Name: inline}
		for i, line := range s.Requirements {
			g.Lines = append(g.Lines, python.Line{Number: i + 1, Text: line})
		}
		return []python.Group{g}, nil
	}
	if s.RequirementsFile == "" {
		return nil, nil
	}
	f, err := os.Open(inContext(req.Context, s.RequirementsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.FieldError("requirements", fmt.Sprintf("there is no file %s", s.RequirementsFile),
			"name a file by its path in the context, or write a list of requirements")
	}
	if err != nil {
		return nil, fmt.Errorf("reading requirements: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	g, err := python.ParseRequirements(s.RequirementsFile, f)
	if errors.Is(err, syscall.EISDIR) {
		return nil, s.FieldError("requirements", s.RequirementsFile+" is a directory", "name the file in it that lists the requirements")
	}
	if err != nil || len(g.Lines) == 0 {
		return nil, err
	}
	return []python.Group{g}, nil
}

// inContext returns the path of a file that the settings name.
func inContext(context, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(context, name)
}

// hint returns the hint of an error that another error stands for, "" if it
// has none.
func hint(err error) string {
	var h interface {
		error
		Hint() string
	}
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
