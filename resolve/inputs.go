// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"inlay/ignore"
	"inlay/layers/hint"
	"inlay/resolve/python"
	"inlay/resolve/python/reqfile"
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

// readRequirements returns the requirements that the settings list, or those of
// the file they name.
func readRequirements(req Request) ([]python.Group, error) {
	s := req.Settings
	base := req.Context
	if s.ByFlag("requirements") {
		base = "." // as with any other program
	}
	dir, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	r := reqfile.Reader{Open: openFile, Dir: dir, Lookup: req.Lookup}
	var g python.Group
	switch {
	case len(s.Requirements) > 0:
		if g, err = r.List(inline, s.Requirements); err != nil {
			return nil, unresolved(req, err)
		}
	case s.RequirementsFile != "":
		if g, err = readFile(req, r); err != nil {
			return nil, err
		}
	}
	if len(g.Lines) == 0 {
		return nil, nil
	}
	return []python.Group{g}, nil
}

// readFile reads the requirements file that the settings name.
func readFile(req Request, r reqfile.Reader) (python.Group, error) {
	s, name := req.Settings, req.Settings.RequirementsFile
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.Dir, path)
	}
	g, err := r.File(name, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = s.FieldError("requirements", "there is no file "+name, "name a file by its path in the context, or write a list of requirements")
	case errors.Is(err, syscall.EISDIR):
		err = s.FieldError("requirements", name+" is a directory", "name the file in it that lists the requirements")
	}
	return g, err
}

func openFile(path string) (io.ReadCloser, error) { return os.Open(path) }

// inContext returns the path of a file that the settings name.
func inContext(context, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(context, name)
}

// fix returns the hint of an error that another error stands for, "" if it has
// none.
func fix(err error) string {
	text, _ := hint.Of(err)
	return text
}
