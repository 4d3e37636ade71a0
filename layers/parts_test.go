// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"inlay/layers"
)

// A part is what one call adds to a layer.
type part struct {
	layers.Entry
	body   string
	splice bool
	remove bool
}

func folder(p string) part { return part{Entry: layers.Entry{Path: p, Mode: fs.ModeDir | 0o755}} }

func link(p, target string) part {
	return part{Entry: layers.Entry{Path: p, Mode: fs.ModeSymlink | 0o777, Link: target}}
}

func plain(p, body string) part {
	return part{Entry: layers.Entry{Path: p, Mode: 0o644, Size: int64(len(body))}, body: body}
}

// spliced is a file that comes compressed.
func spliced(p, body string) part {
	f := plain(p, body)
	f.splice = true
	return f
}

func without(p string) part { return part{Entry: layers.Entry{Path: p}, remove: true} }

// deflated compresses body as zip tools do.
func deflated(tb testing.TB, body string) []byte {
	tb.Helper()
	var z bytes.Buffer
	w, err := flate.NewWriter(&z, 6)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.WriteString(w, body); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return z.Bytes()
}

// put adds a part; reader makes its bytes a reader.
func put(tb testing.TB, w *layers.Writer, p part, reader func(io.Reader) io.Reader) error {
	tb.Helper()
	switch {
	case p.remove:
		return w.Remove(p.Path)
	case p.splice:
		z := deflated(tb, p.body)
		return w.Splice(p.Entry, layers.Deflated{
			Stream: reader(bytes.NewReader(z)), Size: int64(len(z)), CRC32: crc32.ChecksumIEEE([]byte(p.body)),
		})
	default:
		return w.Add(p.Entry, reader(strings.NewReader(p.body)))
	}
}

func asIs(r io.Reader) io.Reader { return r }

// layer writes a layer of the given parts.
func layer(tb testing.TB, o layers.Options, reader func(io.Reader) io.Reader, parts ...part) (layers.Summary, []byte) {
	tb.Helper()
	var buf bytes.Buffer
	w := layers.NewWriter(&buf, o)
	for _, p := range parts {
		if err := put(tb, w, p, reader); err != nil {
			tb.Fatal(err)
		}
	}
	s, err := w.Close()
	if err != nil {
		tb.Fatal(err)
	}
	return s, buf.Bytes()
}

// gunzip reads a blob that must be one gzip member.
func gunzip(tb testing.TB, blob []byte) []byte {
	tb.Helper()
	src := bytes.NewReader(blob)
	zr, err := gzip.NewReader(src)
	if err != nil {
		tb.Fatal(err)
	}
	zr.Multistream(false)
	b, err := io.ReadAll(zr)
	if err != nil || src.Len() != 0 {
		tb.Fatalf("the member ends %d bytes before the blob, %v", src.Len(), err)
	}
	return b
}

// listing describes the entries of a tar, whose files must hold the bodies of
// the given parts.
func listing(tb testing.TB, b []byte, parts []part) []string {
	tb.Helper()
	bodies := make(map[string]string)
	for _, p := range parts {
		bodies[p.Path] = p.body
	}
	var lines []string
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			tb.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil || string(body) != bodies[h.Name] {
			tb.Errorf("%s holds %d bytes, %v, want the %d that were added", h.Name, len(body), err, len(bodies[h.Name]))
		}
		lines = append(lines, fmt.Sprintf("%c %04o %d:%d %d %d %v %s", h.Typeflag, h.Mode, h.Uid, h.Gid,
			h.ModTime.Unix(), h.Size, h.Format, shown(h)))
	}
}

// shown returns the name of an entry and what it links to, with repeats shown
// by their number.
func shown(h *tar.Header) string {
	name := h.Name
	if h.Linkname != "" {
		name += " -> " + h.Linkname
	}
	for _, c := range []string{"d", "n", "x"} {
		for n := 200; n > 50; n-- {
			name = strings.ReplaceAll(name, strings.Repeat(c, n), fmt.Sprintf("%s{%d}", c, n))
		}
	}
	return name
}

// parents returns the directories that name lies in.
func parents(name string) (parts []part) {
	for i, c := range name {
		if c == '/' {
			parts = append(parts, folder(name[:i]))
		}
	}
	return parts
}

// text returns n bytes that compress about as well as code does, the same in
// every version of Go.
func text(n int) string {
	words := strings.Fields("def return self import from class if not None for in range len str int assert")
	next := random(n)
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%s %s%d\n", words[next()%16], words[next()%16], next()%1000)
	}
	return b.String()[:n]
}

// noise returns n bytes that don't compress.
func noise(n int) string {
	next := random(n)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(next())
	}
	return string(b)
}

// random returns a source of numbers of 31 bits.
func random(seed int) func() int {
	x := uint64(seed)
	return func() int {
		x = x*6364136223846793005 + 1442695040888963407
		return int(x >> 33)
	}
}

// mixed holds entries of every kind.
func mixed() []part {
	d1 := strings.Repeat("d", 60)
	d2 := d1 + "/" + d1
	return []part{
		folder("app"), plain("app/empty", ""), plain("app/main.py", text(300)), plain("app/large", text(200_000)),
		spliced("app/small.py", text(3000)), spliced("app/a.so", text(100_000)), spliced("app/b.so", noise(layers.MinSplice)),
		spliced("app/c.py", text(layers.MinSplice-1)), spliced("app/nothing", ""),
		link("app/link", "../usr/bin/python3"), link("app/far", strings.Repeat("x", 101)),
		plain("app/größe", "20"), without("app/old"), folder("usr"), without("usr/.hidden"),
		{Entry: layers.Entry{Path: "usr/su", Mode: fs.ModeSetuid | 0o755, Size: 1}, body: "s"},
		{Entry: layers.Entry{Path: "usr/shared", Mode: fs.ModeDir | fs.ModeSetgid | fs.ModeSticky | 0o770, UID: 1000, GID: 50}},
		{Entry: layers.Entry{Path: "usr/huge-owner", Mode: 0o600, UID: 1 << 21, GID: 1<<32 - 2}},
		folder(d1), folder(d2), plain(d2+"/file", "1"), plain(d2+"/"+strings.Repeat("n", 101), "2"),
	}
}
