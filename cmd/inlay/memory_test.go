// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	for _, tt := range []struct {
		inUse uint64
		want  int
	}{{0, 400}, {4 << 20, 400}, {8 << 20, 150}, {10 << 20, 100}, {32 << 20, 100}, {40 << 20, 60}, {64 << 20, 24}, {1 << 40, 24}} {
		if got := growth(tt.inUse); got != tt.want {
			t.Errorf("growth(%d) = %d, want %d", tt.inUse, got, tt.want)
		}
	}
}

// TestAfterCollection holds that every collection is seen, not only the first.
func TestAfterCollection(t *testing.T) {
	done := make(chan bool, 1000)
	afterCollection(func() { done <- true })
	for range 3 {
		runtime.GC()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("a collection was not seen")
		}
	}
}

// TestInUse holds what decides about the heap.
func TestInUse(t *testing.T) {
	for _, percent := range []int{24, 100, 400} {
		before := debug.SetGCPercent(percent)
		b := make([]byte, 64<<20)
		runtime.GC()
		with := inUse(percent)
		runtime.KeepAlive(b)
		runtime.GC()
		if without := inUse(percent); with < 64<<20 || with > 96<<20 || without > with-60<<20 {
			t.Errorf("with 64 MiB in use inUse(%d) = %d, without %d", percent, with, without)
		}
		debug.SetGCPercent(before)
	}
	debug.FreeOSMemory()
}
