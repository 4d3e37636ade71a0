// SPDX-License-Identifier: Apache-2.0

package wheel

import (
	"bufio"
	"compress/flate"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode"

	"github.com/klauspost/compress/zstd"
)

// Methods of compression, and flags that a member may have (APPNOTE.TXT 4.4).
const (
	stored    = 0
	deflated  = 8
	zstandard = 93

	effort        = 1<<1 | 1<<2 // how hard it was compressed
	hasDescriptor = 1 << 3
	isUTF8        = 1 << 11
	knownFlags    = effort | hasDescriptor | isUTF8
)

// Types of a file in a Unix mode.
const (
	typeMask = 0o170000
	typeDir  = 0o040000
	typeFile = 0o100000
)

// Names no file system takes: longer ones, or ones with a longer element.
const (
	maxName    = 4095
	maxElement = 255
)

// Extra fields that change how a member is read (APPNOTE.TXT 4.5, 4.6).
const (
	extraZip64 = 0x0001
	extraPath  = 0x7075
)

// A member is one entry of the zip's directory.
type member struct {
	name   string
	raw    string // the name as it stands in the zip
	flags  uint16
	method uint16
	crc    uint32
	mode   uint32 // Unix mode, often 0 or without type bits
	packed int64  // bytes in the file
	size   int64  // bytes of the content
	offset int64  // of its local header
	start  int64  // of its bytes in the file
	end    int64  // where the next member or the directory begins
}

// dir says whether m is a directory. Those are never installed for themselves.
func (m *member) dir() bool { return strings.HasSuffix(m.name, "/") }

// installedMode returns the mode that m is installed with, whatever else it
// has in the zip.
func (m *member) installedMode() fs.FileMode {
	if m.mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// check refuses what no installer should take. It says what is odd about m: what
// uv reads as well, and in one way.
func (m *member) check() (odd string, err error) {
	if m.tidy(); m.name != m.raw {
		odd = "its name is not a clean path"
	}
	if problem := badName(m.name, m.flags); problem != "" {
		return "", bad(m.raw, "%s", problem)
	}
	switch kind := m.mode & typeMask; {
	case m.flags&^knownFlags != 0:
		return "", bad(m.name, "it is encrypted or of an unknown form (flags %#x)", m.flags)
	case m.method != stored && m.method != deflated && m.method != zstandard:
		return "", bad(m.name, "it is compressed with method %d, not stored or deflated", m.method)
	case kind != 0 && kind != typeFile && (kind != typeDir || !m.dir()):
		return "", bad(m.name, "it is a link or a special file (mode %o)", m.mode)
	case m.method == stored && m.size != m.packed, m.size/maxInflation > m.packed:
		return "", bad(m.name, "%d bytes can't become %d", m.packed, m.size)
	case m.method == zstandard:
		return "it is compressed with zstd, not stored or deflated", nil
	case m.dir() && m.size != 0:
		return "it is a directory with content", nil
	}
	return odd, nil
}

// tidy takes empty and "." elements out of m's name. Names with ".." and
// absolute ones stay as they are, to be refused.
func (m *member) tidy() {
	for e := range strings.SplitSeq(m.raw, "/") {
		if e == ".." {
			return
		}
	}
	clean := path.Clean(m.raw)
	if m.raw == "" || clean == "." || path.IsAbs(clean) {
		return
	}
	if m.dir() {
		clean += "/"
	}
	m.name = clean
}

// badName says what is wrong with a member's name, if anything is.
func badName(name string, flags uint16) string {
	clean := strings.TrimSuffix(name, "/")
	switch {
	case len(name) > maxName || longestElement(name) > maxElement:
		return "its name is longer than a file system takes"
	case !fs.ValidPath(clean) || clean == ".":
		return "its name is not a clean path inside the wheel"
	case flags&isUTF8 == 0 && strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }):
		return "its name is not marked as UTF-8"
	case strings.ContainsFunc(name, unprintable):
		return "its name has a backslash or a control character"
	}
	return ""
}

func longestElement(name string) int {
	longest := 0
	for e := range strings.SplitSeq(name, "/") {
		longest = max(longest, len(e))
	}
	return longest
}

// unprintable says whether r is refused in names: control characters, and the
// backslash, which separates elsewhere.
func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }

// readExtra reads the extra fields x of a header: those of zip64 replace the
// numbers, which are in the order of that field, where they are too large.
func readExtra(name string, x []byte, numbers ...*uint64) error {
	seen := false
	for len(x) >= 4 {
		id, n := le.Uint16(x), int(le.Uint16(x[2:]))
		if x = x[4:]; n > len(x) {
			return bad(name, "an extra field is cut off")
		}
		field := x[:n]
		x = x[n:]
		switch {
		case id == extraZip64 && (seen || !widen(field, numbers)):
			return bad(name, "its zip64 field is wrong")
		case id == extraZip64:
			seen = true
		case id == extraPath && (n < 5 || string(field[5:]) != name):
			return bad(name, "it has a second name")
		}
	}
	return nil
}

// widen reads a zip64 field. It holds the numbers that are all ones in the
// header, or needlessly others too, which must then be the same.
func widen(field []byte, numbers []*uint64) bool {
	if len(field)%8 != 0 || len(field)/8 > len(numbers) {
		return false
	}
	var large []*uint64
	for _, n := range numbers {
		if *n == 0xffffffff {
			large = append(large, n)
		}
	}
	if len(field)/8 == len(large) {
		numbers = large
	}
	for i := range len(field) / 8 {
		wide := le.Uint64(field[8*i:])
		if *numbers[i] != 0xffffffff && *numbers[i] != wide {
			return false
		}
		*numbers[i] = wide
	}
	return true
}

