// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"io/fs"
	"syscall"
)

// nonblock makes opening a named pipe return at once.
const nonblock = syscall.O_NONBLOCK

// stampOf returns the stamp of a file, or the zero one if info is not from the
// operating system.
func stampOf(info fs.FileInfo) stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{dev: uint64(st.Dev), ino: st.Ino, size: st.Size, modTime: st.Mtimespec.Nano(), chgTime: st.Ctimespec.Nano()}
}
