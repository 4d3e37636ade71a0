// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// versionOf returns what the uv called program says of its version, "" if it
// doesn't. A program that is as it was when it said so isn't run for it again.
func (o FindOptions) versionOf(ctx context.Context, program string) string {
	name := ""
	if o.Store != nil {
		name = programName(program)
	}
	if name != "" {
		if b, err := o.Store.Get(name); err == nil {
			return string(b)
		}
	}
	out := &logWriter{}
	exit, err := o.Runner.Run(ctx, Command{
		Path: program, Args: []string{"--version"}, Env: pick(o.Env, uvEnv()), Stdout: out, Stderr: &logWriter{},
	})
	m := versionLine().FindStringSubmatch(out.String())
	if err != nil || exit != 0 || m == nil {
		return ""
	}
	if name != "" {
		_ = o.Store.Put(name, []byte(m[1])) // it is asked again
	}
	return m[1]
}

// programName names a program as it is now, in what is stored. It is "" for what
// may run another program, as scripts do and the links by which version managers
// know what they are called as.
func programName(program string) string {
	file, err := filepath.EvalSymlinks(program)
	if err != nil || filepath.Base(file) != "uv" {
		return ""
	}
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	const elfMark = "\x7fELF"
	mark := make([]byte, len(elfMark))
	info, err := f.Stat()
	if _, failed := io.ReadFull(f, mark); failed != nil || err != nil || string(mark) != elfMark {
		return ""
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d %d %d", file, s.Dev, s.Ino, info.Size(), info.ModTime().UnixNano()))
	return fmt.Sprintf("uv-%x", sum)
}
