// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"inlay/resolve/tree"
)

// TestOpenAnyOrder shows that it makes no difference after which other file one
// is opened, nor by how many at once.
func TestOpenAnyOrder(t *testing.T) {
	top := t.TempDir()
	names := []string{"a", "one/a", "one/two/a", "one/two/b", "other/a"}
	for _, name := range names {
		file := filepath.Join(top, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("../../other/a", filepath.Join(top, "one/two/link")), os.Symlink("one/two", filepath.Join(top, "short")), os.Symlink("../..", filepath.Join(top, "one/out"))); err != nil {
		t.Fatal(err)
	}
	d, err := tree.Open(top)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var g sync.WaitGroup
	for i := range 4 {
		g.Go(func() {
			for n := range 40 * len(names) {
				name := names[(n*(i+1))%len(names)]
				if b, err := fs.ReadFile(d, name); string(b) != name {
					t.Errorf("%s has %q, %v", name, b, err)
				}
			}
		})
	}
	g.Wait()
	for name, want := range map[string]string{"one/two/link": "other/a", "short/b": "one/two/b", "one/two": ""} {
		if b, err := fs.ReadFile(d, name); string(b) != want || (err == nil) != (want != "") {
			t.Errorf("%s has %q, %v, want %q", name, b, err, want)
		}
	}
	for _, name := range []string{"one/two/lost", "lost/a", "one/out/etc/passwd", "one/out"} {
		if _, err := d.Open(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Open(%s) = %v, want an error that names it", name, err)
		}
	}
}
