// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/settings"
)

// TestFieldsInDocs keeps the table of fields in docs/zenml.md what the program
// itself says.
func TestFieldsInDocs(t *testing.T) {
	const (
		name  = "docs/zenml.md"
		begin = "<!-- fields: " + docsBegin
		end   = "<!-- /fields -->"
	)
	before, rest, ok := strings.Cut(read(t, name), begin)
	got, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no place for the fields between %q and %q", name, begin, end)
	}
	want := fieldsTable()
	if *update {
		write(t, name, before+begin+want+end+after)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fields in %s are not the program's; run `just golden` (-want +got):\n%s", name, diff)
	}
}

// fieldsTable lists every field that ZenML or inlay gives a meaning.
func fieldsTable() string {
	var b strings.Builder
	b.WriteString("| field | does | example |\n|---|---|---|\n")
	for _, f := range settings.Fields() {
		doc := f.Doc
		switch f.Status {
		case settings.LeftAlone:
			continue
		case settings.NoEffect:
			doc = "Accepted with a warning: " + doc
		}
		example := ""
		if f.Example != "" {
			example = "`" + strings.ReplaceAll(f.Example, "|", "\\|") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.TrimPrefix(f.Name, "settings.docker."), strings.ReplaceAll(doc, "|", "\\|"), example)
	}
	return b.String()
}
