// SPDX-License-Identifier: Apache-2.0

package sandbox

import "time"

// BuildLimits are those of a command of a build: far above what building a
// project takes, and below what would hold up the machine for good.
func BuildLimits() Limits {
	return Limits{
		Time: 2 * time.Hour, Memory: totalMemory() / 4 * 3, Disk: 32 << 30, Processes: 4096, OpenFiles: 16384,
	}
}
