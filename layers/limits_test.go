// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"inlay/layers"
)

// stream returns what write writes, without holding it.
func stream(t *testing.T, write func(w io.Writer) error) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	go func() {
		buf := bufio.NewWriterSize(w, 1<<20)
		err := write(buf)
		if err == nil {
			err = buf.Flush()
		}
		w.CloseWithError(err)
	}()
	t.Cleanup(func() { r.Close() })
	return r
}

// blocks writes a header of a file again and again, with another number in its
// name each time, and skips what makes a tar.Writer slow.
func blocks(n int) func(io.Writer) error {
	return func(w io.Writer) error {
		var one [512]byte
		copy(one[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
		copy(one[257:], "ustar\x0000")
		one[156] = '0'
		for i := range n {
			name := fmt.Sprintf("usr/lib/python3/dist-packages/d%04d/m%07d.py", i/1000, i)
			copy(one[:], name)
			copy(one[148:], "        ")
			sum := 0
			for _, b := range one {
				sum += int(b)
			}
			copy(one[148:], fmt.Sprintf("%06o\x00 ", sum))
			if _, err := w.Write(one[:]); err != nil {
				return err
			}
		}
		_, err := w.Write(make([]byte, 1024))
		return err
	}
}

// heap is what is held after the garbage is gone.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMillionEntries reads a layer of a million files and stacks it. What is held
// is bounded by the number of files, a fixed amount for each.
func TestMillionEntries(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n /= 10
	}
	before := heap()
	ix, err := layers.Scan(t.Context(), stream(t, blocks(n)), nil)
	if err != nil {
		t.Fatal(err)
	}
	listed := heap()
	v, err := layers.Stack(ix)
	if err != nil {
		t.Fatal(err)
	}
	stacked := heap()
	if _, err := v.Lstat(fmt.Sprintf("usr/lib/python3/dist-packages/d%04d/m%07d.py", (n-1)/1000, n-1)); err != nil {
		t.Error(err)
	}
	t.Logf("%d bytes an entry listed, %d stacked", (listed-before)/int64(n), (stacked-before)/int64(n))
	if got := (stacked - before) / int64(n); got > 400 {
		t.Errorf("%d bytes are held for each of %d entries, want 400 at most", got, n)
	}
	runtime.KeepAlive(ix)
}

// TestScanLimits reads layers that are made to harm: each is an error, or costs
// no memory.
func TestScanLimits(t *testing.T) {
	if layers.MaxEntries != 4<<20 {
		t.Errorf("a layer may have %d entries, want 4 Mi", layers.MaxEntries)
	}
	var bomb, wide bytes.Buffer
	if err := errors.Join(compressed(&bomb, 1<<20, 256<<20, 256<<20), compressed(&wide, 256<<20, 160<<20)); err != nil {
		t.Fatal(err)
	}
	if bomb.Len() > 100_000 {
		t.Errorf("the bomb has %d bytes", bomb.Len())
	}
	tests := []struct {
		name  string
		layer io.Reader
		most  int
		want  string // "" for no error
	}{
		{"as many entries as may be", stream(t, blocks(1000)), 1000, ""},
		{"too many entries", stream(t, blocks(1001)), 1000, "the layer has more than 1000 entries"},
		{"too large", stream(t, func(w io.Writer) error { return files(w, 1<<20, 1<<40) }), 4, "the layer has more than 1099511627776 bytes"},
		{"a bomb of zeros", &bomb, 4, ""},
		{"a window too large", &wide, 4, "window size exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := layers.ScanAtMost(t.Context(), tt.layer, nil, tt.most)
			runtime.ReadMemStats(&after)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Scan = %v, want %q", err, tt.want)
			}
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 16 {
				t.Errorf("%d MiB were allocated", got)
			}
			var hint interface{ Hint() string }
			if err != nil && !errors.As(err, &hint) {
				t.Errorf("%v doesn't say what to do", err)
			}
		})
	}
}

// files writes a tar of files of zeros. Of the largest the promise is enough.
func files(w io.Writer, sizes ...int64) error {
	tw := tar.NewWriter(w)
	for i, n := range sizes {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i), Size: n}); err != nil {
			return err
		}
		if n > 1<<30 {
			return nil
		}
		if _, err := io.CopyN(tw, zeros{}, n); err != nil {
			return err
		}
	}
	return tw.Close()
}

// compressed writes such a tar with zstd and a window of that size.
func compressed(w io.Writer, window int, sizes ...int64) error {
	zw, err := zstd.NewWriter(w, zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	return errors.Join(files(zw, sizes...), zw.Close())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
