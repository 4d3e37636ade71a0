// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"inlay/resolve/compare"
	"inlay/resolve/parent"
)

// maxGroups is how many lines sum up the files that differ.
const maxGroups = 20

// print writes the report for people: what A alone has after a minus, what B
// alone has after a plus, and what changed after a tilde.
func (r *diffReport) print(w io.Writer, every bool) {
	var head table
	head.row("---", r.A.Reference)
	head.row("+++", r.B.Reference)
	head.print(w)
	if r.otherPlatforms() {
		fmt.Fprintf(w, "\nplatforms: A is for %s; B for %s\n", strings.Join(r.A.Platforms, ", "), strings.Join(r.B.Platforms, ", "))
	}
	printChanges(w, "config", r.Config)
	printChanges(w, "python packages", r.Python)
	printChanges(w, "system packages", r.System)
	r.printFiles(w, every)
	r.printLayers(w)
	switch {
	case r.A.Digest == r.B.Digest:
		fmt.Fprintln(w, "\nthe same image")
	case r.Equal:
		fmt.Fprintln(w, "\nthe images hold the same; only times, layers, history or annotations differ")
	}
}

func printChanges(w io.Writer, what string, list []compare.Change) {
	if len(list) == 0 {
		return
	}
	var t table
	fmt.Fprintf(w, "\n%s: %s\n", what, count(len(list), "difference"))
	for _, c := range list {
		switch {
		case c.B == nil:
			t.row("-", c.Name, oneLine(*c.A))
		case c.A == nil:
			t.row("+", c.Name, oneLine(*c.B))
		default:
			t.row("~", c.Name, oneLine(*c.A)+" → "+oneLine(*c.B))
		}
	}
	t.print(w)
}

func (r *diffReport) printFiles(w io.Writer, every bool) {
	if len(r.Files) == 0 {
		return
	}
	all := compare.Summary(r.Files, 1)
	var sum compare.Group
	for _, g := range all {
		sum.Added, sum.Removed, sum.Changed, sum.Bytes = sum.Added+g.Added, sum.Removed+g.Removed, sum.Changed+g.Changed, sum.Bytes+g.Bytes
	}
	fmt.Fprintln(w, strings.TrimSuffix(fmt.Sprintf("\nfiles: %s, %s", counts(sum), moreBytes(sum.Bytes)), ", "))
	var t table
	if every {
		for _, f := range r.Files {
			t.row(fileRow(f)...)
		}
		t.print(w)
		return
	}
	for _, g := range compare.Summary(r.Files, maxGroups) {
		t.row(sign(g), g.Path, counts(g), moreBytes(g.Bytes))
	}
	t.print(w)
}

// sign says whether all of a group came, went, or neither.
func sign(g compare.Group) string {
	switch {
	case g.Removed+g.Changed == 0:
		return "+"
	case g.Added+g.Changed == 0:
		return "-"
	default:
		return "~"
	}
}

// counts says how many files of a group came, went and changed.
func counts(g compare.Group) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{g.Added, "added"}, {g.Removed, "removed"}, {g.Changed, "changed"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", humanize.Comma(int64(p.n)), p.what))
		}
	}
	return strings.Join(parts, ", ")
}

// moreBytes writes by how much something grew, if it did.
func moreBytes(n int64) string {
	switch {
	case n < 0:
		return "-" + inBytes(-n)
	case n > 0:
		return "+" + inBytes(n)
	default:
		return ""
	}
}

func fileRow(f compare.File) []string {
	switch {
	case f.B == nil:
		return []string{"-", f.Path, described(f.A)}
	case f.A == nil:
		return []string{"+", f.Path, described(f.B)}
	}
	var parts []string
	for _, what := range f.What {
		was, is := field(f.A, what), field(f.B, what)
		if was != is {
			what += " " + was + " → " + is
		}
		parts = append(parts, what)
	}
	return []string{"~", f.Path, strings.Join(parts, ", ")}
}

func described(s *compare.Stat) string {
	text := s.Type + " " + s.Mode + " " + s.Owner
	switch s.Type {
	case "file":
		text += " " + inBytes(s.Size)
	case "link":
		text = "link to " + s.Link
	}
	return text
}

// field writes one thing that is compared of a file; of the content there is
// nothing to see.
func field(s *compare.Stat, what string) string {
	switch what {
	case "type":
		return s.Type
	case "mode":
		return s.Mode
	case "owner":
		return s.Owner
	case "link":
		return s.Link
	case "size":
		return humanize.Comma(s.Size)
	default:
		return ""
	}
}

func (r *diffReport) printLayers(w io.Writer) {
	fmt.Fprintf(w, "\nlayers: %d shared (%s)\n", r.Layers.Shared, inBytes(r.Layers.SharedBytes))
	var t table
	row := func(sign string, l parent.Layer, s sideOf) {
		t.row(sign, l.Digest[:min(len(l.Digest), len("sha256:")+12)], inBytes(l.Size), oneLine(s.holds[l.Digest]))
	}
	for _, l := range r.Layers.A {
		row("-", l, r.A)
	}
	for _, l := range r.Layers.B {
		row("+", l, r.B)
	}
	t.print(w)
}
