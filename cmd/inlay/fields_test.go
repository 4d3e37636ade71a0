// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"inlay/resolve/settings"
)

// TestFieldsInDocs keeps the table of fields in docs/zenml.md what the program
// itself says.
func TestFieldsInDocs(t *testing.T) {
	compareFields(t, "docs/zenml.md", func(settings.Field) bool { return true })
}

// fieldsTable lists the fields that ZenML or inlay gives a meaning, and for which
// of is true.
func fieldsTable(of func(settings.Field) bool) string {
	var b strings.Builder
	b.WriteString("| field | does | example |\n|---|---|---|\n")
	for _, f := range settings.Fields() {
		if !of(f) {
			continue
		}
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
