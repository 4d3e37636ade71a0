// SPDX-License-Identifier: Apache-2.0

package wheel

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// What the files of a .dist-info directory may hold. Real ones stay far below.
const (
	maxHeaders     = 16 << 20 // METADATA, with the README in it, and WHEEL
	maxEntryPoints = 1 << 20
	maxRecord      = 64 << 20
)

// small returns the content of a member that may hold limit bytes.
func (a *archive) small(m *member, limit int64) ([]byte, error) {
	r, err := a.limited(m, limit)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// limited opens a member that may hold limit bytes.
func (a *archive) limited(m *member, limit int64) (io.Reader, error) {
	if m.size > limit {
		return nil, bad(m.name, "it holds %d bytes, more than the %d that inlay reads", m.size, limit)
	}
	return a.open(m)
}

// field returns the first value of a header field in the style of e-mail, as
// METADATA and WHEEL have them. Lines that are no fields are passed over: a
// few real wheels have broken tags.
func field(text []byte, name string) string {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			break // what follows is the body
		}
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// A row says of an installed file what RECORD says of it. Both fields may be
// empty.
type row struct {
	hash string // "sha256=" and its unpadded base64url
	size string // decimal
}

// rowOf describes content that stands in no wheel.
func rowOf(content []byte) row {
	sum := sha256.Sum256(content)
	return row{hash: hashField(sum[:]), size: strconv.Itoa(len(content))}
}

func hashField(sum []byte) string {
	return "sha256=" + base64.RawURLEncoding.EncodeToString(sum)
}

// maxRow is how long a row of RECORD may be to be read.
const maxRow = 64 << 10

// readRecord reads of a wheel's RECORD the rows of the files that it has, as
// far as they can be read: RECORD is what the wheel says of itself, and no
// installer checks it. Digests stay as they are, right or wrong. Of several
// rows for a path the first counts.
func readRecord(r io.Reader, isFile func(string) bool) (map[string]row, error) {
	in := bufio.NewReaderSize(r, maxRow)
	rows := make(map[string]row)
	for {
		line, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			_, err = skipLine(in)
		} else if name, r, ok := parseRow(string(line)); ok && isFile(name) {
			if _, again := rows[name]; !again {
				rows[name] = r
			}
		}
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// parseRow reads a row of RECORD: path, digest and size as CSV.
func parseRow(line string) (name string, r row, ok bool) {
	name, rest, _ := cutCell(strings.TrimRight(line, "\r\n"))
	hash, rest, ok := cutCell(rest)
	if !ok {
		return "", row{}, false
	}
	size, _, _ := cutCell(rest)
	if n, err := strconv.ParseUint(strings.TrimSpace(size), 10, 63); err == nil {
		size = strconv.FormatUint(n, 10)
	} else {
		size = ""
	}
	name = path.Clean(strings.TrimLeft(name, "/")) // selenium 4.1 lists /selenium/...
	return name, row{hash: strings.Clone(hash), size: size}, true
}

// cutCell cuts the first cell off a line of CSV, and says whether others
// follow.
func cutCell(line string) (cell, rest string, more bool) {
	if !strings.HasPrefix(line, `"`) {
		return strings.Cut(line, ",")
	}
	var text strings.Builder
	for line = line[1:]; ; line = line[1:] {
		part, after, _ := strings.Cut(line, `"`)
		text.WriteString(part)
		if line = after; !strings.HasPrefix(line, `"`) {
			break
		}
		text.WriteByte('"')
	}
	_, rest, more = strings.Cut(line, ",")
	return text.String(), rest, more
}

// A line is a row of RECORD with its path, relative to the directory that
// holds .dist-info.
type line struct {
	path string
	row  row
}

// writeRecord writes a RECORD as uv does: sorted, and with LF.
func writeRecord(lines []line) []byte {
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.path, b.path) })
	var out bytes.Buffer
	out.Grow(len(lines) * 128)
	for _, l := range lines {
		out.WriteString(csvField(l.path))
		out.WriteByte(',')
		out.WriteString(csvField(l.row.hash))
		out.WriteByte(',')
		out.WriteString(l.row.size)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// csvField quotes s only where it must be. Unlike encoding/csv it leaves a
// leading space alone, as uv and Python do.
func csvField(s string) string {
	if !strings.ContainsAny(s, ",\"\r\n") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// relative returns the path that leads from directory base to target. Both are
// absolute and clean.
func relative(base, target string) string {
	up := ""
	for base != "/" && target != base && !strings.HasPrefix(target, base+"/") {
		base, up = path.Dir(base), up+"../"
	}
	return up + strings.TrimPrefix(strings.TrimPrefix(target, strings.TrimSuffix(base, "/")), "/")
}
