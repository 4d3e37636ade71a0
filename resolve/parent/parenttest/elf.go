// SPDX-License-Identifier: Apache-2.0

// Package parenttest makes the programs and libraries of small parent images,
// for tests: as much of an ELF file as tells an interpreter and a C library.
package parenttest

import "encoding/binary"

// An ELF is a minimal ELF file: its header, the name of its interpreter, some
// text, and version definitions.
type ELF struct {
	Machine uint16 // as debug/elf numbers them: 62 is x86-64, 183 is arm64
	Bits    int    // 64 unless set
	Big     bool   // big-endian
	Interp  string
	Text    string
	Defines []string // the versions that a library defines
}

const verdef = 0x6ffffffd // SHT_GNU_verdef

// String returns the file: the ELF header, one program header for the interpreter, the text,
// and three sections: none, the definitions and their names.
func (o ELF) String() string {
	var order binary.AppendByteOrder = binary.LittleEndian
	data := byte(1)
	if o.Big {
		order, data = binary.BigEndian, 2
	}
	wide := o.Bits != 32
	class, ehsize, phsize, shsize := byte(2), 64, 56, 64
	if !wide {
		class, ehsize, phsize, shsize = 1, 52, 32, 40
	}
	word := func(b []byte, n int) []byte {
		if wide {
			return order.AppendUint64(b, uint64(n))
		}
		return order.AppendUint32(b, uint32(n))
	}
	interp := o.Interp + "\x00"
	names, defs := o.versions(order)
	body := interp + o.Text
	start := ehsize + phsize
	table := start + len(body) + len(defs) + len(names)
	phnum, shnum := 1, 3
	if o.Interp == "" {
		phnum = 0
	}
	if len(o.Defines) == 0 {
		table, shnum = 0, 0
	}

	b := append([]byte("\x7fELF"), class, data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, 3), o.Machine), 1)
	b = order.AppendUint32(word(word(word(b, 0), ehsize), table), 0)
	for _, n := range []int{ehsize, phsize, phnum, shsize, shnum, 0} {
		b = order.AppendUint16(b, uint16(n))
	}
	b = order.AppendUint32(b, 3) // PT_INTERP
	if wide {
		b = order.AppendUint32(b, 4)
	}
	for _, n := range []int{start, 0, 0, len(interp), len(interp)} {
		b = word(b, n)
	}
	if !wide {
		b = order.AppendUint32(b, 4)
	}
	b = word(b, 1)
	b = append(append(append(b, body...), defs...), names...)
	if shnum == 0 {
		return string(b)
	}
	for _, s := range []struct{ kind, offset, size, link int }{{}, {verdef, start + len(body), len(defs), 2}, {3, start + len(body) + len(defs), len(names), 0}} {
		b = order.AppendUint32(order.AppendUint32(b, 0), uint32(s.kind))
		b = word(word(word(word(b, 0), 0), s.offset), s.size)
		b = order.AppendUint32(order.AppendUint32(b, uint32(s.link)), 0)
		b = word(word(b, 1), 0)
	}
	return string(b)
}

// versions returns the table of the versions that the file defines (Verdef, with
// one Verdaux each), and the strings that it points to.
func (o ELF) versions(order binary.AppendByteOrder) (names string, defs []byte) {
	names = "\x00"
	for i, name := range o.Defines {
		next := uint32(28)
		if i == len(o.Defines)-1 {
			next = 0
		}
		defs = order.AppendUint16(order.AppendUint16(order.AppendUint16(order.AppendUint16(defs, 1), 0), uint16(i+1)), 1)
		defs = order.AppendUint32(order.AppendUint32(order.AppendUint32(defs, 0), 20), next)
		defs = order.AppendUint32(order.AppendUint32(defs, uint32(len(names))), 0)
		names += name + "\x00"
	}
	return names, defs
}
