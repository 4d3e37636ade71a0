// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// print writes the report for people.
func (r *imageReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", r.Reference)
	r.printAbout(w)
	var ls table
	var sum int64
	ls.row("\nLAYER", "SIZE", "FROM", "HOLDS")
	for i, l := range r.Layers {
		ls.row(strconv.Itoa(i+1), inBytes(l.Size), l.From, oneLine(l.Holds))
		sum += l.Size
	}
	ls.row("in all", inBytes(sum))
	ls.print(w)
	for i, l := range r.Layers {
		for _, line := range l.Report {
			fmt.Fprintf(w, "layer %d: %s\n", i+1, line)
		}
	}
	printPackages(w, "\nPYTHON PACKAGE", r.Packages)
	printPackages(w, "\nSYSTEM PACKAGE", r.System)
}

// printAbout writes what the configuration says, as far as it says anything.
func (r *imageReport) printAbout(w io.Writer) {
	var about table
	rows := [][2]string{
		{"platform", ofIndex(r.Platform, r.Platforms)},
		{"index", r.Index},
		{"base", r.Base.Name},
		{"base digest", r.Base.Digest},
		{"created", r.Created},
		{"user", r.User},
		{"workdir", r.WorkDir},
		{"entrypoint", words(r.Entrypoint)},
		{"cmd", words(r.Cmd)},
		{"python", r.Python},
	}
	for _, kv := range r.Env {
		rows = append(rows, [2]string{"env", oneLine(kv)})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		rows = append(rows, [2]string{"label", oneLine(name + "=" + r.Labels[name])})
	}
	for _, row := range rows {
		if row[1] != "" {
			about.row(row[0], row[1])
		}
	}
	about.print(w)
}

// ofIndex tells a platform and those of the index that it was chosen from.
func ofIndex(platform string, all []string) string {
	if len(all) < 2 {
		return platform
	}
	return platform + " of " + strings.Join(all, ", ")
}

func printPackages(w io.Writer, head string, list []packageReport) {
	if len(list) == 0 {
		return
	}
	var t table
	t.row(head, "VERSION", "LAYER", "FROM")
	for _, p := range list {
		t.row(p.Name, p.Version, strconv.Itoa(p.Layer), p.From)
	}
	t.print(w)
}

// words writes a command as the configuration has it: one word is not two.
func words(list []string) string {
	if len(list) == 0 {
		return ""
	}
	b, err := json.Marshal(list)
	if err != nil {
		return strings.Join(list, " ") // strings can be written
	}
	return string(b)
}

// oneLine cuts a text to what fits on a line.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 72 {
		return string(r[:71]) + "…"
	}
	return s
}
