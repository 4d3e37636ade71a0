// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"fmt"
	"slices"
	"strings"

	"inlay/layers/version"
)

// A stanza is a paragraph of a control file (deb822(5)): fields in their order.
type stanza []field

// A field keeps its value as it stands there: after the colon, with the lines
// that continue it, without the last line break.
type field struct{ name, value string }

// stanzas reads the paragraphs of a control file.
func stanzas(text string) ([]stanza, error) {
	var all []stanza
	var now stanza
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.TrimSpace(line) == "":
			if now != nil {
				all, now = append(all, now), nil
			}
		case line[0] == ' ' || line[0] == '\t':
			if len(now) == 0 {
				return nil, fmt.Errorf("a line continues nothing: %.60q", line)
			}
			now[len(now)-1].value += "\n" + line
		case line[0] == '#':
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t") {
				return nil, fmt.Errorf("a line is no field: %.60q", line)
			}
			now = append(now, field{name, strings.TrimLeft(value, " \t")})
		}
	}
	if now != nil {
		all = append(all, now)
	}
	return all, nil
}

// get returns the value of a field, "" if it isn't there.
func (s stanza) get(name string) string {
	for _, f := range s {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// set changes a field, or adds it.
func (s *stanza) set(name, value string) {
	for i, f := range *s {
		if strings.EqualFold(f.name, name) {
			(*s)[i].value = value
			return
		}
	}
	*s = append(*s, field{name, value})
}

func (s stanza) String() string {
	var b strings.Builder
	for _, f := range s {
		b.WriteString(f.name + ":")
		if f.value != "" && f.value[0] != '\n' {
			b.WriteString(" ")
		}
		b.WriteString(f.value + "\n")
	}
	return b.String()
}

// order is that of the fields in a status file that dpkg writes. Others come
// last, as the package has them.
var order = []string{
	"Package", "Essential", "Protected", "Status", "Priority", "Section", "Installed-Size", "Origin", "Bugs",
	"Maintainer", "Architecture", "Multi-Arch", "Source", "Version", "Config-Version", "Replaces", "Provides",
	"Depends", "Pre-Depends", "Recommends", "Suggests", "Breaks", "Conflicts", "Enhances", "Conffiles",
	"Description", "Triggers-Pending", "Triggers-Awaited",
}

// relations are the fields that dpkg writes in one form.
var relations = []string{"Replaces", "Provides", "Depends", "Pre-Depends", "Recommends", "Suggests", "Breaks", "Conflicts", "Enhances"}

// recorded returns a package's control paragraph as the status file has it.
func (s stanza) recorded() stanza {
	var out stanza
	for _, name := range order {
		value := s.get(name)
		if value == "" {
			continue
		}
		if slices.Contains(relations, name) {
			value = relation(value)
		}
		out = append(out, field{name, value})
	}
	for _, f := range s {
		if !slices.ContainsFunc(order, func(o string) bool { return strings.EqualFold(o, f.name) }) {
			out = append(out, f)
		}
	}
	return out
}

// relation writes a relation as dpkg does: "a (>= 1), b | c". What can't be read
// stays as it is.
func relation(value string) string {
	groups, err := version.ParseRelations(value)
	if err != nil {
		return value
	}
	written := make([]string, len(groups))
	for i, g := range groups {
		written[i] = g.String()
	}
	return strings.Join(written, ", ")
}

// named returns a relation of a list. What can't be read names nothing.
func named(text string) version.Relation {
	r, _ := version.ParseRelation(text)
	return r
}
