// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/settings"
)

const (
	docsBegin = "from the program's own table -->\n"
	docsEnd   = "<!-- /settings -->"
)

// TestSettingsInReadme keeps the table of settings in README.md what the
// program itself says.
func TestSettingsInReadme(t *testing.T) {
	const name = "../../README.md"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), docsBegin)
	got, after, found := strings.Cut(rest, docsEnd)
	if !ok || !found {
		t.Fatalf("README.md has no place for the settings between %q and %q", docsBegin, docsEnd)
	}
	want := settingsTable()
	if *update {
		if err := os.WriteFile(name, []byte(before+docsBegin+want+docsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the settings in README.md are not the program's; run `just golden` (-want +got):\n%s", diff)
	}
}

// settingsTable lists the supported fields.
func settingsTable() string {
	var b strings.Builder
	b.WriteString("| field | type | example | flag | |\n|---|---|---|---|---|\n")
	n := 0
	for _, f := range settings.Fields() {
		if f.Status != settings.Supported {
			continue
		}
		n++
		flags := ""
		if len(f.Flags) > 0 {
			flags = "`" + strings.Join(f.Flags, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s | %s |\n", f.Name, f.Type, f.Example, flags, f.Doc)
	}
	if n == 0 {
		panic("the program lists no supported settings")
	}
	return b.String()
}

// TestFaultsInDocs checks that each row of docs/faults.md names a test that there
// is, and quotes words that stand in the package of that test.
func TestFaultsInDocs(t *testing.T) {
	n := 0
	for line := range strings.Lines(read(t, matrixFile)) {
		_, sees, test, ok := cutRow(line)
		if !ok {
			continue
		}
		n++
		dir, name, found := strings.Cut(test, " ")
		if !found {
			dir, name = "cmd/inlay", test
		}
		name, sub, _ := strings.Cut(name, "/")
		text := sources(t, dir)
		if !strings.Contains(text, "\nfunc "+name+"(") {
			t.Errorf("%s has no %s", dir, name)
		}
		if name == "TestFaults" && dir == "cmd/inlay" {
			continue // which compares the messages
		}
		if s := strings.ReplaceAll(sub, "_", " "); name == "TestScript" {
			if _, err := os.Stat("testdata/script/" + sub + ".txtar"); err != nil {
				t.Error(err)
			}
		} else if s != "" && !strings.Contains(text, `"`+s+`"`) {
			t.Errorf("%s %s has no case %q", dir, name, s)
		}
		for _, words := range quoted(sees) {
			if !strings.Contains(text, words) {
				t.Errorf("%s doesn't say %q", dir, words)
			}
		}
	}
	if n < 100 {
		t.Errorf("%s has %d rows, want 100 and more", matrixFile, n)
	}
}

// sources returns the text of a package and its tests, as it is printed.
func sources(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob("../../" + dir + "/*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no sources (%v)", dir, err)
	}
	var b strings.Builder
	for _, name := range names {
		b.WriteString(read(t, name))
	}
	return strings.ReplaceAll(b.String(), `\"`, `"`)
}

// quoted returns the words that a cell quotes, without those that change from
// run to run.
func quoted(cell string) (all []string) {
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 0 {
			continue
		}
		for _, prefix := range []string{"error: ", "warning: ", "note: "} {
			part = strings.TrimPrefix(part, prefix)
		}
		for words := range strings.SplitSeq(part, "…") {
			if words = strings.Trim(words, " :"); words != "" {
				all = append(all, words)
			}
		}
	}
	return all
}
