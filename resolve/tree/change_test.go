// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
	"inlay/resolve/tree"
)

func fileTime(hour int) time.Time { return time.Date(2020, 1, 1, hour, 0, 0, 0, time.UTC) }

// busyFS is a context in which something happens whenever a file is read, and
// that counts how often files are opened.
type busyFS struct {
	*tree.Dir
	opened []string
	onOpen func(name string) error // before a file is opened
	onList func(name string) error // before a directory is listed
	onRead func(name string)       // as soon as some of it was read
}

func (b *busyFS) Open(name string) (fs.File, error) {
	b.opened = append(b.opened, name)
	if b.onOpen != nil {
		if err := b.onOpen(name); err != nil {
			return nil, err
		}
	}
	f, err := b.Dir.Open(name)
	if err != nil {
		return nil, err
	}
	return &busyFile{File: f, after: func() {
		if b.onRead != nil {
			b.onRead(name)
		}
	}}, nil
}

func (b *busyFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if b.onList != nil {
		if err := b.onList(name); err != nil {
			return nil, err
		}
	}
	return fs.ReadDir(b.Dir, name)
}

type busyFile struct {
	fs.File
	after func()
}

func (f *busyFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if n > 0 {
		f.after()
	}
	return n, err
}

func TestChanges(t *testing.T) {
	// Long enough that the two differ in time whatever the file system.
	later := func() { time.Sleep(20 * time.Millisecond) }
	tests := []struct {
		name   string
		change func(t *testing.T, path string)
		want   plan.File // after a single change; none if that is an error
	}{
		{"grown", func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			check(t, err)
			_, err = f.WriteString("+")
			check(t, err)
			check(t, f.Close())
		}, file("f", "old+", 0o644)},
		{"cut", func(t *testing.T, path string) { check(t, os.Truncate(path, 1)) }, file("f", "o", 0o644)},
		{"written over", func(t *testing.T, path string) { later(); write(t, path, "new", 0o644) }, file("f", "new", 0o644)},
		{"written over and dated back", func(t *testing.T, path string) {
			info, err := os.Stat(path)
			check(t, err)
			later()
			write(t, path, "new", 0o644)
			check(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}, file("f", "new", 0o644)},
		{"replaced", func(t *testing.T, path string) {
			write(t, path+"~", "new", 0o644)
			check(t, os.Rename(path+"~", path))
		}, file("f", "new", 0o644)},
		{"made executable", func(t *testing.T, path string) { check(t, os.Chmod(path, 0o755)) }, file("f", "old", 0o755)},
		{"deleted", func(t *testing.T, path string) { check(t, os.Remove(path)) }, plan.File{}},
		{"made a directory", func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, os.Mkdir(path, 0o755)) }, plan.File{}},
		{"made a named pipe", func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, syscall.Mkfifo(path, 0o644)) }, plan.File{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			write(t, path, "old", 0o644)
			busy := &busyFS{Dir: open(t, dir)}
			busy.onRead = func(string) { tt.change(t, path); busy.onRead = nil }
			files, err := tree.Snapshot(t.Context(), tree.Options{FS: busy})
			switch {
			case tt.want.Path == "":
				wantChanged(t, err)
			case err != nil:
				t.Errorf("Snapshot of a file that changes once = %v", err)
			default:
				if diff := cmp.Diff([]plan.File{tt.want}, files.Files); diff != "" {
					t.Errorf("Snapshot of a file that changes once (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func wantChanged(t *testing.T, err error) {
	t.Helper()
	var changed *tree.ChangedError
	if !errors.As(err, &changed) || changed.Path != "f" {
		t.Fatalf("Snapshot = %v, want a *ChangedError of f", err)
	}
	if got, want := changed.Error(), `"f" changes while it is read`; got != want {
		t.Errorf("Error() = %s, want %s", got, want)
	}
	if !strings.HasSuffix(changed.Hint(), "add `/f` to .dockerignore") {
		t.Errorf("Hint() = %s, want the rule at the end", changed.Hint())
	}
}

func TestChangesForEver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "", 0o644)
	content := "x"
	grow := func(string) { content += "x"; write(t, path, content, 0o644) }
	busy := &busyFS{Dir: open(t, dir), onRead: grow}
	write(t, path, content, 0o644)
	_, err := tree.Snapshot(t.Context(), tree.Options{FS: busy})
	wantChanged(t, err)
	if len(busy.opened) != 2 {
		t.Errorf("the file is opened %d times, want 2", len(busy.opened))
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/secret"), "", 0o600)
	refuse := func(path string) func(string) error {
		return func(name string) error {
			if name == path {
				return &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
			}
			return nil
		}
	}
	for path, fsys := range map[string]fs.FS{
		"a":        &busyFS{Dir: open(t, dir), onList: refuse("a")},
		"a/secret": &busyFS{Dir: open(t, dir), onOpen: refuse("a/secret")},
	} {
		_, err := tree.Snapshot(t.Context(), tree.Options{FS: fsys})
		var got *tree.UnreadableError
		if !errors.As(err, &got) || got.Path != path || !errors.Is(err, fs.ErrPermission) {
			t.Fatalf("Snapshot = %v, want an *UnreadableError of %s", err, path)
		}
		if want := strconv.Quote(path) + " may not be read: permission denied"; got.Error() != want {
			t.Errorf("Error() = %s, want %s", got, want)
		}
		for _, want := range []string{"`chmod u+rX`", "add `/" + path + "` to .dockerignore"} {
			if !strings.Contains(got.Hint(), want) {
				t.Errorf("Hint() = %s, want %s in it", got.Hint(), want)
			}
		}
	}
}

// A directory that goes away between its parent's listing and its own.
func TestDirectoryDeleted(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "f"), 0o755))
	busy := &busyFS{Dir: open(t, dir), onList: func(name string) error {
		if name == "f" {
			return os.Remove(filepath.Join(dir, "f"))
		}
		return nil
	}}
	_, err := tree.Snapshot(t.Context(), tree.Options{FS: busy})
	wantChanged(t, err)
}

func TestReadError(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "", 0o600)
	broken := errors.New("broken disk")
	busy := &busyFS{Dir: open(t, dir), onOpen: func(string) error { return broken }}
	_, err := tree.Snapshot(t.Context(), tree.Options{FS: busy})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), `"f"`) {
		t.Errorf("Snapshot = %v, want the error and the file", err)
	}
}
