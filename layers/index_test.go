// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"inlay/layers"
)

// An item is one entry of a tar.
type item struct {
	tar.Header
	body string
}

func file(name, body string) item {
	return item{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}, body}
}

func dir(name string) item {
	return item{tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}, ""}
}

func symlink(name, target string) item {
	return item{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, ""}
}

func hardLink(name, target string) item {
	return item{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}, ""}
}

func special(kind byte, name string, mode int64, uid, gid int) item {
	return item{tar.Header{Typeflag: kind, Name: name, Mode: mode, Uid: uid, Gid: gid}, ""}
}

func makeTar(tb testing.TB, items ...item) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, it := range items {
		if err := w.WriteHeader(&it.Header); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, it.body); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func keepAll(layers.Entry) func(io.Reader) ([]byte, error) { return io.ReadAll }

// scan lists what a layer of the given items holds. The index has gone through
// Encode and DecodeIndex.
func scan(tb testing.TB, items ...item) *layers.Index {
	tb.Helper()
	ix, err := layers.Scan(tb.Context(), bytes.NewReader(makeTar(tb, items...)), keepAll)
	if err != nil {
		tb.Fatal(err)
	}
	return recode(tb, ix)
}

func recode(tb testing.TB, ix *layers.Index) *layers.Index {
	tb.Helper()
	back, err := layers.DecodeIndex(bytes.NewReader(encode(tb, ix)))
	if err != nil {
		tb.Fatal(err)
	}
	return back
}

func encode(tb testing.TB, ix *layers.Index) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if err := ix.Encode(&buf); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func stack(tb testing.TB, ixs ...*layers.Index) *layers.View {
	tb.Helper()
	v, err := layers.Stack(ixs...)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// list describes every entry of v below its root: mode, owner, size, path,
// target and content.
func list(tb testing.TB, v *layers.View) []string {
	tb.Helper()
	var lines []string
	err := fs.WalkDir(v, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := info.Sys().(layers.Entry)
		line := fmt.Sprintf("%v %d:%d %d %s", e.Mode, e.UID, e.GID, e.Size, e.Path)
		if e.Link != "" {
			line += " -> " + e.Link
		} else if b, ok := v.Kept(name); ok {
			line += fmt.Sprintf(" %q", b)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return lines
}

func gzipped(tb testing.TB, parts ...[]byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	for _, b := range parts {
		w := gzip.NewWriter(&buf)
		if _, err := w.Write(b); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return buf.Bytes()
}

func zstandard(tb testing.TB, parts ...[]byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	var out []byte
	for _, b := range parts {
		out = w.EncodeAll(b, out)
	}
	return out
}

func TestScanCompressions(t *testing.T) {
	raw := makeTar(t, dir("etc"), file("etc/a", "one"))
	skippable := []byte{0x52, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'h', 'i'}
	tests := []struct {
		name  string
		layer []byte
	}{
		{"tar", raw},
		{"gzip", gzipped(t, raw)},
		{"gzip of two members", gzipped(t, raw[:700], raw[700:])},
		{"zstd", zstandard(t, raw)},
		{"zstd of two frames", zstandard(t, raw[:700], raw[700:])},
		{"zstd after a skippable frame", append(skippable, zstandard(t, raw)...)},
	}
	want := []string{"drwxr-xr-x 0:0 0 etc", `-rw-r--r-- 0:0 3 etc/a "one"`}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ix, err := layers.Scan(t.Context(), bytes.NewReader(tt.layer), keepAll)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, list(t, stack(t, ix))); diff != "" {
				t.Errorf("Scan(%s): (-want +got)\n%s", tt.name, diff)
			}
		})
	}
}

