// SPDX-License-Identifier: Apache-2.0

//go:build !linux && !darwin

package tree

import "io/fs"

// nonblock is of no use here.
const nonblock = 0

// stampOf returns the zero stamp: without the time at which a file was last
// changed in any way there is no telling that it wasn't.
func stampOf(fs.FileInfo) stamp { return stamp{} }
