// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"inlay/assemble/deb/debtest"
)

func memberOf(name string, b []byte) member {
	return member{name, io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))}
}

// TestWindow tells what decoding takes before it is begun.
func TestWindow(t *testing.T) {
	plain := bytes.Repeat([]byte("0123456789"), 100_000)
	small := debtest.Compress(".xz", plain, 1<<18)
	large := debtest.Compress(".xz", plain, 0)
	large[12+4] = 0x1c // 64 MiB, as xz -9
	beyond := debtest.Compress(".xz", plain, 0)
	beyond[12+4] = 0x1e
	cut := small[:len(small)-4]
	for _, tt := range []struct {
		name string
		m    member
		want int64
	}{
		{"xz -6", memberOf("data.tar.xz", small), 8 << 20},
		{"xz -9", memberOf("data.tar.xz", large), 64 << 20},
		{"more than is decoded", memberOf("data.tar.xz", beyond), maxXzWindow},
		{"cut off", memberOf("data.tar.xz", cut), maxXzWindow},
		{"no xz", memberOf("data.tar.xz", []byte("no xz, and long enough to hold a header and a footer")), maxXzWindow},
		{"zstd", memberOf("data.tar.zst", debtest.Compress(".zst", plain, 0)), 1 << 20},
		{"no zstd", memberOf("data.tar.zst", []byte("x")), maxWindow},
		{"gzip", memberOf("data.tar.gz", debtest.Compress(".gz", plain, 0)), 0},
	} {
		if got := window(tt.m); got != tt.want {
			t.Errorf("window of %s = %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestLittleRoom unpacks packages at the same time where there is room for one,
// or for less than one needs.
func TestLittleRoom(t *testing.T) {
	var raw [4][]byte
	for i := range raw {
		d := debtest.Deb{Name: "x", Compression: ".xz", Block: 1 << 18, Files: []debtest.File{
			{Name: "./a", Body: strings.Repeat(fmt.Sprint(i), 3_000_000)},
		}}
		raw[i] = d.Bytes()
	}
	for _, most := range []int64{1, 14 << 20, 24 << 20, 1 << 30} {
		s := NewStore(t.TempDir(), 2)
		s.room, s.most = semaphore.NewWeighted(most), most
		dir := t.TempDir()
		g, ctx := errgroup.WithContext(t.Context())
		for i := range raw {
			g.Go(func() error {
				name := filepath.Join(dir, fmt.Sprint(i))
				if err := os.WriteFile(name, raw[i], 0o600); err != nil {
					return err
				}
				p, err := s.Package(ctx, "x", fmt.Sprint(i), func(context.Context) (*os.File, error) { return os.Open(name) })
				if err != nil {
					return err
				}
				files, err := p.Files()
				if err != nil {
					return err
				}
				if b, err := p.ReadFile(&files[0], 1<<30); err != nil || string(b) != strings.Repeat(fmt.Sprint(i), 3_000_000) {
					return fmt.Errorf("package %d holds %d other bytes: %w", i, len(b), err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Errorf("with room for %d bytes: %v", most, err)
		}
		if !s.room.TryAcquire(most) {
			t.Errorf("of %d bytes not all were given back", most)
		}
	}
}

// TestSameSegment holds that a package is kept in the same bytes: parts of them
// are in layers. Where they change, segmentMagic and plan.AptVersion have to grow.
func TestSameSegment(t *testing.T) {
	var text strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&text, "%d ", i*i%977)
	}
	d := debtest.Deb{Name: "x", Files: []debtest.File{{Name: "./a", Body: text.String()}, {Name: "./b", Body: text.String()[:10_000]}, {Name: "./c", Body: text.String()[:20_000]}}}
	dir := t.TempDir()
	raw := filepath.Join(dir, "x.deb")
	if err := os.WriteFile(raw, d.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewStore(filepath.Join(dir, "store"), 2)
	p, err := s.Package(t.Context(), "x", "00", func(context.Context) (*os.File, error) { return os.Open(raw) })
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.path("00"))
	if err != nil {
		t.Fatal(err)
	}
	var frames []byte
	for _, f := range p.frames {
		frames = append(frames, b[f.At:f.At+f.Packed]...)
	}
	const want = "inlaydeb3\n: 4ff9cfc05bad40dd1e4da5d9696a8189a4f6e8a988bbab3d7600f0ae2e305049"
	if got := fmt.Sprintf("%s: %x", segmentMagic, sha256.Sum256(frames)); got != want {
		t.Errorf("the frames are %q, want %q", got, want)
	}
}
