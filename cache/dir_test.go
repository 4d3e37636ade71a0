// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"inlay/cache"
	"inlay/cache/disk"
)

// TestMain lets a test run this very binary as another process: with
// INLAY_CACHE_TEST set it is a build that uses the cache in the directory that
// is its only argument, has half a layer written, and waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv("INLAY_CACHE_TEST") == "" {
		os.Exit(m.Run())
	}
	if err := build(os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	time.Sleep(time.Hour) // not select {}: the runtime calls that a deadlock
}

// held keeps what build holds from the garbage collector, which would let go of
// its locks.
var held []any

func build(root string) error {
	d, err := cache.Open(root)
	if err != nil {
		return err
	}
	release, err := d.Use(context.Background())
	if err != nil {
		return err
	}
	p, err := d.Begin()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(p, "half a layer"); err != nil {
		return err
	}
	dir, remove, err := disk.Scratch(context.Background(), d.Scratch())
	held = []any{release, p, remove}
	if err == nil {
		err = os.WriteFile(dir+"/half", []byte("half"), 0o644)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Println("ready")
	return err
}

// otherBuild starts a build in another process and returns what kills it.
func otherBuild(t *testing.T, root string) (kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], root)
	cmd.Env = append(os.Environ(), "INLAY_CACHE_TEST=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the other build said %q, %v", line, err)
	}
	return sync.OnceFunc(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // killed
	})
}

func TestKilledBuild(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	kill := otherBuild(t, root)
	release, err := d.Use(t.Context()) // two builds at once
	if err != nil {
		t.Fatal(err)
	}
	release()
	half := []string{".tmp-", "layers/blobs/sha256/.tmp-", "uv/tmp/.lock", "uv/tmp/scratch/half"}
	wantTree(t, root, half...)
	wantBusy(t, d, root)
	kill()
	wantMiss(t, d, cache.Key{1}, "after the kill")
	usage(t, d, "uv 2;")
	wantTree(t, root, half...)
	release, err = d.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantTree(t, root, ".tmp-")
	put(t, d, cache.Key{1}, "hello")
	release()
	wantTree(t, root, "layers/blobs/sha256/ba0fc", "layers/keys/01000")
	if _, err := d.Trim(t.Context(), cache.TrimOptions{}); err != nil {
		t.Errorf("Trim when no build runs = %v", err)
	}
}

// wantBusy checks that Trim waits for a build and says so.
func wantBusy(t *testing.T, d *cache.Dir, root string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.Trim(ctx, cache.TrimOptions{All: true})
	var be *cache.BusyError
	if !errors.As(err, &be) || be.Root != root || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Trim beside a build = %v, want a *BusyError of %s", err, root)
		return
	}
	if got, want := err.Error(), "waiting for other runs of inlay that use the cache in "+root+": context deadline exceeded"; got != want {
		t.Errorf("error = %s\nwant    %s", got, want)
	}
	if got, want := be.Hint(), "wait until the other runs end, then run the same command again, or use a cache of its own with --cache-dir DIR"; got != want {
		t.Errorf("hint = %s\nwant   %s", got, want)
	}
}

func TestOpenMarksItsDirectory(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "a", "b")
	var wg sync.WaitGroup
	for range 8 { // all at once, each then uses it
		wg.Go(func() {
			d, err := cache.Open(root)
			if err != nil {
				t.Error(err)
				return
			}
			if err := (disk.Values{Dir: d.Path(cache.Records)}).Put("a", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// Other things beside the cache don't matter.
	other := t.TempDir()
	if err := os.Mkdir(filepath.Join(other, "lost+found"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(other); err != nil {
		t.Errorf("Open beside lost+found = %v", err)
	}
}

func TestOpenRefusesForeignDirectories(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		make func(root string) error
		want string // "ROOT" stands for the directory
	}{
		{
			"records of somebody", func(root string) error { return os.Mkdir(filepath.Join(root, "records"), 0o755) },
			"%[1]s can't be the cache: its records was not made by inlay",
		}, {
			"another's cache", func(root string) error {
				return os.WriteFile(filepath.Join(root, "CACHEDIR.TAG"), []byte("Signature: 8a477f597d28d172789f06886806bc55\n# of pip\n"), 0o644)
			},
			"%[1]s can't be the cache: its CACHEDIR.TAG was not made by inlay",
		}, {
			"an empty tag", func(root string) error {
				return os.WriteFile(filepath.Join(root, "CACHEDIR.TAG"), nil, 0o644)
			},
			"%[1]s can't be the cache: its CACHEDIR.TAG was not made by inlay",
		},
	}
	for _, tt := range tests {
		root := t.TempDir()
		if err := tt.make(root); err != nil {
			t.Fatal(err)
		}
		_, err := cache.Open(root)
		var fe *cache.ForeignError
		if want := fmt.Sprintf(tt.want, root); !errors.As(err, &fe) || err.Error() != want {
			t.Errorf("%s: Open = %v\nwant %s", tt.name, err, want)
			continue
		}
		if got, want := fe.Hint(), "name an empty directory with --cache-dir DIR"; got != want {
			t.Errorf("%s: hint = %s, want %s", tt.name, got, want)
		}
	}
	newer := t.TempDir()
	tag := "Signature: 8a477f597d28d172789f06886806bc55\n# cache of inlay, form 2\n"
	if err := os.WriteFile(filepath.Join(newer, "CACHEDIR.TAG"), []byte(tag), 0o644); err != nil {
		t.Fatal(err)
	}
	var ve *cache.VersionError
	if _, err := cache.Open(newer); !errors.As(err, &ve) || ve.Root != newer {
		t.Errorf("Open of a cache of another form = %v, want a *VersionError", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(file); err == nil {
		t.Error("Open of a file succeeded")
	}
}

func TestUseIsCancelled(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	unlock, err := disk.Lock(t.Context(), filepath.Join(root, "lock"), false) // as Trim does
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := d.Use(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Use = %v, want context.Canceled", err)
	}
}
