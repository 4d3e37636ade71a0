// SPDX-License-Identifier: Apache-2.0

package rootfs_test

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// words are the entries that layers are made of by FuzzTree. Links lead to what is
// always there: of what lies behind others, each engine makes something else.
var words = []string{
	"a/", "a/b/", "a/b", "a/b/c", "a", "l -> k", "l -> /k/b", "l -> ../k", "l/x", "l/", "d/e/f", "d -> k/b",
	".wh.a", ".wh.l", "a/.wh.b", "a/.wh..wh..opq", "h = a/b", "a/h = l/x", "d/", "x/y", "d/b/x", ".wh.d",
}

// FuzzTree lays three layers over each other, as the kernel would, and compares
// with what the layers say.
func FuzzTree(f *testing.F) {
	for _, seed := range []string{"\x00\x03\xff\x05\x08", "\x00\x01\x03\xff\x0d\xff\x08", "\x00\x03\xff\x0d\x00\xff\x03", "\x02\xff\x05\xff\x08\x10\x12"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		lines := [][]string{{"k/", "k/b/"}, nil, nil}
		for i, c := range b[:min(len(b), 24)] {
			lines[i*3/min(len(b), 24)] = append(lines[i*3/min(len(b), 24)], words[int(c)%len(words)])
		}
		var ls []v1.Layer
		for _, l := range lines {
			// Marks count first, and stand first in the layers that engines write.
			slices.SortStableFunc(l, func(a, b string) int { return min(strings.Count(b, ".wh."), 1) - min(strings.Count(a, ".wh."), 1) })
			ls = append(ls, layer(t, l...))
		}
		s, _ := newStore(t.TempDir())
		tree, err := s.Tree(t.Context(), ls)
		if err != nil {
			return // no engine takes such layers
		}
		v, err := tree.View()
		if err != nil {
			return
		}
		want := map[string]fs.FileMode{}
		err = fs.WalkDir(v, ".", func(p string, e fs.DirEntry, err error) error {
			if err == nil {
				want[p] = e.Type()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]fs.FileMode{".": fs.ModeDir}
		merge(t, tree.Dirs, ".", got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of %q the directories hold (-layers +directories):\n%s", lines, diff)
		}
	})
}

// merge lists what an overlay of dirs, the topmost first, shows at rel.
func merge(t *testing.T, dirs []string, rel string, into map[string]fs.FileMode) {
	t.Helper()
	names := map[string]bool{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(filepath.Join(dir, rel))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names[e.Name()] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		p := path.Join(rel, name)
		var below []string
		for _, dir := range dirs {
			info, err := os.Lstat(filepath.Join(dir, p))
			if err != nil {
				continue
			}
			if !info.IsDir() {
				if len(below) == 0 && info.Mode()&fs.ModeDevice == 0 {
					into[p] = info.Mode().Type()
				}
				break
			}
			below = append(below, dir)
			if isOpaque(filepath.Join(dir, p)) {
				break
			}
		}
		if len(below) > 0 {
			into[p] = fs.ModeDir
			merge(t, below, p, into)
		}
	}
}

func isOpaque(p string) bool {
	b := make([]byte, 8)
	n, err := unix.Lgetxattr(p, "user.overlay.opaque", b)
	return err == nil && string(b[:n]) == "y"
}
