// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/cache/disk"
)

// names returns the names of all that is in dir, hidden files too, with
// temporary ones as ".tmp-*".
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".tmp-") {
			name = ".tmp-*"
		}
		got = append(got, name)
	}
	return got
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), names(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func create(t *testing.T, dir, content string) *disk.Pending {
	t.Helper()
	f, err := disk.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Abort)
	if _, err := io.WriteString(f, content); err != nil {
		t.Fatal(err)
	}
	return f
}

func commit(t *testing.T, dir, name, content string) string {
	t.Helper()
	path, err := create(t, dir, content).Commit(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCommitMakesTheFileVisible(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	f := create(t, dir, "new")
	wantNames(t, dir, ".tmp-*")
	path, err := f.Commit("a")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "a"); path != want {
		t.Errorf("Commit = %s, want %s", path, want)
	}
	f.Abort()
	wantNames(t, dir, "a")
	if got := read(t, path); got != "new" {
		t.Errorf("content = %q, want %q", got, "new")
	}
}

func TestCommitReplacesWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, err := os.Open(commit(t, dir, "a", "first"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if got := read(t, commit(t, dir, "a", "2nd")); got != "2nd" {
		t.Errorf("content = %q, want %q", got, "2nd")
	}
	if b, err := io.ReadAll(old); string(b) != "first" || err != nil {
		t.Errorf("a reader of the replaced file got %q, %v, want %q", b, err, "first")
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := create(t, dir, "half")
	f.Abort()
	f.Abort()
	wantNames(t, dir)
	if path, err := f.Commit("a"); err == nil {
		t.Errorf("Commit after Abort = %s, want an error", path)
	}
	wantNames(t, dir)
}

func TestCommitAfterAFailedWriteOfAReader(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := create(t, dir, "")
	boom := errors.New("boom")
	_, err := io.Copy(f, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(boom)))
	var de *disk.DirError
	if !errors.Is(err, boom) || errors.As(err, &de) {
		t.Errorf("copying from a broken reader: got %v, want the reader's own error", err)
	}
	f.Abort()
	wantNames(t, dir)
}

func TestNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		file, value bool // whether it may be the name of one
	}{
		{"a", true, true},
		{"numpy-2.1.0-cp311.whl", true, true},
		{"sha256:0a", true, true},
		{"größe", true, true},
		{strings.Repeat("x", 200), true, true},
		{strings.Repeat("x", 201), true, false},
		{".hidden", true, false},
		{`a\b`, true, false},
		{"a\nb", true, false},
		{"a\xff", true, false},
		{"a\x00", false, false},
		{".tmp-a", false, false},
		{".lock-a", false, false},
		{"", false, false},
		{".", false, false},
		{"..", false, false},
		{"../a", false, false},
		{"a/b", false, false},
		{"/a", false, false},
		{"a/", false, false},
	}
	dir := t.TempDir()
	v := disk.Values{Dir: filepath.Join(dir, "values")}
	for _, tt := range tests {
		if _, err := create(t, filepath.Join(dir, "files"), "").Commit(tt.name); (err == nil) != tt.file {
			t.Errorf("Commit(%q) = %v, want ok %v", tt.name, err, tt.file)
		}
		if err := v.Put(tt.name, []byte("x")); (err == nil) != tt.value {
			t.Errorf("Put(%q) = %v, want ok %v", tt.name, err, tt.value)
		}
		if _, err := v.Get(tt.name); (err == nil) != tt.value {
			t.Errorf("Get(%q) = %v, want ok %v", tt.name, err, tt.value)
		}
		if err := v.Delete(tt.name); (err == nil) != tt.value {
			t.Errorf("Delete(%q) = %v, want ok %v", tt.name, err, tt.value)
		}
	}
	wantNames(t, dir, "files", "values")
}

// The umask belongs to the process, so this test doesn't run beside others.
func TestPermissionsHonourTheUmask(t *testing.T) {
	for umask, want := range map[int][2]os.FileMode{0o022: {0o755, 0o644}, 0o077: {0o700, 0o600}} {
		old := syscall.Umask(umask)
		dir := filepath.Join(t.TempDir(), "d")
		f := create(t, dir, "x")
		path, err := f.Commit("a")
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range []string{dir, path} {
			info, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != want[i] {
				t.Errorf("umask %03o: mode of %s = %v, want %v", umask, filepath.Base(p), got, want[i])
			}
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got, err := disk.List(filepath.Join(dir, "none")); len(got) > 0 || err != nil {
		t.Errorf("List of no directory = %v, %v, want nothing", got, err)
	}
	commit(t, dir, "b", "12")
	commit(t, dir, "a", "1")
	create(t, dir, "half")
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, f := range files {
		got += fmt.Sprintf("%s %d,", f.Name(), f.Size())
	}
	if want := "a 1,b 2,"; got != want {
		t.Errorf("List = %s, want %s", got, want)
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	const want = "2f869ec6ab78d5d9f9d3a9d4a251b98e9f87daebb730d3124691e118ae812a62"
	text := strings.Repeat("0123456789abcdef", 20_000)
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)), "data and end": iotest.DataErrReader(strings.NewReader(text)),
	} {
		if got, err := disk.Sum(t.Context(), r); got != want || err != nil {
			t.Errorf("%s: Sum = %s, %v, want %s", name, got, err, want)
		}
	}
	boom := errors.New("boom")
	if _, err := disk.Sum(t.Context(), iotest.ErrReader(boom)); !errors.Is(err, boom) {
		t.Errorf("Sum of a broken reader = %v, want its error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := disk.Sum(ctx, strings.NewReader(text)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Sum = %v, want context.Canceled", err)
	}
}

