// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"inlay/layers/xz"
)

// TestXzEnvironment decodes with the xz of this machine, whatever its variables
// say.
func TestXzEnvironment(t *testing.T) {
	path, err := exec.LookPath("xz")
	if err != nil {
		t.Skipf("this machine has no xz: %v", err)
	}
	pack := exec.CommandContext(t.Context(), path, "--stdout", "-0")
	pack.Stdin = strings.NewReader(strings.Repeat("text ", 1000))
	packed, err := pack.Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XZ_OPT", "--no-such-option")
	t.Setenv("XZ_DEFAULTS", "--memlimit-decompress=1")
	d, err := decoder()
	if err != nil || d.Start == nil {
		t.Fatalf("decoder() = %v, %v, want one with the program", d, err)
	}
	var out, said bytes.Buffer
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wait, err := d.Start(t.Context(), xz.Call{Args: []string{"-dc"}, Stdin: bytes.NewReader(packed), Stdout: w, Stderr: &said})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&out, r); err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil || out.Len() != 5000 {
		t.Errorf("xz gave %d bytes, %v: %s", out.Len(), err, said.String())
	}
}

// TestXzKilled ends a program that does nothing, and what it started.
func TestXzKilled(t *testing.T) {
	dir := t.TempDir()
	program, mark := filepath.Join(dir, "hangs"), filepath.Join(dir, "mark")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n(/bin/sleep 60; echo > "+mark+") &\necho begun\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("INLAY_XZ", program)
	d, err := decoder()
	if err != nil {
		t.Fatal(err)
	}
	d.Least = 1
	ctx, cancel := context.WithCancel(t.Context())
	begin := time.Now()
	r, err := d.NewReader(ctx, xz.Source{Open: func() io.Reader { return strings.NewReader("no xz") }, Size: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, len("begun\n"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("reading after cancel = %v, want context.Canceled", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it was waited for, %v long", took)
	}
}
