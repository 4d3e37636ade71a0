// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// A Cache remembers the digests of one context's files, so that only files
// that changed are read again. Whether one did is told by its size, inode,
// device and the times of its last change: writing to a file sets its ctime
// even if the writer sets the mtime back.
type Cache struct {
	Store Store
	Name  string // of the value in Store, one for each context

	// Now is the time at which the build began, or any before Snapshot is
	// called. A file that changed less than 2 s before it is not remembered:
	// it could change again without a trace in its times, whose resolution is
	// 2 s on some file systems. So the zero time remembers nothing.
	Now time.Time
}

// A Store keeps small values by name; disk.Values is one. It may be used by
// several builds at once.
type Store interface {
	Get(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Put(name string, value []byte) error
}

// resolution is the coarsest one that times of files have.
const resolution = 2 * time.Second

// magic begins every value; it changes with the format.
const magic = "inlay tree 1\n"

// A stamp changes whenever a file's content does. The zero stamp stands for a
// file of which that isn't known.
type stamp struct {
	dev, ino         uint64
	size             int64
	modTime, chgTime int64 // in nanoseconds since 1970
}

// A memory is a file as the cache knows it.
type memory struct {
	path   string
	stamp  stamp
	digest [sha256.Size]byte
}

// leastMemory is how many bytes of a value most files take, or more: digest, stamp
// and a short path.
const leastMemory = sha256.Size + 24 + 8

// memories are what a value holds, and the value itself.
type memories struct {
	value []byte
	files []memory // by path
}

// load reads the cache. What can't be read is as good as absent.
func (c *Cache) load(note func(string)) memories {
	if c == nil {
		return memories{}
	}
	value, err := c.Store.Get(c.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		note(fmt.Sprintf("every file is read, for the list of known files can't be: %v", err))
	}
	return memories{value: value, files: decode(value)}
}

// recall fills in the digests of the files that are as they were. Both lists
// are sorted by path.
func recall(items []item, known memories) {
	next := known.files
	for i := range items {
		it := &items[i]
		for len(next) > 0 && next[0].path < it.Path {
			next = next[1:]
		}
		if len(next) > 0 && next[0].path == it.Path && next[0].stamp == it.stamp && it.Mode.IsRegular() {
			it.Digest = spell(next[0].digest[:])
			it.known = true
		}
	}
}

// save writes what is known now, unless the cache already says so. A build
// doesn't fail because the next one will be slower.
func (c *Cache) save(items []item, before memories, note func(string)) {
	if c == nil {
		return
	}
	value := append(make([]byte, 0, len(before.value)+1<<10), magic...) // mostly as large as it was
	for i := range items {
		it := &items[i]
		if it.Mode.IsRegular() && it.stamp != (stamp{}) && (it.known || c.settled(it.stamp)) {
			value = it.appendTo(value)
		}
	}
	if bytes.Equal(value, before.value) {
		return
	}
	if err := c.Store.Put(c.Name, value); err != nil {
		note(fmt.Sprintf("the next build will read every file again: %v", err))
	}
}

// settled reports whether the last change was so long ago that another one
// will show.
func (c *Cache) settled(s stamp) bool {
	return !c.Now.IsZero() && time.Unix(0, s.chgTime).Before(c.Now.Add(-resolution))
}

// appendTo writes the path of it, its stamp and its digest. Decode reads them.
func (it *item) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(it.Path)))
	b = append(b, it.Path...)
	b = binary.AppendUvarint(b, it.stamp.dev)
	b = binary.AppendUvarint(b, it.stamp.ino)
	b = binary.AppendVarint(b, it.stamp.size)
	b = binary.AppendVarint(b, it.stamp.modTime)
	b = binary.AppendVarint(b, it.stamp.chgTime)
	var text [2 * sha256.Size]byte
	copy(text[:], strings.TrimPrefix(it.Digest, algorithm))
	digest, err := hex.AppendDecode(b, text[:])
	if err != nil {
		panic(err) // hash and recall wrote it
	}
	return digest
}

// algorithm begins every digest.
const algorithm = "sha256:"

// spell writes a digest as plans have it.
func spell(digest []byte) string {
	var text [len(algorithm) + 2*sha256.Size]byte
	return string(hex.AppendEncode(append(text[:0], algorithm...), digest))
}

// decode reads a value, or nothing if it is damaged or of another version.
func decode(value []byte) []memory {
	rest, ok := bytes.CutPrefix(value, []byte(magic))
	if !ok {
		return nil
	}
	files := make([]memory, 0, len(rest)/leastMemory)
	for d := (decoder{rest: rest}); len(d.rest) > 0; {
		m := memory{path: string(d.take(d.uint()))}
		m.stamp = stamp{dev: d.uint(), ino: d.uint(), size: d.int(), modTime: d.int(), chgTime: d.int()}
		copy(m.digest[:], d.take(sha256.Size))
		if d.damaged || len(files) > 0 && m.path <= files[len(files)-1].path {
			return nil
		}
		files = append(files, m)
	}
	return files
}

// A decoder reads numbers and bytes until something is wrong.
type decoder struct {
	rest    []byte
	damaged bool
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.take(uint64(max(n, 0)))
	d.damaged = d.damaged || n <= 0
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.rest)
	d.take(uint64(max(n, 0)))
	d.damaged = d.damaged || n <= 0
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.damaged = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}
