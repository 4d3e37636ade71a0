// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"inlay/resolve/tree"
)

// BenchmarkSnapshot lists a project of 766 files of 8 KiB, as read for the
// first time and as known from before.
func BenchmarkSnapshot(b *testing.B) {
	dir := b.TempDir()
	content := make([]byte, 8<<10)
	for i := range 766 {
		content[i] = byte(i)
		write(b, filepath.Join(dir, fmt.Sprintf("package%d/module%d/file%d.py", i%7, i%31, i)), string(content), 0o644)
	}
	store := &values{m: map[string][]byte{}}
	for _, bench := range []struct {
		name  string
		cache *tree.Cache
	}{{"cold", nil}, {"warm", &tree.Cache{Store: store, Now: time.Now().Add(time.Hour)}}} {
		b.Run(bench.name, func(b *testing.B) {
			o := tree.Options{FS: open(b, dir), Cache: bench.cache, Jobs: 2}
			snapshot(b, o)
			for b.Loop() {
				snapshot(b, o)
			}
		})
	}
}
