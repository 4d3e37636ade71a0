// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/wheel"
)

// TestBadHeaders refuses members whose local header or end tells another story
// than the zip's directory, before anything is installed.
func TestBadHeaders(t *testing.T) {
	const differs = "its local header differs from the zip's directory"
	tests := []struct {
		name    string
		part    part
		problem string
	}{
		{"local name", part{localName: "demo/y.p"}, differs},
		{"local name of another length", part{localName: "demo/longer"}, differs},
		{"local method", part{edit: func(l, _ []byte) { l[8] = 0 }}, differs},
		{"local flags", part{edit: func(l, _ []byte) { l[7] = 8 }}, differs},
		{"local CRC", part{edit: func(l, _ []byte) { l[14]++ }}, differs},
		{"local packed size", part{edit: func(l, _ []byte) { l[18]++ }}, differs},
		{"local size", part{edit: func(l, _ []byte) { l[22]++ }}, differs},
		{"sizes later, without saying so", part{edit: func(l, _ []byte) { copy(l[14:], make([]byte, 12)) }}, differs},
		{"no local header", part{edit: func(l, _ []byte) { l[0] = 'p' }}, differs},
		{"second local name", part{localExtra: []byte("up\x09\x00\x01abcdevil")}, "it has a second name"},
		{"long local header", part{edit: func(l, _ []byte) { l[28] = 1 }}, "it overlaps what follows it"},
		{"no descriptor", part{flags: laterFlag}, "unknown bytes follow it"},
		{"descriptor and gap", part{descriptor: 16, gap: "x"}, "unknown bytes follow it"},
		{"no mark", part{flags: laterFlag, gap: strings.Repeat("x", 16)}, "its data descriptor differs from the zip's directory"},
		{"other descriptor", part{flags: laterFlag, gap: strings.Repeat("x", 12)}, "its data descriptor differs from the zip's directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.part.name, tt.part.body = "demo/x.p", "hello world"
			got := refusal(t, zipOf(demo(tt.part), ending{}))
			want := &wheel.FormatError{File: demoFile, Member: "demo/x.p", Problem: tt.problem}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLateRefusal refuses what only reading a member can find.
func TestLateRefusal(t *testing.T) {
	tests := []struct {
		name    string
		part    part
		problem string
	}{
		{"CRC", part{crc: 1}, "its CRC-32 is 0d4a1185, not the 0d4a1186 that the zip's directory says"},
		{"CRC of a stored member", part{crc: 1, stored: true}, "its CRC-32 is 0d4a1185, not the 0d4a1186 that the zip's directory says"},
		{"too long", part{declare: 4}, "it holds more than the 4 bytes that the zip's directory says"},
		{"too short", part{declare: 40}, "it holds 11 bytes, not the 40 that the zip's directory says"},
		{"bytes after the stream", part{raw: append(part{body: "hello world"}.packed(), 0)}, "bytes follow its deflate stream"},
		{"stream cut off", part{raw: part{body: "hello world"}.packed()[:8]}, "it is no whole deflate stream"},
		{"no stream", part{raw: []byte("\xff\xff\xff\xff")}, "it is no whole deflate stream"},
		{"no bytes at all", part{raw: []byte{}, body: "", crc: 0}, "it is no whole deflate stream"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.part.name = "demo/x.p"
			if tt.part.raw == nil || len(tt.part.raw) > 0 {
				tt.part.body = "hello world"
			}
			w := open(t, demo(tt.part))
			want := &wheel.FormatError{File: demoFile, Member: "demo/x.p", Problem: tt.problem}
			for i := range w.Files {
				if w.Files[i].Path != lib+"demo/x.p" {
					continue
				}
				if diff := cmp.Diff(want, asFormatError(readAll(&w.Files[i]))); diff != "" {
					t.Errorf("Open (-want +got):\n%s", diff)
				}
				return
			}
			t.Error("x.p is not installed")
		})
	}
}

func readAll(f *wheel.File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

func asFormatError(err error) (f *wheel.FormatError) {
	errors.As(err, &f)
	return f
}

// TestOverlap refuses a zip bomb, whose members share their bytes, and checks
// the local headers of the members that nothing installs.
func TestOverlap(t *testing.T) {
	first := part{name: "demo/a", body: strings.Repeat("x", 1000)}
	second := part{name: "demo/b", body: strings.Repeat("x", 1000), edit: func(_, c []byte) { copy(c[42:], "\x00\x00\x00\x00") }}
	got := refusal(t, zipOf(demo(first, second), ending{}))
	if got.Problem != "it overlaps what follows it" {
		t.Errorf("overlapping members: %v", got)
	}
	got = refusal(t, zipOf(demo(part{name: "demo/", localName: "evil/"}), ending{}))
	want := &wheel.FormatError{File: demoFile, Member: "demo/", Problem: "its local header differs from the zip's directory"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("directory with another local name (-want +got):\n%s", diff)
	}
}

// TestFlippedBits reads a wheel with a third of its bits flipped, one at a time.
// What it then installs is what it was, or refused. Modes stand in one place
// only, so they may differ.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	good := zipOf(demo(part{name: "demo/__init__.py", body: "print('hello')\n"}), ending{})
	want := withoutModes(contents(t, mustOpen(t, good)))
	refused, harmless := 0, 0
	for i := 0; i < len(good)*8; i += 3 { // some bits of each byte
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, scheme)
		for j := 0; err == nil && j < len(w.Files); j++ {
			err = readAll(&w.Files[j])
		}
		if err != nil {
			if asFormatError(err) == nil {
				t.Fatalf("bit %d: %v is no *FormatError", i, err)
			}
			refused++
			continue
		}
		if got := withoutModes(contents(t, w)); !maps.Equal(got, want) {
			t.Fatalf("bit %d is not noticed (-want +got):\n%s", i, cmp.Diff(want, got))
		}
		harmless++
	}
	if refused < 4*harmless {
		t.Errorf("%d flipped bits were refused, %d did no harm", refused, harmless)
	}
}

func withoutModes(contents map[string]string) map[string]string {
	for name, text := range contents {
		contents[name] = text[len("0644 "):]
	}
	return contents
}

func mustOpen(t *testing.T, b []byte) *wheel.Wheel {
	t.Helper()
	w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, scheme)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A failing reader fails from the time it was read so often.
type failing struct {
	r    io.ReaderAt
	left int
}

var errDisk = errors.New("disk on fire")

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errDisk
	}
	return f.r.ReadAt(p, off)
}

