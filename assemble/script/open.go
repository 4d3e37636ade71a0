// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/interp"
)

// counted counts what is printed.
type counted struct {
	m *Machine
	w io.Writer
}

func (w *counted) Write(p []byte) (int, error) {
	if w.m.printed.Add(int64(len(p))) > maxOutput {
		return 0, &UnsupportedError{"more output than is allowed"}
	}
	return w.w.Write(p)
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[max(0, len(p)-errKept):]...)
	t.b = t.b[max(0, len(t.b)-errKept):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.b), "?"))
}

// open opens a file for a redirection.
func (m *Machine) open(ctx context.Context, name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	f, err := m.openFile(ctx, name, flag, perm)
	var shown *os.PathError
	if err != nil && !errors.As(err, &shown) {
		return nil, m.end(err)
	}
	return f, err
}

func (m *Machine) openFile(ctx context.Context, name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	name = abs(interp.HandlerCtx(ctx).Dir, name)
	switch name {
	case "/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/zero":
		if name != "/dev/null" {
			return nil, &UnsupportedError{name}
		}
		return &nothing{}, nil
	}
	if text, ok := m.instead(name); ok {
		return &opened{r: strings.NewReader(text)}, nil
	}
	if text, ok := m.Sourced[name]; ok {
		return &opened{r: strings.NewReader(text)}, nil
	}
	if flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		b, err := m.Tree.ReadFile(name)
		if err != nil {
			return nil, pathError(err, name)
		}
		return &opened{r: bytes.NewReader(b)}, nil
	}
	return m.create(name, flag, perm)
}

// create opens a file to write to it.
func (m *Machine) create(name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	var old []byte
	if flag&os.O_TRUNC == 0 {
		b, err := m.Tree.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, pathError(err, name)
		}
		old = b
	}
	if err := m.Tree.WriteFile(name, old, perm&^m.umask); err != nil {
		return nil, pathError(err, name)
	}
	return &opened{r: bytes.NewReader(old), m: m, name: name}, nil
}

// pathError makes an error one that the shell prints, unless it ends the
// script.
func pathError(err error, name string) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &os.PathError{Op: "open", Path: name, Err: pe.Err}
	}
	return err
}

type nothing struct{}

func (*nothing) Read([]byte) (int, error)    { return 0, io.EOF }
func (*nothing) Write(p []byte) (int, error) { return len(p), nil }
func (*nothing) Close() error                { return nil }

// An opened file appends what is written at once: another command may read it.
type opened struct {
	r    io.Reader
	m    *Machine
	name string
}

func (o *opened) Read(p []byte) (int, error) { return o.r.Read(p) }

func (o *opened) Write(p []byte) (int, error) {
	if o.m == nil {
		return 0, fs.ErrPermission
	}
	if o.m.printed.Add(int64(len(p))) > maxOutput {
		return 0, &UnsupportedError{"more output than is allowed"}
	}
	return len(p), o.m.Tree.Append(o.name, p)
}

func (o *opened) Close() error { return nil }