func TestScanEntries(t *testing.T) {
	tests := []struct {
		name  string
		items []item
		want  []string
		err   string
	}{
		{name: "nothing"},
		{
			name: "leading dot and slash", items: []item{dir("./a"), file("/a/b", "x"), file("./c//d", "y")},
			want: []string{"drwxr-xr-x 0:0 0 a", `-rw-r--r-- 0:0 1 a/b "x"`, "drwxr-xr-x 0:0 0 c", `-rw-r--r-- 0:0 1 c/d "y"`},
		},
		{name: "dots that stay inside", items: []item{file("a/../b", "x")}, want: []string{`-rw-r--r-- 0:0 1 b "x"`}},
		{name: "dots that lead out", items: []item{file("a/../../b", "x")}, err: `entry "a/../../b" leads out of the image`},
		{name: "dots that lead out after a slash", items: []item{file("/../b", "x")}, err: `entry "/../b" leads out of the image`},
		{
			name: "hard link to outside", items: []item{hardLink("a", "../etc/shadow")},
			err: `entry "a" is a hard link to "../etc/shadow", which leads out of the image`,
		},
		{name: "whiteout of nothing", items: []item{file("a/.wh.", "")}, err: `entry "a/.wh." is a whiteout of nothing`},
		{name: "whiteout of the parent", items: []item{file("a/.wh...", "")}, err: `entry "a/.wh..." is a whiteout of nothing`},
		{name: "root as a file", items: []item{symlink("./", "/etc")}, err: `entry "./" stands for the image's root and is no directory`},
		{name: "long name", items: []item{file(strings.Repeat("a/", 2100)+"b", "")}, err: "has a name of more than 4096 bytes"},
		{name: "negative owner", items: []item{special(tar.TypeDir, "a/", 0o755, -1, 0)}, err: `entry "a/" has an owner out of range`},
		{name: "unknown type", items: []item{special('M', "a", 0o755, 0, 0)}, err: `entry "a" is of unknown type 'M'`},
		{name: "global header", items: []item{{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}}}},
		{
			name: "every type",
			items: []item{
				special(tar.TypeDir, "d/", 0o3777, 1, 2), special(tar.TypeChar, "d/c", 0o600, 0, 5),
				special(tar.TypeBlock, "d/b", 0o660, 0, 6), special(tar.TypeFifo, "d/f", 0o644, 0, 0),
				special(tar.TypeReg, "d/s", 0o4755, 65534, 1<<31), symlink("d/l", "../../x"), hardLink("d/h", "./d/s"),
			},
			want: []string{
				"dgtrwxrwxrwx 1:2 0 d", "Drw-rw---- 0:6 0 d/b", "Dcrw------- 0:5 0 d/c", "prw-r--r-- 0:0 0 d/f",
				`urwxr-xr-x 65534:2147483648 0 d/h ""`, "Lrwxrwxrwx 0:0 0 d/l -> ../../x", `urwxr-xr-x 65534:2147483648 0 d/s ""`,
			},
		},
		{name: "marks of aufs", items: []item{file(".wh..wh.aufs", ""), dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ix, err := layers.Scan(t.Context(), bytes.NewReader(makeTar(t, tt.items...)), keepAll)
			if tt.err != "" {
				if ee := (*layers.EntryError)(nil); !errors.As(err, &ee) || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("Scan = %v, want an EntryError with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, list(t, stack(t, recode(t, ix)))); diff != "" {
				t.Errorf("Scan: (-want +got)\n%s", diff)
			}
		})
	}
}

func TestScanKeeps(t *testing.T) {
	layer := makeTar(t, file("a", "aaaa"), file("b", "bbbb"), file("c", "cccc"), file("empty", ""), symlink("l", "a"), hardLink("h", "b"))
	var asked []string
	keep := func(e layers.Entry) func(io.Reader) ([]byte, error) {
		asked = append(asked, e.Path)
		switch e.Path {
		case "a":
			return nil
		case "b": // a part of it
			return func(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, 2)) }
		case "c": // read, but of no use
			return func(r io.Reader) ([]byte, error) { _, err := io.Copy(io.Discard, r); return nil, err }
		}
		return io.ReadAll
	}
	ix, err := layers.Scan(t.Context(), bytes.NewReader(layer), keep)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"-rw-r--r-- 0:0 4 a", `-rw-r--r-- 0:0 4 b "bb"`, "-rw-r--r-- 0:0 4 c", `-rw-r--r-- 0:0 0 empty ""`,
		`-rw-r--r-- 0:0 4 h "bb"`, "Lrwxrwxrwx 0:0 0 l -> a",
	}
	if diff := cmp.Diff(want, list(t, stack(t, recode(t, ix)))); diff != "" {
		t.Errorf("kept: (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "empty"}, asked); diff != "" {
		t.Errorf("Keep was asked for: (-want +got)\n%s", diff)
	}
}

