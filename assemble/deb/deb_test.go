// SPDX-License-Identifier: Apache-2.0

package deb_test

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb"
	"inlay/assemble/deb/debtest"
)

// unpack opens a package in a store of its own.
func unpack(t *testing.T, b []byte) (*deb.Package, error) {
	t.Helper()
	return from(t, deb.NewStore(t.TempDir(), 2), b)
}

func from(t *testing.T, s *deb.Store, b []byte) (*deb.Package, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.deb")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return s.Package(t.Context(), "x", hex.EncodeToString(sum[:]), func(context.Context) (*os.File, error) { return os.Open(name) })
}

func sample() debtest.Deb {
	return debtest.Deb{
		Name: "x", Control: map[string]string{"postinst": "#!/bin/sh\n", "conffiles": "/etc/x\n"},
		Files: []debtest.File{
			{Name: "./"},
			{Name: "./etc/"},
			{Name: "./etc/x", Body: "configuration\n", Owner: "root", Group: "daemon"},
			{Name: "./usr/"},
			{Name: "./usr/bin/"},
			{Name: "./usr/bin/su", Body: strings.Repeat("0123456789", 300_000), Mode: 0o755 | fs.ModeSetuid},
			{Name: "./usr/bin/sudo", Hard: "./usr/bin/su"},
			{Name: "./usr/bin/link", Link: "../../etc/x"},
		},
	}
}

// TestCompressions reads the same package however it is compressed, from the
// .deb and from the store.
func TestCompressions(t *testing.T) {
	for _, c := range []struct {
		suffix string
		block  int
	}{{".gz", 0}, {".zst", 0}, {".xz", 0}, {".xz", 1 << 20}, {".tar", 0}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			d := sample()
			d.Compression, d.Block = c.suffix, c.block
			store := deb.NewStore(t.TempDir(), 2)
			for _, when := range []string{"first", "again"} {
				p, err := from(t, store, d.Bytes())
				if err != nil {
					t.Fatalf("opening it %s: %v", when, err)
				}
				var got []string
				files, err := p.Files()
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					got = append(got, fmt.Sprintf("%v %s %d %s:%s %d %s %v", f.Mode, f.Path, f.Size, f.Owner, f.Group, f.ModTime, f.Link, f.Hard))
				}
				want := []string{
					"drwxr-xr-x . 0 : 1000000000  false",
					"drwxr-xr-x etc 0 : 1000000000  false",
					"-rw-r--r-- etc/x 14 root:daemon 1000000000  false",
					"drwxr-xr-x usr 0 : 1000000000  false",
					"drwxr-xr-x usr/bin 0 : 1000000000  false",
					"urwxr-xr-x usr/bin/su 3000000 : 1000000000  false",
					"-rw-r--r-- usr/bin/sudo 0 : 1000000000 usr/bin/su true",
					"Lrw-r--r-- usr/bin/link 0 : 1000000000 ../../etc/x false",
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("opened %s it lists (-want +got):\n%s", when, diff)
				}
				for i, want := range map[int]string{2: "configuration\n", 5: strings.Repeat("0123456789", 300_000)} {
					if b, err := p.ReadFile(&files[i], 1<<30); err != nil || string(b) != want {
						t.Errorf("ReadFile of %s: %d bytes, %v; want %d", files[i].Path, len(b), err, len(want))
					}
				}
				if got := string(p.Control["conffiles"]); got != "/etc/x\n" {
					t.Errorf("conffiles is %q", got)
				}
			}
		})
	}
}

// TestStoreNeedsNoDeb opens a package that was unpacked before without its .deb.
func TestStoreNeedsNoDeb(t *testing.T) {
	store := deb.NewStore(t.TempDir(), 2)
	b := sample().Bytes()
	if _, err := from(t, store, b); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	_, err := store.Package(t.Context(), "x", hex.EncodeToString(sum[:]), func(context.Context) (*os.File, error) {
		return nil, errors.New("it was asked for")
	})
	if err != nil {
		t.Errorf("Package of one that is in the store: %v", err)
	}
}

