// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inlay/cache/disk"
)

func TestScratch(t *testing.T) {
	under := filepath.Join(t.TempDir(), "tmp")
	dir, remove, err := disk.Scratch(t.Context(), under)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 || !filepath.IsAbs(dir) || filepath.Dir(dir) != under {
		t.Fatalf("Scratch made %s (%v, %v), want a directory for its owner below %s", dir, info, err, under)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o400); err != nil {
		t.Fatal(err)
	}
	if freed, err := disk.SweepScratch(under, disk.RemoveAll); freed != 0 || err != nil {
		t.Errorf("SweepScratch beside its owner = %d, %v, want 0", freed, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		t.Errorf("SweepScratch took the directory of a living process: %v", err)
	}
	remove()
	if entries, err := os.ReadDir(under); err != nil || len(entries) > 0 {
		t.Errorf("after remove there are %v (%v), want nothing", entries, err)
	}
}

// TestSweepScratch removes what killed processes left, and nothing else.
func TestSweepScratch(t *testing.T) {
	under := t.TempDir()
	cmd, out := start(t, "scratch", under, false)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the process said %q, %v", line, err)
	}
	other := filepath.Join(under, "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if freed, err := disk.SweepScratch(under, disk.RemoveAll); freed != 0 || err != nil {
		t.Errorf("SweepScratch while the owner lives = %d, %v, want 0", freed, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if freed, err := disk.SweepScratch(under, disk.RemoveAll); freed != 4 || err != nil {
		t.Errorf("SweepScratch after the kill = %d, %v, want 4", freed, err)
	}
	if entries, err := os.ReadDir(under); err != nil || len(entries) != 1 || entries[0].Name() != "other" {
		t.Errorf("there are %v (%v), want what isn't ours", entries, err)
	}
	if freed, err := disk.SweepScratch(filepath.Join(under, "absent"), disk.RemoveAll); freed != 0 || err != nil {
		t.Errorf("SweepScratch of no directory = %d, %v, want 0", freed, err)
	}
}

func TestScratchFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var de *disk.DirError
	if _, _, err := disk.Scratch(t.Context(), file); !errors.As(err, &de) || !strings.HasPrefix(de.Dir, file) {
		t.Errorf("Scratch below a file = %v, want a *DirError", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := disk.Scratch(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("Scratch = %v, want context.Canceled", err)
	}
}
