// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/python/arguments"
)

// TestArgumentsInDocs keeps the table of arguments in docs/installers.md what
// the program itself says.
func TestArgumentsInDocs(t *testing.T) {
	const (
		name  = "docs/installers.md"
		begin = "<!-- arguments: " + docsBegin
		end   = "<!-- /arguments -->"
	)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	got, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no place for the arguments between %q and %q", name, begin, end)
	}
	want := argumentsTable()
	if *update {
		if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the arguments in %s are not the program's; run `just golden` (-want +got):\n%s", name, diff)
	}
}

func argumentsTable() string {
	var b strings.Builder
	b.WriteString("| argument | of | |\n|---|---|---|\n")
	for _, r := range arguments.Rows() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Names, r.Installers, r.Effect)
	}
	return b.String()
}
