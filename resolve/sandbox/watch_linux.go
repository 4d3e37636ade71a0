// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// beat is how often the sandbox is looked at: a command that writes or takes as
// fast as it can gets some 100 MB above its limit.
const beat = 50 * time.Millisecond

// watch ends the sandbox when it uses more than its limits. The limits of the
// kernel's own that need no rights are for one process, and a process can start
// another.
func (p *first) watch() {
	l := p.c.Limits
	start, before, wait := p.free(), int64(0), 0
	if p.c.Copy && l.Disk > 0 {
		before, _ = p.written()
	}
	for range time.Tick(beat) {
		if l.Memory > 0 && p.proc && p.memory(estimate) > l.Memory && p.memory(exact) > l.Memory {
			p.end("memory")
		}
		if p.c.Chroot && l.Processes > 0 && threads(os.Getpid()) > l.Processes {
			p.end("processes") // the kernel lets root of the host start as many as it likes
		}
		// Looking takes a while where there are many files. It is done now and then,
		// and at once where the disk has become fuller by so much.
		if wait--; l.Disk == 0 || wait > 0 && start-p.free() <= l.Disk {
			continue
		}
		bytes, files := p.written()
		if bytes-before > l.Disk {
			p.end("disk")
		}
		start, wait = p.free(), files/filesABeat
	}
}

// filesABeat is how many files can be looked at in a tenth of a beat.
const filesABeat = 1000

// end ends the sandbox for what it used too much of.
func (p *first) end(limit string) {
	_ = p.out.send(message{Kind: sayLimit, Text: limit})
	_ = p.leave() // what more could be done?
	syscall.Exit(1)
}

// free returns the bytes that are free where the command writes, and others do.
func (p *first) free() int64 {
	var s unix.Statfs_t
	if err := unix.Fstatfs(p.upper, &s); err != nil {
		return 0
	}
	return int64(s.Bfree) * s.Bsize
}

// written returns the bytes that lie below the root and belong to no layer, and
// in how many files.
func (p *first) written() (sum int64, files int) {
	// What can't be read, because it was just removed, for one, counts nothing.
	_ = filepath.WalkDir(fmt.Sprintf("/proc/self/fd/%d/", p.upper), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // the rest counts
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
		files++
		return nil
	})
	return sum, files
}

// A measure is a file of a process in /proc, and the fields that count.
type measure struct {
	file   string
	fields []string
}

// What processes use, quickly, with what they share counted for each, and
// slowly, with it counted once.
var (
	estimate = measure{"status", []string{"RssAnon:", "RssShmem:"}}
	exact    = measure{"smaps_rollup", []string{"Pss_Anon:", "Pss_Shmem:"}}
)

// memory returns the bytes that all processes but this one use.
func (p *first) memory(m measure) int64 {
	var sum int64
	if p.c.Chroot {
		for pid := range below(os.Getpid()) {
			sum += m.of(pid)
		}
		return sum
	}
	names, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, d := range names {
		if pid, err := strconv.Atoi(d.Name()); err == nil && pid > 1 {
			sum += m.of(pid)
		}
	}
	return sum
}

func (m measure) of(pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, m.file))
	if err != nil && m.file == exact.file { // another user's, where this is no root over it
		return estimate.of(pid)
	}
	if err != nil {
		return 0 // it has ended
	}
	defer f.Close() //nolint:errcheck // nothing depends on it
	var sum int64
	for s := bufio.NewScanner(f); s.Scan(); {
		for _, field := range m.fields {
			if rest, ok := strings.CutPrefix(s.Text(), field); ok {
				kB, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				sum += kB << 10
			}
		}
	}
	return sum
}
