// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"inlay/resolve"
	"inlay/resolve/catalog"
	"inlay/resolve/pipeline"
	"inlay/resolve/settings"
)

// readStack reads the files that say what integrations require and what the
// stack is made of, if the settings name them.
func readStack(run *settings.Run, context string) (o pipeline.Options, err error) {
	s := run.Pipeline
	if s.Catalog == "" && s.Stack == "" && !integrates(run) {
		return o, nil // reading the catalog takes longer than many a build's settings do
	}
	if o.Catalog, err = catalog.Default(); err != nil {
		return o, err
	}
	if s.Catalog != "" {
		err := readNamed(s, "catalog", s.Catalog, context, func(f *os.File) error {
			own, err := catalog.Load(f.Name(), f)
			if err == nil {
				o.Catalog = o.Catalog.With(own)
			}
			return err
		})
		if err != nil {
			return o, err
		}
	}
	if s.Stack != "" {
		return o, readNamed(s, "stack", s.Stack, context, func(f *os.File) error {
			if o.Stack, err = catalog.LoadStackWith(f.Name(), f, o.Catalog, os.LookupEnv); err != nil {
				return err
			}
			return checkRegistries(o.Stack)
		})
	}
	return o, nil
}

// readNamed reads the file that a field of the settings names, by its path in the
// context.
func readNamed(s *settings.Docker, field, name, context string, read func(*os.File) error) error {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(context, path)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.TopError(field, "there is no file "+name, "name a file by its path in the context")
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	return read(f)
}

// checkRegistries refuses container registries whose names no image can have.
func checkRegistries(s *catalog.Stack) error {
	for _, x := range s.Of("container_registry") {
		one := catalog.Stack{Components: []catalog.Component{x}}
		if problem := settings.TargetProblem(one.Registry()); problem != "" {
			return s.Fault(x, "the container registry "+x.Name+": "+problem, "write, for example, `config: {uri: registry.example.com/team, default_repository: training}`")
		}
	}
	return nil
}

// integrates reports whether any settings require an integration.
func integrates(run *settings.Run) bool {
	return len(run.Pipeline.Integrations) > 0 || slices.ContainsFunc(run.Steps, func(s settings.Step) bool {
		return len(s.Docker.Integrations) > 0
	})
}

// groups are the requirements of the image that the settings don't list.
func (j *job) groups() []resolve.Group {
	var all []resolve.Group
	for _, g := range j.of.Groups {
		all = append(all, resolve.Group{Name: g.Name, Requirements: g.Requirements})
	}
	return all
}
