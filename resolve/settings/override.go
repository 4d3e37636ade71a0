// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// An Override is one flag of the command line with every value it was given.
// Fields tells which flags there are and what they set: a flag of a mapping
// takes NAME=VALUE, that of a list one item a value, any other flag counts with
// its last value. Their values are literal: the shell has substituted already.
// Beside them, --set takes path.to.field=YAML, read as if it stood in the file;
// the path starts below settings.docker or at the top of the file.
type Override struct {
	Flag   string // in its long form: "--env"
	Values []string
}

// An overlay puts flags over the settings of the file.
type overlay struct {
	root  *value            // the file
	alone *value            // what the flags say of settings.docker, as a file
	setBy map[string]string // path of a scalar or list → the flag that gave it
	o     Options
}

// override puts the flags over the file, but for what they say of
// settings.docker: that is returned, for it is stronger than a step's settings
// too.
func override(root *value, o Options) (*value, error) {
	l := &overlay{root: root, alone: &value{kind: mapping, position: root.position}, setBy: map[string]string{}, o: o}
	for _, flag := range o.Overrides {
		if err := l.flag(flag); err != nil {
			return nil, err
		}
	}
	return l.alone, nil
}

func (l *overlay) flag(o Override) error {
	if len(o.Values) == 0 {
		return nil
	}
	if o.Flag == "--set" {
		for _, text := range o.Values {
			if err := l.set(text); err != nil {
				return err
			}
		}
		return nil
	}
	i := slices.IndexFunc(fields(), func(f field) bool { return slices.Contains(f.Flags, o.Flag) })
	if i < 0 {
		return &FieldError{File: o.Flag, Problem: "no setting has this flag", Fix: "write `--set path.to.field=YAML`"}
	}
	f := fields()[i]
	v, err := literal(o, f)
	if err != nil {
		return err
	}
	return l.put(strings.Split(f.Name, "."), v)
}

// literal makes a value of what a flag was given.
func literal(o Override, f field) (*value, error) {
	str := func(text string) *value {
		return &value{position: position{file: o.Flag}, kind: scalar, text: text, raw: text, tag: "!!str"}
	}
	v := &value{position: position{file: o.Flag}}
	switch {
	case !utf8.ValidString(strings.Join(o.Values, "")):
		return nil, v.fault(f.Name, "not UTF-8", fmt.Sprintf("write `%s` with text in UTF-8", o.Flag))
	case o.Flag == "--requirement", o.Flag == "--apt-package", o.Flag == "--platform":
		v.kind = list
		for _, text := range o.Values {
			v.items = append(v.items, str(text))
		}
	case f.Type == "mapping of strings":
		v.kind = mapping
		for _, text := range o.Values {
			key, val, ok := strings.Cut(text, "=")
			if !ok {
				return nil, v.fault(f.Name, "a name without a value", fmt.Sprintf("write `%s NAME=VALUE`", o.Flag))
			}
			one := &value{position: v.position, kind: mapping}
			one.add(str(key), str(val))
			if err := merge(v, one, f.Name); err != nil {
				return nil, err
			}
		}
	default:
		return str(o.Values[len(o.Values)-1]), nil
	}
	return v, nil
}

// set applies one path=YAML.
func (l *overlay) set(text string) error {
	p := newParser("--set", l.o.Lookup)
	path, yaml, ok := strings.Cut(text, "=")
	if !ok {
		return p.fault(0, "", "no `=` after the path", "write `--set path.to.field=YAML`")
	}
	names := strings.Split(path, ".")
	if child("", names[0]) == nil || child(dockerPath, names[0]) != nil {
		names = append(strings.Split(dockerPath, "."), names...)
	}
	names, at, err := p.locate(names)
	if err != nil {
		return err
	}
	node, err := p.parse([]byte(yaml))
	if err != nil {
		return withoutLine(err, at.path)
	}
	v, err := p.value(node, at)
	if err != nil {
		return withoutLine(err, "")
	}
	v.flatten()
	return l.put(names, v)
}

// locate returns the names of a path as they nest, and where that is. The keys
// of a mapping of strings hold dots, so what follows the name of such a field
// is one key.
func (p *parser) locate(names []string) (nested []string, at spot, err error) {
	for i, name := range names {
		f := child(at.pattern, name)
		at.path, at.pattern = join(at.path, name), patternOf(at.pattern, name)
		more := i+1 < len(names)
		switch {
		case f == nil || !more && f.Status != LeftAlone:
		case f.Status == LeftAlone:
			return nil, at, p.fault(0, at.path, "inlay does not use this field", "remove the `--set` of it")
		case f.Type == "mapping of strings":
			key := strings.Join(names[i+1:], ".")
			if strings.ContainsRune(key, 0) {
				return nil, at, p.fault(0, at.path, "a NUL byte in a name", "remove it")
			}
			at.path, at.pattern = join(at.path, key), join(at.pattern, key)
			return append(slices.Clone(names[:i+1]), key), at, nil
		case f.read != nil && f.Status == Supported && f.Name != stepDocker:
			return nil, at, p.fault(0, at.path, fmt.Sprintf("a %s has no field %s", f.Type, names[i+1]),
				fmt.Sprintf("write, for example, `--set %s='%s'`", at.path, f.Example))
		}
	}
	return names, at, nil
}

// put merges a value into the place that the names lead to.
func (l *overlay) put(names []string, v *value) error {
	path := strings.Join(names, ".")
	if by, ok := l.setBy[path]; ok && by != v.file {
		return v.fault(path, fmt.Sprintf("given by %s as well", by), fmt.Sprintf("remove `%s` or `%s`", by, v.file))
	}
	if v.kind != mapping {
		l.setBy[path] = v.file
	}
	if strings.HasPrefix(path+".", dockerPath+".") {
		return merge(l.alone, nest(names, v), "")
	}
	return merge(l.root, nest(names, v), "")
}

// nest returns v as it stands in a file, below some names.
func nest(names []string, v *value) *value {
	for _, name := range slices.Backward(names) {
		outer := &value{position: v.position, kind: mapping}
		outer.add(&value{position: v.position, kind: scalar, text: name, raw: name, tag: "!!str"}, v)
		v = outer
	}
	return v
}

// merge puts one mapping over another: spec/zenml.md section 6.2. Scalars and
// lists replace, mappings merge, an empty mapping changes nothing, nor could a
// null, which is refused but for an argument of the installer: there it is a
// value.
func merge(under, over *value, path string) error {
	for i, key := range over.keys {
		item, at := over.items[i], join(path, key.raw)
		j := under.index(key.text)
		if j < 0 && path == optionsPath {
			j = under.index(other(key.text))
		}
		switch {
		case item.kind == null && path != argumentsPath:
			return item.fault(at, "null does not take back what the file says", `write "" or []`)
		case j < 0:
			under.add(key, item)
		case item.kind != mapping || under.items[j].kind == null:
			under.items[j] = item
		case under.items[j].kind != mapping:
			return under.items[j].fault(at, "want a mapping, got "+under.items[j].describe(),
				"write, for example, `"+key.text+": {}`")
		default:
			if err := merge(under.items[j], item, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// flatten removes the lines of a value that no file holds.
func (v *value) flatten() {
	v.line = 0
	for _, k := range v.keys {
		k.line = 0
	}
	for _, item := range v.items {
		item.flatten()
	}
}

// withoutLine does the same for an error, and names the field if it is unnamed.
func withoutLine(err error, path string) error {
	var e *FieldError
	if errors.As(err, &e) {
		e.Line = 0
		if e.Field == "" {
			e.Field = path
		}
	}
	return err
}
