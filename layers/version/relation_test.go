// SPDX-License-Identifier: Apache-2.0

package version_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/layers/version"
)

func TestParseRelations(t *testing.T) {
	tests := []struct {
		text string
		want []version.Group
	}{
		{"", nil},
		{"a", []version.Group{{{Name: "a"}}}},
		{" a ,\n b,", []version.Group{{{Name: "a"}}, {{Name: "b"}}}},
		{"a | b:any", []version.Group{{{Name: "a"}, {Name: "b", Arch: "any"}}}},
		{"a (>= 1)", []version.Group{{{Name: "a", Op: version.NewerEqual, Version: "1"}}}},
		{"a(<<1:2-3~)", []version.Group{{{Name: "a", Op: version.Older, Version: "1:2-3~"}}}},
		{"a:any (= 1) | c (>> 2)", []version.Group{{{Name: "a", Arch: "any", Op: version.Equal, Version: "1"}, {Name: "c", Op: version.Newer, Version: "2"}}}},
		{"a (< 1), a (> 1), a (<= 1)", []version.Group{
			{{Name: "a", Op: version.OlderEqual, Version: "1"}},
			{{Name: "a", Op: version.NewerEqual, Version: "1"}},
			{{Name: "a", Op: version.OlderEqual, Version: "1"}},
		}},
		{"libstdc++6, g++-12", []version.Group{{{Name: "libstdc++6"}}, {{Name: "g++-12"}}}},
	}
	for _, tt := range tests {
		got, err := version.ParseRelations(tt.text)
		if err != nil {
			t.Errorf("ParseRelations(%q): %v", tt.text, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseRelations(%q) (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestParseRelationsRefuses(t *testing.T) {
	for _, text := range []string{"a b", "a |", "| a", "a (1)", "a (>= )", "a (>= 1", "a (>= 1) b", "a (!= 1)", "a [amd64]", "a <!nocheck>", "a:", "-a", "a (= 1 2)"} {
		_, err := version.ParseRelations(text)
		var bad *version.RelationError
		if !errors.As(err, &bad) {
			t.Errorf("ParseRelations(%q): %v, want a *RelationError", text, err)
		}
	}
}

func TestAllows(t *testing.T) {
	tests := []struct {
		relation    string
		allowed, no []string
	}{
		{"a", []string{"0", "9"}, nil},
		{"a (<< 2)", []string{"1", "2~"}, []string{"2", "3"}},
		{"a (<= 2)", []string{"1", "2"}, []string{"2+b1", "3"}},
		{"a (= 2)", []string{"2", "0:2-0"}, []string{"1", "2+b1"}},
		{"a (>= 2)", []string{"2", "1:0"}, []string{"2~"}},
		{"a (>> 2)", []string{"2+b1", "3"}, []string{"2", "1"}},
	}
	for _, tt := range tests {
		r, err := version.ParseRelation(tt.relation)
		if err != nil {
			t.Fatal(err)
		}
		if r.String() != tt.relation {
			t.Errorf("%q is written as %q", tt.relation, r)
		}
		for _, v := range tt.allowed {
			if !r.Allows(v) {
				t.Errorf("%q doesn't allow %s", tt.relation, v)
			}
		}
		for _, v := range tt.no {
			if r.Allows(v) {
				t.Errorf("%q allows %s", tt.relation, v)
			}
		}
	}
}

// FuzzRelations checks that what is read can be written and read again, and
// that Mentions names the same packages.
func FuzzRelations(f *testing.F) {
	for _, text := range []string{"", "a", "a | b:any (>= 1), c", "a(<<1)", ",,", "a |", "a (= 1:2-3~4)", "g++ (>> 1)", "a\tb"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		groups, err := version.ParseRelations(text)
		if err != nil {
			return
		}
		var written, names []string
		for _, g := range groups {
			written = append(written, g.String())
			for _, r := range g {
				name := r.Name
				if r.Arch != "" {
					name += ":" + r.Arch
				}
				names = append(names, name)
			}
		}
		again, err := version.ParseRelations(strings.Join(written, ", "))
		if err != nil {
			t.Fatalf("%q is written as %q: %v", text, written, err)
		}
		if diff := cmp.Diff(groups, again); diff != "" {
			t.Errorf("%q read again (-first +second):\n%s", text, diff)
		}
		if mentioned := slices.Collect(version.Mentions(text)); !slices.Equal(mentioned, names) {
			t.Errorf("Mentions(%q) = %q, want %q", text, mentioned, names)
		}
	})
}
