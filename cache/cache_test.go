// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/cache"
	"inlay/layers"
)

func openCache(t *testing.T) (*cache.Dir, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "cache")
	d, err := cache.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return d, root
}

// fill writes a layer of one file with content to w.
func fill(w io.Writer, content string) (layers.Summary, error) {
	lw := layers.NewWriter(w, layers.Options{ModTime: time.Unix(0, 0)})
	e := layers.Entry{Path: "file", Mode: 0o644, Size: int64(len(content))}
	if err := lw.Add(e, strings.NewReader(content)); err != nil {
		return layers.Summary{}, err
	}
	return lw.Close()
}

// put stores a layer of one file with content under key.
func put(t *testing.T, d *cache.Dir, key cache.Key, content string) v1.Layer {
	t.Helper()
	p, err := d.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Abort()
	s, err := fill(p, content)
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.Commit(key, s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tree lists the files below root but for the marks of a cache, sorted. Long
// hexadecimal and temporary names are cut short.
func tree(t *testing.T, root string) []string {
	t.Helper()
	got := []string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "CACHEDIR.TAG" || e.Name() == "lock" {
			return err
		}
		dir, name := filepath.Split(strings.TrimPrefix(path, root+"/"))
		if len(name) > 9 {
			name = name[:5]
		}
		if before, rest, ok := strings.Cut(dir, "/scratch-"); ok {
			_, rest, _ = strings.Cut(rest, "/")
			dir = before + "/scratch/" + rest
		}
		got = append(got, dir+name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantTree(t *testing.T, root string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), tree(t, root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// blobOf returns the path of a layer's file.
func blobOf(t *testing.T, root string, l v1.Layer) string {
	t.Helper()
	digest, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "layers", "blobs", "sha256", digest.Hex)
}

func keyFile(root string, key cache.Key) string {
	return filepath.Join(root, "layers", "keys", hex.EncodeToString(key[:]))
}

func wantMiss(t *testing.T, d *cache.Dir, key cache.Key, when string) {
	t.Helper()
	if l, err := d.Get(t.Context(), key); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("%s: Get = %v, %v, want ErrMiss", when, l, err)
	}
}

func TestGetReturnsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	key := cache.Key{1}
	wantMiss(t, d, key, "before Commit")
	committed := put(t, d, key, "hello")
	got, err := d.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]v1.Layer{"committed": committed, "got": got} {
		if err := validate.Layer(l); err != nil {
			t.Errorf("the layer that was %s: %v", name, err)
		}
	}
	if diff := cmp.Diff(describe(t, committed), describe(t, got)); diff != "" {
		t.Errorf("Get (-committed +got):\n%s", diff)
	}
	wantMiss(t, d, cache.Key{2}, "of another key")
	again, err := cache.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Get(t.Context(), key); err != nil {
		t.Errorf("Get from the cache opened again = %v", err)
	}
}

func describe(t *testing.T, l v1.Layer) string {
	t.Helper()
	digest, err1 := l.Digest()
	diffID, err2 := l.DiffID()
	size, err3 := l.Size()
	mediaType, err4 := l.MediaType()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintln(digest, diffID, size, mediaType)
}

// The layout is a contract: other versions and programs meet it.
func TestLayout(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	l := put(t, d, cache.Key{0xab}, "hello")
	for _, path := range []string{
		blobOf(t, root, l),
		filepath.Join(root, "layers", "keys", "ab"+strings.Repeat("0", 62)),
		filepath.Join(root, "CACHEDIR.TAG"),
	} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(root, "CACHEDIR.TAG"))
	if want := "Signature: 8a477f597d28d172789f06886806bc55\n"; err != nil || !strings.HasPrefix(string(b), want) {
		t.Errorf("CACHEDIR.TAG = %q, %v, want it to begin with %q", b, err, want)
	}
	for _, k := range cache.Kinds() {
		if got, want := d.Path(k), filepath.Join(root, string(k)); got != want {
			t.Errorf("Path(%s) = %s, want %s", k, got, want)
		}
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	p, err := d.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p, "half a layer"); err != nil {
		t.Fatal(err)
	}
	wantTree(t, root, "layers/blobs/sha256/.tmp-")
	p.Abort()
	wantTree(t, root)
	wantMiss(t, d, cache.Key{1}, "after Abort")
}

