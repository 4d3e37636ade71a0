// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"inlay/layers"
)

func FuzzScan(f *testing.F) {
	f.Add(makeTar(f, dir("a"), file("a/b", "x"), symlink("l", "a/../.."), hardLink("h", "a/b"), file("a/.wh.c", ""), file("a/.wh..wh..opq", "")))
	f.Add(gzipped(f, makeTar(f, file("/a", "x"), file("a/b", "y"), dir("./"))))
	f.Add(makeTar(f, dir("a/\x10\x80"), file("a/\x10\x80/\xff", "x"), symlink("l", "a/\x10\x80")))
	f.Add(zstandard(f, makeTar(f, special(tar.TypeChar, "dev/null", 0o666, 0, 0))))
	f.Fuzz(func(t *testing.T, layer []byte) {
		ix, err := layers.Scan(t.Context(), bytes.NewReader(layer), func(e layers.Entry) func(io.Reader) ([]byte, error) {
			return func(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, 1<<10)) }
		})
		if err != nil {
			t.Skip()
		}
		b := encode(t, ix)
		if again := encode(t, recode(t, ix)); !bytes.Equal(b, again) {
			t.Error("encoding the decoded index gives other bytes")
		}
		checkView(t, ix)
	})
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add(encode(f, scan(f, dir("a"), file("a/b", "x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		ix, err := layers.DecodeIndex(bytes.NewReader(b))
		if err != nil {
			t.Skip()
		}
		checkView(t, ix)
	})
}

// checkView stacks ix on itself and checks that every name in the tree resolves
// to one inside, or says why not.
func checkView(t *testing.T, ix *layers.Index) {
	t.Helper()
	v, err := layers.Stack(ix, ix)
	if err != nil {
		return
	}
	err = fs.WalkDir(v, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if _, err := v.Lstat(name); err != nil {
			t.Errorf("Lstat(%q) of a listed name: %v", name, err)
		}
		if real, err := v.Resolve(name); err == nil && !fs.ValidPath(strings.ToValidUTF8(real, "?")) {
			t.Errorf("Resolve(%q) = %q", name, real)
		}
		return nil
	})
	if err != nil {
		t.Errorf("walking the view: %v", err)
	}
}

// big returns an index of n files in directories of 50, each with some content.
func big(tb testing.TB, n int) *layers.Index {
	tb.Helper()
	items := make([]item, 0, n)
	for i := range n {
		items = append(items, file(fmt.Sprintf("usr/lib/python3/dist-packages/package%d/module_number_%d.py", i/50, i), "x"))
	}
	ix, err := layers.Scan(tb.Context(), bytes.NewReader(makeTar(tb, items...)), func(e layers.Entry) func(io.Reader) ([]byte, error) {
		if !strings.HasSuffix(e.Path, "0.py") {
			return nil
		}
		return io.ReadAll
	})
	if err != nil {
		tb.Fatal(err)
	}
	return ix
}

func BenchmarkDecodeIndex(b *testing.B) {
	enc := encode(b, big(b, 100_000))
	b.ReportMetric(float64(len(enc)), "bytes")
	for b.Loop() {
		if _, err := layers.DecodeIndex(bytes.NewReader(enc)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStack(b *testing.B) {
	ix := big(b, 100_000)
	for b.Loop() {
		if _, err := layers.Stack(ix); err != nil {
			b.Fatal(err)
		}
	}
}
