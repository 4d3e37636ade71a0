// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"inlay/layers"
)

func sized(p part, size int64) part {
	p.Size = size
	return p
}

const unclean = " is not a clean path inside the image, in UTF-8"

// refused holds what can't be added, and the error that says so.
var refused = []struct {
	name  string
	parts []part // the last of them fails
	want  string
}{
	{"absolute", []part{plain("/a", "")}, `entry "/a"` + unclean},
	{"parent", []part{plain("../a", "")}, `entry "../a"` + unclean},
	{"parent inside", []part{folder("a"), plain("a/../b", "")}, `entry "a/../b"` + unclean},
	{"empty", []part{plain("", "")}, `entry ""` + unclean},
	{"root", []part{folder(".")}, `entry "."` + unclean},
	{"slash at the end", []part{folder("a/")}, `entry "a/"` + unclean},
	{"two slashes", []part{folder("a"), plain("a//b", "")}, `entry "a//b"` + unclean},
	{"NUL", []part{plain("a\x00b", "")}, `entry "a\x00b"` + unclean},
	{"not UTF-8", []part{plain("a\xff", "")}, `entry "a\xff"` + unclean},
	{"spliced", []part{spliced("/a", "")}, `entry "/a"` + unclean},
	{"removed", []part{without("../a")}, `entry "../a"` + unclean},
	{
		"name of a whiteout",
		[]part{plain(".wh.a", "")},
		`entry ".wh.a" begins with .wh., which in a layer means that a file is removed: rename it`,
	},
	{
		"whiteout of one",
		[]part{without(".wh.a")},
		`entry ".wh.a" begins with .wh., which in a layer means that a file is removed: rename it`,
	},
	{"device", []part{{Entry: layers.Entry{Path: "a", Mode: fs.ModeDevice}}}, `entry "a" is neither a file nor a directory nor a link, but D---------`},
	{"link to nowhere", []part{link("a", "")}, `entry "a" is a link to nowhere, or its target is not UTF-8`},
	{"link with NUL", []part{link("a", "b\x00")}, `entry "a" is a link to nowhere, or its target is not UTF-8`},
	{"negative size", []part{sized(plain("a", ""), -1)}, `entry "a" has a size of -1 bytes`},
	{"negative owner", []part{{Entry: layers.Entry{Path: "a", UID: -1}}}, `entry "a" has an owner out of range, -1:0`},
	{"spliced directory", []part{{Entry: folder("a").Entry, splice: true}}, `entry "a" has content, but is not a regular file`},
	{"twice", []part{plain("a", ""), plain("a", "")}, "adding a: this layer has it already"},
	{"file and directory", []part{plain("a", ""), folder("a")}, "adding a: this layer has it already"},
	{"removed twice", []part{without("a"), without("a")}, "removing a: this layer removes it already"},
	{"added and removed", []part{plain("a", ""), without("a")}, "removing a: this layer has it already"},
	{"removed and added", []part{without("a"), plain("a", "")}, "adding a: this layer removes it already"},
	{"no directory", []part{plain("a/b", "")}, "adding a/b: its directory a was not added before"},
	{"no directory to remove from", []part{without("a/b")}, "removing a/b: its directory a was not added before"},
	{"in a file", []part{plain("a", ""), plain("a/b", "")}, "adding a/b: a is not a directory of this layer"},
	{"behind a link", []part{link("a", "usr"), plain("a/b", "")}, "adding a/b: a is not a directory of this layer"},
	{"in a removed directory", []part{without("a"), plain("a/b", "")}, "adding a/b: a is not a directory of this layer"},
	{"short", []part{sized(plain("a", "hi"), 3)}, "adding a: content ends after 2 of 3 bytes"},
	{"long", []part{sized(plain("a", "hi"), 1)}, "adding a: content is longer than 1 bytes"},
	{"short, spliced", []part{sized(spliced("a", "hi"), 3)}, "adding a: content ends after 2 of 3 bytes"},
	{"long, spliced", []part{sized(spliced("a", text(20_000)), 16<<10)}, "adding a: content is longer than 16384 bytes"},
	{"long, spliced and recompressed", []part{sized(spliced("a", "hi"), 1)}, "adding a: content is longer than 1 bytes"},
}

func TestRefused(t *testing.T) {
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			w := layers.NewWriter(io.Discard, layers.Options{})
			err := putAll(t, w, tt.parts)
			if fmt.Sprint(err) != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			// Nothing can be done with the Writer any more.
			again := []error{w.Add(folder("other").Entry, nil), w.Splice(plain("x", "").Entry, layers.Deflated{}), w.Remove("y")}
			_, closed := w.Close()
			for _, later := range append(again, closed) {
				if !errors.Is(later, err) {
					t.Errorf("a later call returned %v, want the first error, %v", later, err)
				}
			}
		})
	}
}

