// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Bounds of the heap. By itself the runtime lets any heap double before it
// collects: here one that is larger than the first may only grow up to it, and any
// by the second, in percent of what is in use.
const (
	easyHeap  = 64 << 20
	leastGrow = 25
	mostGrow  = 100
)

// boundHeap keeps a large heap near to what is in use, unless the environment says
// how (GOGC, GOMEMLIMIT).
func boundHeap() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		afterCollection(func() { debug.SetGCPercent(growth(inUse())) })
	}
}

// growth returns by how much a heap may grow, in percent.
func growth(inUse uint64) int {
	if inUse == 0 {
		return mostGrow
	}
	return int(min(max((easyHeap-int64(inUse))*100/int64(inUse), leastGrow), mostGrow))
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
