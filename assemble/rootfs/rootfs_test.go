// SPDX-License-Identifier: Apache-2.0

package rootfs_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/assemble/rootfs"
	"inlay/layers"
)

// newStore returns a store in dir whose work is done in this process, and a
// count of the layers it unpacked.
func newStore(dir string) (*rootfs.Store, *atomic.Int32) {
	n := new(atomic.Int32)
	return &rootfs.Store{
		Dir: dir, Owners: "test", Jobs: 2,
		Do: func(ctx context.Context, task, dir string, in io.Reader, out io.Writer) error {
			if task == rootfs.UnpackTask {
				n.Add(1)
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			return rootfs.Task(ctx, task, dir, os.Geteuid() != 0, in, out)
		},
		Remove: func(context.Context, ...string) error { return errors.New("nothing of others is here") },
	}, n
}

// An entry of a layer: "dir/ 0755", "file", "link -> target", "name = hard link",
// "fifo |".
func header(line string) *tar.Header {
	name, mode, _ := strings.Cut(line, " 0")
	h := &tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, ModTime: time.Unix(1e9, 0)}
	if mode != "" {
		_, _ = fmt.Sscanf(mode, "%o", &h.Mode)
	}
	for sep, typ := range map[string]byte{" -> ": tar.TypeSymlink, " = ": tar.TypeLink, " |": tar.TypeFifo} {
		if base, link, ok := strings.Cut(name, sep); ok {
			h.Name, h.Linkname, h.Typeflag = base, link, typ
		}
	}
	if strings.HasSuffix(h.Name, "/") {
		h.Typeflag = tar.TypeDir
		if mode == "" {
			h.Mode = 0o755
		}
	}
	return h
}

