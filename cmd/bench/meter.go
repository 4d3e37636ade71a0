// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A usage is what one build took.
type usage struct {
	wall, cpu time.Duration
	peak      int64 // bytes: the most that its processes held at one time
	pushed    int64 // bytes sent to the registry
}

func (u usage) plus(v usage) usage {
	return usage{u.wall + v.wall, u.cpu + v.cpu, max(u.peak, v.peak), u.pushed + v.pushed}
}

// measure runs a command and returns what it and its descendants took. Those of
// the daemon, if that is not 0, are added: it does the work for the command, and
// goes on with it when the command is over.
func measure(ctx context.Context, cmd *exec.Cmd, daemon int) (usage, error) {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	before, err := cpuOf(daemon)
	if err != nil {
		return usage{}, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	stop := make(chan struct{})
	peak := watch(stop, cmd.Process.Pid, daemon)
	err = cmd.Wait()
	u := usage{wall: time.Since(begin)}
	close(stop)
	u.peak = <-peak
	if err != nil {
		return u, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), errors.Join(err, ctx.Err()), tail(output.Bytes()))
	}
	after, err := settled(ctx, daemon)
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() + after - before
	return u, err
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

// A daemon that takes no more than idle in the time of still rests. It is watched
// for longest at most: something else may keep it busy.
const (
	idle    = 3 * time.Millisecond // buildkitd takes half of it at rest, twice as much to collect garbage
	still   = 4 * time.Second      // it collects garbage three seconds after a build
	longest = 30 * time.Second
)

// settled waits until the daemon rests and returns the CPU time that it had when
// it came to, so that what it takes at rest is no build's.
func settled(ctx context.Context, daemon int) (time.Duration, error) {
	cpu, err := cpuOf(daemon)
	if daemon == 0 {
		return cpu, err
	}
	begin := time.Now()
	for since := begin; err == nil && time.Since(since) < still && time.Since(begin) < longest; {
		select {
		case <-ctx.Done():
			return cpu, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		var now time.Duration
		if now, err = cpuOf(daemon); now-cpu > idle {
			cpu, since = now, time.Now()
		}
	}
	return cpu, err
}

// tick is the unit of times in /proc/PID/stat: USER_HZ, 100 on every Linux.
const tick = time.Second / 100

// cpuOf returns the CPU time of a process and of its children that ended. Its own
// is that of its clock, in nanoseconds, with all threads that ended, which a sum of
// /proc/PID/task/*/schedstat is not. The children's is nowhere but in ticks.
func cpuOf(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	const scheduled = 2 // CPUCLOCK_SCHED: as clock_getcpuclockid(3) names the clock of a process
	var own unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &own); err != nil { //nolint:gosec // a process id has 22 bits
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	sum := time.Duration(own.Nano())
	for _, f := range fields[13:15] { // cutime, cstime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// stat returns the fields of /proc/PID/stat that follow the name.
func stat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 26 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

// watch adds up the resident memory of the processes and their descendants,
// again and again until stop is closed, and gives the largest sum.
func watch(stop <-chan struct{}, roots ...int) <-chan int64 {
	result := make(chan int64, 1)
	go func() {
		var peak int64
		for {
			peak = max(peak, resident(roots))
			select {
			case <-stop:
				result <- peak
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return result
}

func resident(roots []int) (sum int64) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	children := map[int][]int{}
	all := map[int][]string{}
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		fields, err := stat(pid)
		if err != nil {
			continue // it has ended
		}
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
		all[pid] = fields
	}
	for todo := slices.Clone(roots); len(todo) > 0; todo = todo[1:] {
		p := all[todo[0]]
		if todo[0] == 0 || p == nil {
			continue
		}
		todo = append(todo, children[todo[0]]...)
		if parent, _ := strconv.Atoi(p[1]); all[parent] == nil || !sameMemory(all[parent], p) {
			pages, _ := strconv.ParseInt(p[21], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// sameMemory reports whether a child has the memory of its parent: it was
// started, as vfork does it, and is about to become another program. Then its
// memory has the same size and the same place of the stack.
func sameMemory(parent, child []string) bool {
	const size, stack = 20, 25
	return child[size] == parent[size] && child[stack] == parent[stack] && child[stack] != "0"
}