// TestDamagedStore makes anew what was damaged in the store.
func TestDamagedStore(t *testing.T) {
	dir := t.TempDir()
	b := sample().Bytes()
	sum := sha256.Sum256(b)
	file := filepath.Join(dir, hex.EncodeToString(sum[:]))
	for _, at := range []int64{-1, -60, 100} {
		if _, err := from(t, deb.NewStore(dir, 2), b); err != nil {
			t.Fatal(err)
		}
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stored[(int64(len(stored))+at)%int64(len(stored))] ^= 0xff
		if err := os.WriteFile(file, stored, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := from(t, deb.NewStore(dir, 2), b)
		if err != nil {
			t.Fatalf("opening it with byte %d changed: %v", at, err)
		}
		files, err := p.Files()
		if err != nil {
			t.Fatal(err)
		}
		body, err := p.ReadFile(&files[5], 1<<30)
		if err == nil && string(body) != strings.Repeat("0123456789", 300_000) {
			t.Errorf("with byte %d changed ReadFile returns something else", at)
		}
	}
}

// TestRefused opens packages that no archive has.
func TestRefused(t *testing.T) {
	with := func(f debtest.File) []byte {
		d := sample()
		d.Files = append(d.Files, f)
		return d.Bytes()
	}
	bomb := debtest.Deb{Name: "x", Files: []debtest.File{{Name: "./zeros", Body: strings.Repeat("\x00", 70<<20)}}}
	damaged := sample()
	damaged.Compression = ".xz"
	flipped := damaged.Bytes()
	flipped[len(flipped)-3000] ^= 1
	tests := []struct {
		name string
		deb  []byte
		want string
	}{
		{"a name with ..", with(debtest.File{Name: "./usr/../../x", Body: "x"}), "leads out of the root"},
		{"an absolute name", with(debtest.File{Name: "/etc/passwd", Body: "x"}), "leads out of the root"},
		{"a device", with(debtest.File{Name: "./dev/sda", Type: tar.TypeBlock}), "neither a file nor a directory nor a link"},
		{"a fifo", with(debtest.File{Name: "./pipe", Type: tar.TypeFifo}), "neither a file nor a directory nor a link"},
		{"a hard link out", with(debtest.File{Name: "./shadow", Hard: "../../etc/shadow"}), "no file of it before"},
		{"a hard link to nothing", with(debtest.File{Name: "./shadow", Hard: "etc/shadow"}), "no file of it before"},
		{"a hard link to a link", with(debtest.File{Name: "./l", Hard: "usr/bin/link"}), "no file of it before"},
		{"a bomb", bomb.Bytes(), "beyond its bound"},
		{"no ar", []byte("PK\x03\x04 and so on, long enough"), "is no ar archive"},
		{"cut off", sample().Bytes()[:3000], "is cut off"},
		{"a flipped bit", flipped, "is damaged"},
		{"no data", debtest.Ar(debtest.Member{Name: "debian-binary", Body: []byte("2.0\n")}, debtest.Member{Name: "control.tar", Body: nil}), "does not consist of"},
		{"version 3", debtest.Ar(debtest.Member{Name: "debian-binary", Body: []byte("3.0\n")}, debtest.Member{Name: "control.tar", Body: nil}, debtest.Member{Name: "data.tar", Body: nil}), "is of format"},
		{"bzip2", debtest.Ar(debtest.Member{Name: "debian-binary", Body: []byte("2.0\n")}, debtest.Member{Name: "control.tar.bz2", Body: nil}, debtest.Member{Name: "data.tar", Body: nil}), "not known"},
		{"a size that is none", debtest.Deb{Name: "x", Fields: "Installed-Size: many\n"}.Bytes(), "no size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := unpack(t, tt.deb)
			var bad *deb.FormatError
			if !errors.As(err, &bad) || !strings.Contains(bad.Error(), tt.want) || !strings.Contains(bad.Error(), "package x ") {
				t.Errorf("Package = %v, want a *FormatError of package x with %q", err, tt.want)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	d := sample()
	d.Compression, d.Block = ".xz", 1<<20
	name := filepath.Join(t.TempDir(), "x.deb")
	if err := os.WriteFile(name, d.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := deb.NewStore(dir, 2).Package(ctx, "x", "00", func(context.Context) (*os.File, error) { return os.Open(name) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Package with a cancelled context = %v, want context.Canceled", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func FuzzPackage(f *testing.F) {
	for _, c := range []string{".gz", ".zst", ".xz", ".tar"} {
		d := debtest.Deb{Name: "x", Compression: c, Files: []debtest.File{{Name: "./"}, {Name: "./a", Body: "a"}, {Name: "./b", Hard: "./a"}}}
		f.Add(d.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := unpack(t, b)
		if err != nil {
			return
		}
		files, err := p.Files()
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			file := &files[i]
			if !fs.ValidPath(file.Path) {
				t.Errorf("a package has the file %q", file.Path)
			}
			if file.Mode.IsRegular() && !file.Hard {
				if body, err := p.ReadFile(file, 1<<20); err == nil && int64(len(body)) != file.Size {
					t.Errorf("%s has %d bytes, not %d", file.Path, len(body), file.Size)
				}
			}
		}
		if p.Control["control"] == nil {
			t.Error("no control file")
		}
	})
}

// Check finds damage in what a store keeps.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	raw := debtest.Deb{Name: "a", Files: []debtest.File{{Name: "./file", Body: strings.Repeat("content ", 1000)}}}.Bytes()
	hex := fmt.Sprintf("%x", sha256.Sum256(raw))
	_, err := deb.NewStore(dir, 2).Package(t.Context(), "a", hex, func(context.Context) (*os.File, error) {
		name := filepath.Join(t.TempDir(), "a.deb")
		if err := os.WriteFile(name, raw, 0o644); err != nil {
			return nil, err
		}
		return os.Open(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, hex)
	if err := deb.Check(t.Context(), path); err != nil {
		t.Errorf("Check of a whole package = %v", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{20, len(whole) - 60, len(whole) - 1} {
		damaged := slices.Clone(whole)
		damaged[at] ^= 0xff
		name := filepath.Join(t.TempDir(), hex)
		if err := os.WriteFile(name, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := deb.Check(t.Context(), name); err == nil {
			t.Errorf("Check found no damage in byte %d of %d", at, len(whole))
		}
	}
}
