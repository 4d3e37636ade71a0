// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"inlay/cmd/inlay/doctor"
	"inlay/layers/xz"
)

// xzVariable names the program that decodes .xz, or is xzOff.
const (
	xzVariable = "INLAY_XZ"
	xzOff      = "off"
)

// xzProgram returns the path of the program that decodes .xz, "" where inlay is
// to do that itself.
func xzProgram() (string, error) {
	name := os.Getenv(xzVariable)
	switch name {
	case xzOff:
		return "", nil
	case "":
		path, err := lookPath("xz")
		if err != nil {
			return "", nil //nolint:nilerr // it is only quicker with one
		}
		return path, nil
	}
	path, err := lookPath(name)
	if err != nil {
		return "", &usageError{fmt.Sprintf("%s names %q, which is no program", xzVariable, name), "unset " + xzVariable + ", or set it to off, or to the path of xz"}
	}
	return path, nil
}

// decoder returns what decodes .xz on this machine.
func decoder() (*xz.Decoder, error) {
	path, err := xzProgram()
	if err != nil || path == "" {
		return &xz.Decoder{}, err
	}
	return &xz.Decoder{Start: func(ctx context.Context, c xz.Call) (func() error, error) {
		cmd := exec.CommandContext(ctx, path, c.Args...)
		cmd.Env = []string{} // nil would mean this program's own
		cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
		cmd.WaitDelay = time.Second // what it started may hold its output open
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with what it started
		return cmd.Wait, cmd.Start()
	}}, nil
}

// xzCheck says what decodes Debian packages.
func xzCheck(ctx context.Context) []doctor.Finding {
	path, err := xzProgram()
	switch {
	case err != nil:
		return doctor.One(doctor.Problem, err.Error(), advice(err))
	case path == "" && os.Getenv(xzVariable) == xzOff:
		return doctor.One(doctor.OK, "inlay decodes Debian packages itself: "+xzVariable+"="+xzOff, "")
	case path == "":
		return doctor.One(doctor.Note, "xz is not on the PATH: inlay decodes Debian packages itself", "install xz (Debian: xz-utils) to decode them quicker")
	}
	out, err := printed(ctx, path, "--version")
	if err != nil || !strings.HasPrefix(out, "xz (XZ Utils) ") {
		return doctor.One(doctor.Note, path+" is not the xz of XZ Utils: inlay decodes Debian packages itself", "install xz (Debian: xz-utils), or set "+xzVariable+"="+xzOff)
	}
	first, _, _ := strings.Cut(out, "\n")
	return doctor.One(doctor.OK, fmt.Sprintf("%s (%s) decodes Debian packages", first, path), "")
}
