// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/layers"
)

func TestLayer(t *testing.T) {
	s, b := layer(t, layers.Options{ModTime: time.Unix(1_700_000_000, 0)}, asIs, mixed()...)
	got := listing(t, gunzip(t, b), mixed())
	want := []string{
		"5 0755 0:0 1700000000 0 USTAR app/",
		"0 0644 0:0 1700000000 0 USTAR app/empty",
		"0 0644 0:0 1700000000 300 USTAR app/main.py",
		"0 0644 0:0 1700000000 200000 USTAR app/large",
		"0 0644 0:0 1700000000 3000 USTAR app/small.py",
		"0 0644 0:0 1700000000 100000 USTAR app/a.so",
		"0 0644 0:0 1700000000 16384 USTAR app/b.so",
		"0 0644 0:0 1700000000 16383 USTAR app/c.py",
		"0 0644 0:0 1700000000 0 USTAR app/nothing",
		"2 0777 0:0 1700000000 0 USTAR app/link -> ../usr/bin/python3",
		"2 0777 0:0 1700000000 0 PAX app/far -> x{101}",
		"0 0644 0:0 1700000000 2 PAX app/größe",
		"0 0644 0:0 1700000000 0 USTAR app/.wh.old",
		"5 0755 0:0 1700000000 0 USTAR usr/",
		"0 0644 0:0 1700000000 0 USTAR usr/.wh..hidden",
		"0 4755 0:0 1700000000 1 USTAR usr/su",
		"5 3770 1000:50 1700000000 0 USTAR usr/shared/",
		"0 0600 2097152:4294967294 1700000000 0 PAX usr/huge-owner",
		"5 0755 0:0 1700000000 0 USTAR d{60}/",
		"5 0755 0:0 1700000000 0 USTAR d{60}/d{60}/",
		"0 0644 0:0 1700000000 1 USTAR d{60}/d{60}/file",
		"0 0644 0:0 1700000000 1 PAX d{60}/d{60}/n{101}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the layer holds something else (-want +got):\n%s", diff)
	}
	if s.Size != int64(len(b)) {
		t.Errorf("Size = %d, want %d", s.Size, len(b))
	}
}

// The digests must stay as they are: they are what caches and registries know a
// layer by. If they change because the compressor or the writer did, plan.Version
// must be raised with them, so that no key names two layers.
func TestGoldenDigests(t *testing.T) {
	s, b := layer(t, layers.Options{}, asIs, mixed()...)
	got := fmt.Sprintln(s.DiffID, s.Digest, s.Size)
	const want = "sha256:9bb737506567ee446b09f1f5da2d7bf0e6ff33bc3ebe88c31d7544bfa06a5f8d " +
		"sha256:bfd68aed75e1e600db386713905731aa8e6fc972ae0d24556b3f0a8e9ab51684 122155\n"
	if got != want {
		t.Errorf("DiffID, digest and size are\n%swant\n%s", got, want)
	}
	if header := fmt.Sprintf("% x", b[:10]); header != "1f 8b 08 00 00 00 00 00 00 ff" {
		t.Errorf("the gzip header is % x, want one without name and time", header)
	}
}

func TestSameBytes(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	_, want := layer(t, layers.Options{ModTime: at}, asIs, mixed()...)
	same := func(how string, o layers.Options, reader func(io.Reader) io.Reader) {
		t.Helper()
		if _, got := layer(t, o, reader, mixed()...); !bytes.Equal(got, want) {
			t.Errorf("%s changes the layer's bytes", how)
		}
	}
	same("reading byte by byte", layers.Options{ModTime: at}, iotest.OneByteReader)
	same("reading in halves", layers.Options{ModTime: at}, iotest.HalfReader)
	same("data together with EOF", layers.Options{ModTime: at}, iotest.DataErrReader)
	same("a part of a second", layers.Options{ModTime: at.Add(time.Second / 2)}, asIs)
	same("the media type", layers.Options{ModTime: at, MediaType: types.DockerLayer}, asIs)

	local := time.Local
	defer func() { time.Local = local }()
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("east", 13*3600), time.FixedZone("west", -11*3600)} {
		time.Local = zone
		same("the time zone "+zone.String(), layers.Options{ModTime: at.In(zone)}, asIs)
	}
	for _, n := range []int{1, 8} {
		before := runtime.GOMAXPROCS(n)
		same(fmt.Sprintf("GOMAXPROCS %d", n), layers.Options{ModTime: at}, asIs)
		runtime.GOMAXPROCS(before)
	}
}

