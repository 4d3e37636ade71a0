// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/dustin/go-humanize"
)

// A table prints rows in columns, without spaces at the ends of lines.
type table struct{ rows [][]string }

// row adds a row. Only a line break may begin it.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		rest, breaks := strings.CutPrefix(c, "\n")
		cells[i] = onePiece(rest)
		if breaks && i == 0 {
			cells[i] = "\n" + cells[i]
		}
	}
	t.rows = append(t.rows, cells)
}

// onePiece returns s without characters that a terminal obeys: images and
// programs choose what they say.
func onePiece(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func (t *table) print(w io.Writer) {
	var buf bytes.Buffer
	tw := tabwriter.NewWriter(&buf, 0, 0, 2, ' ', 0)
	for _, r := range t.rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	_ = tw.Flush() // a buffer takes everything
	for line := range strings.Lines(buf.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// inBytes writes a size as people read it.
func inBytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