// layer returns a layer of those entries; files hold their names.
func layer(t *testing.T, lines ...string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, line := range lines {
		h := header(line)
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			_, _ = io.WriteString(w, h.Name)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	digest, size, err := v1.SHA256(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	s := layers.Summary{DiffID: digest, Digest: digest, Size: size, MediaType: types.DockerUncompressedLayer}
	return layers.Blob(s, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}

// list returns a line for all that is in dir.
func list(t *testing.T, dir string) []string {
	t.Helper()
	out := []string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		line := fmt.Sprintf("%v %s", info.Mode(), rel)
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			to, _ := os.Readlink(p)
			line = rel + " -> " + to
		case info.Mode()&fs.ModeDevice != 0:
			line = "gone " + rel
		case info.IsDir() && isOpaque(p):
			line += " opaque"
		case info.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += " " + string(b)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func unpack(t *testing.T, s *rootfs.Store, ls ...v1.Layer) *rootfs.Tree {
	t.Helper()
	tree, err := s.Tree(t.Context(), ls)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestLayer unpacks the second layer of two, as a lower directory of an overlay.
func TestLayer(t *testing.T) {
	below := []string{"usr/", "usr/bin/ 0711", "bin -> usr/bin", "abs -> /usr", "etc/", "etc/a", "tmp/ 01777", "up -> ../../tmp", "loop -> loop"}
	tests := []struct {
		name string
		add  []string
		want []string
	}{
		{"files", []string{"etc/", "etc/a 04755", "etc/b 0400", "etc/l -> /x"}, []string{"drwxr-xr-x etc", "urwxr-xr-x etc/a etc/a", "-r-------- etc/b etc/b", "etc/l -> /x"}},
		{"a directory that the layer doesn't name", []string{"tmp/f"}, []string{"dtrwxrwxrwx tmp", "-rw-r--r-- tmp/f tmp/f"}},
		{"through a link below", []string{"bin/f"}, []string{"drwxr-xr-x usr", "drwx--x--x usr/bin", "-rw-r--r-- usr/bin/f bin/f"}},
		{"through an absolute link", []string{"abs/bin/f"}, []string{"drwxr-xr-x usr", "drwx--x--x usr/bin", "-rw-r--r-- usr/bin/f abs/bin/f"}},
		{"through a link up", []string{"up/f"}, []string{"dtrwxrwxrwx tmp", "-rw-r--r-- tmp/f up/f"}},
		{"through a link of its own", []string{"new/", "l -> new", "l/f"}, []string{"l -> new", "drwxr-xr-x new", "-rw-r--r-- new/f l/f"}},
		{"a directory in place of a link", []string{"bin/", "bin/sub/f"}, []string{"drwxr-xr-x bin", "drwxr-xr-x bin/sub", "-rw-r--r-- bin/sub/f bin/sub/f"}},
		{"a file in place of a directory", []string{"etc", "tmp/", "tmp/x"}, []string{"-rw-r--r-- etc etc", "drwxr-xr-x tmp", "-rw-r--r-- tmp/x tmp/x"}},
		{"removed", []string{"etc/", "etc/.wh.a"}, []string{"drwxr-xr-x etc", "gone etc/a"}},
		{"removed, and there", []string{"etc/", "etc/.wh.a", "etc/a"}, []string{"drwxr-xr-x etc", "-rw-r--r-- etc/a etc/a"}},
		{"there, and removed below", []string{"etc/", "etc/a", "etc/.wh.a"}, []string{"drwxr-xr-x etc", "-rw-r--r-- etc/a etc/a"}},
		{"removed, and a directory", []string{".wh.etc", "etc/", "etc/f"}, []string{"drwxr-xr-x etc opaque", "-rw-r--r-- etc/f etc/f"}},
		{"a directory, and removed below", []string{"etc/", "etc/f", ".wh.etc"}, []string{"drwxr-xr-x etc opaque", "-rw-r--r-- etc/f etc/f"}},
		{"opaque", []string{"etc/", "etc/f", "etc/.wh..wh..opq"}, []string{"drwxr-xr-x etc opaque", "-rw-r--r-- etc/f etc/f"}},
		{"in an opaque one", []string{"usr/", "usr/.wh..wh..opq", "usr/bin/f"}, []string{"drwxr-xr-x usr opaque", "drwxr-xr-x usr/bin", "-rw-r--r-- usr/bin/f usr/bin/f"}},
		{"hard links", []string{"f 0600", "g = f", "etc/", "etc/h = ./f"}, []string{"drwxr-xr-x etc", "-rw------- etc/h f", "-rw------- f f", "-rw------- g f"}},
		{"a hard link to a file below", []string{"etc/", "etc/h = etc/a"}, []string{"drwxr-xr-x etc", "-rw-r--r-- etc/h etc/a"}},
		{"a pipe in place of a file", []string{"etc/", "etc/a |"}, []string{"drwxr-xr-x etc", "gone etc/a"}},
		{"twice", []string{"d/", "d/f", "d -> etc", "f -> d", "f", "g", "g/", "g/f"}, []string{"d -> etc", "-rw-r--r-- f f", "drwxr-xr-x g opaque", "-rw-r--r-- g/f g/f"}},
		{"a directory that takes no files", []string{"d/ 0555", "d/e/ 0555", "d/e/f"}, []string{"dr-xr-xr-x d", "dr-xr-xr-x d/e", "-rw-r--r-- d/e/f d/e/f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newStore(t.TempDir())
			t.Cleanup(func() { open(t, s.Dir) })
			tree := unpack(t, s, layer(t, below...), layer(t, tt.add...))
			if diff := cmp.Diff(tt.want, list(t, tree.Dirs[0])); diff != "" {
				t.Errorf("layer of %q (-want +got):\n%s", tt.add, diff)
			}
			if info, err := os.Stat(filepath.Dir(tree.Dirs[0])); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("others can enter the directory of a layer: %v, %v", info, err)
			}
			if err := s.Check(t.Context(), filepath.Dir(tree.Dirs[0])); err != nil {
				t.Errorf("Check right after = %v", err)
			}
		})
	}
}

// open lets the directories be removed by those who made them.
func open(t *testing.T, dir string) {
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, _ error) error {
		if e.IsDir() {
			if err := os.Chmod(p, 0o700); err != nil { //nolint:gosec // a directory
				t.Error(err)
			}
		}
		return nil
	})
}

// TestHostile unpacks layers made to harm: they end in an error, and nothing is
// there after it.
func TestHostile(t *testing.T) {
	for _, tt := range []struct {
		add []string
		err string
	}{
		{[]string{"../f"}, `entry "../f" leads out of the image`},
		{[]string{"a/../../f"}, `leads out of the image`},
		{[]string{"l -> l", "l/f"}, "too many levels of symbolic links"},
		{[]string{"h = ../../etc/passwd"}, "leads out of the image"},
		{[]string{"h = etc/passwd"}, "file does not exist"},
		{[]string{"d/", "h = d"}, "is no file below it"},
		{[]string{"h = h"}, "file does not exist"},
	} {
		t.Run(strings.Join(tt.add, ", "), func(t *testing.T) {
			s, _ := newStore(t.TempDir())
			_, err := s.Tree(t.Context(), []v1.Layer{layer(t, tt.add...)})
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Tree of %q = %v, want an error that says %q", tt.add, err, tt.err)
			}
			left, _ := os.ReadDir(s.Dir)
			left = slices.DeleteFunc(left, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".lock-") })
			if len(left) > 0 {
				t.Errorf("after the error there is %v", left)
			}
		})
	}
}