func TestMediaType(t *testing.T) {
	tests := []struct {
		option types.MediaType
		want   types.MediaType
		err    string
	}{
		{"", "application/vnd.oci.image.layer.v1.tar+gzip", "<nil>"},
		{"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+gzip", "<nil>"},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip", "<nil>"},
		{"application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar+zstd", "<nil>"},
		{"application/vnd.oci.image.layer.v1.tar", "", `a layer of the media type "application/vnd.oci.image.layer.v1.tar" can't be written`},
	}
	for _, tt := range tests {
		s, err := layers.NewWriter(io.Discard, layers.Options{MediaType: tt.option}).Close()
		if s.MediaType != tt.want || fmt.Sprint(err) != tt.err {
			t.Errorf("Close with the option %q = %q, %v, want %q, %s", tt.option, s.MediaType, err, tt.want, tt.err)
		}
	}
}

// The headers are those that archive/tar writes.
func TestHeaders(t *testing.T) {
	names := []string{"a", strings.Repeat("n", 99), strings.Repeat("n", 100), strings.Repeat("n", 101)}
	for n := 50; n < 160; n += 7 {
		names = append(names, strings.Repeat("p", n)+"/"+strings.Repeat("n", 230-n))
	}
	names = append(names, strings.Repeat("p", 155)+"/x", strings.Repeat("p", 156)+"/x", strings.Repeat("ab/", 30)+"c/"+strings.Repeat("d/", 40)+"e")
	for _, name := range names {
		checkHeader(t, tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o4755}, fs.ModeSetuid|0o755)
		checkHeader(t, tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o1777}, fs.ModeDir|fs.ModeSticky|0o777)
		checkHeader(t, tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: strings.Repeat("l", 100), Mode: 0o777}, fs.ModeSymlink|0o777)
	}
}

// checkHeader compares the header that a layer has with what archive/tar writes
// for h.
func checkHeader(t *testing.T, h tar.Header, mode fs.FileMode) {
	t.Helper()
	h.Uid, h.Gid, h.ModTime = 1000, 1<<21-1, time.Unix(1<<33-1, 0)
	e := layers.Entry{Path: strings.TrimSuffix(h.Name, "/"), Mode: mode, UID: h.Uid, GID: h.Gid, Link: h.Linkname}
	_, blob := layer(t, layers.Options{ModTime: h.ModTime}, asIs, append(parents(e.Path), part{Entry: e})...)
	if want := makeTar(t, item{Header: h}); !bytes.HasSuffix(gunzip(t, blob), want) {
		t.Errorf("the header of %+v is not archive/tar's", e)
	}
}

