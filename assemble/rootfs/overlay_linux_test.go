// SPDX-License-Identifier: Apache-2.0

package rootfs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestOverlay has the kernel lay directories over each other, and compares with
// what the layers say.
func TestOverlay(t *testing.T) {
	s, _ := newStore(t.TempDir())
	tree := unpack(t, s,
		layer(t, "usr/", "usr/bin/", "usr/bin/sh", "bin -> usr/bin", "etc/", "etc/a", "etc/b", "etc/d/", "etc/d/x", "opt/", "opt/o", "lib/", "lib/l"),
		layer(t, "bin/new", "etc/", "etc/.wh.a", "etc/.wh.d", "etc/d/", "etc/d/y", "opt/.wh..wh..opq", "opt/p", ".wh.lib"),
		layer(t, "lib/", "lib/m", "usr/bin/.wh.sh", "etc/z = etc/b"),
	)
	dir := t.TempDir()
	err := unix.Mount("overlay", dir, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(tree.Dirs, ":"))
	if err != nil {
		t.Skip("no overlay can be mounted here: ", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	v, err := tree.View()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for from, into := range map[fs.FS]*[]string{v: &want, os.DirFS(dir): &got} {
		err := fs.WalkDir(from, ".", func(p string, e fs.DirEntry, err error) error {
			if err == nil {
				*into = append(*into, e.Type().String()+" "+p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the overlay (-layers +kernel):\n%s", diff)
	}
}

// upon is the variable with a directory on an overlay.
const upon = "INLAY_TEST_UPON_OVERLAY"

// TestUnpackUponOverlay unpacks where there can't be the kernel's marks of removed
// files: in mounts of its own, as root.
func TestUnpackUponOverlay(t *testing.T) {
	dir := os.Getenv(upon)
	if dir == "" {
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", `mkdir l u w o && mount -t overlay overlay o -o lowerdir=l,upperdir=u,workdir=w || exit 99
exec "$0" -test.v -test.run '^TestUnpackUponOverlay$'`, "/proc/self/exe")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Args[len(cmd.Args)-1] = self
		cmd.Dir, cmd.Env = dir, append(os.Environ(), upon+"="+filepath.Join(dir, "o"))
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState != nil && (cmd.ProcessState.ExitCode() == 99 || os.Geteuid() != 0) {
			t.Skipf("no overlay can be mounted here: %s", out)
		}
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	s, _ := newStore(dir)
	tree := unpack(t, s,
		layer(t, "etc/", "etc/a", "etc/d/", "etc/d/x", "opt/", "opt/o"),
		layer(t, "etc/", "etc/.wh.a", "etc/.wh.d", ".wh.opt", "opt/", "opt/p"),
	)
	var got []string
	for _, p := range tree.Dirs { // the topmost first
		names, err := filepath.Glob(p + "/*/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			got = append(got, strings.TrimPrefix(name, p+"/"))
		}
		got = append(got, "")
	}
	want := []string{"etc/.wh.a", "etc/.wh.d", "opt/p", "", "etc/a", "etc/d", "opt/o", ""}
	if !slices.Equal(got, want) {
		t.Errorf("unpacked are %q, want %q", got, want)
	}
	if !isOpaque(tree.Dirs[0] + "/opt") {
		t.Error("a directory in the place of another doesn't hide what was in that")
	}
}
