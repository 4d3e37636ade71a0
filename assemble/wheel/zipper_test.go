// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"inlay/assemble/wheel"
)

// A part is a member of a zip that is written for a test, right unless it says
// otherwise.
type part struct {
	name string
	body string

	method  uint16 // 0 means deflated
	stored  bool
	mode    uint32 // 0 means 0100644
	bare    bool   // no mode at all, made on FAT
	flags   uint16
	raw     []byte // the compressed bytes, if they are not the body's
	declare int64  // the size that the headers give, if not the body's
	crc     uint32 // added to the right CRC

	descriptor int    // bytes of a data descriptor: 12, 16, 20 or 24
	local64    bool   // a zip64 field in the local header
	central64  bool   // the same in the directory
	needless64 bool   // a zip64 field in the local header, which has the numbers too
	localExtra []byte // other extra fields
	extra      []byte
	localName  string // if not name
	gap        string // bytes after it
	edit       func(local, central []byte)
}

const (
	sizes64   = 0xffffffff
	utf8Flag  = 1 << 11
	laterFlag = 1 << 3
)

var le = binary.LittleEndian

func (p part) packed() []byte {
	if p.raw != nil {
		return p.raw
	}
	if p.stored {
		return []byte(p.body)
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(w, p.body)
	_ = w.Close()
	return b.Bytes()
}

// headers returns the local header, the entry of the directory and the data
// descriptor of p.
func (p part) headers(packed []byte, offset int) (local, central, after []byte) {
	method, mode, size := uint16(8), uint32(0o100644), int64(len(p.body))
	if p.stored {
		method = 0
	}
	if p.method != 0 {
		method = p.method
	}
	if p.mode != 0 {
		mode = p.mode
	}
	maker := uint16(3 << 8)
	if p.bare {
		mode, maker = 0, 0
	}
	if p.declare != 0 {
		size = p.declare
	}
	flags := p.flags
	if strings.ContainsFunc(p.name, func(r rune) bool { return r > 127 }) {
		flags ^= utf8Flag
	}
	crc := crc32.ChecksumIEEE([]byte(p.body)) + p.crc
	name, n := p.name, int64(len(packed))
	if p.localName != "" {
		name = p.localName
	}
	if p.descriptor > 0 {
		flags |= laterFlag
		after = descriptor(p.descriptor, crc, n, size)
	}

	local = append(local, "PK\x03\x04"...)
	extra := p.localExtra
	lc, ln, ls := crc, n, size
	if p.descriptor > 0 {
		lc, ln, ls = 0, 0, 0
	}
	if p.local64 || p.needless64 {
		extra = append(extra64(ls, ln), extra...)
	}
	if p.local64 {
		ln, ls = sizes64, sizes64
	}
	local = fields(local, uint16(20), flags, method, uint32(0x210000), lc, uint32(ln), uint32(ls), uint16(len(name)), uint16(len(extra)))
	local = append(append(local, name...), extra...)

	extra = p.extra
	at := int64(offset)
	if p.central64 {
		extra = append(extra64(size, n, at), extra...)
		size, n, at = sizes64, sizes64, sizes64
	}
	central = append(central, "PK\x01\x02"...)
	central = fields(central, maker|20, uint16(20), flags, method, uint32(0x210000), crc, uint32(n), uint32(size),
		uint16(len(p.name)), uint16(len(extra)), uint16(0), uint16(0), uint16(0), mode<<16, uint32(at))
	central = append(append(central, p.name...), extra...)
	if p.edit != nil {
		p.edit(local, central)
	}
	return local, central, after
}

func fields(b []byte, values ...any) []byte {
	for _, v := range values {
		var err error
		if b, err = binary.Append(b, le, v); err != nil {
			panic(err)
		}
	}
	return b
}

func extra64(values ...int64) []byte {
	b := fields(nil, uint16(1), uint16(8*len(values)))
	for _, v := range values {
		b = fields(b, v)
	}
	return b
}

func descriptor(size int, crc uint32, packed, content int64) (b []byte) {
	if size%8 == 0 {
		b = append(b, "PK\x07\x08"...)
	}
	b = fields(b, crc)
	if size < 20 {
		return fields(b, uint32(packed), uint32(content))
	}
	return fields(b, packed, content)
}

// An ending is how a zip ends, and what stands before it.
type ending struct {
	prefix, suffix string
	comment        string
	zip64          bool
	edit           func(end []byte)
	edit64         func(record, locator []byte)
	gap            string // between the members and the directory
}

// zipOf writes a zip.
func zipOf(parts []part, e ending) []byte {
	out := []byte(e.prefix)
	var directory []byte
	for _, p := range parts {
		packed := p.packed()
		local, central, after := p.headers(packed, len(out))
		out = append(append(append(append(out, local...), packed...), after...), p.gap...)
		directory = append(directory, central...)
	}
	out = append(out, e.gap...)
	start := len(out)
	out = append(out, directory...)
	count, size, at := uint16(len(parts)), uint32(len(directory)), uint32(start)
	if e.zip64 {
		record := fields([]byte("PK\x06\x06"), uint64(44), uint16(45), uint16(45), uint32(0), uint32(0),
			uint64(len(parts)), uint64(len(parts)), uint64(size), uint64(at))
		locator := fields([]byte("PK\x06\x07"), uint32(0), uint64(len(out)), uint32(1))
		if e.edit64 != nil {
			e.edit64(record, locator)
		}
		out = append(append(out, record...), locator...)
		count, size, at = 0xffff, sizes64, sizes64
	}
	end := fields([]byte("PK\x05\x06"), uint16(0), uint16(0), count, count, size, at, uint16(len(e.comment)))
	if e.edit != nil {
		e.edit(end)
	}
	return append(append(append(out, end...), e.comment...), e.suffix...)
}

// What the wheel "demo" has in each test that doesn't say otherwise.
const (
	demoFile = "demo-1.0-py3-none-any.whl"
	metadata = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
	format   = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
)

// demo adds to the parts what a wheel must have, and a RECORD with the rows of
// all, unless the parts have their own.
func demo(parts ...part) []part {
	has := make(map[string]bool)
	for _, p := range parts {
		has[p.name] = true
	}
	add := func(name, body string) {
		if !has[name] {
			parts = append(parts, part{name: name, body: body})
		}
	}
	add("demo-1.0.dist-info/METADATA", metadata)
	add("demo-1.0.dist-info/WHEEL", format)
	var record strings.Builder
	for _, p := range parts {
		if !strings.HasSuffix(p.name, "/") && !strings.Contains(p.name, "RECORD") {
			fmt.Fprintf(&record, "%s,%s,%d\n", p.name, hashOf(p.body), len(p.body))
		}
	}
	add("demo-1.0.dist-info/RECORD", record.String()+"demo-1.0.dist-info/RECORD,,\n")
	return parts
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha256=" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// scheme is like that of a Fedora: its two libraries differ.
var scheme = wheel.Scheme{
	Purelib: "/usr/lib/python3.11/site-packages", Platlib: "/usr/lib64/python3.11/site-packages",
	Scripts: "/usr/bin", Data: "/usr", Headers: "/usr/include/python3.11",
	Interpreter: "/usr/bin/python3.11", Version: "3.11",
}

const lib = "/usr/lib/python3.11/site-packages/"

// open opens a wheel that must be good.
func open(t *testing.T, parts []part) *wheel.Wheel {
	t.Helper()
	b := zipOf(parts, ending{})
	w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, scheme)
	if err != nil {
		t.Fatalf("Open(%s) = %v", demoFile, err)
	}
	return w
}

// contents reads the files of w: "0644 text" by path.
func contents(t *testing.T, w *wheel.Wheel) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for i := range w.Files {
		f := &w.Files[i]
		body := read(t, f)
		if int64(len(body)) != f.Size || crc32.ChecksumIEEE(body) != f.CRC32 {
			t.Errorf("%s has %d bytes and CRC %08x, want %d and %08x", f.Path, len(body), crc32.ChecksumIEEE(body), f.Size, f.CRC32)
		}
		out[f.Path] = fmt.Sprintf("%#o %s", f.Mode, body)
	}
	return out
}

func read(t *testing.T, f *wheel.File) []byte {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatalf("opening %s: %v", f.Path, err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading %s: %v", f.Path, err)
	}
	return body
}

// installed is contents without the files of .dist-info.
func installed(t *testing.T, w *wheel.Wheel) map[string]string {
	t.Helper()
	out := contents(t, w)
	for name := range out {
		if strings.Contains(name, "demo-1.0.dist-info/") {
			delete(out, name)
		}
	}
	return out
}

// recordOf returns the RECORD that w installs.
func recordOf(t *testing.T, w *wheel.Wheel) string {
	t.Helper()
	for i := range w.Files {
		if strings.HasSuffix(w.Files[i].Path, "/RECORD") {
			return string(read(t, &w.Files[i]))
		}
	}
	t.Fatal("no RECORD is installed")
	return ""
}