// putAll adds parts, of which only the last may fail, and returns its error.
func putAll(tb testing.TB, w *layers.Writer, parts []part) error {
	tb.Helper()
	last := len(parts) - 1
	for _, p := range parts[:last] {
		if err := put(tb, w, p, asIs); err != nil {
			tb.Fatal(err)
		}
	}
	return put(tb, w, parts[last], asIs)
}

func TestSpliceRefuses(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		body := text(size)
		z := deflated(t, body)
		sum := crc32.ChecksumIEEE([]byte(body))
		broken := bytes.Clone(z)
		broken[0] |= 6 // a block of type 3
		tests := []struct {
			name   string
			stream []byte
			size   int
			crc    uint32
			want   string
		}{
			{"wrong CRC-32", z, len(z), sum + 1, fmt.Sprintf("adding a: content has the CRC-32 %08x, want %08x", sum, sum+1)},
			{"truncated", z[:len(z)-1], len(z) - 1, sum, "adding a: deflate stream is cut off: unexpected EOF"},
			{"short reader", z[:len(z)/2], len(z), sum, "adding a: deflate stream is cut off: unexpected EOF"},
			{"more after the end", append(bytes.Clone(z), 0, 1), len(z) + 2, sum, fmt.Sprintf("adding a: deflate stream ends after %d of %d bytes", len(z), len(z)+2)},
			{"corrupt", broken, len(z), sum, "adding a: deflate stream is corrupt near byte 0: block of an unknown kind"},
		}
		for _, tt := range tests {
			t.Run(fmt.Sprint(tt.name, " ", size), func(t *testing.T) {
				w := layers.NewWriter(io.Discard, layers.Options{})
				err := w.Splice(plain("a", body).Entry, layers.Deflated{Stream: bytes.NewReader(tt.stream), Size: int64(tt.size), CRC32: tt.crc})
				if fmt.Sprint(err) != tt.want {
					t.Errorf("Splice = %v, want %s", err, tt.want)
				}
			})
		}
	}
}

// A large stream stands in the layer as it was, but for the bit that marks its
// last block; small ones don't.
func TestSpliceMovesTheStream(t *testing.T) {
	for _, tt := range []struct {
		size  int
		moved bool
	}{{layers.MinSplice, true}, {layers.MinSplice - 1, false}} {
		body := noise(tt.size/2) + text(tt.size-tt.size/2)
		z := deflated(t, body)
		_, b := layer(t, layers.Options{}, asIs, spliced("a", body))
		if got := bytes.Contains(b, z[1:len(z)-100]); got != tt.moved {
			t.Errorf("stream of %d bytes: moved as it is: %v, want %v", tt.size, got, tt.moved)
		}
	}
}

// A reader that checks what it read is asked for its end, even if the size says
// that all was read.
func TestAddReadsToTheEnd(t *testing.T) {
	broken := errors.New("broken")
	w := layers.NewWriter(io.Discard, layers.Options{})
	body := io.MultiReader(strings.NewReader("hi"), iotest.ErrReader(broken))
	if err := w.Add(plain("a", "hi").Entry, body); !errors.Is(err, broken) {
		t.Errorf("Add = %v, want %v", err, broken)
	}
}

func TestNilBody(t *testing.T) {
	w := layers.NewWriter(io.Discard, layers.Options{})
	if err := w.Add(plain("a", "").Entry, nil); err != nil {
		t.Errorf("Add of an empty file without a body = %v", err)
	}
	if err := w.Add(plain("b", "x").Entry, nil); fmt.Sprint(err) != "adding b: content ends after 0 of 1 bytes" {
		t.Errorf("Add of a file without a body = %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	full := errors.New("no space left")
	_, b := layer(t, layers.Options{}, asIs, mixed()...)
	for _, room := range []int{0, 1, 100, 70_000, len(b) / 2, len(b) - 1} {
		w := layers.NewWriter(&cramped{left: room, err: full}, layers.Options{})
		var err error
		for _, p := range mixed() {
			if err = put(t, w, p, asIs); err != nil {
				break
			}
		}
		if s, closed := w.Close(); !errors.Is(closed, full) || s != (layers.Summary{}) {
			t.Errorf("Close with room for %d of %d bytes = %+v, %v (before it %v), want %v", room, len(b), s, closed, err, full)
		}
	}
}

// cramped takes a number of bytes, then fails in the middle of a write.
type cramped struct {
	left int
	err  error
}

func (c *cramped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	if n < len(p) {
		return n, c.err
	}
	return n, nil
}

func TestCloseTwice(t *testing.T) {
	w := layers.NewWriter(io.Discard, layers.Options{})
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := w.Close(); fmt.Sprint(err) != "the layer is closed" || s != (layers.Summary{}) {
		t.Errorf("second Close = %+v, %v, want an error", s, err)
	}
	if err := w.Add(folder("a").Entry, nil); err == nil {
		t.Error("Add after Close succeeded")
	}
}
