// SPDX-License-Identifier: Apache-2.0

// Package debtest makes Debian packages, for tests. They are as dpkg-deb makes
// them, unless a test asks for something else.
package debtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A File is one of data.tar. A name that ends in "/" is a directory.
type File struct {
	Name  string
	Body  string
	Mode  fs.FileMode // permissions; 0: 0644, 0755 for directories
	Link  string      // target of a symbolic link
	Hard  string      // another name in the package
	Owner string
	Group string
	Type  byte // of the tar entry, where a test wants another
}

// A Deb is a package to make.
type Deb struct {
	Name, Version, Arch string            // "1" and "all" by default
	Fields              string            // more lines of the control file
	Control             map[string]string // more files of control.tar
	Files               []File
	Compression         string // ".gz" (default), ".xz", ".zst" or ".tar"
	Block               int    // bytes of a block of .xz; 0: one block
}

// Bytes returns the package as a file.
func (d Deb) Bytes() []byte {
	suffix := orElse(d.Compression, ".gz")
	name := func(member string) string {
		if suffix == ".tar" {
			return member
		}
		return member + suffix
	}
	return Ar(
		Member{"debian-binary", []byte("2.0\n")},
		Member{name("control.tar"), Compress(suffix, d.controlTar(), 0)},
		Member{name("data.tar"), Compress(suffix, Tar(d.Files), d.Block)},
	)
}

func (d Deb) controlTar() []byte {
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Nobody <nobody@example.org>\nInstalled-Size: 10\n%sDescription: made for a test\n",
		d.Name, orElse(d.Version, "1"), orElse(d.Arch, "all"), d.Fields)
	files := []File{{Name: "./control", Body: control}}
	for name, body := range d.Control {
		files = append(files, File{Name: "./" + name, Body: body, Mode: 0o755})
	}
	return Tar(files)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// A Member is one of an ar.
type Member struct {
	Name string
	Body []byte
}

// Ar returns an ar archive.
func Ar(members ...Member) []byte {
	b := []byte("!<arch>\n")
	for _, m := range members {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.Name, 0, 0, 0, "100644", len(m.Body))
		b = append(b, m.Body...)
		if len(m.Body)%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

// Tar returns a tar of files, each with the time 1000000000.
func Tar(files []File) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Body)), Typeflag: tar.TypeReg, ModTime: time.Unix(1_000_000_000, 0), Uname: f.Owner, Gname: f.Group, Format: tar.FormatGNU}
		switch {
		case strings.HasSuffix(f.Name, "/"):
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		case f.Link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		case f.Hard != "":
			h.Typeflag, h.Linkname = tar.TypeLink, f.Hard
		}
		if f.Mode != 0 {
			h.Mode = int64(f.Mode.Perm())
			if f.Mode&fs.ModeSetuid != 0 {
				h.Mode |= 0o4000
			}
		}
		if f.Type != 0 {
			h.Typeflag = f.Type
		}
		if err := w.WriteHeader(h); err != nil {
			panic(fmt.Sprintf("%s: %v", path.Base(f.Name), err)) // a test's own mistake
		}
		_, _ = w.Write([]byte(f.Body))
	}
	_ = w.Close()
	return b.Bytes()
}

// Compress compresses b as the ending of a member's name says. A block is the
// size of one in bytes; 0 stands for a single one.
func Compress(suffix string, b []byte, block int) []byte {
	switch suffix {
	case ".gz":
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(b)
		_ = w.Close()
		return out.Bytes()
	case ".zst":
		w, err := zstd.NewWriter(nil)
		if err != nil {
			panic(err) // there are no options
		}
		return w.EncodeAll(b, nil)
	case ".xz":
		if block == 0 {
			block = len(b)
		}
		return xz(b, block)
	default:
		return b
	}
}

// xz writes an .xz file whose blocks hold chunks that are not compressed, as the
// format allows.
func xz(b []byte, size int) []byte {
	out := []byte{0xfd, '7', 'z', 'X', 'Z', 0, 0, 1} // the check is CRC32
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(out[6:8]))
	index := []byte{0}
	index = binary.AppendUvarint(index, uint64((len(b)+size-1)/size))
	for start := 0; start < len(b); start += size {
		plain := b[start:min(start+size, len(b))]
		block, unpadded := xzBlock(plain)
		out = append(out, block...)
		index = binary.AppendUvarint(binary.AppendUvarint(index, uint64(unpadded)), uint64(len(plain)))
	}
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	out = append(out, index...)
	fields := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	fields = append(fields, 0, 1)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(fields))
	return append(append(out, fields...), 'Y', 'Z')
}

func xzBlock(plain []byte) (b []byte, unpadded int) {
	b = []byte{2, 0, 0x21, 1, 0x16, 0, 0, 0} // 12 bytes, one filter: LZMA2 with 8 MiB
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	control := byte(1) // resets the dictionary
	for start := 0; start < len(plain); start += 1 << 16 {
		chunk := plain[start:min(start+1<<16, len(plain))]
		b = append(b, control, byte((len(chunk)-1)>>8), byte(len(chunk)-1))
		b = append(b, chunk...)
		control = 2
	}
	b = append(b, 0)
	unpadded = len(b) + 4
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(plain)), unpadded
}
