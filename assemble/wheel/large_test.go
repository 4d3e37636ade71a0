// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"inlay/assemble/wheel"
)

// many returns a wheel of n members, written by another program than the tests
// of this package: it takes a zip64 end record from 65,535 on.
func many(t *testing.T, n int) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	add := func(name, body string) {
		h := &zip.FileHeader{Name: name, CRC32: crc32.ChecksumIEEE([]byte(body)), CompressedSize64: uint64(len(body)), UncompressedSize64: uint64(len(body))}
		w, err := zw.CreateRaw(h)
		if err == nil {
			_, err = io.WriteString(w, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n - 3 {
		add(fmt.Sprintf("demo/d%03d/m%06d.py", i/1000, i), "")
	}
	add("demo-1.0.dist-info/METADATA", metadata)
	add("demo-1.0.dist-info/WHEEL", format)
	add("demo-1.0.dist-info/RECORD", "")
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestManyMembers opens wheels of about as many members as a plain zip can have,
// of as many as a wheel may have, and of one more.
func TestManyMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("it is the work of one goroutine, and long under the race detector")
	}
	t.Parallel()
	for _, n := range []int{65_534, 65_535, 65_536, 1 << 18} {
		b := many(t, n)
		w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, scheme)
		if err != nil {
			t.Errorf("%d members: %v", n, err)
		} else if len(w.Files) != n {
			t.Errorf("%d members: %d files", n, len(w.Files))
		}
	}
	got := refusal(t, many(t, 1<<18+1))
	if want := "can't hold 262145 members"; !strings.HasSuffix(got.Problem, want) {
		t.Errorf("refused with %q, want one that ends in %q", got.Problem, want)
	}
}
