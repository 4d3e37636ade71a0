// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// AptVersion is part of the key of an Apt step. It grows when installing the
// same packages gives other files: a script that is understood, a database.
const AptVersion = 5

// Apt installs Debian packages. One that does all of it stands before the other
// steps of its stage; only its parts stand before it.
type Apt struct {
	// Part says that only the large files of the one package are written: a layer
	// for the step that installs all to stand on.
	Part bool `json:"part,omitempty"`
	// Below are the digests of packages of which there is a part, sorted.
	Below []string `json:"below,omitempty"`
	// Parent is the Tree of the parent. Maintainer scripts may read any file of
	// it, and dpkg's database is a file of it that the layer replaces: so the
	// layer belongs to this parent alone, unlike those of other steps.
	Parent  string `json:"parent"`
	Scripts string `json:"scripts"` // policy for maintainer scripts: "native", "none", "require-all" or SandboxScripts
	// Unconfigured are packages that count as configured even if their scripts
	// did not run, sorted.
	Unconfigured []string `json:"acceptUnconfigured,omitempty"`
	Created      int64    `json:"created"`        // no file is later, in seconds since 1970; 0: no bound
	Debs         []Deb    `json:"debs"`           // sorted by name and architecture
	Gone         []Gone   `json:"gone,omitempty"` // sorted by name
}

// The policies for maintainer scripts that plans are made by: NoScripts runs none,
// SandboxScripts leaves those that can't be interpreted to a Run step.
const (
	NoScripts      = "none"
	SandboxScripts = "sandbox"
)

// A Gone package is one of the parent that is removed.
type Gone struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A Deb is a Debian package to download and install.
type Deb struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	File    string `json:"file"` // file name
	URL     string `json:"url"`  // without a user or a password
	Digest  string `json:"digest"`
	Size    int64  `json:"size"`
	Auto    bool   `json:"auto,omitempty"` // nobody asked for it: another needs it
}

// Tree names the tree that layers make, by the digests of their tars.
func Tree(diffIDs []string) string {
	h := sha256.New()
	for _, d := range diffIDs {
		fmt.Fprintln(h, d)
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

func (a *Apt) since(old Stage) []string {
	for _, o := range old.Steps {
		if o.Apt == nil || o.Apt.Part != a.Part || a.Part && o.Apt.Debs[0].Name != a.Debs[0].Name {
			continue
		}
		out := append(debDiff(o.Apt.Debs, a.Debs), goneDiff(o.Apt.Gone, a.Gone)...)
		if o.Apt.Scripts != a.Scripts || !slices.Equal(o.Apt.Unconfigured, a.Unconfigured) {
			out = append(out, "scripts "+o.Apt.Scripts+" → "+a.Scripts)
		}
		if !slices.Equal(o.Apt.Below, a.Below) && len(out) == 0 {
			out = append(out, "which packages have layers of their own")
		}
		if o.Apt.Created != a.Created {
			out = append(out, "the time of the files changed (SOURCE_DATE_EPOCH)")
		}
		if o.Apt.Parent != a.Parent {
			out = append(out, "the parent changed")
		}
		return out
	}
	return []string{"new"}
}

// goneDiff says which packages of the parent go now, and which stay now.
func goneDiff(old, now []Gone) (out []string) {
	for _, g := range now {
		if !slices.Contains(old, g) {
			out = append(out, g.Name+" "+g.Version+" of the parent removed")
		}
	}
	for _, g := range old {
		if !slices.Contains(now, g) {
			out = append(out, g.Name+" "+g.Version+" of the parent kept")
		}
	}
	return out
}

// debDiff says which packages are not the ones of that name there were.
func debDiff(old, now []Deb) (out []string) {
	had := make(map[string]Deb, len(old))
	for _, d := range old {
		had[d.Name+":"+d.Arch] = d
	}
	for _, d := range now {
		o, ok := had[d.Name+":"+d.Arch]
		delete(had, d.Name+":"+d.Arch)
		switch {
		case !ok:
			out = append(out, d.Name+" "+d.Version+" added")
		case o.Version != d.Version:
			out = append(out, d.Name+" "+o.Version+" → "+d.Version)
		case o.Digest != d.Digest:
			out = append(out, d.Name+" "+d.Version+" is another file")
		case o.Auto != d.Auto:
			out = append(out, d.Name+": whether it was asked for")
		}
	}
	for _, d := range old {
		if _, left := had[d.Name+":"+d.Arch]; left {
			out = append(out, d.Name+" "+d.Version+" left")
		}
	}
	return out
}
