// SPDX-License-Identifier: Apache-2.0

package step

import (
	"bufio"
	"cmp"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"inlay/cache/disk"
	"inlay/layers"
	"inlay/layers/pattern"
	"inlay/resolve/plan"
	"inlay/resolve/sandbox"
)

//go:embed compile.py
var compilePy string

// A compiled module lies in a file of bytecode of several.
type compiled struct {
	module installed
	at     int64
	size   int64 // 0: it can't be compiled
}

// bytecode compiles the modules of b's wheels, and adds what a Python looks for
// beside them. The Python gets the sources as a stream and answers in one: it
// sees the image, in which no wheel is, and what it writes there is dropped.
func (l *layer) bytecode(ctx context.Context, b plan.Bytecode) error {
	l.tools.Note = nil // the layers of the wheels have said it
	all, done, err := l.all(ctx, b.Python)
	defer done()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(f installed) bool {
		return path.Ext(f.file.Path) != ".py" || !above(b.Scheme.Purelib, f.file.Path) && !above(b.Scheme.Platlib, f.file.Path)
	})
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(x, y installed) int {
		return cmp.Or(cmp.Compare(x.wheel, y.wheel), strings.Compare(x.path, y.path))
	})
	if l.tools.Sandbox == nil {
		return errors.New("no sandbox was given to compile modules in")
	}
	s, err := l.tools.Sandbox(ctx)
	if err != nil {
		return fmt.Errorf("compiling modules: %w", err)
	}
	dir, remove, err := disk.Scratch(ctx, s.Scratch)
	if err != nil {
		return err
	}
	defer remove()
	out, err := os.OpenFile(filepath.Join(dir, "bytecode"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // it is removed
	tree, err := s.Trees.Tree(ctx, l.tools.Below)
	if err != nil {
		return err
	}
	root := sandbox.Root{Lower: tree.Dirs, Scratch: filepath.Join(dir, "root")}
	defer s.Rung.Remove(context.WithoutCancel(ctx), root.Scratch) //nolint:errcheck // if not now, then with the next build
	if err := s.compile(ctx, b, root, all, out); err != nil {
		return err
	}
	return l.pack(ctx, all, out)
}

// compile lets the Python of b write the bytecode of modules to out.
func (s *Sandbox) compile(ctx context.Context, b plan.Bytecode, root sandbox.Root, modules []installed, out *os.File) error {
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := send(w, modules)
		sent <- err
		_ = w.CloseWithError(err)
	}()
	said := &tail{}
	res, err := s.Rung.Run(ctx, sandbox.Command{
		Path: b.Scheme.Interpreter, Args: []string{"-s", "-S", "-B", "-c", compilePy},
		Env:   append([]string{"PYTHONHASHSEED=0", "PATH=/usr/local/bin:/usr/bin:/bin"}, b.Env...),
		Stdin: r, Stdout: out, Stderr: said, Root: root, Limits: s.Limits,
	})
	_ = r.Close()
	ill := <-sent
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.Foreign != "" && cannotExecute(err):
		return &ForeignError{Setting: bytecodeSetting, Platform: s.Foreign}
	case err != nil || res.Exit != 0:
		return &CommandError{Setting: bytecodeSetting, Command: b.Scheme.Interpreter, Exit: res.Exit, Output: said.String(), Err: err}
	default:
		return ill
	}
}

const bytecodeSetting = "bytecode"

// send writes modules as compile.py reads them: those of each wheel as a list.
func send(to io.Writer, modules []installed) error {
	w := bufio.NewWriterSize(to, 1<<16)
	number := func(n int64) { _ = binary.Write(w, binary.BigEndian, n) } // Flush has the error
	for len(modules) > 0 {
		n := slices.IndexFunc(modules, func(m installed) bool { return m.wheel != modules[0].wheel })
		if n < 0 {
			n = len(modules)
		}
		number(int64(n))
		for _, m := range modules[:n] {
			body, err := m.file.Open()
			if err != nil {
				return err
			}
			number(int64(len(m.file.Path)))
			_, _ = w.WriteString(m.file.Path)
			number(m.file.Size)
			if _, err := io.Copy(w, body); err != nil {
				return err
			}
		}
		modules = modules[n:]
	}
	number(0)
	return w.Flush()
}

// pack adds the bytecode in f, which is that of modules.
func (l *layer) pack(ctx context.Context, modules []installed, f *os.File) error {
	tag, all, err := locate(modules, f)
	if err != nil {
		return fmt.Errorf("reading what was compiled: %w", err)
	}
	paths := make([]string, len(all))
	for i, c := range all {
		dir, name := path.Split(c.module.path)
		paths[i] = path.Join(dir, "__pycache__", strings.TrimSuffix(name, ".py")+"."+tag+".pyc")
	}
	if err := l.dirs(paths); err != nil {
		return err
	}
	for i, c := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.at = paths[i]
		e := layers.Entry{Path: inLayer(paths[i]), Mode: 0o644, Size: c.size}
		if err := l.w.Add(e, io.NewSectionReader(f, c.at, c.size)); err != nil {
			return err
		}
	}
	return nil
}

// locate returns where in f the bytecode of modules lies, of those that could be
// compiled, and the tag in its files' names.
func locate(modules []installed, f io.ReaderAt) (tag string, all []compiled, err error) {
	at := int64(0)
	next := func() (int64, error) {
		var b [8]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return 0, err
		}
		n := int64(binary.BigEndian.Uint64(b[:]))
		if n < 0 || n > maxBytecode {
			return 0, fmt.Errorf("a text has %d bytes", uint64(n))
		}
		at += 8
		return n, nil
	}
	n, err := next()
	if err != nil || n > maxTag {
		return "", nil, errors.Join(err, errors.New("it names no kind of bytecode"))
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, at); err != nil || !cacheTag().Match(b) {
		return "", nil, errors.Join(err, fmt.Errorf("%q is no kind of bytecode", b))
	}
	at += n
	for _, m := range modules {
		if n, err = next(); err != nil {
			return "", nil, err
		}
		if n > 0 {
			all = append(all, compiled{m, at, n})
		}
		at += n
	}
	return string(b), all, nil
}

// What a Python may answer at most.
const (
	maxBytecode = 1 << 30 // of a module, in bytes
	maxTag      = 64
)

var cacheTag = pattern.New(`^[a-z0-9][a-z0-9_.-]*$`)
