// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"fmt"
	"io/fs"
	"slices"

	"inlay/assemble/overlay"
)

// bootstrap begins an image without packages: the directories that a merged
// system has links to, and an empty database.
func bootstrap(tree *overlay.Tree, packages []Package) error {
	if !slices.ContainsFunc(packages, func(p Package) bool { return p.Name == "dpkg" }) {
		return fmt.Errorf("the parent image has no /%s, so it has no packages to add to", statusFile)
	}
	if err := mergeDirs(tree, packages); err != nil {
		return err
	}
	for _, d := range []string{infoDir, adminDir + "triggers", adminDir + "updates", adminDir + "alternatives", adminDir + "parts"} {
		if err := tree.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := tree.WriteFile(infoDir+"format", []byte("1\n"), 0o644); err != nil {
		return err
	}
	return tree.WriteFile(statusFile, nil, 0o644)
}

// mergeDirs makes the links of a merged system.
func mergeDirs(tree *overlay.Tree, packages []Package) error {
	links := []string{"bin", "sbin", "lib"}
	if slices.ContainsFunc(packages, func(p Package) bool { return p.Name == "libc6" && p.Arch == "amd64" }) {
		links = append(links, "lib32", "lib64", "libx32")
	}
	for _, l := range links {
		if tree.Exists(l) {
			continue
		}
		if err := tree.MkdirAll("usr/"+l, 0o755); err != nil {
			return err
		}
		if err := tree.Symlink("usr/"+l, l); err != nil {
			return err
		}
	}
	return nil
}

type fsMode = fs.FileMode
