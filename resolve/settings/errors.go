// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// FieldError reports a mistake in the settings, where it stands and what to
// write instead.
type FieldError struct {
	File    string // name of the file, or the flag that gave the value
	Line    int    // from 1; 0 where there is none, as for a flag
	Field   string // dotted path, such as "settings.docker.requirements[2]"; "" for the file as a whole
	Problem string
	Fix     string
}

func (e *FieldError) Error() string { return place(e.File, e.Line, e.Field) + e.Problem }

// Hint says what to write instead, "" if Problem says it all.
func (e *FieldError) Hint() string { return e.Fix }

// Warning names a field that is accepted but does not change the image, or
// that is on its way out.
type Warning struct {
	File  string // as in FieldError
	Line  int
	Field string
	Text  string
}

// String returns the warning as one line: "inlay.yaml:7: settings.docker.x: text".
func (w Warning) String() string { return place(w.File, w.Line, w.Field) + w.Text }

func place(file string, line int, field string) string {
	var b strings.Builder
	if file != "" {
		b.WriteString(file)
		if line > 0 {
			fmt.Fprintf(&b, ":%d", line)
		}
		b.WriteString(": ")
	}
	if strings.ContainsFunc(field, unicode.IsControl) {
		field = strconv.Quote(field) // a key may hold what a terminal obeys
	}
	if field != "" {
		b.WriteString(field + ": ")
	}
	return b.String()
}
