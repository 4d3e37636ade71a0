// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"hash/crc32"
	"io"
	"path"
	"strings"
	"testing"

	"inlay/assemble/wheel"
)

// FuzzOpen opens and reads anything as a wheel. It must give files that stand
// where files may, and hold what they say, or a *FormatError.
func FuzzOpen(f *testing.F) {
	for _, parts := range [][]part{
		demo(part{name: "demo/x.py", body: "print()\n"}),
		demo(part{name: "demo/", mode: 0o040755}, part{name: "demo/x.py", body: "x", descriptor: 16, local64: true}),
		demo(part{name: "demo-1.0.data/scripts/x", body: "#!python\n"}, part{name: "demo-1.0.data/headers/x.h", stored: true, central64: true}),
		demo(part{name: entryPoints, body: "[console_scripts]\nx = m:f [a]\npip3 = m:f\n[gui_scripts]\ny = m:g\n"}),
	} {
		f.Add(zipOf(parts, ending{}))
		f.Add(zipOf(parts, ending{zip64: true, comment: "x"}))
	}
	s := scheme
	s.Installer = "inlay\n"
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, s)
		var format *wheel.FormatError
		if err != nil {
			if !errors.As(err, &format) {
				t.Fatalf("Open: %v is no *FormatError", err)
			}
			return
		}
		last := ""
		for i := range w.Files {
			file := &w.Files[i]
			if !strings.HasPrefix(file.Path, "/usr/") || path.Clean(file.Path) != file.Path || file.Path <= last {
				t.Fatalf("%q follows %q", file.Path, last)
			}
			last = file.Path
			r, err := file.Open()
			sum := crc32.NewIEEE()
			var n int64
			if err == nil {
				n, err = io.Copy(sum, r)
			}
			if err != nil && !errors.As(err, &format) {
				t.Fatalf("reading %s: %v is no *FormatError", file.Path, err)
			}
			if err == nil && (n != file.Size || sum.Sum32() != file.CRC32) {
				t.Fatalf("%s has %d bytes and CRC %08x, want %d and %08x", file.Path, n, sum.Sum32(), file.Size, file.CRC32)
			}
			if n > 1032*int64(len(b))+16<<20 { // deflate's limit, or a RECORD
				t.Fatalf("%s has %d bytes, out of %d", file.Path, n, len(b))
			}
		}
	})
}

// FuzzLists opens wheels with any RECORD and entry_points.txt. The RECORD that
// is installed must have one row for each file, as another reader of CSV sees
// it.
func FuzzLists(f *testing.F) {
	f.Add("demo/x.py,sha256=a,1\n", "[console_scripts]\nx = m:f\n")
	f.Add("\"/demo/x.py\",\"sha256=\"\"a,b\",01\r\n", "[DEFAULT]\nx, = m:f.g\n  h\n[gui_scripts]\n\" = m:f [a]\n")
	f.Fuzz(func(t *testing.T, record, entries string) {
		b := zipOf(demo(part{name: "demo/x.py", body: "x"}, part{name: "demo-1.0.dist-info/RECORD", body: record},
			part{name: entryPoints, body: entries}), ending{})
		w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, scheme)
		if err != nil {
			if asFormatError(err) == nil {
				t.Fatalf("Open: %v is no *FormatError", err)
			}
			return
		}
		got := recordOf(t, w)
		rows, err := csv.NewReader(strings.NewReader(got)).ReadAll()
		if err != nil || len(rows) != len(w.Files) {
			t.Fatalf("RECORD has %d rows for %d files, %v:\n%s", len(rows), len(w.Files), err, got)
		}
		have := make(map[string]bool)
		for i := range w.Files {
			have[w.Files[i].Path] = true
		}
		for _, row := range rows {
			if p := path.Join(lib, row[0]); len(row) != 3 || !have[p] {
				t.Fatalf("RECORD has a row for %s, which is not installed:\n%s", p, got)
			}
		}
	})
}

// FuzzMetadata opens wheels with any METADATA and WHEEL. What is installed then
// goes by the name and version of the file, in whatever spelling, and has the
// METADATA as it was.
func FuzzMetadata(f *testing.F) {
	f.Add(metadata, format)
	f.Add("name: DEMO\r\nVersion : v1.0\r\n\r\nName: other\n", "Wheel-Version:1.9\nRoot-Is-Purelib: TRUE\n")
	f.Add("Description: a\n  b\nName: demo\nName: other\nVersion: 01.0.0\n", "\xff: \x00\nWheel-Version: 1.\n")
	f.Fuzz(func(t *testing.T, meta, wheelFile string) {
		b := zipOf(demo(part{name: "demo/x.py", body: "x"}, part{name: "demo-1.0.dist-info/METADATA", body: meta},
			part{name: "demo-1.0.dist-info/WHEEL", body: wheelFile}), ending{})
		w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, scheme)
		if err != nil {
			if asFormatError(err) == nil {
				t.Fatalf("Open: %v is no *FormatError", err)
			}
			return
		}
		if w.Name != "demo" || !strings.Contains(meta, w.Version) || strings.ContainsAny(w.Version, "\r\n") {
			t.Fatalf("it is %q %q, of METADATA %q", w.Name, w.Version, meta)
		}
		for i := range w.Files {
			if strings.HasSuffix(w.Files[i].Path, "/METADATA") && string(read(t, &w.Files[i])) != meta {
				t.Fatal("another METADATA is installed")
			}
		}
	})
}
