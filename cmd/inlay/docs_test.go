// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
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
