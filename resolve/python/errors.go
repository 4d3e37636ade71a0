// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"fmt"
	"strings"

	"inlay/layers/hint"
)

// UnsatisfiableError reports requirements that no set of packages meets.
type UnsatisfiableError struct {
	Source      string   // where the requirements stand
	Explanation string   // uv's own
	Advice      []string // uv's own hints
}

func (e *UnsatisfiableError) Error() string {
	return fmt.Sprintf("no packages satisfy %s: %s", e.Source, e.Explanation)
}

// Hint passes on uv's advice, if it has some.
func (e *UnsatisfiableError) Hint() string {
	switch {
	case len(e.Advice) > 0:
		return strings.Join(e.Advice, "; ")
	case strings.Contains(e.Explanation, "not found in the package registry"):
		return "check the spelling, or name the index that has the package with `--index-url URL`"
	default:
		return "change one of the requirements that the message names"
	}
}

// A Package is a release of a distribution.
type Package struct {
	Name    string // normalised (PEP 503)
	Version string // "" if unknown
}

func (p Package) String() string {
	if p.Version == "" {
		return p.Name
	}
	return p.Name + "==" + p.Version
}

// SdistError reports packages that have no wheel for the parent: installing
// them means building them.
type SdistError struct {
	Packages []Package
	Target   string // what a wheel must fit: "Python 3.11 on x86_64 with glibc 2.36"
	Why      error  // why they can't be built, if that was tried
	sources  []source
}

func (e *SdistError) Error() string {
	names := make([]string, len(e.Packages))
	for i, p := range e.Packages {
		names[i] = p.String()
	}
	have := "has"
	if len(names) > 1 {
		have = "have"
	}
	text := fmt.Sprintf("%s %s no wheel for %s, only sources that must be built", strings.Join(names, ", "), have, e.Target)
	if e.Why != nil {
		text += fmt.Sprintf(": %v", e.Why)
	}
	return text
}

// Unwrap returns why nothing could be built.
func (e *SdistError) Unwrap() error { return e.Why }

// Hint says how to get along without a build.
func (e *SdistError) Hint() string {
	p := e.Packages[0]
	other := p.Name
	if p.Version != "" {
		other = p.Name + "!=" + p.Version
	}
	pin := "pin a version that has a wheel, or exclude this one with `" + other + "`"
	if why, ok := hint.Of(e.Why); ok {
		return why + "; or " + pin
	}
	return pin
}

// HashError reports a chosen file whose digest is missing or not among the
// ones that its requirement allows.
type HashError struct {
	Package Package
	File    string
	Digest  string   // "sha256:…", as the index gives it; "" if it gives none
	Want    []string // the digests that the requirement allows
}

func (e *HashError) Error() string {
	if e.Digest == "" {
		return fmt.Sprintf("the package index gives no sha256 of %s, so a download of it can't be checked", e.File)
	}
	return fmt.Sprintf("%s of %s has %s, its requirement allows only %s",
		e.File, e.Package, e.Digest, strings.Join(e.Want, ", "))
}

// Hint says how to go on.
func (e *HashError) Hint() string {
	if e.Digest == "" {
		return "use an index that lists sha256 digests, with `--index-url URL`"
	}
	return "if this file is the right one, add `--hash=" + e.Digest + "` to the requirement"
}

// IndexError reports a package index, or a file it names, that can't be
// reached or doesn't answer properly.
type IndexError struct {
	Message string
}

func (e *IndexError) Error() string { return "asking the package index: " + e.Message }

// Temporary reports that the same call may succeed later.
func (e *IndexError) Temporary() bool { return true }

// Hint says what may be wrong.
func (e *IndexError) Hint() string {
	return "check the network and its proxy settings, and the index given with `--index-url URL`"
}

// A NoExecError reports a directory that no program runs in.
type NoExecError struct {
	Dir string
	Err error // the system's
}

func (e *NoExecError) Error() string {
	return fmt.Sprintf("programs can't run in %s, as where a file system is mounted with noexec: %v", e.Dir, e.Err)
}

func (e *NoExecError) Unwrap() error { return e.Err }

// Hint says where uv can run.
func (e *NoExecError) Hint() string {
	return "keep the cache where programs may run, with `--cache-dir DIR`"
}

// InstallerError reports a failure of uv or pip that has no type of its own.
type InstallerError struct {
	Name, Version string // of the installer
	Source        string // where the requirements stand
	Message       string // the installer's own words; "" if it said nothing
}

func (e *InstallerError) Error() string {
	return fmt.Sprintf("%s %s can't resolve %s: %s", e.Name, e.Version, e.Source, cmp.Or(e.Message, "it doesn't say why"))
}

// Hint says how to get along.
func (e *InstallerError) Hint() string {
	if strings.Contains(e.Message, "[possible values: ") {
		return "write one of these values in `python_package_installer_args`"
	}
	other := "pip"
	if e.Name == "pip" {
		other = "uv"
	}
	return "change the requirements, arguments or index that the message names, or try `--installer " + other + "`"
}

// OfflineError reports a resolution that needs what is in no cache.
type OfflineError struct {
	Missing string // what isn't there, in uv's words or ours
}

func (e *OfflineError) Error() string { return "there is no network, and " + e.Missing }

// Hint says how to fill the cache.
func (e *OfflineError) Hint() string { return "run the same command once without `--offline`" }

// NoUVError reports that there is no uv to resolve with.
type NoUVError struct {
	Tried []string // why each way to get one failed
}

func (e *NoUVError) Error() string {
	return "no uv to resolve requirements with: " + strings.Join(e.Tried, "; ")
}

// Hint says how to get one.
func (e *NoUVError) Hint() string {
	return "install uv " + oldestUV + " or newer, or name a package index that has it with `--index-url URL`"
}
