// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
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
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		afterCollection(func() { debug.SetGCPercent(growth(inUse())) })
	}
}

// growth returns by how much a heap may grow, in percent of what is in use.
func growth(inUse uint64) int {
	live := max(int64(inUse), firstHeap)
	goal := max(smallHeap, min(2*live, easyHeap), live+live/100*leastGrow)
	return int((goal - live) * 100 / live)
}

// inUse returns the bytes that the last collection left.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// afterCollection calls f, and again after every collection.
func afterCollection(f func()) {
	type mark struct{ _ [16]byte }
	var again func(*mark)
	again = func(*mark) {
		f()
		runtime.SetFinalizer(&mark{}, again)
	}
	again(nil)
}
