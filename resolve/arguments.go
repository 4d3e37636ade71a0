// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"inlay/resolve/index"
	"inlay/resolve/python"
	"inlay/resolve/python/arguments"
	"inlay/resolve/python/reqfile"
)

// argsField is the field that has the arguments of the installer.
const argsField = "python_package_installer_args"

// installerArguments returns the arguments that the settings have for the
// installer, and the indexes with those that arguments name.
func installerArguments(req Request) (a python.Arguments, set *index.Set, err error) {
	given := make([]arguments.Given, len(req.Settings.InstallerArgs))
	for i, x := range req.Settings.InstallerArgs {
		given[i] = arguments.Given{Name: x.Name, Values: x.Values, Null: x.Null}
	}
	s, err := arguments.Read(cmp.Or(req.Settings.Installer, "uv"), given)
	var bad *arguments.Error
	if errors.As(err, &bad) {
		return a, nil, req.Settings.FieldError(argsField+"."+bad.Name, bad.Problem, bad.Fix)
	}
	if err != nil {
		return a, nil, err
	}
	for _, n := range s.Notes {
		req.note("warning: %s: %s", argsField, n)
	}
	a = python.Arguments{Flags: s.Flags, Both: s.Both, Env: s.Env, Torch: s.Torch, Build: s.Build}
	if a.Options, err = argumentLinks(req, s); err != nil {
		return a, nil, err
	}
	if a.Constraints, err = argumentFiles(req, "constraint", s.Constraints); err != nil {
		return a, nil, err
	}
	if a.Overrides, err = argumentFiles(req, "override", s.Overrides); err != nil {
		return a, nil, err
	}
	if a.BuildConstraints, err = argumentFiles(req, "build-constraint", s.BuildConstraints); err != nil {
		return a, nil, err
	}
	set, err = argumentIndexes(req, s.Indexes)
	return a, set, err
}

// decisive lists the arguments that decide which wheels are chosen, but for
// indexes.
func (req Request) decisive() []string {
	a := req.arguments
	all := slices.Concat(a.Flags, a.Both, a.Build)
	for _, l := range a.Constraints {
		all = append(all, "--constraint "+l.Shown)
	}
	for _, l := range a.Overrides {
		all = append(all, "--override "+l.Shown)
	}
	for _, l := range a.BuildConstraints {
		all = append(all, "--build-constraint "+l.Shown)
	}
	if a.Torch != "" {
		all = append(all, "--torch-backend="+a.Torch)
	}
	for _, o := range a.Options {
		all = append(all, o.Shown)
	}
	return all
}

// argumentLinks returns where arguments say that wheels are, as the options of
// requirements files that say the same.
func argumentLinks(req Request, s *arguments.Set) (all []reqfile.Option, err error) {
	dir, err := filepath.Abs(req.Context)
	if err != nil {
		return nil, err
	}
	for _, l := range s.Links {
		o := reqfile.Option{Source: argsField, Shown: "--find-links=" + reqfile.RedactTyped(l), Name: "find-links", Value: l}
		if path, ok := strings.CutPrefix(l, "file://"); ok || !strings.Contains(l, "://") {
			o.Value = inContext(dir, path)
		}
		all = append(all, o)
	}
	if s.NoIndex {
		all = append(all, reqfile.Option{Source: argsField, Shown: "--no-index", Name: "no-index"})
	}
	return all, nil
}

// argumentFiles reads the files of requirements that an argument names by their
// paths in CONTEXT.
func argumentFiles(req Request, argument string, names []string) (lines []python.Line, err error) {
	dir, err := filepath.Abs(req.Context)
	if err != nil {
		return nil, err
	}
	r := reqfile.Reader{Open: openFile, Dir: dir, Lookup: req.Lookup}
	for _, name := range names {
		g, err := r.File(name, inContext(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, req.Settings.FieldError(argsField, fmt.Sprintf("%s: there is no file %s", argument, name), "name a file by its path in the context")
		case errors.Is(err, syscall.EISDIR):
			return nil, req.Settings.FieldError(argsField, fmt.Sprintf("%s: %s is a directory", argument, name), "name the file in it")
		case err != nil:
			return nil, err
		}
		for _, o := range g.Options {
			return nil, o.Refuse("options have no place in a file of "+argument+"s", "remove the line")
		}
		lines = append(append(lines, g.Lines...), g.Constraints...)
	}
	return lines, nil
}

// argumentIndexes returns the indexes with those that arguments name.
func argumentIndexes(req Request, named []arguments.Index) (*index.Set, error) {
	set := req.Index
	for _, x := range named {
		name, url, ok := strings.Cut(x.URL, "=")
		if !ok || strings.ContainsAny(name, ":/") {
			name, url = "", x.URL
		}
		with, err := set.With(argsField, index.Index{Name: name, URL: url, Default: x.Default})
		var bad *index.Error
		if errors.As(err, &bad) {
			return nil, req.Settings.FieldError(argsField+"."+x.Argument, bad.Problem, bad.Fix)
		}
		if err != nil {
			return nil, err
		}
		set = with
	}
	return set, nil
}