// TestOutside writes through links that lead to the host.
func TestOutside(t *testing.T) {
	outside := t.TempDir()
	s, _ := newStore(t.TempDir())
	tree := unpack(t, s, layer(t, "l -> "+outside, "l/f", "r -> ../../../../../../../../.."+outside, "r/g", "f -> "+outside+"/h", "f"))
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there is %v, %v", left, err)
	}
	for _, f := range []string{outside + "/f", outside + "/g", "f"} {
		if info, err := os.Lstat(filepath.Join(tree.Dirs[0], f)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("inside, %s is %v, %v, want a file", f, info, err)
		}
	}
}

// TestShared unpacks a layer once, for all images that have it, unless what is
// below decides about it.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	s, n := newStore(dir)
	a, b := layer(t, "etc/ 0700", "etc/a"), layer(t, "etc/ 0711", "etc/b")
	whole, part := layer(t, "etc/", "etc/c"), layer(t, "etc/d")
	first := unpack(t, s, a, whole)
	if again := unpack(t, s, b, whole); n.Load() != 3 || again.Dirs[0] != first.Dirs[0] {
		t.Errorf("for two images of three layers, %d were unpacked, want 3", n.Load())
	}
	first = unpack(t, s, a, part)
	again := unpack(t, s, b, part)
	if n.Load() != 5 || again.Dirs[0] == first.Dirs[0] {
		t.Errorf("a layer that takes a directory from below was unpacked %d times for two images, want 2", n.Load()-3)
	}
	for dir, want := range map[string]string{first.Dirs[0]: "drwx------ etc", again.Dirs[0]: "drwx--x--x etc"} {
		if got := list(t, dir)[0]; got != want {
			t.Errorf("the directory from below is %q, want %q", got, want)
		}
	}
	other, m := newStore(dir)
	other.Owners = "others"
	unpack(t, other, a)
	if m.Load() != 1 {
		t.Error("a layer unpacked for some owners served others")
	}
	if err := other.Check(t.Context(), filepath.Dir(first.Dirs[0])); err != nil {
		t.Errorf("Check of what is others' = %v, want nothing", err)
	}
}

// TestOpen reads a file of the image, whichever layer has it.
func TestOpen(t *testing.T) {
	s, _ := newStore(t.TempDir())
	tree := unpack(t, s, layer(t, "etc/", "etc/passwd", "usr/", "etc/group -> ../usr/group", "out -> /../../../etc/passwd"), layer(t, "usr/", "usr/group", "usr/x", "etc/", "etc/.wh.x"))
	for name, want := range map[string]string{"etc/passwd": "etc/passwd", "etc/group": "usr/group", "out": "etc/passwd"} {
		if b, err := tree.ReadFile(name); string(b) != want || err != nil {
			t.Errorf("ReadFile(%q) = %q, %v, want %q", name, b, err, want)
		}
	}
	for _, name := range []string{"etc", "etc/x", "none/x"} {
		if b, err := tree.ReadFile(name); err == nil {
			t.Errorf("ReadFile(%q) = %q, want an error", name, b)
		}
	}
}

