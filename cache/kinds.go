// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"inlay/cache/disk"
)

// A Kind is one sort of things in the cache; they are kept in a directory of
// the same name.
type Kind string

// What a cache holds.
const (
	Layers      Kind = "layers"      // finished layers by key: Dir's own
	Wheels      Kind = "wheels"      // downloads by digest: a fetch.Store
	Debs        Kind = "debs"        // downloads by digest: a fetch.Store
	Unpacked    Kind = "unpacked"    // Debs again, unpacked, by the same digests
	Trees       Kind = "trees"       // layers of images as directories, to run commands over: a rootfs.Store
	Archives    Kind = "archives"    // indexes of Debian archives: disk.Values
	Inventories Kind = "inventories" // what parents and sources hold: disk.Values
	Resolutions Kind = "resolutions" // which files requirements and packages came to, what isolates commands here: disk.Values
	Records     Kind = "records"     // which plan gave which image: disk.Values
	Images      Kind = "images"      // images that were given no other place: an OCI layout
	UV          Kind = "uv"          // uv and uv's own cache: a directory that uv manages
)

// Kinds returns all kinds, in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{Layers, Wheels, Debs, Unpacked, Trees, Archives, Inventories, Resolutions, Records, Images, UV}
}

// byDigest reports whether the files of a kind are named by a digest in hex.
func (k Kind) byDigest() bool {
	return k == Layers || k == Wheels || k == Debs || k == Unpacked || k == Trees
}

// isWhole reports whether a kind is shown and removed as a whole, because what
// its directory holds is the business of another program or format.
func (k Kind) isWhole() bool { return k == Images || k == UV }

// Path returns the directory of a kind. It may not exist yet.
func (d *Dir) Path(k Kind) string { return filepath.Join(d.root, string(k)) }

// Usage says how much there is of a kind.
type Usage struct {
	Kind  Kind
	Count int   // layers by key, files, values; files of Images and UV
	Bytes int64 // of all files
}

// An Entry is one thing in the cache.
type Entry struct {
	Kind Kind
	Name string    // a layer's key and a file's digest in hex, a value's name
	Size int64     // in bytes; of a layer, its compressed size, 0 if the entry is damaged
	Used time.Time // last time it was made or used
}

// Usage returns how much there is of each kind, in the order of Kinds.
func (d *Dir) Usage() ([]Usage, error) {
	var all []Usage
	for _, k := range Kinds() {
		u, err := d.usage(k)
		if err != nil {
			return nil, fmt.Errorf("listing cached %s: %w", k, err)
		}
		all = append(all, u)
	}
	return all, nil
}

func (d *Dir) usage(k Kind) (Usage, error) {
	u := Usage{Kind: k}
	if k.isWhole() {
		err := filepath.WalkDir(d.Path(k), u.add)
		return u, err
	}
	items, err := d.items(k)
	if err != nil {
		return u, err
	}
	u.Count = len(items)
	for _, it := range items {
		u.Bytes += it.Size
	}
	if k == Layers { // several keys may lead to one blob
		blobs, err := disk.List(d.blobs())
		if err != nil {
			return u, err
		}
		u.Bytes = 0
		for _, b := range blobs {
			u.Bytes += b.Size()
		}
	}
	return u, nil
}

// add counts a file; it is a fs.WalkDirFunc.
func (u *Usage) add(_ string, e fs.DirEntry, err error) error {
	if err == nil && !e.IsDir() {
		var info fs.FileInfo
		if info, err = e.Info(); err == nil {
			u.Count++
			u.Bytes += info.Size()
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // none yet, or just removed
	}
	return err
}

// List returns the entries of a kind, the last used first. Images and UV have
// none.
func (d *Dir) List(k Kind) ([]Entry, error) {
	items, err := d.items(k)
	if err != nil {
		return nil, fmt.Errorf("listing cached %s: %w", k, err)
	}
	entries := make([]Entry, len(items))
	for i, it := range items {
		entries[i] = it.Entry
	}
	return entries, nil
}

// An item is an entry and the files that make it.
type item struct {
	Entry
	path string // of the file named by the entry
	blob string // digest of a layer in hex, "" if the entry is damaged
}

// items returns the entries of a kind, the last used first.
func (d *Dir) items(k Kind) ([]item, error) {
	dir := d.Path(k)
	switch {
	case k.isWhole():
		return nil, nil
	case k == Layers:
		dir = d.keys().Dir
	}
	list := disk.List
	if k == Trees {
		list = disk.ListTrees
	}
	files, err := list(dir)
	if err != nil {
		return nil, err
	}
	var items []item
	for _, f := range files {
		if k.byDigest() && !isHex(f.Name()) {
			continue // nobody would find it
		}
		it := item{Entry: Entry{Kind: k, Name: f.Name(), Size: f.Size(), Used: f.ModTime()}, path: filepath.Join(dir, f.Name())}
		switch k {
		case Layers:
			it.Size, it.blob = d.sizeOf(f.Name())
		case Trees:
			it.Size = disk.SizeOf(it.path)
		}
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(b.Used.Compare(a.Used), strings.Compare(a.Name, b.Name))
	})
	return items, nil
}

// sizeOf returns size and digest of the layer of a key, nothing if the entry
// is damaged. It doesn't count as use.
func (d *Dir) sizeOf(key string) (size int64, blob string) {
	b, err := d.keys().Peek(key)
	if err != nil {
		return 0, ""
	}
	s, err := d.summary(b)
	if err != nil {
		return 0, ""
	}
	return s.Size, s.Digest.Hex
}
