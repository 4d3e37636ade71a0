// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/cache"
	"inlay/cache/disk"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	d, root := fillCache(t)
	bad := filepath.Join(d.Path(cache.Wheels), "af9d4d39e66ee5b3fb77a9bd1ad1b4a6e9a1a0c1ae2d5c0d5a5b3a7d1e9c0f11")
	wantProblems(t, d, fmt.Sprintf("wheels %s has sha256 f7066d2536c3ca83c17420ca9d85bad25d88418b2dd7a468d12f58efcd8f1c5e", bad))
	if _, err := os.Stat(bad); err == nil {
		t.Error("the damaged wheel is still there")
	}
	usage(t, d, "layers 3;wheels 1;inventories 1;resolutions 1;records 1;images 1;uv 2;")
	wantProblems(t, d)

	l, err := d.Get(t.Context(), cache.Key{2})
	if err != nil {
		t.Fatal(err)
	}
	blob := blobOf(t, root, l)
	b, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	write(t, blob, strings.Repeat("x", len(b)))
	write(t, filepath.Join(d.Path(cache.Records), "value"), "no checksum")
	write(t, keyFile(root, cache.Key{1}), "no checksum")
	write(t, filepath.Join(d.Path(cache.UV), "uv"), "uv's own business")
	wantProblems(t, d,
		"layers "+blob+" has sha256 "+fmt.Sprintf("%x", sha256.Sum256(bytes.Repeat([]byte("x"), len(b)))),
		"layers "+keyFile(root, cache.Key{1})+" is damaged",
		"records "+filepath.Join(d.Path(cache.Records), "value")+" is damaged",
	)
	// With a layer go the keys that lead to it.
	usage(t, d, "wheels 1;inventories 1;resolutions 1;images 1;uv 2;")
	wantProblems(t, d)
}

func TestVerifyFindsKeysWithoutLayers(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	write(t, blobOf(t, root, put(t, d, cache.Key{1}, "hello")), "short")
	missing := blobOf(t, root, put(t, d, cache.Key{2}, "other"))
	if err := os.Remove(missing); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := d.Verify(t.Context(), func(p cache.Problem) { got = append(got, p.What) })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprintf("has sha256 %x", sha256.Sum256([]byte("short"))),
		"leads to no layer: the layer is missing",
		"leads to no layer: the layer has 5 bytes, not N",
	}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] && got[2] != want[1] || !strings.Contains(got[1]+got[2], "the layer has 5 bytes, not ") {
		t.Errorf("Verify reported %q, want %q", got, want)
	}
	wantTree(t, root)
}

// Verify checks beside a build, but removes only when it has ended.
func TestVerifyBesideABuild(t *testing.T) {
	t.Parallel()
	d, _ := openCache(t)
	wantProblems(t, d) // nothing to remove, nothing to wait for
	bad := filepath.Join(d.Path(cache.Wheels), strings.Repeat("0", 64))
	write(t, bad, "damaged")
	release, err := d.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	found := 0
	var be *cache.BusyError
	err = d.Verify(ctx, func(cache.Problem) {
		found++
		cancel() // it would wait for ever
	})
	if !errors.As(err, &be) {
		t.Errorf("Verify beside a build = %v, want a *BusyError", err)
	}
	if _, err := os.Stat(bad); err != nil || found != 1 {
		t.Errorf("Verify beside a build reported %d and left %v, want 1 and the file", found, err)
	}
	release()
	if err := d.Verify(t.Context(), func(cache.Problem) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bad); err == nil {
		t.Error("the damaged wheel is still there")
	}
}

func wantProblems(t *testing.T, d *cache.Dir, want ...string) {
	t.Helper()
	got := []string{}
	err := d.Verify(t.Context(), func(p cache.Problem) {
		if p.Name != filepath.Base(p.Path) {
			t.Errorf("problem of %s is at %s", p.Name, p.Path)
		}
		got = append(got, fmt.Sprintf("%s %s %s", p.Kind, p.Path, p.What))
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// Downloads of packages are checked by their digests, and what was unpacked of
// them by those who know the form.
func TestVerifyPackages(t *testing.T) {
	t.Parallel()
	d, _ := openCache(t)
	const digest = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437" // of "new"
	other := strings.Repeat("0", 64)
	for _, k := range []cache.Kind{cache.Debs, cache.Unpacked} {
		write(t, filepath.Join(d.Path(k), digest), "new")
		write(t, filepath.Join(d.Path(k), other), "damaged")
	}
	usage(t, d, "debs 2;unpacked 2;")
	d.CheckUnpacked = func(_ context.Context, path string) error {
		if strings.HasSuffix(path, other) {
			return errors.New("is no package")
		}
		return nil
	}
	wantProblems(t, d,
		fmt.Sprintf("debs %s has sha256 %x", filepath.Join(d.Path(cache.Debs), other), sha256.Sum256([]byte("damaged"))),
		"unpacked "+filepath.Join(d.Path(cache.Unpacked), other)+" is no package")
	usage(t, d, "debs 1;unpacked 1;")
}

// Layers that lie there as directories are checked and removed by those who
// know the form and whose files they are.
func TestTrees(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	good, bad, old := strings.Repeat("1", 64), strings.Repeat("2", 64), strings.Repeat("3", 64)
	for _, name := range []string{good, bad, old} {
		dir := filepath.Join(d.Path(cache.Trees), name)
		write(t, filepath.Join(dir, "tree", "etc", "f"), "content")
		if err := os.Chmod(filepath.Join(dir, "tree", "etc"), 0o500); err != nil {
			t.Fatal(err)
		}
	}
	usedOn(t, filepath.Join(d.Path(cache.Trees), old), 1)
	usage(t, d, "trees 3;")
	all, err := d.List(cache.Trees)
	if err != nil || len(all) != 3 || all[2].Name != old || all[2].Size != 7 {
		t.Errorf("List = %v, %v, want three, the one used long ago last, of 7 bytes", all, err)
	}
	d.CheckTree = func(_ context.Context, path string) error {
		if strings.HasSuffix(path, bad) {
			return errors.New("is no tree")
		}
		return nil
	}
	wantProblems(t, d, "trees "+filepath.Join(d.Path(cache.Trees), bad)+" is no tree")
	usage(t, d, "trees 2;")
	if _, err := d.Trim(t.Context(), cache.TrimOptions{Before: day(2)}); err != nil {
		t.Fatal(err)
	}
	usage(t, d, "trees 1;")
	var asked []string
	d.RemoveTree = func(_ context.Context, path string) error {
		asked = append(asked, path)
		return disk.RemoveAll(path)
	}
	if _, err := d.Trim(t.Context(), cache.TrimOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(root, "trees", good)}, asked); diff != "" {
		t.Errorf("removed with RemoveTree (-want +got):\n%s", diff)
	}
	usage(t, d, "")
}
