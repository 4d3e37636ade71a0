// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"errors"
	"fmt"

	"inlay/assemble/overlay"
	"inlay/layers"
)

// Lay lays the large files of a package into tree, as Install does if nothing else
// is installed: for a layer below that of Install. Which files these are depends
// on the package alone: configuration files and those with several names are none.
func Lay(tree *overlay.Tree, p Package, o Options) error {
	i := &installer{o: o, report: &Report{}}
	if err := i.prepare(tree, []Package{p}); err != nil {
		return err
	}
	u := &unpacking{database: i.database, filter: i.filter, pkg: i.packs[0], names: map[string]int{}, report: i.report, time: o.Time}
	if err := u.begin(); err != nil {
		return err
	}
	several := map[string]bool{}
	for _, f := range u.files {
		if f.Hard {
			several[f.Link] = true
		}
	}
	for j := range u.files {
		f := &u.files[j]
		if !f.Mode.IsRegular() || f.Hard || f.Size < layers.MinSplice || u.conffiles["/"+f.Path] || several[f.Path] {
			continue
		}
		at, err := tree.Lstat(u.divert("/"+f.Path, u.pkg.name))
		if err == nil && !at.Mode.IsRegular() {
			continue // Install says what comes of it
		}
		var collision *CollisionError
		if err := u.file(f); err != nil && !errors.As(err, &collision) {
			return fmt.Errorf("unpacking %s of package %s: %w", f.Path, u.pkg.name, err)
		}
	}
	return nil
}
