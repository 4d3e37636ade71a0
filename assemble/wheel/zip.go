// SPDX-License-Identifier: Apache-2.0

package wheel

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
)

// Records of a zip, and the size of each without what follows it (APPNOTE.TXT
// 4.3).
const (
	localMark      = "PK\x03\x04"
	descriptorMark = "PK\x07\x08"
	entryMark      = "PK\x01\x02"
	end64Mark      = "PK\x06\x06"
	locatorMark    = "PK\x06\x07"
	endMark        = "PK\x05\x06"

	localSize   = 30
	entrySize   = 46
	end64Size   = 56
	locatorSize = 20
	endSize     = 22
)

// What a wheel may hold. The largest real ones have some 20,000 members and
// 6 GB.
const (
	maxMembers   = 1 << 18
	maxDirectory = 64 << 20
	maxContent   = 64 << 30
	maxInflation = 1032 // deflate's own limit, 258 bytes for 2 bits; zstd has none
	maxVariable  = 1<<16 - 1
	maxWindow    = 128 << 20 // of zstd
)

var le = binary.LittleEndian

// An archive is a zip that every reader reads alike: its members follow each
// other without a gap, its directory follows them, and nothing comes after.
type archive struct {
	r       io.ReaderAt
	size    int64
	file    string
	members []member // in the order of the file
	odd     error    // the first thing that is odd about its form, a *FormatError

	// names has those of the members, without the slash of a directory, and
	// whether they are directories.
	names map[string]bool
}

// A directory is where the zip's directory stands.
type directory struct {
	start, size, entries int64
}

func (a *archive) readDirectory() error {
	d, err := a.findDirectory()
	if err != nil {
		return err
	}
	if err := a.readEntries(d); err != nil {
		return err
	}
	if err := a.checkNames(); err != nil {
		return err
	}
	if err := a.arrange(d.start); err != nil {
		return err
	}
	for i := range a.members {
		if err := a.locate(&a.members[i]); err != nil {
			return err
		}
	}
	return nil
}

// strange notes what is odd about a member, or about the zip if that is "".
func (a *archive) strange(member, problem string) {
	if a.odd == nil {
		a.odd = &FormatError{Member: member, Problem: problem, Odd: true}
	}
}

// verify reads all members of a zip of odd form: whoever reads it next must not
// find more than the directory says.
func (a *archive) verify() error {
	for i := range a.members {
		if err := a.check(&a.members[i]); err != nil {
			return err
		}
	}
	return nil
}

// findDirectory reads the end record, which must end the file.
func (a *archive) findDirectory() (directory, error) {
	tail := make([]byte, max(0, min(a.size, end64Size+locatorSize+endSize+maxVariable)))
	if err := a.readAt(tail, a.size-int64(len(tail)), "", "the zip"); err != nil {
		return directory{}, err
	}
	at := bytes.LastIndex(tail, []byte(endMark))
	if at < 0 || len(tail)-at < endSize {
		return directory{}, bad("", "no end record: it is no zip, or cut off")
	}
	end := tail[at:]
	if err := a.checkLast(end); err != nil {
		return directory{}, err
	}
	d := directory{entries: int64(le.Uint16(end[10:])), size: int64(le.Uint32(end[12:])), start: int64(le.Uint32(end[16:]))}
	stop := a.size - int64(len(end))
	if at >= end64Size+locatorSize && string(tail[at-locatorSize:at-locatorSize+4]) == locatorMark {
		stop -= end64Size + locatorSize
		if err := d.widen(tail[at-end64Size-locatorSize:at], stop); err != nil {
			return directory{}, err
		}
	}
	if d.size < 0 || d.start < 0 || d.size > stop || d.start != stop-d.size {
		return directory{}, bad("", "the zip's directory does not stand right before its end record")
	}
	if d.entries < 0 || d.entries > maxMembers || d.size > maxDirectory || d.entries > d.size/entrySize {
		return directory{}, bad("", "the zip's directory of %d bytes can't hold %d members", d.size, d.entries)
	}
	return d, nil
}

// checkLast checks that nothing but zeros follows the end record, which speaks
// of one file.
func (a *archive) checkLast(end []byte) error {
	if size := endSize + int(le.Uint16(end[20:])); size < len(end) && len(bytes.Trim(end[size:], "\x00")) == 0 {
		a.strange("", "zeros follow the zip's end record")
	} else if size != len(end) {
		return bad("", "bytes follow the zip's end record")
	}
	if le.Uint32(end[4:]) != 0 || le.Uint16(end[8:]) != le.Uint16(end[10:]) {
		return bad("", "the zip is one of several disks")
	}
	return nil
}

// widen takes the numbers of the zip64 end record that stands at offset at,
// with its locator. The plain end record may repeat them, or say "see there".
func (d *directory) widen(b []byte, at int64) error {
	record, locator := b[:end64Size], b[end64Size:]
	wide := directory{
		entries: int64(le.Uint64(record[32:])), size: int64(le.Uint64(record[40:])), start: int64(le.Uint64(record[48:])),
	}
	agrees := func(narrow, wide, mask int64) bool { return narrow == wide || narrow == mask }
	switch {
	case string(record[:4]) != end64Mark || le.Uint64(record[4:]) != end64Size-12,
		le.Uint32(locator[4:]) != 0 || le.Uint64(locator[8:]) != uint64(at):
		return bad("", "the zip64 end record does not stand where it should")
	case le.Uint32(record[16:]) != 0, le.Uint32(record[20:]) != 0, le.Uint32(locator[16:]) > 1,
		le.Uint64(record[24:]) != le.Uint64(record[32:]):
		return bad("", "the zip is one of several disks")
	case !agrees(d.entries, wide.entries, 0xffff), !agrees(d.size, wide.size, 0xffffffff), !agrees(d.start, wide.start, 0xffffffff):
		return bad("", "the two end records of the zip differ")
	}
	*d = wide
	return nil
}

