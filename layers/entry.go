// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
	"unicode/utf8"
)

// An Entry is one file of a layer.
type Entry struct {
	Path     string      // slash-separated, relative and clean: "usr/bin/x"
	Mode     fs.FileMode // type, permission, setuid, setgid and sticky bits
	UID, GID int
	Link     string // target, if Mode is a symlink
	Size     int64  // bytes of the content, if Mode is regular

	// What only a Writer looks at; an Index doesn't keep it.
	Time       int64  // in seconds since 1970; 0: that of the layer
	Capability string // value of the attribute security.capability; "": none
}

// check tells why a layer can't hold e.
func (e *Entry) check() error {
	if problem := e.problem(); problem != "" {
		return &EntryError{Name: shorten(e.Path), Problem: problem}
	}
	return nil
}

func (e *Entry) problem() string {
	switch t := e.Mode.Type(); {
	case !isLocal(e.Path):
		return "is not a clean path inside the image, in UTF-8"
	case strings.HasPrefix(path.Base(e.Path), WhiteoutPrefix):
		return "begins with " + WhiteoutPrefix + ", which in a layer means that a file is removed: rename it"
	case t != 0 && t != fs.ModeDir && t != fs.ModeSymlink:
		return fmt.Sprintf("is neither a file nor a directory nor a link, but %v", t)
	case t == fs.ModeSymlink && !isTarget(e.Link):
		return "is a link to nowhere, or its target is not UTF-8"
	case e.Time < 0 || e.Time > maxOctal11:
		return fmt.Sprintf("has a time out of range, %d", e.Time)
	case e.Capability != "" && t != 0:
		return "has capabilities, but is not a regular file"
	case t == 0 && e.Size < 0:
		return fmt.Sprintf("has a size of %d bytes", e.Size)
	case e.UID < 0 || e.GID < 0 || int64(e.UID) > maxID || int64(e.GID) > maxID:
		return fmt.Sprintf("has an owner out of range, %d:%d", e.UID, e.GID)
	}
	return ""
}

// isLocal reports whether p names something below the image's root in just
// one way.
func isLocal(p string) bool { return fs.ValidPath(p) && p != "." && isTarget(p) }

// isTarget reports whether a tar can hold p as the target of a link.
func isTarget(p string) bool { return p != "" && utf8.ValidString(p) && !strings.Contains(p, "\x00") }

// Sizes of the fields of a tar header (POSIX, "ustar Interchange Format").
const (
	blockSize   = 512
	nameField   = 100
	prefixField = 155
	maxOctal7   = 1<<21 - 1 // of seven octal digits
	maxOctal11  = 1<<33 - 1
)

// capability is the pax record of the attribute security.capability.
const capability = "SCHILY.xattr.security.capability"

// appendHeader appends the tar header of e to b: ustar where that can say it
// all, else with pax records before it. Another is the file that e is a second
// name of, or "".
func appendHeader(b []byte, e *Entry, another string, mtime int64) ([]byte, error) {
	name, flag, size, link := e.Path, byte(tar.TypeReg), e.Size, ""
	switch e.Mode.Type() {
	case fs.ModeDir:
		name, flag, size = name+"/", tar.TypeDir, 0
	case fs.ModeSymlink:
		flag, size, link = tar.TypeSymlink, 0, e.Link
	default:
		if another != "" {
			flag, size, link = tar.TypeLink, 0, another
		}
	}
	if e.Time != 0 {
		mtime = e.Time
	}
	prefix, rest, fits := splitName(name)
	fits = fits && len(link) <= nameField && isASCII(link) && e.UID <= maxOctal7 && e.GID <= maxOctal7 &&
		size <= maxOctal11 && mtime >= 0 && mtime <= maxOctal11
	if !fits || e.Capability != "" {
		h := &tar.Header{
			Name: name, Typeflag: flag, Mode: int64(UnixMode(e.Mode)), Uid: e.UID, Gid: e.GID,
			Size: size, Linkname: link, ModTime: time.Unix(mtime, 0), Format: tar.FormatPAX,
		}
		if e.Capability != "" {
			h.PAXRecords = map[string]string{capability: e.Capability}
		}
		return appendPAX(b, h)
	}
	var h [blockSize]byte
	copy(h[0:nameField], rest)
	putOctal(h[100:107], int64(UnixMode(e.Mode)))
	putOctal(h[108:115], int64(e.UID))
	putOctal(h[116:123], int64(e.GID))
	putOctal(h[124:135], size)
	putOctal(h[136:147], mtime)
	h[156] = flag
	copy(h[157:157+nameField], link)
	copy(h[257:265], "ustar\x0000")
	putOctal(h[329:336], 0) // numbers of a device
	putOctal(h[337:344], 0)
	copy(h[345:345+prefixField], prefix)
	copy(h[148:156], "        ") // the checksum counts itself as blanks
	var sum int64
	for _, c := range h {
		sum += int64(c)
	}
	putOctal(h[148:154], sum)
	h[154] = 0
	return append(b, h[:]...), nil
}

// appendPAX appends a header that needs pax records.
func appendPAX(b []byte, h *tar.Header) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	if err := tar.NewWriter(buf).WriteHeader(h); err != nil {
		return b, err
	}
	return buf.Bytes(), nil
}

// splitName splits a name at a slash so that it fits into the two fields of a
// ustar header.
func splitName(name string) (prefix, rest string, ok bool) {
	if !isASCII(name) {
		return "", "", false
	}
	if len(name) <= nameField {
		return "", name, true
	}
	// A directory's own slash is not one to split at.
	end := min(len(name)-1, prefixField+1)
	i := strings.LastIndexByte(name[:end], '/')
	if i <= 0 || len(name)-i-1 > nameField {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// putOctal fills field with the digits of n. The byte after the field, a zero,
// ends them.
func putOctal(field []byte, n int64) {
	for i := len(field) - 1; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
}
