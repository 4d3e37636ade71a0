// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/xrash/smetrics"
)

// A Status says what becomes of a field.
type Status string

// The statuses of a field.
const (
	Supported Status = "supported"
	NoEffect  Status = "no effect"  // a warning: it means something to Docker or ZenML only
	LeftAlone Status = "left alone" // ZenML's business, not even read
)

// A Field describes one field of the settings file.
type Field struct {
	Name    string   // dotted path from the top of the file; the name of a step is "*"
	Type    string   // in words: "list of strings"
	Default string   // as YAML, "" if there is none
	Doc     string   // what it is for, in one line
	Example string   // a value as YAML
	Values  []string // that it takes, if only these
	Flags   []string
	Status  Status
}

// Fields lists every field that a settings file may name, in the order of the
// documentation. What it does not list is an error. The list is the same each
// time: nobody may change it.
func Fields() []Field { return public() }

var public = sync.OnceValue(func() []Field {
	all := make([]Field, 0, len(fields()))
	for _, f := range fields() {
		if f.read != nil || f.Status == LeftAlone {
			all = append(all, f.Field)
		}
	}
	return all
})

// A field is a Field and the way its value is read.
type field struct {
	Field
	instead string                       // why it has no effect
	read    func(*loader, setting) error // nil for a mapping whose entries are fields themselves
}

var fields = sync.OnceValue(table)

var byName = sync.OnceValue(func() map[string]*field {
	m := map[string]*field{}
	for _, f := range fields() {
		m[f.Name] = &f
	}
	return m
})

// components are the kinds of ZenML's stack components, and its own general
// settings: with or without a flavor they may stand below "settings".
var components = []string{
	"alerter", "annotator", "artifact_store", "container_registry", "data_validator", "deployer", "deployment",
	"experiment_tracker", "feature_store", "image_builder", "log_store", "model_deployer", "model_registry",
	"orchestrator", "resources", "sandbox", "step_operator",
}

// child returns the field of that name below a section, nil if there is none.
func child(pattern, name string) *field {
	path := fieldName(pattern, name)
	if pattern == "settings" || pattern == "steps.*.settings" {
		kind, _, _ := strings.Cut(strings.ReplaceAll(name, ":", "."), ".")
		if slices.Contains(components, kind) {
			return &field{Field: Field{Name: path, Status: LeftAlone}}
		}
	}
	return byName()[path]
}

// patternOf returns the section of the table that describes what is below a
// name: the settings of a step's image are those of the pipeline's.
func patternOf(pattern, name string) string {
	if full := fieldName(pattern, name); full != stepDocker {
		return full
	}
	return dockerPath
}

// fieldName joins a section and a name as the table of fields spells it.
func fieldName(pattern, name string) string {
	if pattern == "steps" {
		name = "*"
	}
	return join(pattern, name)
}

// unknownField reports a name that no field of the section has, with the name
// that was probably meant.
func unknownField(pattern, path string, key *value) *FieldError {
	names := slices.Clone(components)
	if pattern != "settings" && pattern != "steps.*.settings" {
		names = nil
	}
	for _, f := range fields() {
		section, name := cutLast(f.Name)
		switch {
		case section == pattern:
			names = append(names, name)
		case name == key.text && f.Status != LeftAlone && !strings.HasPrefix(f.Name, "steps."):
			return key.fault(path, "unknown field here", fmt.Sprintf("from the top of the file, write `%s`", f.Name))
		}
	}
	if near := nearest(key.text, names); near != "" {
		return key.fault(path, "unknown field", fmt.Sprintf("did you mean `%s`?", near))
	}
	names = slices.DeleteFunc(names, func(name string) bool { f := child(pattern, name); return f == nil || f.Status != Supported })
	slices.Sort(names)
	return key.fault(path, "unknown field", "the fields here are "+strings.Join(names, ", "))
}

// cutLast splits a path before its last name.
func cutLast(path string) (section, name string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// nearest returns the name most like the one given, "" if none is like it.
func nearest(name string, names []string) string {
	const like = 0.84 // below it, two names merely share letters
	best, score := "", like
	for _, n := range names {
		s := smetrics.JaroWinkler(strings.ToLower(strings.ReplaceAll(name, "-", "_")), n, 0.7, 4)
		if s > score {
			best, score = n, s
		}
	}
	return best
}
