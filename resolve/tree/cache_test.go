// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
	"inlay/resolve/tree"
)

// values is a store in memory that counts what is put into it.
type values struct {
	m    map[string][]byte
	puts int
	err  error // of both methods, if set
}

func (v *values) Get(name string) ([]byte, error) {
	if v.err != nil {
		return nil, v.err
	}
	b, ok := v.m[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

func (v *values) Put(name string, b []byte) error {
	if v.err != nil {
		return v.err
	}
	v.puts++
	v.m[name] = slices.Clone(b)
	return nil
}

// known makes a context of two files and a store that remembers them.
func known(t *testing.T) (dir string, store *values) {
	t.Helper()
	dir = t.TempDir()
	store = &values{m: map[string][]byte{}}
	write(t, filepath.Join(dir, "a"), "old", 0o644)
	write(t, filepath.Join(dir, "d/b"), "old", 0o644)
	check(t, os.Symlink("a", filepath.Join(dir, "c")))
	if opened := reads(t, dir, store, time.Hour); !slices.Equal(opened, []string{"a", "d/b"}) {
		t.Fatalf("the first snapshot reads %q, want both files", opened)
	}
	return dir, store
}

// reads returns which files a snapshot reads that begins so much later. It
// fails if the list differs from one made without a cache.
func reads(t *testing.T, dir string, store tree.Store, later time.Duration) []string {
	t.Helper()
	busy := &busyFS{Dir: open(t, dir)}
	cache := &tree.Cache{Store: store, Name: "context", Now: time.Now().Add(later)}
	got := snapshot(t, tree.Options{FS: busy, Cache: cache})
	if diff := cmp.Diff(snapshot(t, tree.Options{FS: open(t, dir)}), got); diff != "" {
		t.Errorf("Snapshot with and without a cache (-without +with):\n%s", diff)
	}
	return busy.opened
}

func TestCacheReadsOnlyWhatChanged(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   []string
	}{
		{"nothing", func(*testing.T, string) {}, nil},
		{"content", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "a"), "newer", 0o644) }, []string{"a"}},
		{"content of the same size, dated back", func(t *testing.T, dir string) {
			info, err := os.Stat(filepath.Join(dir, "a"))
			check(t, err)
			write(t, filepath.Join(dir, "a"), "new", 0o644)
			check(t, os.Chtimes(filepath.Join(dir, "a"), info.ModTime(), info.ModTime()))
		}, []string{"a"}},
		{"another file of the same size and date", func(t *testing.T, dir string) {
			info, err := os.Stat(filepath.Join(dir, "d/b"))
			check(t, err)
			write(t, filepath.Join(dir, "n"), "new", 0o644)
			check(t, os.Chtimes(filepath.Join(dir, "n"), info.ModTime(), info.ModTime()))
			check(t, os.Rename(filepath.Join(dir, "n"), filepath.Join(dir, "d/b")))
		}, []string{"d/b"}},
		{"mode", func(t *testing.T, dir string) { check(t, os.Chmod(filepath.Join(dir, "a"), 0o755)) }, []string{"a"}},
		{"a new file", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "b"), "new", 0o644) }, []string{"b"}},
		{"a file less", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "a"))) }, nil},
		{"names swapped", func(t *testing.T, dir string) {
			check(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "t")))
			check(t, os.Rename(filepath.Join(dir, "d/b"), filepath.Join(dir, "a")))
			check(t, os.Rename(filepath.Join(dir, "t"), filepath.Join(dir, "d/b")))
		}, []string{"a", "d/b"}},
		{"a link for a file", func(t *testing.T, dir string) {
			check(t, os.Remove(filepath.Join(dir, "a")))
			check(t, os.Symlink("d/b", filepath.Join(dir, "a")))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, store := known(t)
			time.Sleep(20 * time.Millisecond) // past the resolution of the file system's clock
			tt.change(t, dir)
			if got := reads(t, dir, store, time.Hour); !slices.Equal(got, tt.want) {
				t.Errorf("after the change %q are read, want %q", got, tt.want)
			}
			puts := store.puts
			if got := reads(t, dir, store, time.Hour); len(got) != 0 {
				t.Errorf("with nothing changed since, %q are read, want none", got)
			}
			if store.puts != puts {
				t.Errorf("with nothing changed since, the store is written to")
			}
		})
	}
}

