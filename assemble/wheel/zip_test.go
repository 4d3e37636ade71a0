// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/wheel"
)

// TestForms opens zips of all forms that are right, and reads what they hold.
func TestForms(t *testing.T) {
	random := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(random)
	noise, text := string(random), strings.Repeat("all work and no play\n", 1000)
	tests := []struct {
		name string
		part part
		end  ending
	}{
		{"deflated", part{body: text}, ending{}},
		{"stored", part{body: text, stored: true}, ending{}},
		{"empty, deflated to 2 bytes", part{body: ""}, ending{}},
		{"empty, stored", part{body: "", stored: true}, ending{}},
		{"stored blocks", part{body: noise}, ending{}},
		{"stored and coded blocks", part{body: noise + text + noise}, ending{}},
		{"sync flushes", part{body: text + noise, raw: flushed(text, noise)}, ending{}},
		{"last block stored", part{body: text + noise[:10], raw: flushed(text, noise[:10])}, ending{}},
		{"descriptor without a mark", part{body: text, descriptor: 12}, ending{}},
		{"descriptor", part{body: text, descriptor: 16}, ending{}},
		{"wide descriptor without a mark", part{body: text, descriptor: 20}, ending{}},
		{"wide descriptor", part{body: text, descriptor: 24}, ending{}},
		{"descriptor of a stored member", part{body: text, stored: true, descriptor: 16}, ending{}},
		{"descriptor and zip64", part{body: text, descriptor: 24, local64: true}, ending{}},
		{"needless zip64 in the local header", part{body: text, local64: true}, ending{}},
		{"zip64 beside the numbers", part{body: text, needless64: true}, ending{}},
		{"zip64 in the directory", part{body: text, central64: true}, ending{}},
		{"zip64 everywhere", part{body: text, local64: true, central64: true}, ending{zip64: true}},
		{"other extra fields", part{body: text, localExtra: []byte("UT\x01\x00\x03"), extra: []byte("ux\x00\x00\x00\x00\x00")}, ending{}},
		{"second name that is the same", part{body: text, extra: append([]byte("up\x0d\x00\x01abcd"), "demo/x.p"...)}, ending{}},
		{"flags of the compression", part{body: text, flags: 6}, ending{}},
		{"zip64 end record", part{body: text}, ending{zip64: true}},
		{"comment", part{body: text}, ending{comment: "made by hand"}},
		{"comment of a zip64", part{body: text}, ending{comment: "made by hand", zip64: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.part.name = "demo/x.p"
			b := zipOf(demo(tt.part, part{name: "demo/last.py", body: "1"}), tt.end)
			w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, scheme)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{lib + "demo/x.p": "0644 " + tt.part.body, lib + "demo/last.py": "0644 1"}
			if diff := cmp.Diff(want, installed(t, w)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			checkDeflated(t, w, !tt.part.stored)
		})
	}
}

// checkDeflated checks that x.p of w can be had as a deflate stream, if any,
// and that inflating it gives the content.
func checkDeflated(t *testing.T, w *wheel.Wheel, want bool) {
	t.Helper()
	for i := range w.Files {
		f := &w.Files[i]
		if f.Path != lib+"demo/x.p" {
			continue
		}
		d, ok := f.Deflated()
		if ok != want {
			t.Fatalf("Deflated() = %v, want %v", ok, want)
		}
		if !ok {
			return
		}
		raw, err := io.ReadAll(d.Stream)
		if err != nil || int64(len(raw)) != d.Size || d.CRC32 != f.CRC32 {
			t.Fatalf("the stream has %d bytes and CRC %08x, %v, want %d and %08x", len(raw), d.CRC32, err, d.Size, f.CRC32)
		}
		body, err := io.ReadAll(flate.NewReader(bytes.NewReader(raw)))
		if err != nil || !bytes.Equal(body, read(t, f)) {
			t.Errorf("inflating the stream gives other content, or %v", err)
		}
	}
}

// flushed deflates texts with a sync flush after each, and an empty last block.
func flushed(texts ...string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		panic(err)
	}
	for _, s := range texts {
		_, _ = io.WriteString(w, s)
		_ = w.Flush()
	}
	_ = w.Close()
	return b.Bytes()
}