func (a *archive) readEntries(d directory) error {
	in := bufio.NewReaderSize(io.NewSectionReader(a.r, d.start, d.size), int(min(d.size, entrySize+3*maxVariable)))
	a.members = make([]member, 0, d.entries)
	var content int64
	for range d.entries {
		m, err := readEntry(in)
		if err != nil {
			return err
		}
		odd, err := m.check()
		if err != nil {
			return err
		}
		if odd != "" {
			a.strange(m.name, odd)
		}
		if content += m.size; content > maxContent {
			return bad(m.name, "with it the wheel holds more than %d GiB", maxContent>>30)
		}
		a.members = append(a.members, m)
	}
	if _, err := in.Peek(1); err == nil {
		return bad("", "the zip's directory holds more than its end record says")
	} else if err != io.EOF {
		return err
	}
	return nil
}

// checkNames checks that the members can stand side by side.
func (a *archive) checkNames() error {
	a.names = make(map[string]bool, len(a.members))
	for _, m := range a.members {
		name := strings.TrimSuffix(m.name, "/")
		if wasDir, ok := a.names[name]; ok && wasDir && m.dir() {
			a.strange(m.name, "the directory stands twice")
		} else if ok {
			return bad(m.name, "it stands twice")
		}
		a.names[name] = m.dir()
	}
	above := make(folders)
	for _, m := range a.members {
		if clash := above.add(m.name, a.isFile); clash != "" {
			return bad(clash, "it is a file and a directory")
		}
		if len(above) > maxMembers {
			return bad("", "it has more than %d directories", maxMembers)
		}
	}
	return nil
}

// isFile says whether the zip has a file of that name.
func (a *archive) isFile(name string) bool {
	dir, ok := a.names[name]
	return ok && !dir
}

// readEntry reads one entry of the directory.
func readEntry(in *bufio.Reader) (member, error) {
	fixed, err := in.Peek(entrySize)
	if err != nil {
		return member{}, cutOff(err, "", "the zip's directory")
	}
	if string(fixed[:4]) != entryMark {
		return member{}, bad("", "the zip's directory is damaged")
	}
	n := int(le.Uint16(fixed[28:]))
	x := n + int(le.Uint16(fixed[30:]))
	all := entrySize + x + int(le.Uint16(fixed[32:]))
	b, err := in.Peek(all)
	if err != nil {
		return member{}, cutOff(err, "", "the zip's directory")
	}
	name := string(b[entrySize : entrySize+n])
	m := member{name: name, raw: name, flags: le.Uint16(b[8:]), method: le.Uint16(b[10:]), crc: le.Uint32(b[16:])}
	packed, size, offset := uint64(le.Uint32(b[20:])), uint64(le.Uint32(b[24:])), uint64(le.Uint32(b[42:]))
	if le.Uint16(b[34:]) != 0 {
		return member{}, bad(m.name, "it stands on another disk")
	}
	if err := readExtra(m.name, b[entrySize+n:entrySize+x], &size, &packed, &offset); err != nil {
		return member{}, err
	}
	if packed > maxContent || size > maxContent || offset > maxContent {
		return member{}, bad(m.name, "it is larger than %d GiB", maxContent>>30)
	}
	m.packed, m.size, m.offset = int64(packed), int64(size), int64(offset)
	m.mode = le.Uint32(b[38:]) >> 16 // whatever system the maker claims: pip and uv take the bits of FAT entries too
	_, err = in.Discard(all)
	return m, err
}

// arrange puts the members in the order of the file and notes where each must
// end. The directory stands at offset start.
func (a *archive) arrange(start int64) error {
	slices.SortFunc(a.members, func(x, y member) int { return cmp.Compare(x.offset, y.offset) })
	if len(a.members) > 0 && a.members[0].offset != 0 {
		a.strange(a.members[0].name, "bytes stand before the first member")
	}
	end := start
	for i := len(a.members) - 1; i >= 0; i-- {
		m := &a.members[i]
		if m.offset > end || m.packed > end-m.offset-localSize-int64(len(m.raw)) {
			return bad(m.name, "it overlaps what follows it")
		}
		m.end = end
		end = m.offset
	}
	return nil
}

// readAt reads all of b.
func (a *archive) readAt(b []byte, off int64, member, what string) error {
	n, err := a.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	return cutOff(err, member, what)
}

// cutOff turns the end of the file, or of a buffer as large as what is left of
// it, into a *FormatError.
func cutOff(err error, member, what string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
		return bad(member, "%s is cut off", what)
	}
	return err
}

// A folders is a set of directories.
type folders map[string]bool

// add adds the directories above name. It returns the first that is a file.
func (f folders) add(name string, isFile func(string) bool) (clash string) {
	for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name, '/') {
		if name = name[:i]; f[name] {
			return ""
		}
		if isFile(name) {
			return name
		}
		f[name] = true
	}
	return ""
}
