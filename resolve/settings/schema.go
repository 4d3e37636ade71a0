// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"inlay/layers/pattern"
	"inlay/resolve/yamlfile"
)

// A schema is a JSON schema, or a part of one.
type schema map[string]any

// Schema returns the JSON schema (draft 7, which editors read) of a settings
// file, ready for encoding/json: every field with its type, description,
// default and example. What it refuses, Load refuses. Load refuses more: values
// of the right type that make no sense.
func Schema() map[string]any {
	root := section("")
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "inlay.yaml"
	root["description"] = "The settings of an image that inlay builds: a ZenML run configuration."
	return root
}

// section returns the schema of the mapping of that name: its fields, and no
// others.
func section(name string) schema {
	properties := schema{}
	s := schema{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	for _, f := range fields() {
		parent, last := cutLast(f.Name)
		switch {
		case parent != name:
		case last == "*":
			s["additionalProperties"] = described(f, section(f.Name))
		case f.Name == stepDocker:
			properties[last] = described(f, withNulls(section(dockerPath)))
		case f.read == nil && f.Status != LeftAlone:
			properties[last] = described(f, section(f.Name))
		default:
			properties[last] = described(f, valueOf(f))
		}
	}
	if name == "settings" || name == "steps.*.settings" {
		pattern := "^(" + strings.Join(components, "|") + ")([.:].*)?$"
		s["patternProperties"] = schema{pattern: schema{"description": "ZenML's; inlay does not read it."}}
	}
	return s
}

// withNulls lets the values of mappings be null, which in the settings of a step
// they may.
func withNulls(s schema) schema {
	for _, v := range s {
		switch v := v.(type) {
		case schema:
			withNulls(v)
		case []schema:
			for _, one := range v {
				withNulls(one)
			}
		}
	}
	if values, ok := s["additionalProperties"].(schema); ok {
		s["additionalProperties"] = anyOf(values)
	}
	return s
}

// described adds to s what the table says of the field.
func described(f field, s schema) schema {
	doc := f.Doc
	if f.Status == NoEffect {
		doc = strings.TrimSuffix(fmt.Sprintf("%s No effect: %s", doc, f.instead), " No effect: ")
	}
	if doc != "" {
		s["description"] = doc
	}
	if v, ok := yamlValue(f.Default); ok {
		s["default"] = v
	}
	if v, ok := yamlValue(f.Example); ok && f.read != nil {
		s["examples"] = []any{v}
	}
	return s
}

func yamlValue(text string) (v any, ok bool) {
	err := yaml.Unmarshal([]byte(text), &v)
	return v, text != "" && err == nil
}

// valueOf returns the schema of a field's value, which its type describes in
// words. A field without effect may hold anything, unless it is the old name of
// another.
func valueOf(f field) schema {
	if f.Status == NoEffect && f.instead != "" || f.Status == LeftAlone {
		return schema{}
	}
	if len(f.Values) > 0 {
		return anyOf(schema{"enum": f.Values}, schema{"type": "string", "pattern": yamlfile.Variable})
	}
	var kinds []schema
	for _, words := range typeWords().Split(f.Type, -1) {
		k, ok := kindOf(words)
		if !ok {
			return schema{}
		}
		kinds = append(kinds, k)
	}
	return anyOf(kinds...)
}

// anyOf joins the kinds of value that a field takes, of which null is one.
func anyOf(kinds ...schema) schema {
	return schema{"anyOf": append(kinds, schema{"type": "null"})}
}

// typeWords stand between the words for each kind of value.
var typeWords = pattern.New(`, | or `)

// kindOf returns the schema of one kind of value; not ok is one that it has no
// schema for.
func kindOf(words string) (s schema, ok bool) {
	// A number where a string is wanted is taken as written.
	text := schema{"type": []string{"string", "number", "boolean"}}
	switch words {
	case "string", "path of a file", "shell command":
		return text, true
	case "list of strings":
		return schema{"type": "array", "items": text}, true
	case "list of indexes":
		index := schema{"type": "object", "additionalProperties": false, "required": []string{"url"}, "properties": schema{
			"name": text, "url": text, "default": booleanSchema(), "auth": text,
		}}
		return schema{"type": "array", "items": schema{"anyOf": []schema{text, index}}}, true
	case "list of sources":
		words := anyOf(text, schema{"type": "array", "items": text})
		source := schema{"type": "object", "additionalProperties": false, "required": []string{"url", "suites", "key"}, "properties": schema{
			"url": text, "suites": words, "components": words, "key": text,
		}}
		return schema{"type": "array", "items": source}, true
	case "health check":
		or := schema{"anyOf": []schema{text, {"type": "array", "items": text}, {"type": "null"}}}
		one := anyOf(text)
		return schema{"type": "object", "additionalProperties": false, "properties": schema{
			"test": or, "interval": one, "timeout": one, "start_period": one, "start_interval": one, "retries": one,
		}}, true
	case "mapping of strings":
		return schema{"type": "object", "additionalProperties": text}, true
	case "mapping":
		return schema{"type": "object"}, true
	case "boolean":
		return booleanSchema(), true
	default:
		return nil, false
	}
}

func booleanSchema() schema {
	words := anyCase("true", "yes", "on", "y", "t", "1", "false", "no", "off", "n", "f", "0")
	return schema{"anyOf": []schema{
		{"type": "boolean"},
		{"enum": []int{0, 1}},
		{"type": "string", "pattern": `^(` + words + `)$|` + yamlfile.Variable},
	}}
}

// anyCase returns an expression for the words in any case; that of JSON schemas
// (ECMA 262) has no flags.
func anyCase(words ...string) string {
	for i, w := range words {
		var b strings.Builder
		for _, r := range w {
			if upper := strings.ToUpper(string(r)); upper != string(r) {
				fmt.Fprintf(&b, "[%s%c]", upper, r)
			} else {
				b.WriteRune(r)
			}
		}
		words[i] = b.String()
	}
	return strings.Join(words, "|")
}
