// SPDX-License-Identifier: Apache-2.0

package seccomp

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// oldChowns are the calls that newer machines no longer have.
var oldChowns = []uint32{unix.SYS_CHOWN, unix.SYS_LCHOWN}
