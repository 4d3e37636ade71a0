// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"inlay/layers/pattern"
)

// maxSize bounds the files that are read. The catalog of ZenML takes 10 kB.
const maxSize = 1 << 20

// A FormatError reports a catalog or a stack that isn't one.
type FormatError struct {
	File    string
	Line    int // from 1; 0 for the file as a whole
	Problem string
	Fix     string
}

func (e *FormatError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Problem
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem)
}

// Hint says what to write instead.
func (e *FormatError) Hint() string { return e.Fix }

var (
	lineOf  = pattern.New(`(?s)^(?:yaml: )?(?:unmarshal errors:\s+)?(?:line (\d+): )?([^\n]*)`)
	unknown = pattern.New(`^field (\S+) not found in type catalog\.(\S+)$`)
	misfit  = pattern.New("^cannot unmarshal (!!\\w+) (?:`[^`]*` )?into (\\S+)$")
)

// fieldsOf are the fields of what files hold, by the type that they are read
// into.
var fieldsOf = map[string][]string{
	"Catalog":     {"zenml", "integrations", "builtin", "orchestrators", "step_operators", "deployers", "deployment"},
	"Integration": {"requirements", "apt_packages", "flavors"},
	"Stack":       {"components"},
	"Component":   {"type", "flavor", "name", "integration", "requirements", "apt_packages", "is_local", "config"},
}

// decode reads the one YAML document of a file.
func decode(name string, r io.Reader, into any) error {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > maxSize {
		return &FormatError{File: name, Problem: "larger than 1 MiB", Fix: "name another file"}
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	err = d.Decode(into)
	switch {
	case errors.Is(err, io.EOF):
		return &FormatError{File: name, Problem: "it is empty", Fix: "write what it is to hold, or remove the setting that names it"}
	case err != nil:
		return formatError(name, err)
	case !errors.Is(d.Decode(new(yaml.Node)), io.EOF):
		return &FormatError{File: name, Problem: "a second document begins in it", Fix: "keep one document"}
	}
	return nil
}

// formatError puts an error of the library into our form.
func formatError(name string, err error) *FormatError {
	m := lineOf().FindStringSubmatch(err.Error())
	e := &FormatError{File: name, Problem: m[2], Fix: "write YAML as in `inlay schema` or the documentation of stacks"}
	e.Line, _ = strconv.Atoi(m[1])
	if m := unknown().FindStringSubmatch(e.Problem); m != nil {
		fields := fieldsOf[m[2]]
		e.Problem, e.Fix = fmt.Sprintf("unknown field %q", m[1]), "write one of the fields there are here: "+strings.Join(fields, ", ")
		if near := nearest(m[1], fields); near != "" {
			e.Fix = fmt.Sprintf("did you mean `%s`?", near)
		}
	}
	if m := misfit().FindStringSubmatch(e.Problem); m != nil {
		kind := "a text"
		switch {
		case strings.HasPrefix(m[2], "[]"):
			kind = "a list"
		case strings.HasPrefix(m[2], "map") || strings.HasPrefix(m[2], "catalog."):
			kind = "a mapping"
		case m[2] == "bool":
			kind = "true or false"
		}
		e.Problem, e.Fix = "a value of another kind is wanted", "write "+kind+" here"
	}
	return e
}