func TestScanFails(t *testing.T) {
	raw := makeTar(t, file("a", strings.Repeat("x", 5000)))
	gz := gzipped(t, raw)
	broken := bytes.Clone(gz)
	broken[len(broken)-5] ^= 1
	errKeep := errors.New("no")
	tests := []struct {
		name  string
		layer io.Reader
		keep  layers.Keep
		want  error
	}{
		{name: "not a tar", layer: strings.NewReader(strings.Repeat("hello", 200)), want: tar.ErrHeader},
		{name: "cut tar", layer: bytes.NewReader(raw[:600]), want: io.ErrUnexpectedEOF},
		{name: "cut gzip", layer: bytes.NewReader(gz[:len(gz)-9]), want: io.ErrUnexpectedEOF},
		{name: "wrong checksum", layer: bytes.NewReader(broken), want: gzip.ErrChecksum},
		{name: "bytes after gzip", layer: bytes.NewReader(append(bytes.Clone(gz), "some garbage"...)), want: gzip.ErrHeader},
		{
			name: "extract fails", layer: bytes.NewReader(gz), want: errKeep,
			keep: func(layers.Entry) func(io.Reader) ([]byte, error) {
				return func(io.Reader) ([]byte, error) { return nil, errKeep }
			},
		},
		{name: "a reader that fails after the tar", layer: io.MultiReader(bytes.NewReader(raw), failing{errKeep}), want: errKeep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := layers.Scan(t.Context(), tt.layer, tt.keep); !errors.Is(err, tt.want) {
				t.Errorf("Scan = %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("too much kept", func(t *testing.T) {
		keep := func(layers.Entry) func(io.Reader) ([]byte, error) {
			return func(io.Reader) ([]byte, error) { return make([]byte, 32<<20+1), nil }
		}
		_, err := layers.Scan(t.Context(), bytes.NewReader(raw), keep)
		if le := (*layers.LimitError)(nil); !errors.As(err, &le) || le.Limit != 32<<20 {
			t.Errorf("Scan = %v, want a LimitError of 32 MiB", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := layers.Scan(ctx, bytes.NewReader(raw), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Scan = %v, want %v", err, context.Canceled)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestDecodeIndexRejectsDamage(t *testing.T) {
	good := encode(t, scan(t, dir("a"), file("a/b", "some content"), symlink("l", "a"), hardLink("h", "a/b"), file("x/.wh.y", "")))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := layers.DecodeIndex(bytes.NewReader(bad)); err == nil {
			t.Errorf("DecodeIndex with bit %d of byte %d flipped succeeded", i%8, i)
		}
		if _, err := layers.DecodeIndex(bytes.NewReader(good[:i])); err == nil {
			t.Errorf("DecodeIndex of the first %d of %d bytes succeeded", i, len(good))
		}
	}
	if _, err := layers.DecodeIndex(bytes.NewReader(append(good, 0))); err == nil {
		t.Error("DecodeIndex with a byte more succeeded")
	}
}

func TestUncompress(t *testing.T) {
	want := bytes.Repeat([]byte("not even a tar "), 9000)
	for name, b := range map[string][]byte{"plain": want, "gzip": gzipped(t, want[:5], want[5:]), "zstd": zstandard(t, want)} {
		r, err := layers.Uncompress(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("Uncompress(%s): %v", name, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("Uncompress(%s) gave %d bytes, %v; want %d", name, len(got), err, len(want))
		}
		if err := r.Close(); err != nil {
			t.Errorf("closing %s: %v", name, err)
		}
	}
}
