// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"inlay/resolve/settings"
)

// fixtures are the files that tests have loaded, with what became of each.
type fixtures struct {
	mu  sync.Mutex
	all map[string]error
}

var loaded = fixtures{all: map[string]error{}}

func (f *fixtures) add(yaml string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[yaml] = err
}

// TestMain runs the tests, then holds the schema against every file that they
// loaded: what Load takes, the schema takes; an unknown field and a value of a
// wrong type, it refuses.
func TestMain(m *testing.M) {
	status := m.Run()
	s, err := compiled()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for text, err := range loaded.all {
		if problem := disagreement(s, text, err); problem != "" {
			fmt.Fprintf(os.Stderr, "the schema of schema.go %s:\n%s\n", problem, text)
			status = 1
		}
	}
	os.Exit(status)
}

// disagreement says how the schema judges a file otherwise than Load did, ""
// if it doesn't.
func disagreement(s *jsonschema.Schema, text string, loadErr error) string {
	doc, err := jsonOf(text)
	if err != nil {
		return "" // not even YAML for every program
	}
	err = s.Validate(doc)
	var field *settings.FieldError
	errors.As(loadErr, &field)
	switch {
	case loadErr == nil && err != nil:
		return fmt.Sprintf("refuses (%v) what Load takes", err)
	case err == nil && field != nil && (strings.HasPrefix(field.Problem, "unknown field") || strings.HasPrefix(field.Problem, "want a ")):
		return fmt.Sprintf("takes what Load refuses (%v)", loadErr)
	default:
		return ""
	}
}

func compiled() (*jsonschema.Schema, error) {
	b, err := json.Marshal(settings.Schema())
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("inlay.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("inlay.json")
}

// jsonOf returns a YAML file as a JSON schema sees it.
func jsonOf(text string) (any, error) {
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	b, err := json.Marshal(stringKeys(doc))
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(b))
}

func stringKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := map[string]any{}
		for k, item := range v {
			m[fmt.Sprint(k)] = stringKeys(item)
		}
		return m
	case map[string]any:
		for k, item := range v {
			v[k] = stringKeys(item)
		}
	case []any:
		for i, item := range v {
			v[i] = stringKeys(item)
		}
	}
	return v
}

func TestSchema(t *testing.T) {
	s, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, yaml string
		want       bool
	}{
		{"every field", every, true},
		{"an empty file", "", true},
		{"numbers for strings", docker("user: 1000\nimage_tag: 1.0\nrequirements: [7]"), true},
		{"booleans in words", docker("skip_build: YES\nparent_image: x"), true},
		{"a variable for a boolean", docker("skip_build: ${SKIP}"), true},
		{"a component's settings", "settings: {orchestrator.kubernetes: {x: 1}, resources: {cpu: 2}}", true},
		{"settings of a step", "steps: {train: {settings: {docker: {}}, parameters: {x: 1}}}", true},
		{"an unknown field", docker("parent_imag: x"), false},
		{"an unknown field at the top", "setings: {}", false},
		{"an unknown field of a step", "steps: {train: {x: 1}}", false},
		{"a list for a string", docker("user: [a]"), false},
		{"a mapping in a list", docker("requirements: [{a: b}]"), false},
		{"a list for a mapping", docker("environment: [A=1]"), false},
		{"a word that is no boolean", docker("skip_build: perhaps"), false},
		{"a list for the whole", "[a]", false},
		{"a value that there isn't", docker("compression: lzma"), false},
	}
	for _, tt := range tests {
		doc, err := jsonOf(tt.yaml)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); (err == nil) != tt.want {
			t.Errorf("%s: Validate = %v, want valid: %v", tt.name, err, tt.want)
		}
	}
}

// The example project is valid, and so are all examples in the table.
func TestSchemaTakesExamples(t *testing.T) {
	s, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../../testdata/example/inlay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{string(b)}
	for _, f := range settings.Fields() {
		for _, v := range []string{f.Example, f.Default} {
			if v != "" {
				all = append(all, nest(f.Name, v))
			}
		}
	}
	for _, text := range all {
		doc, err := jsonOf(text)
		if err == nil {
			err = s.Validate(doc)
		}
		if err != nil {
			t.Errorf("the schema refuses %s: %v", text, err)
		}
	}
}
