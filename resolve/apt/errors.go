// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"fmt"
	"strings"
)

// NotFoundError reports a package that no archive has.
type NotFoundError struct {
	Package string
	Suites  []string // that were looked in
	Near    []string // names like it, nearest first
}

func (e *NotFoundError) Error() string {
	if len(e.Suites) == 0 {
		return fmt.Sprintf("no apt package %q: there are no sources of packages", e.Package)
	}
	return fmt.Sprintf("no apt package %q in %s", e.Package, strings.Join(e.Suites, ", "))
}

// Hint suggests the names that were probably meant.
func (e *NotFoundError) Hint() string {
	if len(e.Near) == 0 {
		return "check the spelling, or name the archive that has it in `apt.sources`"
	}
	return "did you mean " + strings.Join(e.Near, ", ") + "?"
}

// NoCandidateError reports a package of which there is no version that may be
// installed, or not the one that was asked for.
type NoCandidateError struct {
	Package  string
	Word     string   // that names a version or a suite, or ""
	Versions []string // that can be had
}

func (e *NoCandidateError) Error() string {
	if e.Word != "" {
		return fmt.Sprintf("there is no %s", e.Word)
	}
	return fmt.Sprintf("no version of %s may be installed", e.Package)
}

// Hint lists what there is.
func (e *NoCandidateError) Hint() string {
	switch {
	case len(e.Versions) == 0:
		return "no source has it any more: ask for another package"
	case e.Word == "":
		return "pins forbid it; name a version: " + e.Package + "=" + e.Versions[0]
	default:
		return "ask for one of: " + e.Package + "=" + strings.Join(e.Versions, ", "+e.Package+"=")
	}
}

// VirtualError reports a name that several packages provide and none has.
type VirtualError struct {
	Package   string
	Providers []string // sorted
}

func (e *VirtualError) Error() string {
	return fmt.Sprintf("%s is no package, but something that several packages provide", e.Package)
}

// Hint lists the packages.
func (e *VirtualError) Hint() string { return "ask for one of: " + strings.Join(e.Providers, ", ") }

// WordError reports a word that can't stand in a list of packages.
type WordError struct {
	Word    string
	Problem string // a sentence without its subject
}

func (e *WordError) Error() string { return fmt.Sprintf("%q %s", e.Word, e.Problem) }

// Hint says what can stand there.
func (e *WordError) Hint() string { return "write a name such as git, git=1:2.39.5-0, or git/SUITE" }

// ParentError reports a parent whose packages are in a state that nothing can
// be added to.
type ParentError struct {
	Package string
	Problem string // a sentence without its subject
}

func (e *ParentError) Error() string {
	return fmt.Sprintf("the package %s of the parent %s", e.Package, e.Problem)
}

// Hint says how to mend the parent.
func (e *ParentError) Hint() string {
	return "mend the parent image with `dpkg --configure -a` or `apt-get -f install`, or use another `parent_image`"
}

// ConflictError reports packages that can't be installed together, or not in
// this parent.
type ConflictError struct {
	Requested []string
	Problems  []string // what is not met, from what was asked for down to the cause
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s can't be installed: %s", strings.Join(e.Requested, ", "), strings.Join(e.Problems, "; "))
}

// Hint says what to change.
func (e *ConflictError) Hint() string {
	return "ask for another version with name=version, leave out one of the packages that the message names, or use a newer `parent_image`"
}

// RemovalError reports packages of the parent that would have to go.
type RemovalError struct {
	Removed []Removal
	Never   bool // also where removing is allowed: the parent has no dpkg
}

func (e *RemovalError) Error() string {
	s := make([]string, len(e.Removed))
	for i, r := range e.Removed {
		s[i] = fmt.Sprintf("%s %s (%s)", r.Name, r.Version, r.Why)
	}
	return "packages of the parent would be removed: " + strings.Join(s, ", ")
}

// Hint says how to do without.
func (e *RemovalError) Hint() string {
	const other = "leave out the package that is in conflict with them, or name a `parent_image` without them"
	if e.Never {
		return other
	}
	return "write `apt.allow_remove: true` to remove them, " + other
}
