// SPDX-License-Identifier: Apache-2.0

package python

import (
	"fmt"
	"slices"

	"inlay/resolve/python/reqfile"
)

// What requirements files hold, as reqfile reads them.
type (
	// A Group is a list of requirements that are installed together.
	Group = reqfile.Group
	// A Line is one requirement.
	Line = reqfile.Line
	// RequirementError reports a requirement, or an index URL, that can't be used
	// as it is written.
	RequirementError = reqfile.Error
)

// texts returns the lines as an installer reads them.
func texts(lines []Line) []string {
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.Text
	}
	return texts
}

// direct returns the lines of g that give a URL. Those for one name can differ in
// their markers.
func direct(g Group) (lines []Line) {
	for _, l := range slices.Concat(g.Lines, g.Constraints) {
		if l.URL != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

// hashes returns the digests that g allows for name; none means any.
func hashes(g Group, name string) (sums []string) {
	for _, l := range slices.Concat(g.Lines, g.Constraints) {
		if l.Name == name {
			sums = append(sums, l.Hashes...)
		}
	}
	return sums
}

const fixSyntax = "write it as PEP 508 does, as in `numpy>=2; python_version < \"3.14\"`"

// syntaxError names the line that uv can't parse. uv counts the bytes of what
// it was given, where each requirement is a line.
func syntaxError(g Group, given []string, position int, problem string) error {
	for i, l := range g.Lines {
		if position -= len(given[i]) + 1; position < 0 {
			return l.Refuse(problem, fixSyntax)
		}
	}
	return fmt.Errorf("uv can't parse %s: %s", g.Name, problem)
}
