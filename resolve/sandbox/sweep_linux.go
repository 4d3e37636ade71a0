// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A relative is a process that another started, or that one started which it
// started.
type relative struct{ parent, threads int }

// below returns all that pid and those below it started, by pid. Only where pid
// takes in orphans (PR_SET_CHILD_SUBREAPER) is none missed.
func below(pid int) map[int]relative {
	names, _ := os.ReadDir("/proc") // what can't be read is not there
	all := map[int]relative{}
	for _, d := range names {
		if n, err := strconv.Atoi(d.Name()); err == nil {
			if r, ok := look(n); ok {
				all[n] = r
			}
		}
	}
	found := map[int]relative{}
	for n, r := range all {
		for up, steps := r.parent, 0; up != 0 && steps <= len(all); up, steps = all[up].parent, steps+1 {
			if up == pid {
				found[n] = r
				break
			}
		}
	}
	return found
}

// look reads what /proc says of a process.
func look(pid int) (relative, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return relative{}, false
	}
	s := string(b)
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:]) // the name before it may be anything
	if len(fields) < 18 {
		return relative{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	n, _ := strconv.Atoi(fields[17])
	return relative{parent, n}, err == nil
}

// threads counts the threads of all processes below pid.
func threads(pid int) (sum int) {
	for _, r := range below(pid) {
		sum += r.threads
	}
	return sum
}

// sweep ends every process below this one, and returns when none is left.
func sweep() error {
	for wait := time.Millisecond; wait < 4*time.Second; wait += wait / 8 {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 && !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		left := below(os.Getpid())
		if len(left) == 0 {
			return nil
		}
		for pid := range left {
			end(pid, left)
		}
		time.Sleep(wait)
	}
	return errors.New("processes that the command started can't be ended")
}

// end ends a process if it still is the one that was found below this one.
func end(pid int, found map[int]relative) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(fd) //nolint:errcheck // nothing depends on it
	r, ok := look(pid)
	if _, known := found[r.parent]; ok && (known || r.parent == os.Getpid()) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}
