// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"inlay/resolve/sandbox"
)

// exceed runs an act with limits and returns the limit that ended it, or "".
func (b box) exceed(t *testing.T, l sandbox.Limits, name string, args ...string) (limit, out string) {
	t.Helper()
	var said bytes.Buffer
	_, err := b.Run(t.Context(), sandbox.Command{
		Path: "/bin/" + name, Args: args, Root: b.root(t), Limits: l, Stdout: &said, Stderr: &said, Mounts: libraries(),
	})
	var passed *sandbox.LimitError
	if errors.As(err, &passed) {
		return passed.Limit, said.String()
	}
	if err != nil {
		t.Fatalf("running %s: %v\n%s", name, err, &said)
	}
	return "", said.String()
}

// TestLimits shows what happens to a command that takes all it can get.
func TestLimits(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		if limit, _ := b.exceed(t, sandbox.Limits{Time: 200 * time.Millisecond}, "sleep"); limit != "time" {
			t.Errorf("sleeping for ever was ended by the limit of %q", limit)
		}
		if limit, out := b.exceed(t, sandbox.Limits{Processes: 60}, "bomb"); !contained() && (limit != "" || out != "stopped by the kernel\n") || contained() && limit != "processes" {
			t.Errorf("a fork bomb: limit %q, it says %q", limit, out)
		}
		if limit, out := b.exceed(t, sandbox.Limits{Memory: 200 << 20}, "eat", "4"); limit != "memory" {
			t.Errorf("four processes that take memory: limit %q, they say %q", limit, out)
		}
		if limit, out := b.exceed(t, sandbox.Limits{Disk: 50 << 20}, "fill"); limit != "disk" {
			t.Errorf("filling the disk: limit %q, it says %q", limit, out)
		}
		if limit, out := b.exceed(t, sandbox.Limits{FileSize: 1 << 20}, "fill", "one"); limit != "" || out != "stopped after 1048576 bytes\n" {
			t.Errorf("a long file: limit %q, it says %q", limit, out)
		}
		if limit, out := b.exceed(t, sandbox.Limits{Memory: 200 << 20, Disk: 50 << 20, Processes: 60, OpenFiles: 100, Time: time.Minute}, "echo"); limit != "" || out != "[]\n" {
			t.Errorf("echo: limit %q, it says %q", limit, out)
		}
	})
}

// TestCancel shows that a command ends with its context.
func TestCancel(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.Run(ctx, sandbox.Command{
			Path: "/bin/sleep", Args: []string{"cancelled" + b.dir}, Root: b.root(t), Mounts: libraries(),
			Started: func(*sandbox.Running) { cancel() },
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want that the context was cancelled", err)
		}
		if n := running(t, "cancelled"+b.dir); n != 0 {
			t.Errorf("%d processes are left", n)
		}
		if _, err := b.Run(ctx, sandbox.Command{Path: "/bin/echo", Root: b.root(t)}); !errors.Is(err, context.Canceled) {
			t.Errorf("Run with a context that is over = %v", err)
		}
	})
}

// bomb is an act: it starts processes until it can't.
func bomb([]string) int {
	for range 500 {
		cmd := exec.Command(program())
		cmd.Args = []string{"sleep"}
		if err := cmd.Start(); errors.Is(err, syscall.EAGAIN) {
			fmt.Println("stopped by the kernel")
			return 0
		}
	}
	fmt.Println("500 processes run")
	return 0
}

// eat is an act: it takes memory in as many processes as it is told.
func eat(args []string) int {
	if len(args) == 1 {
		n, _ := strconv.Atoi(args[0])
		for range n {
			cmd := exec.Command(program())
			cmd.Args = []string{"eat"}
			if err := cmd.Start(); err != nil {
				return status(err)
			}
		}
		time.Sleep(time.Minute)
		return 1
	}
	var kept [][]byte
	for range 100 { // 2 GB, of which at most a small part is taken
		piece := bytes.Repeat([]byte{1}, 20<<20)
		kept = append(kept, piece)
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Println(len(kept))
	return 0
}

// fill is an act: it writes files until it can't, at most 2 GB; or one file.
func fill(args []string) int {
	piece := make([]byte, 1<<20)
	if len(args) > 0 {
		f, err := os.Create("/one")
		if err != nil {
			return status(err)
		}
		total := 0
		for range 10 {
			n, err := f.Write(piece)
			if total += n; err != nil {
				fmt.Println("stopped after", total, "bytes")
				return 0
			}
		}
		return 1
	}
	for i := range 2000 {
		if err := os.WriteFile(fmt.Sprintf("/file%d", i), piece, 0o644); err != nil {
			return status(err)
		}
		time.Sleep(time.Millisecond)
	}
	return 0
}

func TestBuildLimits(t *testing.T) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	var kB int64
	if _, err := fmt.Sscanf(string(info), "MemTotal: %d kB", &kB); err != nil {
		t.Fatal(err)
	}
	l := sandbox.BuildLimits()
	if total := kB << 10; l.Memory < total/2 || l.Memory >= total {
		t.Errorf("commands may use %d bytes of memory, of %d", l.Memory, total)
	}
	if l.Time == 0 || l.Disk == 0 || l.Processes == 0 || l.OpenFiles == 0 {
		t.Errorf("something has no limit: %+v", l)
	}
}
