// SPDX-License-Identifier: Apache-2.0

// Package catalog knows what ZenML's integrations, and with them the components
// of a stack, require. What it knows is data of a version of ZenML, which a file
// of the user's may change; a name that it doesn't know is an error.
package catalog

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"inlay/resolve/yamlfile"
)

//go:embed zenml-0.98.0.yaml
var builtin []byte

// A Catalog says what integrations require.
type Catalog struct {
	ZenML         string                 `yaml:"zenml"` // the version that it is of
	Integrations  map[string]Integration `yaml:"integrations"`
	Builtin       []string               `yaml:"builtin"`        // "type/flavor" of components that require nothing
	Orchestrators []string               `yaml:"orchestrators"`  // flavors that run steps in containers
	StepOperators map[string]string      `yaml:"step_operators"` // by flavor, what the builds for them are called
	Deployers     []string               `yaml:"deployers"`      // flavors that run in containers
	Deployment    []string               `yaml:"deployment"`     // what the image of a deployer requires
	Local         []string               `yaml:"local"`          // "type/flavor" of components that are of the client's machine
}

// An Integration is what one of them requires and brings.
type Integration struct {
	Requirements []string `yaml:"requirements"`
	AptPackages  []string `yaml:"apt_packages"`
	Flavors      []string `yaml:"flavors"` // "type/flavor" of the components that it brings
}

// Default returns the catalog that comes with the program.
func Default() (*Catalog, error) { return parsed() }

var parsed = sync.OnceValues(func() (*Catalog, error) { return Load("the catalog", bytes.NewReader(builtin)) })

// Load reads a catalog, which errors call name. A mistake in it is a
// *FormatError.
func Load(name string, r io.Reader) (*Catalog, error) {
	c := &Catalog{}
	if err := decode(name, r, c); err != nil {
		return nil, err
	}
	return c, nil
}

// With returns c with what another one says in place of what c says: of an
// integration all, and of a list all.
func (c *Catalog) With(over *Catalog) *Catalog {
	out := *c
	if over.ZenML != "" {
		out.ZenML = over.ZenML
	}
	out.Integrations, out.StepOperators = maps.Clone(c.Integrations), maps.Clone(c.StepOperators)
	if out.Integrations == nil {
		out.Integrations = map[string]Integration{}
	}
	maps.Copy(out.Integrations, over.Integrations)
	if out.StepOperators == nil {
		out.StepOperators = map[string]string{}
	}
	maps.Copy(out.StepOperators, over.StepOperators)
	for dst, list := range map[*[]string][]string{
		&out.Builtin: over.Builtin, &out.Orchestrators: over.Orchestrators, &out.Deployers: over.Deployers, &out.Deployment: over.Deployment,
		&out.Local: over.Local,
	} {
		if list != nil {
			*dst = list
		}
	}
	return &out
}

// Find returns the integration of that name, or an *UnknownError.
func (c *Catalog) Find(name string) (Integration, error) {
	i, ok := c.Integrations[name]
	if !ok {
		e := &UnknownError{Name: name, ZenML: c.ZenML, Known: slices.Sorted(maps.Keys(c.Integrations))}
		e.Near = yamlfile.Nearest(name, e.Known)
		for _, known := range e.Known {
			if slices.Equal(c.Integrations[known].Requirements, []string{name}) {
				e.Near = known // whoever writes the name of the package means this one
			}
		}
		return i, e
	}
	return i, nil
}

// bringing returns the name of the integration that brings a flavor; known is
// false if none does and it isn't ZenML's own.
func (c *Catalog) bringing(flavor string) (name string, known bool) {
	for _, name := range slices.Sorted(maps.Keys(c.Integrations)) {
		if slices.Contains(c.Integrations[name].Flavors, flavor) {
			return name, true
		}
	}
	return "", slices.Contains(c.Builtin, flavor) || c.contained(flavor)
}

// contained reports whether a flavor is of a component that runs in containers.
func (c *Catalog) contained(flavor string) bool {
	kind, name, _ := strings.Cut(flavor, "/")
	switch _, operator := c.StepOperators[name]; kind {
	case "orchestrator":
		return slices.Contains(c.Orchestrators, name)
	case "deployer":
		return slices.Contains(c.Deployers, name)
	default:
		return operator && kind == "step_operator"
	}
}

// Needs are requirements, sorted and each once, and Debian packages.
type Needs struct {
	Requirements []string
	AptPackages  []string
}

// add adds what something requires.
func (n *Needs) add(requirements, apt []string) {
	n.Requirements = slices.Compact(slices.Sorted(slices.Values(slices.Concat(n.Requirements, requirements))))
	for _, p := range apt {
		if !slices.Contains(n.AptPackages, p) {
			n.AptPackages = append(n.AptPackages, p)
		}
	}
}

// Needs returns what integrations require, as ZenML unites it: lines that
// contradict each other stay, for the installer to tell.
func (c *Catalog) Needs(names []string) (n Needs, err error) {
	for _, name := range names {
		i, err := c.Find(name)
		if err != nil {
			return n, err
		}
		n.add(i.Requirements, i.AptPackages)
	}
	return n, nil
}

// An UnknownError reports an integration that the catalog doesn't know.
type UnknownError struct {
	Name  string
	ZenML string
	Near  string // that was probably meant, or ""
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no integration %q of ZenML %s", e.Name, e.ZenML)
}

// Hint says which one was probably meant, or which there are.
func (e *UnknownError) Hint() string {
	if e.Near != "" {
		return fmt.Sprintf("did you mean %s?", e.Near)
	}
	return "name one of these: " + strings.Join(e.Known, ", ")
}
