// SPDX-License-Identifier: Apache-2.0

package apt

import "time"

// LockVersion is that of the form of Lock.
const LockVersion = 1

// A Lock is what a file keeps of a Resolved, so that later builds fetch the same
// .deb files from any mirror, and need no index: the digests in it are what is
// trusted then. Equal results give equal locks.
type Lock struct {
	Version      int           `yaml:"version"`
	Arch         string        `yaml:"arch"`
	StatusSHA256 string        `yaml:"parent_status_sha256"` // a parent with another needs another lock
	Requested    []string      `yaml:"requested"`
	Recommends   bool          `yaml:"recommends"`
	Solver       string        `yaml:"solver"`
	Sources      []LockSource  `yaml:"sources"`
	Packages     []LockPackage `yaml:"packages"` // new ones, by name
	Upgrades     []LockPackage `yaml:"upgrades"` // by name
	Removes      []LockRemoval `yaml:"removes"`  // by name
}

// A LockSource is an index that was trusted when the lock was made.
type LockSource struct {
	Archive         string    `yaml:"archive"`
	Suite           string    `yaml:"suite"`
	Component       string    `yaml:"component"`
	Date            time.Time `yaml:"date"`
	InReleaseSHA256 string    `yaml:"inrelease_sha256"`
	PackagesSHA256  string    `yaml:"packages_sha256"`
	SignedBy        string    `yaml:"signed_by"`
}

// A LockPackage is a .deb file. Source is the place of the index it is of among
// the sources, from 0: it says under which URL the file name was.
type LockPackage struct {
	Name     string `yaml:"name"`
	Version  string `yaml:"version"`
	Arch     string `yaml:"arch"`
	Size     int64  `yaml:"size"`
	SHA256   string `yaml:"sha256"`
	Filename string `yaml:"filename"`
	Source   int    `yaml:"source"`
	Auto     bool   `yaml:"auto"`
	Replaces string `yaml:"replaces,omitempty"`
}

// A LockRemoval is a package of the parent that goes.
type LockRemoval struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
}

// Lock returns what a lock keeps of r.
func (r *Resolved) Lock() Lock {
	l := Lock{
		Version: LockVersion, Arch: r.Arch, StatusSHA256: r.StatusSHA256, Requested: r.Requested, Recommends: r.Recommends, Solver: r.Solver,
	}
	for _, x := range r.Indexes {
		l.Sources = append(l.Sources, LockSource(x))
	}
	for _, p := range r.Packages {
		one := LockPackage{
			Name: p.Name, Version: p.Version, Arch: p.Arch, Size: p.Size, SHA256: p.SHA256, Filename: p.Filename,
			Source: r.source(p), Auto: p.Auto, Replaces: p.Replaces,
		}
		if p.Replaces == "" {
			l.Packages = append(l.Packages, one)
		} else {
			l.Upgrades = append(l.Upgrades, one)
		}
	}
	for _, x := range r.Removed {
		l.Removes = append(l.Removes, LockRemoval{x.Name, x.Version})
	}
	return l
}

// source returns the place of the index that p is of.
func (r *Resolved) source(p Package) int {
	for i, x := range r.Indexes {
		if x.Archive == p.Archive && x.Suite == p.Suite && x.Component == p.Component {
			return i
		}
	}
	return -1 // never: packages come from indexes
}
