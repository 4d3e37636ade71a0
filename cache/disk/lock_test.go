// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"inlay/cache/disk"
)

func lock(t *testing.T, path string, shared bool) (unlock func()) {
	t.Helper()
	unlock, err := disk.Lock(t.Context(), path, shared)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// wantHeld checks that the lock on path can't be had now.
func wantHeld(t *testing.T, path string, shared bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	if _, err := disk.Lock(ctx, path, shared); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock while another holds it = %v, want it to wait until the deadline", err)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		first, second bool // shared
		want          bool // both at once
	}{
		{"two shared", true, true, true},
		{"shared, exclusive", true, false, false},
		{"exclusive, shared", false, true, false},
		{"two exclusive", false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "made", "lock")
			unlock := lock(t, path, tt.first)
			if tt.want {
				lock(t, path, tt.second)()
			} else {
				wantHeld(t, path, tt.second)
			}
			unlock()
			lock(t, path, tt.second)()
		})
	}
}

func TestLockIsCancelled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	defer lock(t, path, false)()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := disk.Lock(ctx, path, true); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock = %v, want context.Canceled", err)
	}
}

func TestLockEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, ".lock-a")
	cmd, out := start(t, "write", dir, false)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the writer said %q, %v", line, err)
	}
	wantHeld(t, path, false)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	lock(t, path, false)()
}

// The holder may remove the file: nobody ends up with the lock of a file that
// others don't see.
func TestLockOfARemovedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var inside atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				unlock, err := disk.Lock(t.Context(), path, false)
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock at once", n)
				}
				inside.Add(-1)
				if err := os.Remove(path); err != nil {
					t.Error(err)
				}
				unlock()
			}
		})
	}
	wg.Wait()
}