// TestBadMember refuses members that readers don't read alike, or that would
// leave the wheel.
func TestBadMember(t *testing.T) {
	x := func(name string) part { return part{name: name, body: "x"} }
	tests := []struct {
		name    string
		parts   []part
		member  string // "" means that of the first part
		problem string
	}{
		{"absolute", []part{x("/etc/passwd")}, "", "its name is not a clean path inside the wheel"},
		{"dot dot", []part{x("demo/../../x")}, "", "its name is not a clean path inside the wheel"},
		{"only dot dot", []part{x("..")}, "", "its name is not a clean path inside the wheel"},
		{"directory outside", []part{{name: "../x/"}}, "", "its name is not a clean path inside the wheel"},
		{"no name", []part{x("")}, "", "its name is not a clean path inside the wheel"},
		{"backslash", []part{x(`demo\x`)}, "", "its name has a backslash or a control character"},
		{"NUL", []part{x("demo/x\x00.py")}, "", "its name has a backslash or a control character"},
		{"line feed", []part{x("demo/x\n.py")}, "", "its name has a backslash or a control character"},
		{"not UTF-8", []part{{name: "demo/\xff", body: "x", flags: utf8Flag}}, "", "its name is not a clean path inside the wheel"},
		{"UTF-8 or not", []part{{name: "demo/ü", body: "x", flags: utf8Flag}}, "", "its name is not marked as UTF-8"},
		{"long element", []part{x("demo/" + strings.Repeat("x", 256))}, "", "its name is longer than a file system takes"},
		{"long name", []part{x(strings.Repeat("demo/", 900) + "x")}, "", "its name is longer than a file system takes"},

		{"symlink", []part{{name: "demo/l", body: "/etc", mode: 0o120777}}, "", "it is a link or a special file (mode 120777)"},
		{"device", []part{{name: "demo/l", mode: 0o060644}}, "", "it is a link or a special file (mode 60644)"},
		{"directory without a slash", []part{{name: "demo/l", body: "x", mode: 0o040755}}, "", "it is a link or a special file (mode 40755)"},
		{"link with a slash", []part{{name: "demo/l/", mode: 0o120777}}, "", "it is a link or a special file (mode 120777)"},

		{"encrypted", []part{{name: "demo/x", body: "x", flags: 1}}, "", "it is encrypted or of an unknown form (flags 0x1)"},
		{"patch", []part{{name: "demo/x", body: "x", flags: 1 << 5}}, "", "it is encrypted or of an unknown form (flags 0x20)"},
		{"hidden headers", []part{{name: "demo/x", body: "x", flags: 1 << 13}}, "", "it is encrypted or of an unknown form (flags 0x2000)"},
		{"bzip2", []part{{name: "demo/x", body: "x", method: 12}}, "", "it is compressed with method 12, not stored or deflated"},

		{"twice", []part{x("demo/x"), x("demo/x")}, "", "it stands twice"},
		{"file and directory", []part{x("demo/x"), {name: "demo/x/"}}, "demo/x/", "it stands twice"},
		{"file and directory with files", []part{x("demo/x/y"), x("demo/x")}, "demo/x", "it is a file and a directory"},
		{"file and directory far above", []part{x("demo"), x("demo/x/y")}, "demo", "it is a file and a directory"},

		{"stored with two sizes", []part{{name: "demo/x", body: "x", stored: true, declare: 2}}, "", "1 bytes can't become 2"},
		{"more than deflate can", []part{{name: "demo/x", body: "x", declare: 1 << 30}}, "", "7 bytes can't become 1073741824"},
		{"far too large", []part{{name: "demo/x", edit: func(_, c []byte) { copy(c[24:], "\xff\xff\xff\xff") }, extra: extra64(1 << 50)}}, "", "it is larger than 64 GiB"},
		{"negative", []part{{name: "demo/x", edit: func(_, c []byte) { copy(c[24:], "\xff\xff\xff\xff") }, extra: extra64(-1)}}, "", "it is larger than 64 GiB"},
		{"zip64 of another size", []part{{name: "demo/x", body: "x", extra: extra64(2)}}, "", "its zip64 field is wrong"},
		{"zip64 cut short", []part{{name: "demo/x", body: "x", extra: []byte("\x01\x00\x04\x00abcd")}}, "", "its zip64 field is wrong"},
		{"zip64 twice", []part{{name: "demo/x", body: "x", extra: append(extra64(1), extra64(1)...)}}, "", "its zip64 field is wrong"},
		{"extra field cut off", []part{{name: "demo/x", body: "x", extra: []byte("UT\xff\x00abcd")}}, "", "an extra field is cut off"},
		{"second name", []part{{name: "demo/x", body: "x", extra: []byte("up\x09\x00\x01abcdevil")}}, "", "it has a second name"},
		{"other disk", []part{{name: "demo/x", body: "x", edit: func(_, c []byte) { c[34] = 1 }}}, "", "it stands on another disk"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			member := tt.member
			if member == "" {
				member = tt.parts[0].name
			}
			got := refusal(t, zipOf(demo(tt.parts...), ending{}))
			want := &wheel.FormatError{File: demoFile, Member: member, Problem: tt.problem}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// refusal opens a bad wheel and returns the error.
func refusal(t *testing.T, b []byte) *wheel.FormatError {
	t.Helper()
	w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, scheme)
	var got *wheel.FormatError
	if !errors.As(err, &got) {
		t.Fatalf("Open = %v, %v, want a *FormatError", w, err)
	}
	return got
}

// TestBadZip refuses zips with anything that stands in no member.
func TestBadZip(t *testing.T) {
	good := zipOf(demo(), ending{})
	tests := []struct {
		name    string
		zip     []byte
		problem string
	}{
		{"nothing", nil, "no end record: it is no zip, or cut off"},
		{"text", []byte("<html>404</html>"), "no end record: it is no zip, or cut off"},
		{"cut off", good[:len(good)-1], "no end record: it is no zip, or cut off"},
		{"cut off far before", good[:len(good)/2], "no end record: it is no zip, or cut off"},
		{"start cut off", good[1:], "the zip's directory does not stand right before its end record"},
		{"bytes after it", append(bytes.Clone(good), "\n"...), "bytes follow the zip's end record"},
		{"two zips", append(bytes.Clone(good), good...), "the zip's directory does not stand right before its end record"},
		{"end record in the comment", zipOf(demo(), ending{comment: "x" + string(zipOf(nil, ending{}))}), "the zip's directory does not stand right before its end record"},
		{"another disk", zipOf(demo(), ending{edit: func(e []byte) { e[4] = 1 }}), "the zip is one of several disks"},
		{"entries on another disk", zipOf(demo(), ending{edit: func(e []byte) { e[8]++ }}), "the zip is one of several disks"},
		{"one entry less", zipOf(demo(), ending{edit: func(e []byte) { e[8]--; e[10]-- }}), "the zip's directory holds more than its end record says"},
		{"one entry more", zipOf(demo(), ending{edit: func(e []byte) { e[8]++; e[10]++ }}), "the zip's directory is cut off"},
		{"many entries more", zipOf(demo(), ending{edit: func(e []byte) { e[8] += 100; e[10] += 100 }}), "the zip's directory of 214 bytes can't hold 103 members"},
		{"too many directories", zipOf(deep(), ending{}), "it has more than 262144 directories"},
		{"too much content", zipOf([]part{huge("a"), huge("b")}, ending{}), "with it the wheel holds more than 64 GiB"},
		{"directory that is none", zipOf(demo(part{name: "x", edit: func(_, c []byte) { c[0] = 'p' }}), ending{}), "the zip's directory is damaged"},
		{"zip64 record elsewhere", zipOf(demo(), ending{zip64: true, edit64: func(_, l []byte) { l[8]++ }}), "the zip64 end record does not stand where it should"},
		{"zip64 record of another form", zipOf(demo(), ending{zip64: true, edit64: func(r, _ []byte) { r[4]++ }}), "the zip64 end record does not stand where it should"},
		{"zip64 disks", zipOf(demo(), ending{zip64: true, edit64: func(_, l []byte) { l[16] = 2 }}), "the zip is one of several disks"},
		{"two end records", zipOf(demo(), ending{zip64: true, edit: func(e []byte) { e[8], e[9], e[10], e[11] = 1, 0, 1, 0 }}), "the two end records of the zip differ"},
		{"negative numbers", zipOf(demo(), ending{zip64: true, edit64: func(r, _ []byte) { copy(r[40:], "\xff\xff\xff\xff\xff\xff\xff\xff") }}), "the zip's directory does not stand right before its end record"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := refusal(t, tt.zip)
			if got.Problem != tt.problem {
				t.Errorf("problem %q, want %q", got.Problem, tt.problem)
			}
		})
	}
}

// deep returns few members in very many directories.
func deep() (parts []part) {
	for _, top := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		for _, next := range "abc" {
			parts = append(parts, part{name: string(top) + "/" + string(next) + strings.Repeat("/x", 2000)})
		}
	}
	return parts
}

// huge returns a member that the directory gives 40 GiB.
func huge(name string) part {
	return part{name: name, stored: true, extra: extra64(40<<30, 40<<30), edit: func(_, c []byte) {
		copy(c[20:], "\xff\xff\xff\xff\xff\xff\xff\xff")
	}}
}