func TestCommitRefusesAnotherSummary(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	for name, edit := range map[string]func(*layers.Summary){
		"size":      func(s *layers.Summary) { s.Size++ },
		"no digest": func(s *layers.Summary) { s.Digest = v1.Hash{} },
		"sha512":    func(s *layers.Summary) { s.Digest.Algorithm = "sha512" },
		"a path":    func(s *layers.Summary) { s.Digest.Hex = "../" + s.Digest.Hex[3:] },
	} {
		p, err := d.Begin()
		if err != nil {
			t.Fatal(err)
		}
		s, err := fill(p, "hello")
		if err != nil {
			t.Fatal(err)
		}
		edit(&s)
		if _, err := p.Commit(cache.Key{1}, s); err == nil {
			t.Errorf("%s: Commit succeeded", name)
		}
		p.Abort()
		wantMiss(t, d, cache.Key{1}, name)
	}
	wantTree(t, root)
}

func TestDamagedEntriesAreMisses(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	key := cache.Key{1}
	l := put(t, d, key, "hello")
	entry, blob := keyFile(root, key), blobOf(t, root, l)
	whole, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 4
		write(entry, flipped)
		wantMiss(t, d, key, fmt.Sprintf("bit flipped at %d", i))
		write(entry, whole[:i])
		wantMiss(t, d, key, fmt.Sprintf("cut at %d", i))
	}
	write(entry, whole)
	other := cache.Key{2}
	write(keyFile(root, other), whole)
	wantMiss(t, d, other, "entry of another key")

	content, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	write(blob, content[:len(content)-1])
	wantMiss(t, d, key, "layer truncated")
	write(blob, append(bytes.Clone(content), 0))
	wantMiss(t, d, key, "layer with more behind it")
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	wantMiss(t, d, key, "layer gone")
	write(blob, content)
	if _, err := d.Get(t.Context(), key); err != nil {
		t.Errorf("Get when all is restored = %v", err)
	}
}

func TestDamagedLayersFailWhenRead(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	l := put(t, d, cache.Key{1}, "hello")
	blob := blobOf(t, root, l)
	b, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	b[9] ^= 1 // the header's OS: no reader would see it
	if err := os.WriteFile(blob, b, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err = d.Get(t.Context(), cache.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (io.ReadCloser, error){"Compressed": l.Compressed, "Uncompressed": l.Uncompressed} {
		rc, err := open()
		if err == nil {
			_, err = io.Copy(io.Discard, rc)
			rc.Close()
		}
		var de *layers.DigestError
		if !errors.As(err, &de) {
			t.Errorf("reading %s = %v, want a *layers.DigestError", name, err)
		}
	}
}

// The same key committed by many at once, and read meanwhile.
func TestCommitAtOnce(t *testing.T) {
	t.Parallel()
	d, root := openCache(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			p, err := d.Begin()
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Abort()
			s, err := fill(p, "hello")
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := p.Commit(cache.Key{1}, s); err != nil {
				t.Error(err)
			}
			l, err := d.Get(t.Context(), cache.Key{1})
			if err != nil {
				t.Error(err)
				return
			}
			if err := validate.Layer(l); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	files := tree(t, root)
	if len(files) != 2 {
		t.Errorf("the cache holds %v, want one layer and one key", files)
	}
}

func TestGetIsCancelled(t *testing.T) {
	t.Parallel()
	d, _ := openCache(t)
	put(t, d, cache.Key{1}, "hello")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Get(ctx, cache.Key{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("Get = %v, want context.Canceled", err)
	}
}