func TestMemoryStaysFlat(t *testing.T) {
	const size = 256 << 20
	// One stored block of 32 KiB, over and over.
	block := append([]byte{0, 0, 0x80, 0xff, 0x7f}, noise(32<<10)...)
	sum := crc32.NewIEEE()
	for range size / (32 << 10) {
		sum.Write(block[5:])
	}
	s := layers.Deflated{CRC32: sum.Sum32(), Size: size/(32<<10)*int64(len(block)) + 2}
	s.Stream = io.MultiReader(&repeated{b: block, left: s.Size - 2}, strings.NewReader("\x03\x00"))
	large := layers.Entry{Path: "large", Mode: 0o644, Size: size}
	got := allocated(func() {
		w := layers.NewWriter(io.Discard, layers.Options{})
		if err := w.Splice(large, s); err != nil {
			t.Error(err)
		}
		large.Path, large.Size = "added", 32<<20
		if err := w.Add(large, &repeated{b: make([]byte, 1000), left: 32 << 20}); err != nil {
			t.Error(err)
		}
		if _, err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if got > 4<<20 {
		t.Errorf("writing %d MiB allocated %d KiB in all, want at most 4 MiB", (size+32<<20)>>20, got>>10)
	}
}

// allocated returns how many bytes f allocates, whether they are freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// repeated reads b over and over.
type repeated struct {
	b    []byte
	at   int
	left int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.b[r.at:])
	r.at = (r.at + n) % len(r.b)
	r.left -= int64(n)
	return n, nil
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("passwd", []byte("root:x:0:0"), uint32(0o644), 0, int64(0), false)
	f.Add(strings.Repeat("long", 40)+"name", []byte{}, uint32(0o4755), 1<<31, int64(-1), true)
	f.Add("größe", []byte(text(20_000)), uint32(0), 1000, int64(1)<<40, true)
	f.Fuzz(func(t *testing.T, name string, body []byte, mode uint32, owner int, mtime int64, splice bool) {
		e := layers.Entry{Path: name, Mode: fs.FileMode(mode & 0o777), UID: owner, GID: owner, Size: int64(len(body))}
		mtime %= 1 << 40
		var buf bytes.Buffer
		w := layers.NewWriter(&buf, layers.Options{ModTime: time.Unix(mtime, 0)})
		if err := put(t, w, part{Entry: e, body: string(body), splice: splice}, asIs); err != nil {
			var bad *layers.EntryError
			if !errors.As(err, &bad) && path.Base(e.Path) == e.Path {
				t.Fatalf("adding %+v: %v", e, err)
			}
			return
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, back, at := first(t, gunzip(t, buf.Bytes()))
		if !bytes.Equal(got, body) || back != e || at != mtime {
			t.Errorf("%+v, %d bytes, at %d, came back as %+v, %d bytes, at %d", e, len(body), mtime, back, len(got), at)
		}
	})
}

// first returns the first entry of a tar, a file.
func first(tb testing.TB, b []byte) (body []byte, e layers.Entry, mtime int64) {
	tb.Helper()
	tr := tar.NewReader(bytes.NewReader(b))
	h, err := tr.Next()
	if err != nil {
		tb.Fatal(err)
	}
	body, err = io.ReadAll(tr)
	if err != nil {
		tb.Fatal(err)
	}
	return body, layers.Entry{Path: h.Name, Mode: fs.FileMode(h.Mode), UID: h.Uid, GID: h.Gid, Size: h.Size}, h.ModTime.Unix()
}

func BenchmarkWriter(b *testing.B) {
	small, large := text(2000), text(8<<20)
	adding := func(body string) adder {
		src := strings.NewReader("")
		return func(w *layers.Writer, e layers.Entry) error {
			src.Reset(body)
			return w.Add(e, src)
		}
	}
	splicing := func(body string) adder {
		z := deflated(b, body)
		src := bytes.NewReader(z)
		d := layers.Deflated{Stream: src, Size: int64(len(z)), CRC32: crc32.ChecksumIEEE([]byte(body))}
		return func(w *layers.Writer, e layers.Entry) error {
			src.Reset(z)
			return w.Splice(e, d)
		}
	}
	b.Run("empty", func(b *testing.B) { benchmark(b, 0, 0, nil) })
	b.Run("add small", func(b *testing.B) { benchmark(b, 4000, len(small), adding(small)) })
	b.Run("add large", func(b *testing.B) { benchmark(b, 1, len(large), adding(large)) })
	b.Run("splice small", func(b *testing.B) { benchmark(b, 4000, len(small), splicing(small)) })
	b.Run("splice large", func(b *testing.B) { benchmark(b, 1, len(large), splicing(large)) })
}

// An adder adds an entry with a content of its own.
type adder func(*layers.Writer, layers.Entry) error

// benchmark writes layers of files with contents of the given size.
func benchmark(b *testing.B, files, size int, add adder) {
	b.SetBytes(int64(files * size))
	b.ReportAllocs()
	entries := make([]layers.Entry, files)
	for i := range entries {
		entries[i] = layers.Entry{Path: fmt.Sprint("file", i), Mode: 0o644, Size: int64(size)}
	}
	for b.Loop() {
		w := layers.NewWriter(io.Discard, layers.Options{})
		for _, e := range entries {
			if err := add(w, e); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleWriter() {
	w := layers.NewWriter(io.Discard, layers.Options{})
	_ = w.Add(layers.Entry{Path: "etc", Mode: fs.ModeDir | 0o755}, nil)
	_ = w.Add(layers.Entry{Path: "etc/greeting", Mode: 0o644, Size: 2}, strings.NewReader("hi"))
	_ = w.Remove("etc/farewell")
	s, err := w.Close() // the first error of all these calls
	fmt.Println(s.DiffID, s.MediaType, err)
	// Output: sha256:0bb83b6b5f1d78b491a0ad1e76f6692537dbcf237be69dce407dccc9251d009e application/vnd.oci.image.layer.v1.tar+gzip <nil>
}

// Inspect is shown what the layer's tar holds, of every kind of entry, and can
// end it.
func TestInspect(t *testing.T) {
	var seen bytes.Buffer
	_, b := layer(t, layers.Options{Inspect: &seen}, asIs, mixed()...)
	if !bytes.Equal(seen.Bytes(), gunzip(t, b)) {
		t.Errorf("%d bytes were shown, other ones than the tar's", seen.Len())
	}
	for _, p := range []part{plain("a", text(100)), spliced("a", text(100)), spliced("a", noise(2*layers.MinSplice))} {
		stop := errors.New("stop")
		w := layers.NewWriter(io.Discard, layers.Options{Inspect: stopping{512, stop}})
		if err := put(t, w, p, asIs); !errors.Is(err, stop) {
			t.Errorf("adding %s of %d bytes: %v, want %v", p.Path, p.Size, err, stop)
		}
		if _, err := w.Close(); !errors.Is(err, stop) {
			t.Errorf("Close: %v, want %v", err, stop)
		}
	}
}

// stopping takes a header and refuses what isn't as long.
type stopping struct {
	n   int
	err error
}

func (s stopping) Write(p []byte) (int, error) {
	if len(p) != s.n {
		return 0, s.err
	}
	return len(p), nil
}