// A file that could change again within the resolution of its times is not
// remembered.
func TestCacheDistrustsFreshFiles(t *testing.T) {
	dir := t.TempDir()
	store := &values{m: map[string][]byte{}}
	write(t, filepath.Join(dir, "a"), "old", 0o644)
	check(t, os.Chtimes(filepath.Join(dir, "a"), fileTime(0), fileTime(0))) // which doesn't make it old
	for _, step := range []struct {
		later time.Duration
		reads int
	}{{time.Second, 1}, {-time.Hour, 1}, {time.Minute, 1}, {-time.Hour, 0}, {time.Hour, 0}} {
		if got := reads(t, dir, store, step.later); len(got) != step.reads {
			t.Errorf("a snapshot at now %+v reads %d files, want %d", step.later, len(got), step.reads)
		}
	}
	none := &values{m: map[string][]byte{}}
	for range 2 {
		busy := &busyFS{Dir: open(t, dir)}
		snapshot(t, tree.Options{FS: busy, Cache: &tree.Cache{Store: none}})
		if len(busy.opened) != 1 {
			t.Errorf("a snapshot without a clock reads %q, want the file", busy.opened)
		}
	}
}

func TestCacheDamaged(t *testing.T) {
	dir, store := known(t)
	good := store.m["context"]
	damaged := [][]byte{nil, []byte("another format"), good[:len(good)-1], append(slices.Clone(good), 1), append(slices.Clone(good), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)}
	for i, b := range damaged {
		store.m["context"] = b
		if got := reads(t, dir, store, time.Hour); len(got) != 2 {
			t.Errorf("with damaged value %d %q are read, want both", i, got)
		}
		if !slices.Equal(store.m["context"], good) {
			t.Errorf("damaged value %d is not replaced", i)
		}
	}
}

func TestCacheBroken(t *testing.T) {
	dir, _ := known(t)
	var notes []string
	cache := &tree.Cache{Store: &values{err: errors.New("disk full")}, Now: time.Now().Add(time.Hour)}
	snapshot(t, tree.Options{FS: open(t, dir), Cache: cache, Note: func(s string) { notes = append(notes, s) }})
	want := []string{"every file is read, for the list of known files can't be: disk full", "the next build will read every file again: disk full"}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// FuzzCache feeds Snapshot what a store should never hold.
func FuzzCache(f *testing.F) {
	dir := f.TempDir()
	write(f, filepath.Join(dir, "a"), "content", 0o644)
	write(f, filepath.Join(dir, "b"), "", 0o644)
	store := &values{m: map[string][]byte{}}
	fsys := open(f, dir)
	want := snapshot(f, tree.Options{FS: fsys, Cache: &tree.Cache{Store: store, Now: time.Now().Add(time.Hour)}})
	if len(store.m) != 1 {
		f.Fatalf("the store has %d values, want 1", len(store.m))
	}
	for b := range maps.Values(store.m) {
		f.Add(b[:len(b)/2])
		f.Add(append(b[:len(b):len(b)], 3, 'x', 'y', 'z'))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		store := &values{m: map[string][]byte{"": value}}
		got := snapshot(t, tree.Options{FS: fsys, Cache: &tree.Cache{Store: store}})
		names := func(fs []plan.File) (s []string) {
			for _, f := range fs {
				s = append(s, f.Path)
			}
			return s
		}
		if diff := cmp.Diff(names(want), names(got)); diff != "" {
			t.Errorf("Snapshot with value %q (-want +got):\n%s", value, diff)
		}
	})
}