// TestHides leaves out what a layer hides as a whole.
func TestHides(t *testing.T) {
	s, _ := newStore(t.TempDir())
	tree := unpack(t, s, layer(t, "a"), layer(t, "b", ".wh..wh..opq"), layer(t, "c"))
	if len(tree.Dirs) != 2 {
		t.Errorf("the tree has the directories %v, want those of the two upper layers", tree.Dirs)
	}
	v, err := tree.View()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Stat("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of a hidden file = %v", err)
	}
}

// TestDamaged finds what was changed, and makes anew what can't be used.
func TestDamaged(t *testing.T) {
	s, n := newStore(t.TempDir())
	l := layer(t, "etc/", "etc/a", "etc/b", "etc/c -> a")
	dir := unpack(t, s, l).Dirs[0]
	a := filepath.Join(dir, "etc/a")
	for what, change := range map[string]func() error{
		"content": func() error { return os.WriteFile(a, []byte("etc/b"), 0o600) },
		"mode":    func() error { return os.Chmod(a, 0o600) },
		"a file":  func() error { return os.Remove(a) },
		"more":    func() error { return os.WriteFile(a+"a", nil, 0o600) },
		"link":    func() error { return errors.Join(os.Remove(dir+"/etc/c"), os.Symlink("b", dir+"/etc/c")) },
		"seal":    func() error { return os.Truncate(filepath.Join(dir, "../seal"), 10) },
		"index":   func() error { return os.Remove(filepath.Join(dir, "../index")) },
	} {
		if err := s.Check(t.Context(), filepath.Dir(dir)); err != nil {
			t.Fatalf("before %s: %v", what, err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context(), filepath.Dir(dir)); err == nil {
			t.Errorf("Check doesn't see a change of %s", what)
		}
		before := n.Load()
		if what != "seal" && what != "index" {
			if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
				t.Fatal(err)
			}
		}
		unpack(t, s, l)
		if n.Load() != before+1 {
			t.Errorf("after a change of %s the layer was unpacked %d times", what, n.Load()-before)
		}
	}
}

// TestDigest unpacks a layer whose bytes are not those of its digest.
func TestDigest(t *testing.T) {
	good := layer(t, "a", "b")
	digest, err := good.Digest()
	if err != nil {
		t.Fatal(err)
	}
	other := layer(t, "a", "c")
	bad := layers.Blob(layers.Summary{Digest: digest, DiffID: digest}, other.Compressed)
	s, _ := newStore(t.TempDir())
	var damaged *layers.DigestError
	if _, err := s.Tree(t.Context(), []v1.Layer{bad}); !errors.As(err, &damaged) {
		t.Errorf("Tree of other bytes = %v, want a DigestError", err)
	}
	if got := list(t, unpack(t, s, good).Dirs[0]); len(got) != 2 {
		t.Errorf("the layer then holds %v", got)
	}
}

// TestFull says what the process that unpacks says.
func TestFull(t *testing.T) {
	s, _ := newStore(t.TempDir())
	full := errors.New("no space left")
	s.Do = func(_ context.Context, _, _ string, in io.Reader, _ io.Writer) error {
		_, _ = io.CopyN(io.Discard, in, 700)
		return full
	}
	if _, err := s.Tree(t.Context(), []v1.Layer{layer(t, "a", "b", "c")}); !errors.Is(err, full) {
		t.Errorf("Tree = %v, want %v", err, full)
	}
}

// TestCancelled ends while a layer is unpacked, and leaves nothing.
func TestCancelled(t *testing.T) {
	s, _ := newStore(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	do := s.Do
	s.Do = func(_ context.Context, task, dir string, in io.Reader, out io.Writer) error {
		cancel()
		return do(ctx, task, dir, in, out)
	}
	if _, err := s.Tree(ctx, []v1.Layer{layer(t, "a", "b")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Tree = %v, want that it was cancelled", err)
	}
	left, _ := filepath.Glob(s.Dir + "/[0-9a-f]*")
	if len(left) > 0 {
		t.Errorf("after it there is %v", left)
	}
}
