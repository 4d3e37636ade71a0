// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"inlay/resolve/yamlfile"
)

// A Stack is where a pipeline runs: its components.
type Stack struct {
	Components []Component `yaml:"components"`

	file string // where it is written
}

// A Component is a part of a stack.
type Component struct {
	Type         string         `yaml:"type"`
	Flavor       string         `yaml:"flavor"`
	Name         string         `yaml:"name"`         // that step operators go by; the flavor if there is none
	Integration  string         `yaml:"integration"`  // that it needs; "" is the one that brings the flavor
	Requirements []string       `yaml:"requirements"` // beside those of the integration
	AptPackages  []string       `yaml:"apt_packages"`
	IsLocal      *bool          `yaml:"is_local"` // it is of the client's machine; nil: as the catalog says of its flavor
	Config       map[string]any `yaml:"config"`

	line int // of the file
}

// CodeRepository is the type of what only those images require something for
// whose source comes from it.
const CodeRepository = "code_repository"

// Types are those of components.
var types = []string{
	"alerter", "annotator", "artifact_store", CodeRepository, "container_registry", "data_validator", "deployer", "experiment_tracker",
	"feature_store", "image_builder", "log_store", "model_deployer", "model_registry", "orchestrator", "sandbox", "step_operator",
}

// LoadStack reads a stack without variables, which errors call name. A mistake in it is a
// *FormatError; a flavor that the catalog doesn't know is none, for it may be
// the user's own.
func LoadStack(name string, r io.Reader, c *Catalog) (*Stack, error) {
	return LoadStackWith(name, r, c, func(string) (string, bool) { return "", false })
}

// LoadStackWith reads a stack in which ${NAME} stands for what lookup returns, if
// it is set.
func LoadStackWith(name string, r io.Reader, c *Catalog, lookup func(string) (string, bool)) (*Stack, error) {
	s := &Stack{file: name}
	root, err := decodeWith(name, r, lookup, s)
	if err != nil {
		return nil, err
	}
	lines := itemLines(root, "components")
	for i := range s.Components {
		x := &s.Components[i]
		if i < len(lines) {
			x.line = lines[i]
		}
		if err := x.check(c); err != nil {
			return nil, s.Fault(*x, fmt.Sprintf("components[%d]: %s", i, err.Problem), err.Fix)
		}
	}
	return s, nil
}

// Fault returns an error about a component, with its place in the file.
func (s *Stack) Fault(x Component, problem, fix string) *FormatError {
	return &FormatError{File: s.file, Line: x.line, Problem: problem, Fix: fix}
}

// check completes and checks a component.
func (x *Component) check(c *Catalog) *FormatError {
	switch {
	case x.Type == "" || x.Flavor == "":
		return &FormatError{Problem: "it has no type or no flavor", Fix: "write, for example, `{type: orchestrator, flavor: kubernetes}`"}
	case !slices.Contains(types, x.Type):
		fix := "write one of " + strings.Join(types, ", ")
		if near := yamlfile.Nearest(x.Type, types); near != "" {
			fix = fmt.Sprintf("did you mean `%s`?", near)
		}
		return &FormatError{Problem: fmt.Sprintf("there are no components of type %q", x.Type), Fix: fix}
	}
	if x.Name == "" {
		x.Name = x.Flavor
	}
	if x.Integration == "" {
		x.Integration, _ = c.bringing(x.Type + "/" + x.Flavor)
		return nil
	}
	if _, err := c.Find(x.Integration); err != nil {
		h, _ := err.(*UnknownError) //nolint:errorlint // Find wraps nothing
		return &FormatError{Problem: err.Error(), Fix: h.Hint()}
	}
	return nil
}

// Unknown lists the components that add nothing because nobody knows their
// flavors, as "type/flavor".
func (s *Stack) Unknown(c *Catalog) (all []string) {
	if s == nil {
		return nil
	}
	strangers := s.Strangers(c)
	for _, x := range s.Components {
		flavor := x.Type + "/" + x.Flavor
		if x.Integration == "" && len(x.Requirements)+len(x.AptPackages) == 0 && slices.Contains(strangers, flavor) {
			all = append(all, flavor)
		}
	}
	return all
}

// Strangers lists the flavors of components that the catalog doesn't know, as
// "type/flavor".
func (s *Stack) Strangers(c *Catalog) (all []string) {
	for _, x := range s.Components {
		flavor := x.Type + "/" + x.Flavor
		if _, known := c.bringing(flavor); !known {
			all = append(all, flavor)
		}
	}
	return all
}

// Needs returns what the components require: of each integration all of it. What
// code repositories do is among it if download is true.
func (s *Stack) Needs(c *Catalog, download bool) (n Needs, err error) {
	for _, x := range s.Components {
		if x.Type == CodeRepository && !download {
			continue
		}
		if x.Integration != "" {
			i, err := c.Find(x.Integration)
			if err != nil {
				return n, err
			}
			n.add(i.Requirements, i.AptPackages)
		}
		n.add(x.Requirements, x.AptPackages)
	}
	return n, nil
}

// Client returns what steps require that talk to the database of a ZenML client of
// that version: where an orchestrator or a deployer runs containers on its machine.
// Without a version that isn't known, and nothing is required.
func (s *Stack) Client(c *Catalog, zenml string) []string {
	local := func(kind string, flavors []string) bool {
		return slices.ContainsFunc(s.Of(kind), func(x Component) bool {
			is := slices.Contains(c.Local, kind+"/"+x.Flavor)
			if x.IsLocal != nil {
				is = *x.IsLocal
			}
			return is && slices.Contains(flavors, x.Flavor)
		})
	}
	if zenml == "" || !local("orchestrator", c.Orchestrators) && !local("deployer", c.Deployers) {
		return nil
	}
	return []string{"zenml[local]==" + zenml}
}

// Checksum names the integrations of the components, as ZenML's checksum of a
// stack does; "" without a stack.
func (s *Stack) Checksum() string {
	if s == nil {
		return ""
	}
	var names []string
	for _, x := range s.Components {
		if x.Type != CodeRepository { // ZenML has them beside the stack
			names = append(names, x.Integration)
		}
	}
	slices.Sort(names)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(slices.Compact(names), "\n"))))
}

// Of returns the components of a type.
func (s *Stack) Of(kind string) (all []Component) {
	for _, x := range s.Components {
		if x.Type == kind {
			all = append(all, x)
		}
	}
	return all
}

// Registry returns where the stack's container registry is, and the repository
// that it names, "" without.
func (s *Stack) Registry() (uri, repository string) {
	for _, x := range s.Of("container_registry") {
		uri, _ = x.Config["uri"].(string)
		repository, _ = x.Config["default_repository"].(string)
	}
	return strings.TrimRight(uri, "/"), repository
}