func TestTouch(t *testing.T) {
	t.Parallel()
	path := commit(t, t.TempDir(), "a", "")
	long := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	disk.Touch(path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if ago := time.Since(info.ModTime()); ago > time.Hour {
		t.Errorf("a touched file was modified %v ago", ago)
	}
	disk.Touch(path + "-absent")
}

func TestSweepSparesTheLiving(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	commit(t, dir, "a", "stays")
	if err := os.WriteFile(filepath.Join(dir, ".other"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := create(t, dir, "being written")
	unlock, err := disk.Lock(t.Context(), filepath.Join(dir, ".lock-a"), true)
	if err != nil {
		t.Fatal(err)
	}
	if freed, err := disk.Sweep(dir); freed != 0 || err != nil {
		t.Errorf("Sweep = %d, %v, want 0", freed, err)
	}
	wantNames(t, dir, ".lock-a", ".other", ".tmp-*", "a")
	unlock()
	if _, err := f.Commit("b"); err != nil {
		t.Error(err)
	}
	if _, err := disk.Sweep(dir); err != nil {
		t.Error(err)
	}
	wantNames(t, dir, ".other", "a", "b")
}

func TestSweepSharedTakesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{".tmp-" + rand.Text(), ".tmp-mine", ".tmp-" + strings.ToLower(rand.Text()), ".lock-a", "a"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	live, err := disk.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Abort()
	disk.SweepShared(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 5 { // all but the first
		t.Errorf("SweepShared left %v, want all but the file of a killed writer", entries)
	}
	if _, err := os.Stat(live.Name()); err != nil {
		t.Errorf("the file of a living writer: %v", err)
	}
}

func TestSweepTakesWhatTheKilledLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, out := start(t, "write", dir, false)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the writer said %q, %v", line, err)
	}
	if freed, err := disk.Sweep(dir); freed != 0 || err != nil {
		t.Errorf("Sweep while the writer lives = %d, %v, want 0", freed, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	wantNames(t, dir, ".lock-a", ".tmp-*")
	if files, err := disk.List(dir); len(files) > 0 || err != nil {
		t.Errorf("List = %v, %v, want nothing", files, err)
	}
	if freed, err := disk.Sweep(dir); freed != 4 || err != nil {
		t.Errorf("Sweep = %d, %v, want 4 bytes", freed, err)
	}
	wantNames(t, dir)
}

// Who enters sweeps after the killed, until it succeeds, and after nobody who left.
func TestEnter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	enter := func(swept bool, err error) (leave func()) {
		did := false
		leave, e := disk.Enter(dir, func() error {
			did = true
			return err
		})
		if did != swept || e != nil {
			t.Errorf("Enter swept: %t, %v; want %t", did, e, swept)
		}
		return leave
	}
	first := enter(false, nil)
	enter(false, nil)() // beside a living one
	first()
	enter(false, nil)()
	wantNames(t, dir)
	cmd, out := start(t, "write", dir, false)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the writer said %q, %v", line, err)
	}
	enter(false, nil)()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	enter(true, errors.New("no"))()
	enter(true, nil)()
	enter(false, nil)()
}

// Writers and sweepers at once: every file that was committed is there, whole.
func TestSweepBesideWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	var sweepers, writers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for ctx.Err() == nil {
				if _, err := disk.Sweep(dir); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 20 {
				name := fmt.Sprintf("%d-%d", w, i)
				if err := (disk.Values{Dir: dir}).Put(name, []byte(name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop()
	sweepers.Wait()
	for w := range 4 {
		for i := range 20 {
			name := fmt.Sprintf("%d-%d", w, i)
			if got, err := (disk.Values{Dir: dir}).Get(name); string(got) != name {
				t.Errorf("Get(%s) = %q, %v", name, got, err)
			}
		}
	}
	if n := len(names(t, dir)); n != 80 {
		t.Errorf("%d files in the directory, want 80", n)
	}
}

func TestDirErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ role, want string }{
		{"full", "writing in DIR: no space left on device\nfree space on its disk, for example with: inlay cache prune\n"},
		{"readonly", "storing a: writing in DIR: read-only file system\nmake it writable or use another directory, for the cache with --cache-dir DIR\n"},
	}
	for _, tt := range tests {
		t.Run(tt.role, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, run(t, tt.role, t.TempDir())); diff != "" {
				t.Errorf("error and hint (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDirThatCanNotBeMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(commit(t, t.TempDir(), "file", ""), "below")
	var de *disk.DirError
	if _, err := disk.Create(dir); !errors.As(err, &de) || de.Dir != dir || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Create = %v, want a *DirError of %s", err, dir)
	}
	if _, err := disk.Lock(t.Context(), filepath.Join(dir, "lock"), true); !errors.As(err, &de) || de.Dir != dir {
		t.Errorf("Lock = %v, want a *DirError of %s", err, dir)
	}
}
