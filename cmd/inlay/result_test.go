// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"inlay/layers"
)

// full is a device without room.
type full struct{ io.Writer }

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A script that never gets the result is told so.
func TestResultNotWritten(t *testing.T) {
	var stderr bytes.Buffer
	status := run(t.Context(), []string{"inlay", "version"}, full{}, &stderr)
	want := "error: writing the result: no space left on device\nhint: make room there, or name another place\n"
	if status != 1 || stderr.String() != want {
		t.Errorf("run = %d with %q, want 1 with %q", status, stderr.String(), want)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"tag", "set", "env", "push", "platform", "f"}
	for name, want := range map[string]string{
		"tga": "--tag", "pussh": "--push", "platfrom": "--platform", "est": "--set", "zzz": "", "x": "", //nolint:misspell // on purpose
	} {
		if got := strings.TrimSuffix(strings.TrimPrefix(nearest(name, names, "--"), "did you mean "), "?"); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

// What packages say nothing of, files above all, gets a hint too.
func TestHint(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{&usageError{"a", "b"}, "b"},
		{&layers.DigestError{}, "it is damaged where it comes from: fetch or copy it again"},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "change the permissions there, or name another place"},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "make room there, or name another place"},
		{&fs.PathError{Op: "read", Path: "x", Err: syscall.EISDIR}, "check the path"},
		{io.ErrUnexpectedEOF, ""},
	}
	for _, tt := range tests {
		if got := advice(fmt.Errorf("doing: %w", tt.err)); got != tt.want {
			t.Errorf("advice(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
}
