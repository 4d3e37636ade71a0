// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"inlay/resolve/yamlfile"
)

type kind int

const (
	null kind = iota
	scalar
	list
	mapping
	opaque // left alone: its content was never looked at
)

type position struct {
	file string
	line int
	step string // whose settings it stands in, "" for the pipeline's
}

// pathOf returns the path of a field in the file: that of a step's settings
// differs from the pipeline's.
func (p position) pathOf(field string) string {
	if p.step == "" || field != dockerPath && !strings.HasPrefix(field, dockerPath+".") {
		return field
	}
	return "steps." + p.step + "." + field
}

// A value is a node of the file with its aliases, merge keys and variables
// resolved. Scalars keep their text as written: a 1.10 is no 1.1.
type value struct {
	position
	kind  kind
	text  string   // of a scalar
	raw   string   // of a scalar, before substitution: safe to show
	tag   string   // of a scalar, such as "!!int"
	keys  []*value // of a mapping: scalars, one per item
	items []*value // of a list or a mapping
}

func (v *value) fault(field, problem, fix string) *FieldError {
	return &FieldError{File: v.file, Line: v.line, Field: v.pathOf(field), Problem: problem, Fix: fix}
}

// describe says what a value is without showing it: it may be a secret.
func (v *value) describe() string {
	switch v.kind {
	case null:
		return "null"
	case list:
		return "a list"
	case scalar:
		names := map[string]string{"!!int": "a number", "!!float": "a number", "!!bool": "a boolean", "!!timestamp": "a date"}
		return cmp.Or(names[v.tag], "a string")
	default:
		return "a mapping"
	}
}

// index returns where the key stands in a mapping, or -1.
func (v *value) index(key string) int {
	for i, k := range v.keys {
		if k.text == key {
			return i
		}
	}
	return -1
}

// at returns what a mapping has below some names, nil if that is nothing or
// null.
func (v *value) at(names ...string) *value {
	for _, name := range names {
		if v == nil || v.kind != mapping {
			return nil
		}
		i := v.index(name)
		if i < 0 {
			return nil
		}
		v = v.items[i]
	}
	if v.kind == null {
		return nil
	}
	return v
}

// clone returns a copy that shares nothing with v; nil is nil.
func (v *value) clone() *value {
	if v == nil {
		return nil
	}
	out := *v
	out.keys, out.items = nil, nil
	for _, k := range v.keys {
		out.keys = append(out.keys, k.clone())
	}
	for _, item := range v.items {
		out.items = append(out.items, item.clone())
	}
	return &out
}

// A spot is a place in the tree of settings.
type spot struct {
	path    string // for messages
	pattern string // the name of the field, "" below a field
	depth   int
}

// value resolves one node and what is below it.
func (p *parser) value(y *yaml.Node, at spot) (*value, error) {
	if p.values++; p.values > maxValues || at.depth > maxDepth {
		return nil, p.fault(y.Line, at.path, "too many or too deeply nested values",
			"use fewer aliases (`*name`)")
	}
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if p.open[y] {
		return nil, p.fault(y.Line, at.path, fmt.Sprintf("&%s contains itself", y.Anchor), fmt.Sprintf("remove `*%s`", y.Anchor))
	}
	p.open[y] = true
	defer delete(p.open, y)
	v := &value{position: position{file: p.file, line: y.Line}, tag: y.ShortTag(), raw: y.Value}
	switch v.tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!map", "!!seq", "!!merge":
	default:
		return nil, p.fault(y.Line, at.path, fmt.Sprintf("the tag %s is not supported", y.Tag), "remove the tag "+y.Tag)
	}
	var err error
	switch {
	case y.Kind == yaml.MappingNode:
		v.kind, err = mapping, p.mapping(v, y, at)
	case y.Kind == yaml.SequenceNode:
		v.kind, err = list, p.list(v, y, at)
	case v.tag != "!!null":
		v.kind = scalar
		v.text, err = p.substitute(y, at.path)
	}
	return v, err
}

