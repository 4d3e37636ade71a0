// SPDX-License-Identifier: Apache-2.0

package version

import (
	"fmt"
	"iter"
	"strings"
)

// An Op compares a version with that of a relation.
type Op uint8

// The ops, as relations write them.
const (
	Any        Op = iota // no version is named
	Older                // <<
	OlderEqual           // <=
	Equal                // =
	NewerEqual           // >=
	Newer                // >>
)

// ops maps what relations write to ops. "<" and ">" are old spellings, and mean
// what dpkg and apt take them for.
var ops = map[string]Op{
	"<<": Older, "<=": OlderEqual, "<": OlderEqual, "=": Equal, ">=": NewerEqual, ">": NewerEqual, ">>": Newer,
}

func (o Op) String() string { return [...]string{"", "<<", "<=", "=", ">=", ">>"}[o] }

// A Relation names a package, and which of its versions.
type Relation struct {
	Name    string
	Arch    string // as in "name:any", or ""
	Op      Op
	Version string
}

func (r Relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != Any {
		s += " (" + r.Op.String() + " " + r.Version + ")"
	}
	return s
}

// Allows reports whether a version v of the package is one of those that r
// names.
func (r Relation) Allows(v string) bool {
	if r.Op == Any {
		return true
	}
	c := Compare(v, r.Version)
	switch r.Op {
	case Older:
		return c < 0
	case OlderEqual:
		return c <= 0
	case NewerEqual:
		return c >= 0
	case Newer:
		return c > 0
	default: // Equal
		return c == 0
	}
}

// A Group is relations of which one is enough: "a | b".
type Group []Relation

func (g Group) String() string {
	s := make([]string, len(g))
	for i, r := range g {
		s[i] = r.String()
	}
	return strings.Join(s, " | ")
}

// A RelationError reports text that is no list of relations.
type RelationError struct {
	Relation string // the one that can't be read
	Problem  string
}

func (e *RelationError) Error() string {
	return fmt.Sprintf("%q is no relation to a package: %s", shorten(e.Relation), e.Problem)
}

// ParseRelations reads a list of relations, such as the field Depends of a
// binary package. What can't be read is a *RelationError.
func ParseRelations(text string) ([]Group, error) {
	var groups []Group
	for text != "" {
		var part string
		part, text, _ = strings.Cut(text, ",")
		if part = trim(part); part == "" {
			continue // commas at the ends are common
		}
		var g Group
		for more := true; more; {
			var one string
			one, part, more = strings.Cut(part, "|")
			r, err := ParseRelation(one)
			if err != nil {
				return nil, err
			}
			g = append(g, r)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// ParseRelation reads one relation, without alternatives.
func ParseRelation(text string) (Relation, error) {
	fail := func(problem string) (Relation, error) { return Relation{}, &RelationError{trim(text), problem} }
	name, rest, versioned := strings.Cut(text, "(")
	var r Relation
	r.Name, r.Arch, _ = strings.Cut(trim(name), ":")
	switch {
	case !IsName(r.Name):
		return fail("the name has other letters than a-z, 0-9, `+`, `-` and `.`")
	case r.Arch != "" && !IsName(r.Arch), strings.HasSuffix(trim(name), ":"):
		return fail("what follows the colon is no architecture")
	case !versioned:
		return r, nil
	}
	inner, after, closed := strings.Cut(rest, ")")
	if !closed || trim(after) != "" {
		return fail("it doesn't end with the parenthesis that it opens")
	}
	inner = trim(inner)
	sign := inner[:len(inner)-len(strings.TrimLeft(inner, "<=>"))]
	op, ok := ops[sign]
	if !ok {
		return fail("its version has none of <<, <=, =, >= and >> before it")
	}
	r.Op, r.Version = op, trim(inner[len(sign):])
	if r.Version == "" || strings.ContainsAny(r.Version, " \t\n") {
		return fail("there must be exactly one version")
	}
	return r, nil
}

// IsName reports whether s can be the name of a package. Names of one letter
// and capital letters are no good style, but there are such packages.
func IsName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isDigit(c) && !isLetter(c) && (i == 0 || c != '+' && c != '-' && c != '.' && c != '_') {
			return false
		}
	}
	return s != ""
}

// Mentions yields the names in a list of relations, in order, as they are
// written: "a", "b:any". It reads what ParseRelations would refuse, too, and is
// fast.
func Mentions(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < len(text); {
			end := i
			for end < len(text) && text[end] != ',' && text[end] != '|' {
				end++
			}
			if name := firstWord(text[i:end]); name != "" && !yield(name) {
				return
			}
			i = end + 1
		}
	}
}

// firstWord returns what s begins with, up to a blank or parenthesis.
func firstWord(s string) string {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	end := i
	for end < len(s) && !isSpace(s[end]) && s[end] != '(' {
		end++
	}
	return s[i:end]
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func trim(s string) string { return strings.Trim(s, " \t\r\n") }
