// SPDX-License-Identifier: Apache-2.0

package layers

// What the tests see: Scan with another limit of entries, for the true one takes
// half a minute to reach.
var (
	ScanAtMost = scan
	MaxEntries = maxEntries
)