func (p *parser) list(v *value, y *yaml.Node, at spot) error {
	for i, n := range y.Content {
		item, err := p.value(n, spot{path: fmt.Sprintf("%s[%d]", at.path, i), depth: at.depth + 1})
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	return nil
}

// mapping reads the entries of a mapping: those it inherits through merge keys,
// then its own, which win.
func (p *parser) mapping(v *value, y *yaml.Node, at spot) error {
	own, inherited := &value{}, &value{}
	lines := map[string]int{} // of own keys
	for i := 0; i < len(y.Content); i += 2 {
		k, n := y.Content[i], y.Content[i+1]
		if k.ShortTag() == "!!merge" {
			if err := p.merged(inherited, n, at); err != nil {
				return err
			}
			continue
		}
		key, item, err := p.entry(k, n, at)
		if err != nil {
			return err
		}
		if first, ok := lines[key.text]; ok {
			return key.fault(join(at.path, key.raw), fmt.Sprintf("given twice, first on line %d", first), "remove one of the two")
		}
		lines[key.text] = key.line
		own.add(key, item)
	}
	for i, key := range inherited.keys {
		if _, ok := lines[key.text]; !ok {
			lines[key.text] = key.line // an earlier merge wins over a later one
			v.add(key, inherited.items[i])
		}
	}
	v.keys, v.items = append(v.keys, own.keys...), append(v.items, own.items...)
	return nil
}

func (v *value) add(key, item *value) {
	v.keys, v.items = append(v.keys, key), append(v.items, item)
}

// merged adds what "<<: value" stands for: the entries of a mapping, or of
// several.
func (p *parser) merged(v *value, n *yaml.Node, at spot) error {
	m, err := p.value(n, spot{path: at.path, pattern: at.pattern, depth: at.depth + 1})
	if err != nil {
		return err
	}
	all := []*value{m}
	if m.kind == list {
		all = m.items
	}
	for _, m := range all {
		if m.kind != mapping {
			return p.fault(n.Line, join(at.path, "<<"), "want a mapping to merge, got "+m.describe(), "write `<<: *name`")
		}
		v.keys, v.items = append(v.keys, m.keys...), append(v.items, m.items...)
	}
	return nil
}

// entry reads one key and its value. What belongs to ZenML alone stays unread.
func (p *parser) entry(k, n *yaml.Node, at spot) (key, item *value, err error) {
	key, err = p.value(k, spot{path: at.path, depth: at.depth + 1})
	if err != nil {
		return nil, nil, err
	}
	if key.kind != scalar {
		return nil, nil, p.fault(k.Line, at.path, "want a name before the colon, got "+key.describe(),
			"quote the value if it begins with {")
	}
	if f := child(at.pattern, key.text); f != nil && f.Status == LeftAlone {
		return key, &value{position: key.position, kind: opaque}, nil
	}
	item, err = p.value(n, spot{path: join(at.path, key.raw), pattern: patternOf(at.pattern, key.text), depth: at.depth + 1})
	if err != nil {
		return nil, nil, err
	}
	item.line = key.line // where the field is, also if its value is an alias
	return key, item, nil
}

// substitute replaces every ${NAME} in a scalar: spec/zenml.md section 2.6.
// There is no default and no escape.
func (p *parser) substitute(y *yaml.Node, path string) (string, error) {
	out, err := yamlfile.Expand(y.Value, func(name string) (string, error) {
		given, ok := p.lookup(name)
		switch p.size += len(given); {
		case !ok:
			return "", p.fault(y.Line, path, fmt.Sprintf("the variable %s is not set", name),
				fmt.Sprintf("run `export %s=…` first", name))
		case !utf8.ValidString(given):
			return "", p.fault(y.Line, path, fmt.Sprintf("the variable %s is not UTF-8", name),
				fmt.Sprintf("run `export %s=…` with text in UTF-8", name))
		case p.size > maxBytes:
			return "", p.fault(y.Line, path, "variables make the settings larger than 1 MiB", fmt.Sprintf("give ${%s} a shorter value", name))
		}
		return given, nil
	})
	if err != nil {
		return "", err
	}
	if strings.ContainsRune(out, 0) {
		return "", p.fault(y.Line, path, "a NUL byte", `remove the \0`)
	}
	return out, nil
}
