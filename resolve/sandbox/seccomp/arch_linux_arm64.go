// SPDX-License-Identifier: Apache-2.0

package seccomp

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// oldChowns are the calls that older machines have and this one doesn't.
var oldChowns []uint32
