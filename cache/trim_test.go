// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/cache"
	"inlay/cache/disk"
)

// day returns a time some days after a certain one.
func day(n int) time.Time { return time.Date(2024, 1, 1+n, 0, 0, 0, 0, time.UTC) }

func usedOn(t *testing.T, path string, n int) {
	t.Helper()
	if err := os.Chtimes(path, day(n), day(n)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fillCache puts one or two things of each kind into a new cache: some of them
// used on day 1, others on days 2 to 5.
func fillCache(t *testing.T) (d *cache.Dir, root string) {
	t.Helper()
	d, root = openCache(t)
	put(t, d, cache.Key{1}, "old")
	put(t, d, cache.Key{2}, "new")
	put(t, d, cache.Key{3}, "new") // the same layer by another key
	usedOn(t, keyFile(root, cache.Key{1}), 1)
	usedOn(t, keyFile(root, cache.Key{2}), 2)
	usedOn(t, keyFile(root, cache.Key{3}), 3)
	wheel := func(content, digest string, n int) {
		path := filepath.Join(d.Path(cache.Wheels), digest)
		write(t, path, content)
		usedOn(t, path, n)
	}
	wheel("old wheel", "af9d4d39e66ee5b3fb77a9bd1ad1b4a6e9a1a0c1ae2d5c0d5a5b3a7d1e9c0f11", 1)
	wheel("new", "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437", 4)
	for k, n := range map[cache.Kind]int{cache.Inventories: 1, cache.Resolutions: 5, cache.Records: 5} {
		v := disk.Values{Dir: d.Path(k)}
		if err := v.Put("value", []byte("of "+k)); err != nil {
			t.Fatal(err)
		}
		usedOn(t, filepath.Join(v.Dir, "value"), n)
	}
	write(t, filepath.Join(d.Path(cache.Images), "index.json"), "{}")
	write(t, filepath.Join(d.Path(cache.UV), "cache", "a"), "uv's")
	write(t, filepath.Join(d.Path(cache.UV), "uv"), "uv")
	return d, root
}

// usage compares how many there are of each kind, and leaves kinds out of
// which there is nothing.
func usage(t *testing.T, d *cache.Dir, want string) {
	t.Helper()
	all, err := d.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if got := counts(all); got != want {
		t.Errorf("Usage = %s, want %s", got, want)
	}
}

func counts(all []cache.Usage) string {
	var b strings.Builder
	for _, u := range all {
		if u.Count > 0 || u.Bytes > 0 {
			fmt.Fprintf(&b, "%s %d;", u.Kind, u.Count)
		}
	}
	return b.String()
}

func bytesOf(t *testing.T, d *cache.Dir, k cache.Kind) int64 {
	t.Helper()
	all, err := d.Usage()
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		if u.Kind == k {
			return u.Bytes
		}
	}
	t.Fatalf("no usage of %s", k)
	return 0
}

func TestUsageAndList(t *testing.T) {
	t.Parallel()
	d, root := fillCache(t)
	usage(t, d, "layers 3;wheels 2;inventories 1;resolutions 1;records 1;images 1;uv 2;")
	blobs, err := disk.List(filepath.Join(root, "layers", "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[cache.Kind]int64{
		cache.Layers: blobs[0].Size() + blobs[1].Size(),
		cache.Wheels: 12,
		cache.Images: 2,
		cache.UV:     6,
	} {
		if got := bytesOf(t, d, k); got != want {
			t.Errorf("%s: %d bytes, want %d", k, got, want)
		}
	}
	for k, want := range map[cache.Kind]string{
		cache.Layers:  "0300 on day 3, 0200 on day 2, 0100 on day 1, ",
		cache.Wheels:  "1150 on day 4, af9d on day 1, ",
		cache.Records: "valu on day 5, ",
		cache.UV:      "",
	} {
		entries, err := d.List(k)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range entries {
			got += fmt.Sprintf("%s on day %d, ", e.Name[:4], int(e.Used.Sub(day(0)).Hours()/24))
			if e.Kind != k || e.Size <= 0 {
				t.Errorf("List(%s) has %+v", k, e)
			}
		}
		if got != want {
			t.Errorf("List(%s) = %s, want %s", k, got, want)
		}
	}
}

func TestGetIsUse(t *testing.T) {
	t.Parallel()
	d, _ := fillCache(t)
	if _, err := d.Get(t.Context(), cache.Key{1}); err != nil {
		t.Fatal(err)
	}
	entries, err := d.List(cache.Layers)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := entries[0].Name[:4], "0100"; got != want {
		t.Errorf("the last used key begins with %s, want %s", got, want)
	}
}

func TestTrim(t *testing.T) {
	t.Parallel()
	const all = "layers 3;wheels 2;inventories 1;resolutions 1;records 1;images 1;uv 2;"
	tests := []struct {
		name          string
		options       cache.TrimOptions
		removed, left string
		hits          []byte // keys of layers that are left
	}{
		{"nothing", cache.TrimOptions{}, "", all, []byte{1, 2, 3}},
		{"everything", cache.TrimOptions{All: true}, all, "", nil},
		{
			"what is older than a day",
			cache.TrimOptions{Before: day(2)},
			"layers 1;wheels 1;inventories 1;", "layers 2;wheels 1;resolutions 1;records 1;images 1;uv 2;",
			[]byte{2, 3},
		},
		{
			"one of two keys of a layer",
			cache.TrimOptions{Before: day(3)},
			"layers 2;wheels 1;inventories 1;", "layers 1;wheels 1;resolutions 1;records 1;images 1;uv 2;",
			[]byte{3},
		},
		{
			"both keys of a layer",
			cache.TrimOptions{Before: day(4)},
			"layers 3;wheels 1;inventories 1;", "wheels 1;resolutions 1;records 1;images 1;uv 2;",
			nil,
		},
		{
			"down to one byte",
			cache.TrimOptions{MaxBytes: 1},
			"layers 3;wheels 2;inventories 1;resolutions 1;records 1;", "images 1;uv 2;",
			nil,
		},
		{
			"down to what there is",
			cache.TrimOptions{MaxBytes: 1 << 20},
			"", all,
			[]byte{1, 2, 3},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, root := fillCache(t)
			removed, err := d.Trim(t.Context(), tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := counts(removed); got != tt.removed {
				t.Errorf("Trim = %s, want %s", got, tt.removed)
			}
			usage(t, d, tt.left)
			var hits []byte
			for i := range byte(4) {
				if _, err := d.Get(t.Context(), cache.Key{i}); err == nil {
					hits = append(hits, i)
				}
			}
			if diff := cmp.Diff(tt.hits, hits); diff != "" {
				t.Errorf("layers left (-want +got):\n%s", diff)
			}
			if _, err := cache.Open(root); err != nil {
				t.Errorf("Open after Trim = %v", err)
			}
		})
	}
}

// Down to a size goes the least recently used first, and stops in time.
func TestTrimDownToASize(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	for i := range 9 {
		path := filepath.Join(root, "wheels", fmt.Sprintf("%064x", i))
		write(t, path, strings.Repeat("x", 100))
		usedOn(t, path, 20-i)
	}
	removed, err := d.Trim(t.Context(), cache.TrimOptions{MaxBytes: 450})
	if err != nil {
		t.Fatal(err)
	}
	want := cache.Usage{Kind: cache.Wheels, Count: 5, Bytes: 500}
	if got := removed[1]; got != want {
		t.Errorf("Trim removed %+v, want %+v", got, want)
	}
	entries, err := d.List(cache.Wheels)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if want := fmt.Sprintf("%064x", i); e.Name != want {
			t.Errorf("left is %s, want %s", e.Name, want)
		}
	}
	if len(entries) != 4 {
		t.Errorf("%d are left, want 4", len(entries))
	}
}

// What can't be used goes always: leftovers, keys without their layer and
// layers without a key.
func TestTrimRemovesTheUnusable(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	put(t, d, cache.Key{1}, "stays")
	gone := blobOf(t, root, put(t, d, cache.Key{2}, "goes"))
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	write(t, keyFile(root, cache.Key{3}), "damaged")
	write(t, filepath.Join(root, "layers", "blobs", "sha256", strings.Repeat("0", 64)), "no key")
	write(t, filepath.Join(root, "layers", "blobs", "sha256", ".tmp-A"), "left")
	write(t, filepath.Join(root, "wheels", ".lock-A"), "")
	write(t, filepath.Join(root, "uv", "1.0", ".tmp-A"), "left")
	write(t, filepath.Join(root, "uv", "tmp", "scratch-a", "deep", "file"), "left")
	removed, err := d.Trim(t.Context(), cache.TrimOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// The sizes of damaged entries aren't known; "no key" and "left" have 10 bytes.
	if got, want := removed[0], (cache.Usage{Kind: cache.Layers, Count: 2, Bytes: 10}); got != want {
		t.Errorf("Trim = %+v, want %+v", got, want)
	}
	if got, want := removed[len(removed)-1], (cache.Usage{Kind: cache.UV, Bytes: 8}); got != want {
		t.Errorf("Trim = %+v, want %+v", got, want)
	}
	if n := len(tree(t, root)); n != 2 {
		t.Errorf("left are %v, want one layer and its key", tree(t, root))
	}
	if _, err := d.Get(t.Context(), cache.Key{1}); err != nil {
		t.Errorf("Get = %v", err)
	}
}

func TestTrimIsCancelled(t *testing.T) {
	t.Parallel()
	for _, o := range []cache.TrimOptions{{All: true}, {Before: day(9)}, {MaxBytes: 1}} {
		d, _ := fillCache(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Trim(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("Trim(%+v) = %v, want context.Canceled", o, err)
		}
		usage(t, d, "layers 3;wheels 2;inventories 1;resolutions 1;records 1;images 1;uv 2;")
	}
}
