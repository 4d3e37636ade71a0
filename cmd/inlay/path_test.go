// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program is found as shells find it, but not by where the process is; a link
// that leads nowhere is named where there is nothing better.
func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, sub := range []string{"near", "far", "gone"} {
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if sub != "gone" {
			if err := os.WriteFile(filepath.Join(sub, "tool"), []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("/nowhere/tool", "gone/tool"); err != nil {
		t.Fatal(err)
	}
	far := filepath.Join(dir, "far")
	for _, tt := range []struct{ path, want, problem string }{
		{far, "far/tool", ""},
		{"near:" + far, "far/tool", ""},
		{dir + "/gone:" + far, "far/tool", ""},
		{"near::.", "", "executable file not found"},
		{"", "", "executable file not found"},
		{dir + "/gone:near", "", dir + "/gone/tool leads to /nowhere/tool, which isn't there"},
	} {
		t.Setenv("PATH", tt.path)
		got, err := lookPath("tool")
		if strings.TrimPrefix(got, dir+"/") != tt.want || (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
			t.Errorf("lookPath on %q = %q, %v, want %q, %q", tt.path, got, err, tt.want, tt.problem)
		}
	}
	if _, err := lookPath("/nowhere/tool"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lookPath of a path: %v", err)
	}
	if got, err := lookPath(far + "/tool"); err != nil || got != far+"/tool" {
		t.Errorf("lookPath of a path = %q, %v", got, err)
	}
	var none *exec.Error
	if _, err := lookPath("another"); !errors.As(err, &none) || !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("lookPath of what isn't there: %v", err)
	}
}

// Only a file that is there is read for logins, whatever HOME is, unless it was
// named.
func TestNetrcFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, ".netrc")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ home, netrc, want string }{
		{dir, "", file},
		{dir, "/named", "/named"},
		{"", "", ""},
		{"", "/named", "/named"},
		{os.DevNull, "", ""},
		{file, "", ""},
		{t.TempDir(), "", ""},
	} {
		t.Setenv("HOME", tt.home)
		t.Setenv("NETRC", tt.netrc)
		if got := netrcFile(); got != tt.want {
			t.Errorf("with HOME=%s and NETRC=%s the file is %q, want %q", tt.home, tt.netrc, got, tt.want)
		}
	}
}
