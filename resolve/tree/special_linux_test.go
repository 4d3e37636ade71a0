// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
	"inlay/resolve/tree"
)

func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "", 0o644)
	check(t, syscall.Mkfifo(filepath.Join(dir, "a\npipe"), 0o644))
	check(t, syscall.Mknod(filepath.Join(dir, "socket"), syscall.S_IFSOCK|0o644, 0))
	want := []string{
		`"a\npipe" is left out: a named pipe can't be part of an image`,
		`"socket" is left out: a socket can't be part of an image`,
	}
	if os.Getuid() == 0 && syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o644, 0x103) == nil {
		want = append(want[:1], `"null" is left out: a device can't be part of an image`, want[1])
	} else {
		t.Log("this user may not make a device, so none is tested")
	}
	var notes []string
	got := snapshot(t, tree.Options{FS: open(t, dir), Note: func(s string) { notes = append(notes, s) }})
	if diff := cmp.Diff([]plan.File{file("file", "", 0o644)}, got); diff != "" {
		t.Errorf("Snapshot (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	snapshot(t, tree.Options{FS: open(t, dir)}) // Note may be nil
}