// locate compares m's local header with the directory, so that a reader of the
// one and a reader of the other see the same wheel, and notes where m's bytes
// begin.
func (a *archive) locate(m *member) error {
	const header = "its local header"
	h := make([]byte, localSize+len(m.raw))
	if err := a.readAt(h, m.offset, m.name, header); err != nil {
		return err
	}
	flags := le.Uint16(h[6:])
	if string(h[:4]) != localMark || int(le.Uint16(h[26:])) != len(m.raw) || string(h[localSize:]) != m.raw ||
		(flags^m.flags)&^effort != 0 || le.Uint16(h[8:]) != m.method {
		return bad(m.name, "its local header differs from the zip's directory")
	}
	if flags != m.flags {
		a.strange(m.name, "its local header has other flags than the zip's directory")
	}
	extra := make([]byte, le.Uint16(h[28:]))
	if err := a.readAt(extra, m.offset+int64(len(h)), m.name, header); err != nil {
		return err
	}
	crc, packed, size := le.Uint32(h[14:]), uint64(le.Uint32(h[18:])), uint64(le.Uint32(h[22:]))
	if err := readExtra(m.raw, extra, &size, &packed); err != nil {
		return err
	}
	later := m.flags&hasDescriptor != 0 && crc == 0 && packed == 0 && size == 0
	if !later && (crc != m.crc || packed != uint64(m.packed) || size != uint64(m.size)) {
		return bad(m.name, "its local header differs from the zip's directory")
	}
	m.start = m.offset + int64(len(h)+len(extra))
	return a.checkEnd(m)
}

// checkEnd checks that m has the data descriptor that it announces behind its
// data, and that nothing else follows.
func (a *archive) checkEnd(m *member) error {
	at := m.start + m.packed
	rest := m.end - at
	switch {
	case rest < 0:
		return bad(m.name, "it overlaps what follows it")
	case m.flags&hasDescriptor == 0 && rest == 0:
		return nil
	case m.flags&hasDescriptor == 0:
		a.strange(m.name, "unknown bytes follow it")
		return nil
	case rest != 12 && rest != 16 && rest != 20 && rest != 24:
		return bad(m.name, "unknown bytes follow it")
	}
	d := make([]byte, rest)
	if err := a.readAt(d, at, m.name, "its data descriptor"); err != nil {
		return err
	}
	same := true
	if rest%8 == 0 { // the mark is optional
		same, d = string(d[:4]) == descriptorMark, d[4:]
	}
	packed, size := uint64(0), uint64(0)
	if len(d) == 12 {
		packed, size = uint64(le.Uint32(d[4:])), uint64(le.Uint32(d[8:]))
	} else {
		packed, size = le.Uint64(d[4:]), le.Uint64(d[12:])
	}
	if !same || le.Uint32(d) != m.crc || packed != uint64(m.packed) || size != uint64(m.size) {
		return bad(m.name, "its data descriptor differs from the zip's directory")
	}
	return nil
}

// packedBytes returns m's bytes as they stand in the file.
func (a *archive) packedBytes(m *member) *io.SectionReader {
	return io.NewSectionReader(a.r, m.start, m.packed)
}

// open returns m's content, which checks itself.
func (a *archive) open(m *member) (io.Reader, error) {
	c := &content{archive: a, member: m}
	c.raw = bufio.NewReaderSize(&c.source, 4096)
	c.source.r = a.packedBytes(m)
	switch m.method {
	case deflated:
		c.body = flate.NewReader(c.raw)
	case zstandard:
		body, err := zstd.NewReader(c.raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		c.body = body
	default:
		c.body = c.raw
	}
	return c, nil
}

// check reads m to its end: it must hold what the directory says.
func (a *archive) check(m *member) error {
	r, err := a.open(m)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// A content reads a member and gives io.EOF only if all of it was right.
type content struct {
	archive *archive
	member  *member
	source  source
	raw     *bufio.Reader
	body    io.Reader
	n       int64
	sum     uint32
	err     error
}

func (c *content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.body.Read(p)
	if left := c.member.size - c.n; int64(n) > left {
		c.err = c.archive.explain(bad(c.member.name, "it holds more than the %d bytes that the zip's directory says", c.member.size))
		return int(left), c.err
	}
	c.n += int64(n)
	c.sum = crc32.Update(c.sum, crc32.IEEETable, p[:n])
	if err != nil {
		c.err = err
		if verdict := c.verdict(err); verdict != nil {
			c.err = c.archive.explain(verdict)
		}
	}
	return n, c.err
}

// verdict says what is wrong when the body has ended with err; nil if nothing.
func (c *content) verdict(err error) error {
	m := c.member
	if c.source.err != nil {
		return c.source.err
	}
	if err != io.EOF {
		return bad(m.name, "it is no whole %s stream", map[uint16]string{deflated: "deflate", zstandard: "zstd"}[m.method])
	}
	if c.n != m.size {
		return bad(m.name, "it holds %d bytes, not the %d that the zip's directory says", c.n, m.size)
	}
	if c.sum != m.crc {
		return bad(m.name, "its CRC-32 is %08x, not the %08x that the zip's directory says", c.sum, m.crc)
	}
	if _, err := c.raw.Peek(1); err == nil {
		return bad(m.name, "bytes follow its deflate stream")
	}
	return c.source.err
}

// A source remembers why the file could not be read.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
