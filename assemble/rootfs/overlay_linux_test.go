// SPDX-License-Identifier: Apache-2.0

package rootfs_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func isOpaque(p string) bool {
	b := make([]byte, 8)
	n, err := unix.Lgetxattr(p, "user.overlay.opaque", b)
	return err == nil && string(b[:n]) == "y"
}

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
