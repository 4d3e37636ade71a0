// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"strings"
	"testing"
)

// The form of an index that is read soonest is taken, of those that there are.
func TestFind(t *testing.T) {
	for listed, want := range map[string]string{
		"Packages Packages.gz Packages.xz": "Packages.gz",
		"Packages Packages.xz":             "Packages.xz",
		"Packages.gz Packages.zst":         "Packages.zst",
		"Packages Packages.bz2":            "Packages.bz2",
		"Packages":                         "Packages",
		"Sources.gz":                       "",
	} {
		rel, err := parseRelease([]byte("Suite: s\nDate: Sat, 28 Nov 2026 00:00:00 UTC\nSHA256:\n" + lines(listed)))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := rel.find("Packages"); got.path != want {
			t.Errorf("of %s: %q, want %q", listed, got.path, want)
		}
	}
}

// lines are those of a release file for files.
func lines(files string) (text string) {
	for file := range strings.FieldsSeq(files) {
		text += " " + strings.Repeat("0", 64) + " 1 " + file + "\n"
	}
	return text
}
