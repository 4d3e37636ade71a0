// SPDX-License-Identifier: Apache-2.0

package step

// Untimed is untimed.
func Untimed(store []byte, epoch int64) []byte { return untimed(store, epoch) }
