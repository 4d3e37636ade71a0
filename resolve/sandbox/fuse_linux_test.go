// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/layers"
	"inlay/resolve/sandbox"
)

// fuseBox returns a box on the rung whose overlay is a program, and one on that
// with copies. Where there is no program the test says so.
func fuseBox(t *testing.T) (fuse, copies box) {
	t.Helper()
	if contained() || testing.Short() {
		t.Skip("there are no mounts here, or less is asked for")
	}
	dir := openDir(t)
	f, err := sandbox.Choose(t.Context(), dir, sandbox.RungFuse)
	if err != nil {
		t.Skip(err)
	}
	c, err := sandbox.Choose(t.Context(), dir, sandbox.RungCopy)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(f.Why, "by the program fuse-overlayfs") || f.Owners != c.Owners {
		t.Errorf("the rung is %+v, with copies it is %+v", f, c)
	}
	return newBox(t, *f), newBox(t, *c)
}

// TestFuseLost shows that it is an error when a command ends the program that
// shows it its files: what it wrote may lack.
func TestFuseLost(t *testing.T) {
	b, _ := fuseBox(t)
	var out bytes.Buffer
	res, err := b.Run(t.Context(), sandbox.Command{Path: "/bin/lose", Root: b.root(t), Stdout: &out, Stderr: &out, Mounts: libraries()})
	if err == nil || !strings.Contains(err.Error(), "fuse-overlayfs ended before the command did") {
		t.Errorf("it ends with %+v, %v: %s", res, err, &out)
	}
}

// lose is an act: it ends the program.
func lose([]string) int {
	for _, p := range processes() {
		if b, err := os.ReadFile(p + "/cmdline"); err == nil && bytes.HasPrefix(b, []byte("fuse-overlayfs\x00")) {
			var pid int
			for _, c := range filepath.Base(p) {
				pid = 10*pid + int(c-'0')
			}
			return status(syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	return status(errors.New("it is not there"))
}

// TestFuseMoves shows that names which change their places are found as in a
// copy, however the program marks that.
func TestFuseMoves(t *testing.T) {
	fuse, copies := fuseBox(t)
	var listed [2]string
	for i, b := range []box{fuse, copies} {
		root := b.root(t)
		if out, res := b.act(t, sandbox.Command{Root: root}, "move"); res.Exit != 0 {
			t.Fatalf("move: %s", out)
		}
		var layer bytes.Buffer
		w := layers.NewWriter(&layer, layers.Options{ModTime: time.Unix(epoch, 0)})
		if err := b.Diff(t.Context(), root, epoch, w); err != nil {
			t.Fatalf("Diff: %v", err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		listed[i] = list(t, &layer)
	}
	if diff := cmp.Diff(listed[1], listed[0]); diff != "" || !strings.Contains(listed[0], "turn/dir/in") {
		t.Errorf("the layer (-of a copy +of the program):\n%s", diff)
	}
}

// move is an act: it puts things in the places of others.
func move([]string) int {
	return status(errors.Join(
		os.RemoveAll("/turn"), os.MkdirAll("/new/deep", 0o700), os.WriteFile("/new/deep/in", []byte("b"), 0o644),
		os.Rename("/new", "/turn"), os.Rename("/turn/deep", "/turn/dir"),
		os.Rename("/dir/b", "/b"), os.Rename("/b", "/dir/a"), os.Mkdir("/dir/b", 0o755),
		os.Rename("/other/x", "/other/y"), os.Symlink("y", "/other/x"),
		os.Link("/etc/gone", "/etc/stays"), os.Remove("/etc/gone"), os.WriteFile("/etc/gone", []byte("back"), 0o644),
	))
}

// TestFuseForgets shows that a program that forgets removals is told from one
// that doesn't, and is not taken but by its name.
func TestFuseForgets(t *testing.T) {
	b, copies := fuseBox(t)
	forgot := false
	for _, x := range []box{copies, b} {
		root := x.root(t)
		if out, res := x.act(t, sandbox.Command{Root: root}, "sh", "write /new", "rename /new /etc/gone", "remove /etc/gone"); res.Exit != 0 {
			t.Fatalf("it says %s", out)
		}
		_, res := x.act(t, sandbox.Command{Root: root}, "sh", "absent /etc/gone")
		forgot = res.Exit != 0
		if x.Name == sandbox.RungCopy && forgot {
			t.Error("a copy has a file that was removed")
		}
	}
	if forgot != b.Asked || forgot != strings.Contains(b.Why, "INEXACT") {
		t.Errorf("it forgets: %v; the rung is %+v", forgot, b.Rung)
	}
	got, err := sandbox.Choose(t.Context(), b.dir, "")
	if err != nil || got.Name == sandbox.RungFuse && forgot {
		t.Errorf("Choose = %+v, %v", got, err)
	}
	if overlaid() && !forgot && got.Name != sandbox.RungFuse {
		t.Errorf("where the kernel has no overlay Choose = %+v, want the program", got)
	}
}
