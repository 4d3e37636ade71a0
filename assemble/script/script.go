// SPDX-License-Identifier: Apache-2.0

// Package script interprets shell scripts over a tree, without a process. A
// script sees the tree and nothing of the host: no file, no clock, no variable,
// no account, no number of its own process. Its commands are functions; a
// command or a flag that isn't known ends the script, which then counts as not
// run: no exit status is ever made up. What a script may compute, print and
// keep is bounded, so that it ends.
package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"

	"inlay/assemble/overlay"
)

// Bounds of one script, with all that it calls.
const (
	maxScript = 1 << 20 // bytes of its text
	maxCalls  = 100_000 // commands
	maxOutput = 8 << 20 // bytes printed
	maxMemory = 1 << 20 // bytes of its variables
	maxDepth  = 20      // scripts that call scripts
	maxTime   = time.Minute * 2
	errKept   = 300 // bytes of what it said last
)

// An UnsupportedError reports something a script needs that isn't known here.
// The script counts as not run.
type UnsupportedError struct{ Needs string }

func (e *UnsupportedError) Error() string { return "it needs " + e.Needs }

// An Exit is the status of a command that failed, as commands do.
type Exit uint8

func (e Exit) Error() string { return fmt.Sprintf("exit status %d", uint8(e)) }

// A Command does what a program does, on the tree. It returns nil, an Exit, or
// another error, which ends the script.
type Command func(ctx context.Context, c *Call) error

// A Call is one use of a command.
type Call struct {
	*Machine
	Args []string // the first is the command's name
	In   io.Reader
	Out  io.Writer
	Err  io.Writer
	Dir  string // absolute
	Env  func(name string) string
}

// Internal begins the names of commands that are no programs.
const Internal = "inlay:"

// A Machine runs scripts over Tree. Its commands are those of the package, and
// Commands, which go before them. Keys are names, or absolute paths of programs
// that only count there.
type Machine struct {
	Tree     *overlay.Tree
	Commands map[string]Command
	Env      []string
	Time     int64             // of the build, in seconds since 1970
	Sourced  map[string]string // texts that stand for files which scripts read in, by path

	standard map[string]Command
	umask    fs.FileMode
	mu       sync.Mutex // of what follows: the two ends of a pipe run at the same time
	skipped  []string
	fatal    error
	// rewritten are texts for files that the shell is about to read in.
	rewritten map[string]string

	functions functions
	calls     atomic.Int64
	printed   atomic.Int64
	depth     int
	said      tail
}

// Skip notes that a command was left out on purpose.
func (m *Machine) Skip(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.skipped, what) {
		m.skipped = append(m.skipped, what)
	}
}

// Skipped returns what Skip was told, each once.
func (m *Machine) Skipped() []string { return m.skipped }

// A FailedError reports a script that failed, as scripts can.
type FailedError struct {
	Status int
	Said   string // the end of what it printed
}

func (e *FailedError) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("it fails with exit status %d", e.Status)
	}
	return fmt.Sprintf("it fails with exit status %d: %s", e.Status, e.Said)
}

// Run runs the script text, called name, with the arguments args. The error is
// nil if it ended well, a *FailedError if it failed, and another if it could
// not be run; of the tree it may have changed anything by then.
func (m *Machine) Run(ctx context.Context, name string, text []byte, args ...string) error {
	m.umask, m.standard = 0o022, standard()
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	err := m.run(ctx, name, text, args, nil, &m.said)
	var status Exit
	if errors.As(err, &status) {
		return &FailedError{int(status), m.said.String()}
	}
	return err
}

// run runs one script, or a script that another one calls.
func (m *Machine) run(ctx context.Context, name string, text []byte, args []string, in io.Reader, out io.Writer) (err error) {
	if m.depth++; m.depth > maxDepth {
		return &UnsupportedError{"scripts that call each other without end"}
	}
	defer func() { m.depth-- }()
	defer func() {
		if p := recover(); p != nil { // of the interpreter: the text is not ours
			err = &UnsupportedError{fmt.Sprintf("what the interpreter can't do: %v", p)}
		}
	}()
	file, err := parse(name, text)
	if err == nil {
		err = m.functions.learn(file)
	}
	if err == nil {
		_, err = lazy(file)
	}
	if err != nil {
		return err
	}
	tame(file.Stmts, true)
	runner, err := interp.New(m.options(args, in, out)...)
	if err != nil {
		return err
	}
	err = runner.Run(ctx, file)
	if ended := m.ended(); ended != nil {
		return ended
	}
	var status interp.ExitStatus
	if errors.As(err, &status) {
		return Exit(status)
	}
	return err
}

func (m *Machine) options(args []string, in io.Reader, out io.Writer) []interp.RunnerOption {
	if in == nil {
		in = strings.NewReader("")
	}
	return []interp.RunnerOption{
		interp.Env(expand.ListEnviron(append([]string{"UID=0", "EUID=0", "GID=0", "HOME=/root", "TMPDIR=/tmp"}, m.Env...)...)),
		interp.Dir("/"),
		interp.Params(append([]string{"--"}, args...)...),
		interp.StdIO(in, out, &m.said),
		interp.CallHandler(m.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return m.exec }),
		interp.OpenHandler(m.open),
		interp.StatHandler(m.stat),
		interp.ReadDirHandler2(m.readDir),
		interp.AccessHandler(m.access),
	}
}

