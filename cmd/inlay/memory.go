// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// By itself the runtime lets any heap double before it collects, from firstHeap
// on. Here the next collection is when a heap reaches smallHeap, so that a build
// which changes nothing, and is over in some milliseconds, ends before the first
// one; or double of what is in use if that is more, though not beyond easyHeap; or
// leastGrow percent more than is in use, if even that is more.
const (
	firstHeap = 4 << 20
	smallHeap = 20 << 20
	easyHeap  = 64 << 20
	leastGrow = 25
)

// boundHeap keeps a large heap near to what is in use, unless the environment says
// how (GOGC, GOMEMLIMIT).
func boundHeap() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	percent := growth(0)
	debug.SetGCPercent(percent)
	afterCollection(func() {
		percent = growth(inUse(percent))
		debug.SetGCPercent(percent)
	})
}

// growth returns by how much a heap may grow, in percent of what is in use.
func growth(inUse uint64) int {
	live := max(int64(inUse), firstHeap)
	goal := max(smallHeap, min(2*live, easyHeap), live+live/100*leastGrow)
	return int((goal - live) * 100 / live)
}

// inUse returns the bytes that the last collection left, or a little more: from
// them, and what the stacks hold, the heap may grow by percent until the next.
func inUse(percent int) uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NextGC * 100 / uint64(100+percent)
}

// afterCollection calls f after every collection.
func afterCollection(f func()) {
	type mark struct{ _ [16]byte }
	runtime.SetFinalizer(&mark{}, func(*mark) {
		afterCollection(f)
		f()
	})
}
