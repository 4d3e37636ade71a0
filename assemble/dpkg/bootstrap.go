// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"fmt"
	"io/fs"

	"inlay/assemble/overlay"
)

// bootstrap begins an image without packages: the directories that a merged
// system has links to, and an empty database.
func bootstrap(tree *overlay.Tree, packages []Package) error {
	if !hasPackage(packages, "dpkg") {
		return fmt.Errorf("the parent image has no /%s, so it has no packages to add to", statusFile)
	}
	links := []string{"bin", "sbin", "lib"}
	for _, p := range packages {
		if p.Name == "libc6" && p.Arch == "amd64" {
			links = append(links, "lib32", "lib64", "libx32")
		}
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
	for _, d := range []string{infoDir, adminDir + "triggers", adminDir + "updates", adminDir + "alternatives", adminDir + "parts"} {
		if err := tree.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{infoDir + "format": "1\n", statusFile: ""} {
		if err := tree.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func hasPackage(packages []Package, name string) bool {
	for _, p := range packages {
		if p.Name == name {
			return true
		}
	}
	return false
}

type fsMode = fs.FileMode
