// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"inlay/resolve/yamlfile"
)

// A FormatError reports a catalog or a stack that isn't one.
type FormatError = yamlfile.Error

// form is that of catalogs and stacks. The catalog of ZenML takes 10 kB.
var form = yamlfile.Form{
	MiB: 1,
	Fix: "write YAML as in the documentation of stacks",
	Fields: map[string][]string{
		"Catalog":     {"zenml", "integrations", "builtin", "orchestrators", "step_operators", "deployers", "deployment", "local"},
		"Integration": {"requirements", "apt_packages", "flavors"},
		"Stack":       {"components"},
		"Component":   {"type", "flavor", "name", "integration", "requirements", "apt_packages", "is_local", "config"},
	},
}

// decode reads a file without variables.
func decode(name string, r io.Reader, into any) error {
	text, _, err := form.Document(name, r)
	if err != nil {
		return err
	}
	return form.Decode(name, text, into)
}

// decodeWith reads a file in which ${NAME} stands for variables, and returns its
// nodes too.
func decodeWith(name string, r io.Reader, lookup func(string) (string, bool), into any) (*yaml.Node, error) {
	text, root, err := form.Document(name, r)
	if err != nil {
		return nil, err
	}
	if err := form.Decode(name, text, into); err != nil { // which knows the fields
		return nil, err
	}
	if err := expand(name, root, lookup); err != nil {
		return nil, err
	}
	return root, root.Decode(into)
}

// itemLines returns the lines of the items of a list in the mapping of a document.
func itemLines(n *yaml.Node, key string) (lines []int) {
	if n.Kind == yaml.DocumentNode {
		n = n.Content[0]
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != key {
			continue
		}
		list := n.Content[i+1]
		if list.Kind == yaml.AliasNode {
			list = list.Alias
		}
		for _, item := range list.Content {
			lines = append(lines, item.Line)
		}
	}
	return lines
}

// expand replaces the variables in all texts below n.
func expand(name string, n *yaml.Node, lookup func(string) (string, bool)) error {
	var err error
	if n.Kind == yaml.ScalarNode {
		n.Value, err = yamlfile.Expand(n.Value, func(variable string) (string, error) {
			value, ok := lookup(variable)
			switch {
			case !ok:
				return "", &FormatError{File: name, Line: n.Line, Problem: fmt.Sprintf("the variable %s is not set", variable), Fix: fmt.Sprintf("run `export %s=…` first", variable)}
			case !utf8.ValidString(value):
				return "", &FormatError{File: name, Line: n.Line, Problem: fmt.Sprintf("the variable %s is not UTF-8", variable), Fix: fmt.Sprintf("run `export %s=…` with text in UTF-8", variable)}
			}
			return value, nil
		})
		return err
	}
	for _, c := range n.Content {
		if err := expand(name, c, lookup); err != nil {
			return err
		}
	}
	return nil
}
