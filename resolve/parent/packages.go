// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// A Package is one that the image's package manager has installed.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"` // as the package manager says: "amd64", "all"
	Path    string `json:"path"` // absolute: a file that came with it, or else its manager's database
}

// Databases of packages. A distroless image has a file for each in statusDir.
const (
	dpkgStatus = "/var/lib/dpkg/status"
	statusDir  = "/var/lib/dpkg/status.d"
	dpkgInfo   = "/var/lib/dpkg/info"
)

// packages returns what dpkg or apk has installed, sorted by name.
func (p *probe) packages() (found []Package) {
	dbs := []string{dpkgStatus, "/lib/apk/db/installed", "/usr/lib/apk/db/installed"}
	for _, name := range p.list(statusDir) {
		dbs = append(dbs, path.Join(statusDir, name))
	}
	for _, db := range dbs {
		if p.resolve(db) != db && slices.Contains(dbs, p.resolve(db)) {
			continue // /lib is a link to /usr/lib
		}
		for line := range strings.Lines(p.installed(db)) {
			if f := strings.Fields(line); len(f) == 3 {
				found = append(found, Package{f[0], f[1], f[2], p.packageFile(db, f[0], f[2])})
			}
		}
	}
	slices.SortFunc(found, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch), strings.Compare(a.Version, b.Version))
	})
	return slices.Compact(found)
}

// installed returns what a database lists: a line each, of name, version and
// architecture. That of dpkg is kept whole.
func (p *probe) installed(db string) string {
	text := p.kept(db)
	if !strings.HasPrefix(db, dpkgStatus) {
		return text
	}
	lines, err := dpkg.installed(strings.NewReader(text))
	if err != nil {
		return "" // never: a string can be read
	}
	return string(lines)
}

// packageFile returns a file that was written when a package was: the database
// itself is written for every package.
func (p *probe) packageFile(db, name, arch string) string {
	if db != dpkgStatus {
		return db
	}
	for _, list := range []string{name + ".list", name + ":" + arch + ".list"} {
		if file := path.Join(dpkgInfo, list); p.isFile(file) {
			return file
		}
	}
	return db
}