// exec runs a command that is neither the shell's own nor a function.
func (m *Machine) exec(ctx context.Context, args []string) error {
	h := interp.HandlerCtx(ctx)
	c := &Call{
		Machine: m, Args: args, In: h.Stdin, Dir: h.Dir, Out: &counted{m, h.Stdout}, Err: &counted{m, h.Stderr},
		Env: func(name string) string { return h.Env.Get(name).String() },
	}
	if h.Stdin == nil {
		c.In = strings.NewReader("")
	}
	err := c.dispatch(ctx)
	var status Exit
	if errors.As(err, &status) {
		if status == 0 {
			return nil
		}
		return interp.ExitStatus(status)
	}
	return m.end(err)
}

// Exec runs another command for c.
func (c *Call) Exec(ctx context.Context, args ...string) error {
	inner := *c
	inner.Args = args
	if err := c.spend(args); err != nil {
		return err
	}
	return inner.dispatch(ctx)
}

// dispatch finds the command: a program that isn't in the tree is not found
// either, like everywhere.
func (c *Call) dispatch(ctx context.Context) error {
	name := c.Args[0]
	if f, ok := own(name); ok {
		return f(ctx, c)
	}
	if strings.HasPrefix(name, Internal) && c.Commands[name] != nil {
		return c.Commands[name](ctx, c)
	}
	at, ok := c.lookup(name)
	if !ok {
		fmt.Fprintf(c.Err, "%s: not found\n", name)
		return Exit(127)
	}
	for _, key := range []string{at, path.Base(at)} {
		if f, ok := c.Commands[key]; ok {
			return f(ctx, c)
		}
	}
	if f, ok := c.standard[path.Base(at)]; ok && inPath(path.Dir(at)) {
		return f(ctx, c)
	}
	return c.interpret(ctx, at)
}

// interpret runs a program of the tree that is a shell script itself.
func (c *Call) interpret(ctx context.Context, at string) error {
	text, err := c.Tree.ReadFile(at)
	if err != nil {
		return &UnsupportedError{c.Args[0]}
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	words := strings.Fields(strings.TrimPrefix(string(first), "#!"))
	if !bytes.HasPrefix(first, []byte("#!")) || len(words) == 0 || words[0] != "/bin/sh" && words[0] != "/bin/dash" || len(text) > maxScript {
		return &UnsupportedError{c.Args[0]}
	}
	args := c.Args[1:]
	inner := &Machine{Tree: c.Tree, Time: c.Time, Commands: c.Commands, Env: c.exported(), Sourced: c.Sourced, umask: c.umask, depth: c.depth, standard: c.standard}
	inner.calls.Store(c.calls.Load())
	inner.printed.Store(c.printed.Load())
	err = inner.run(ctx, at, text, args, c.In, c.Out)
	c.calls.Store(inner.calls.Load())
	c.printed.Store(inner.printed.Load())
	for _, s := range inner.skipped {
		c.Skip(s)
	}
	_, _ = c.Err.Write([]byte(inner.said.String()))
	return err
}

// exported is the environment that a program called gets.
func (c *Call) exported() []string {
	out := append([]string{}, c.Machine.Env...)
	for i, e := range out {
		name, _, _ := strings.Cut(e, "=")
		out[i] = name + "=" + c.Env(name)
	}
	return out
}

// searchPath is where programs are, as dpkg tells its scripts.
var searchPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// Path is the variable PATH of scripts.
var Path = strings.Join(searchPath, ":")

func inPath(dir string) bool {
	for _, d := range searchPath {
		if d == dir {
			return true
		}
	}
	return false
}

// lookup finds a program in the tree.
func (m *Machine) lookup(name string) (string, bool) {
	if strings.Contains(name, "/") {
		f, err := m.Tree.Stat(name)
		return path.Join("/", name), err == nil && f.Mode.IsRegular() && f.Mode&0o111 != 0
	}
	for _, d := range searchPath {
		if f, err := m.Tree.Stat(path.Join(d, name)); err == nil && f.Mode.IsRegular() && f.Mode&0o111 != 0 {
			return path.Join(d, name), true
		}
	}
	return "", false
}

// Abs returns the path p of a call, absolute.
func (c *Call) Abs(p string) string { return abs(c.Dir, p) }

func abs(dir, p string) string {
	if p == "" || strings.HasPrefix(p, "/") {
		return p
	}
	return strings.TrimSuffix(dir, "/") + "/" + p
}

// Fail says what went wrong and returns an Exit; an error that means that
// something isn't known ends the script.
func (c *Call) Fail(err error) error {
	var unknown *UnsupportedError
	var notKept *overlay.NotKeptError
	if errors.As(err, &unknown) || errors.As(err, &notKept) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var status Exit
	if errors.As(err, &status) {
		return status
	}
	fmt.Fprintf(c.Err, "%s: %v\n", c.Args[0], err)
	return Exit(1)
}

// Input returns all of standard input.
func (c *Call) Input() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(c.In, maxOutput+1))
	if err == nil && len(b) > maxOutput {
		err = &UnsupportedError{"more input than is allowed"}
	}
	return b, err
}