// TestReadError tells a file that can't be read from one that is wrong.
func TestReadError(t *testing.T) {
	good := zipOf(demo(
		part{name: "demo/x.py", body: "x", descriptor: 16, localExtra: []byte("UT\x01\x00\x03")}, part{name: "demo/y.py", body: "y", stored: true},
		part{name: "demo-1.0.data/scripts/run", body: "#!python\n"}, part{name: entryPoints, body: "[console_scripts]\nx = m:f\n"},
	), ending{})
	for reads := 0; ; reads++ {
		w, err := wheel.Open(&failing{bytes.NewReader(good), reads}, int64(len(good)), demoFile, scheme)
		for i := 0; err == nil && i < len(w.Files); i++ {
			err = readAll(&w.Files[i])
		}
		if err == nil {
			if reads < 20 {
				t.Errorf("the wheel is read in %d reads: too few for a test", reads)
			}
			return
		}
		if want := "reading wheel " + demoFile + ": disk on fire"; !errors.Is(err, errDisk) || err.Error() != want {
			t.Fatalf("failing after %d reads: %v, want %s", reads, err, want)
		}
	}
}

// TestMemory installs a large script of which every byte is read, and a larger
// program: they pass through and are never held.
func TestMemory(t *testing.T) {
	const size = 16 << 20
	text := strings.Repeat("x", size)
	b := zipOf(demo(
		part{name: "demo-1.0.data/scripts/run", body: "#!python\n" + text},
		part{name: "demo-1.0.data/scripts/program", body: text, stored: true},
	), ending{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := mustOpen(t, b)
	for i := range w.Files {
		if err := readAll(&w.Files[i]); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > size/8 {
		t.Errorf("%d bytes were allocated for files of %d", got, size)
	}
}

// TestContentReader holds the reader of a file to the contract of io.Reader.
func TestContentReader(t *testing.T) {
	text := strings.Repeat("all work and no play\n", 1000)
	w := open(t, demo(part{name: "demo/x.py", body: text}, part{name: "demo-1.0.data/scripts/run", body: "#!python\n" + text}))
	for i := range w.Files {
		r, err := w.Files[i].Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, read(t, &w.Files[i])); err != nil {
			t.Errorf("%s: %v", w.Files[i].Path, err)
		}
	}
}
