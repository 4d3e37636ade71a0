// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"inlay/assemble/overlay"
)

// readCache returns the entries of the cache, and what it was made by.
func readCache(tree *overlay.Tree) (libs []library, generator string, err error) {
	b, err := tree.ReadFile(cacheFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	at := bytes.Index(b, []byte(cacheMagic)) // an older format may stand before it
	if at < 0 {
		return nil, "", fmt.Errorf("%s is of a format that is not known", cacheFile)
	}
	b = b[at:]
	u32 := binary.LittleEndian.Uint32
	bad := fmt.Errorf("%s is damaged", cacheFile)
	if len(b) < cacheHead || u32(b[20:]) > maxLibs || len(b) < cacheHead+int(u32(b[20:]))*cacheEntry {
		return nil, "", bad
	}
	for i := range int(u32(b[20:])) {
		e := b[cacheHead+i*cacheEntry:]
		name, ok1 := cString(b, u32(e[4:]))
		p, ok2 := cString(b, u32(e[8:]))
		if !ok1 || !ok2 {
			return nil, "", bad
		}
		libs = append(libs, library{
			name: name, path: p, flags: u32(e), osVersion: u32(e[12:]),
		})
	}
	return libs, readGenerator(b, int(u32(b[32:]))), nil
}

func cString(b []byte, at uint32) (string, bool) {
	if int(at) >= len(b) {
		return "", false
	}
	end := bytes.IndexByte(b[at:], 0)
	if end < 0 {
		return "", false
	}
	return string(b[at : int(at)+end]), true
}

// readGenerator returns what the extension of a cache says it was made by.
func readGenerator(b []byte, at int) string {
	u32 := binary.LittleEndian.Uint32
	if at == 0 || at+24 > len(b) || u32(b[at:]) != extMagic {
		return ""
	}
	for i := range min(int(u32(b[at+4:])), 16) {
		s := at + 8 + 16*i
		if s+16 > len(b) {
			break
		}
		from, size := int(u32(b[s+8:])), int(u32(b[s+12:]))
		if u32(b[s:]) == 0 && from+size <= len(b) && size < 1024 {
			return string(b[from : from+size])
		}
	}
	return ""
}

// encodeCache writes the entries in their order. A name is the end of its path.
func encodeCache(libs []library, generator string) []byte {
	le := binary.LittleEndian
	processors := processorsOf(libs)
	b := make([]byte, cacheHead+len(libs)*cacheEntry)
	copy(b, cacheMagic)
	le.PutUint32(b[20:], uint32(len(libs)))
	b[28] = 2 // little-endian
	places := map[string]int{}
	place := func(s string) int {
		at, ok := places[s]
		if !ok {
			at = len(b)
			places[s] = at
			b = append(append(b, s...), 0)
		}
		return at
	}
	for i, l := range libs {
		at := place(l.path)
		e := b[cacheHead+i*cacheEntry:]
		le.PutUint32(e, l.flags)
		le.PutUint32(e[4:], uint32(at+len(l.path)-len(l.name)))
		le.PutUint32(e[8:], uint32(at))
		le.PutUint32(e[12:], l.osVersion)
		if l.processor != "" {
			le.PutUint64(e[16:], forProcessor|uint64(slices.Index(processors, l.processor)))
		}
	}
	var table []byte
	for _, p := range processors {
		table = le.AppendUint32(table, uint32(place(p)))
	}
	le.PutUint32(b[24:], uint32(len(b)-cacheHead-len(libs)*cacheEntry))
	return appendExtensions(b, generator, table)
}

// forProcessor marks the number of a processor in an entry.
const forProcessor = 1 << 62

func processorsOf(libs []library) (names []string) {
	for _, l := range libs {
		if l.processor != "" && !slices.Contains(names, l.processor) {
			names = append(names, l.processor)
		}
	}
	slices.Sort(names)
	return names
}

// appendExtensions appends what the cache was made by, and where the names of
// processors are.
func appendExtensions(b []byte, generator string, processors []byte) []byte {
	le := binary.LittleEndian
	type section struct {
		tag  uint32
		body []byte
	}
	var sections []section
	if generator != "" {
		sections = append(sections, section{0, []byte(generator)})
	}
	if len(processors) > 0 {
		sections = append(sections, section{1, processors})
	}
	if len(sections) == 0 {
		return b
	}
	b = aligned(b)
	le.PutUint32(b[32:], uint32(len(b)))
	at := len(b) + 8 + 16*len(sections)
	b = le.AppendUint32(le.AppendUint32(b, extMagic), uint32(len(sections)))
	var bodies []byte
	for _, s := range sections {
		if s.tag == 1 {
			bodies = aligned(bodies)
		}
		for _, v := range []uint32{s.tag, 0, uint32(at + len(bodies)), uint32(len(s.body))} {
			b = le.AppendUint32(b, v)
		}
		bodies = append(bodies, s.body...)
	}
	return append(b, bodies...)
}

// aligned pads b with zeros to a multiple of four.
func aligned(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
