// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"inlay/cache/disk"
)

// TestCommitTree makes directories visible, the first of each name.
func TestCommitTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trees")
	for _, content := range []string{"first", "second"} {
		scratch, remove, err := disk.Scratch(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		tree := filepath.Join(scratch, "tree")
		if err := os.Mkdir(tree, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, "f"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if trees, err := disk.ListTrees(dir); err != nil || len(trees) > 0 && content == "first" {
			t.Errorf("before it is committed there is %v, %v", trees, err)
		}
		if err := disk.CommitTree(tree, dir, "name"); err != nil {
			t.Errorf("CommitTree of the %s = %v", content, err)
		}
		remove()
	}
	trees, err := disk.ListTrees(dir)
	if err != nil || len(trees) != 1 || trees[0].Name() != "name" {
		t.Errorf("ListTrees = %v, %v, want the one", trees, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "name", "f")); string(b) != "first" {
		t.Errorf("the tree holds %q, %v, want that of the first", b, err)
	}
}

// TestRemoveAll removes directories that their owner may not change.
func TestRemoveAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	outside := filepath.Join(t.TempDir(), "f")
	for _, f := range []string{filepath.Join(dir, "a", "b", "f"), outside} {
		if err := os.MkdirAll(filepath.Dir(f), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, nil, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "a", "l")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"a/b", "a"} {
		if err := os.Chmod(filepath.Join(dir, p), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.RemoveAll(dir); err != nil {
		t.Errorf("RemoveAll = %v", err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("the directory is still there")
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what a link leads to: %v", err)
	}
	if err := disk.RemoveAll(dir); err != nil {
		t.Errorf("RemoveAll of nothing = %v", err)
	}
}
