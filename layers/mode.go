// SPDX-License-Identifier: Apache-2.0

package layers

import "io/fs"

// specials are the bits of chmod(2) above the permissions.
var specials = [...]struct {
	bit  uint32
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// UnixMode returns the bits of m that chmod(2) sets, as a tar has them.
func UnixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for _, s := range specials {
		if m&s.mode != 0 {
			bits |= s.bit
		}
	}
	return bits
}

// FileMode turns the bits of chmod(2) into those of package fs.
func FileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	for _, s := range specials {
		if bits&s.bit != 0 {
			m |= s.mode
		}
	}
	return m
}
