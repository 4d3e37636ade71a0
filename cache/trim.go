// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"inlay/cache/disk"
)

// TrimOptions say what Trim removes beside what can't be used anyway: keys that
// lead to no layer, layers that no key leads to, and what killed processes left.
type TrimOptions struct {
	All      bool      // everything
	Before   time.Time // what was last used before this time, unless zero
	MaxBytes int64     // then the least recently used, until the rest has no more bytes; 0: any number
}

// Trim removes what o says and returns how much that was of each kind, in the
// order of Kinds. Images and UV go only with All, and don't count for MaxBytes.
//
// It waits for builds that use the cache; the error is a *BusyError if ctx ends
// first.
func (d *Dir) Trim(ctx context.Context, o TrimOptions) ([]Usage, error) {
	unlock, err := d.lock(ctx, false)
	if err != nil {
		return nil, err
	}
	defer unlock()
	t := newTrimmer(d)
	if o.All {
		err = t.everything(ctx)
	} else {
		err = t.some(ctx, o)
	}
	var all []Usage
	for _, k := range Kinds() {
		all = append(all, *t.removed[k])
	}
	if err != nil {
		err = fmt.Errorf("pruning the cache: %w", err)
	}
	return all, err
}

// A trimmer removes entries while nobody else uses the cache.
type trimmer struct {
	dir     *Dir
	items   []item         // what is left but for Images and UV, the least recently used first
	refs    map[string]int // how many keys lead to a blob
	total   int64          // bytes of items, each blob counted once
	removed map[Kind]*Usage
}

func newTrimmer(d *Dir) *trimmer {
	t := &trimmer{dir: d, refs: map[string]int{}, removed: map[Kind]*Usage{}}
	for _, k := range Kinds() {
		t.removed[k] = &Usage{Kind: k}
	}
	return t
}

// everything removes what is in the cache, but not the marks of it being one.
func (t *trimmer) everything(ctx context.Context) error {
	for _, k := range Kinds() {
		if err := ctx.Err(); err != nil {
			return err
		}
		u, err := t.dir.usage(k)
		if err != nil {
			return err
		}
		if err := t.dir.removeAll(ctx, k); err != nil {
			return err
		}
		*t.removed[k] = u
	}
	return nil
}

// removeAll removes a kind's directory.
func (d *Dir) removeAll(ctx context.Context, k Kind) error {
	if k == Trees {
		trees, err := disk.ListTrees(d.Path(k))
		if err != nil {
			return err
		}
		for _, tree := range trees {
			if err := d.remove(ctx, k, filepath.Join(d.Path(k), tree.Name())); err != nil {
				return err
			}
		}
	}
	return disk.RemoveAll(d.Path(k))
}

func (t *trimmer) some(ctx context.Context, o TrimOptions) error {
	if err := t.unusable(ctx); err != nil {
		return err
	}
	if err := t.drop(ctx, func(it item) bool { return it.Used.Before(o.Before) }); err != nil {
		return err
	}
	if o.MaxBytes <= 0 {
		return nil
	}
	return t.drop(ctx, func(item) bool { return t.total > o.MaxBytes })
}

// unusable removes leftovers, keys that lead to no layer and layers that no key
// leads to.
func (t *trimmer) unusable(ctx context.Context) error {
	for _, k := range Kinds() {
		for _, dir := range t.dir.dirs(k) {
			freed, err := disk.Sweep(dir)
			if err != nil {
				return err
			}
			t.removed[k].Bytes += freed
		}
	}
	for _, k := range scratchKinds {
		freed, err := t.dir.sweep(ctx, k)
		if err != nil {
			return err
		}
		t.removed[k].Bytes += freed
	}
	if err := t.load(); err != nil {
		return err
	}
	if err := t.orphans(); err != nil {
		return err
	}
	return t.drop(ctx, func(it item) bool { return it.Kind == Layers && it.blob == "" })
}

// load lists all entries.
func (t *trimmer) load() error {
	for _, k := range Kinds() {
		items, err := t.dir.items(k)
		if err != nil {
			return err
		}
		for _, it := range items {
			if it.blob == "" || t.refs[it.blob] == 0 {
				t.total += it.Size
			}
			if it.blob != "" {
				t.refs[it.blob]++
			}
		}
		t.items = append(t.items, items...)
	}
	slices.SortFunc(t.items, func(a, b item) int {
		return cmp.Or(a.Used.Compare(b.Used), strings.Compare(a.Name, b.Name))
	})
	return nil
}

// orphans removes the blobs that no key leads to.
func (t *trimmer) orphans() error {
	blobs, err := disk.List(t.dir.blobs())
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if t.refs[b.Name()] > 0 {
			continue
		}
		if err := os.Remove(t.dir.blob(b.Name())); err != nil {
			return err
		}
		t.removed[Layers].Bytes += b.Size()
	}
	return nil
}

// drop removes the items that are unwanted when it is their turn.
func (t *trimmer) drop(ctx context.Context, unwanted func(item) bool) error {
	var kept []item
	for _, it := range t.items {
		if !unwanted(it) {
			kept = append(kept, it)
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.remove(ctx, it); err != nil {
			return err
		}
	}
	t.items = kept
	return nil
}

// remove removes an entry and, of a layer, the blob that no other key leads to.
func (t *trimmer) remove(ctx context.Context, it item) error {
	if err := t.dir.remove(ctx, it.Kind, it.path); err != nil {
		return err
	}
	u := t.removed[it.Kind]
	u.Count++
	if it.blob != "" {
		if t.refs[it.blob]--; t.refs[it.blob] > 0 {
			return nil
		}
		if err := os.Remove(t.dir.blob(it.blob)); err != nil {
			return err
		}
	}
	u.Bytes += it.Size
	t.total -= it.Size
	return nil
}
