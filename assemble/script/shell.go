// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// parse reads a script. What a POSIX shell with "local" doesn't have is refused:
// among it is all by which a script could reach the host or its clock, run on
// in the background, or grow a variable without running a command.
func parse(name string, text []byte) (*syntax.File, error) {
	if len(text) > maxScript {
		return nil, &UnsupportedError{"a longer script than is allowed"}
	}
	file, err := syntax.NewParser().Parse(bytes.NewReader(text), name)
	if err != nil {
		return nil, &UnsupportedError{"a shell that understands: " + err.Error()}
	}
	needs := ""
	syntax.Walk(file, func(n syntax.Node) bool {
		if n != nil && needs == "" {
			needs = foreign(n)
		}
		return needs == ""
	})
	if needs == "" {
		needs = endless(file)
	}
	if needs != "" {
		return nil, &UnsupportedError{needs}
	}
	return file, nil
}

// checked parses what the shell will parse again: it must be right as it is.
func checked(name string, text []byte) (*syntax.File, error) {
	file, err := parse(name, text)
	if err != nil {
		return nil, err
	}
	if changed, err := lazy(file); changed || err != nil {
		return nil, &UnsupportedError{"a command in the default of a variable"}
	}
	return file, nil
}

// hostly are variables that tell of the host, the process or the time.
var hostly = []string{
	"RANDOM", "SRANDOM", "SECONDS", "EPOCHSECONDS", "EPOCHREALTIME", "PPID", "$", "!", "BASHPID", "HOSTNAME", "UID", "EUID", "GID",
}

// maxParts bounds the parts of one word: an assignment may make a variable that
// many times longer.
const maxParts = 200

// foreign names what n needs of a shell that there is not here, or "".
func foreign(n syntax.Node) string {
	switch n := n.(type) {
	case *syntax.Stmt:
		if n.Background || n.Coprocess || n.Disown {
			return "a command in the background"
		}
	case *syntax.Word:
		if len(n.Parts) > maxParts {
			return "a word of very many parts"
		}
	case *syntax.ProcSubst, *syntax.CoprocClause, *syntax.TimeClause, *syntax.ArithmCmd, *syntax.LetClause,
		*syntax.ExtGlob, *syntax.ArrayExpr, *syntax.TestClause, *syntax.TestDecl, *syntax.CStyleLoop:
		return "a shell with more than POSIX has"
	case *syntax.ForClause:
		if n.Select {
			return "select"
		}
	case *syntax.ParamExp:
		return foreignParam(n)
	}
	return ""
}

func foreignParam(n *syntax.ParamExp) string {
	if n.Excl || n.Width || n.Index != nil || n.Slice != nil || n.Repl != nil || n.Names != 0 {
		return "a shell with more than POSIX has"
	}
	if n.Param != nil {
		for _, h := range hostly {
			if n.Param.Value == h {
				return "the variable " + h
			}
		}
	}
	return ""
}

// spend counts a command and what its arguments take.
func (m *Machine) spend(args []string) error {
	if m.printed.Load() > maxOutput {
		return &UnsupportedError{"more output than is allowed"}
	}
	if m.calls.Add(1) > maxCalls {
		return &UnsupportedError{"more commands than are allowed"}
	}
	size := 0
	for _, a := range args {
		size += len(a)
	}
	if size > maxMemory {
		return &UnsupportedError{"longer arguments than are allowed"}
	}
	if args[0] == "echo" || args[0] == "printf" {
		if m.printed.Add(int64(size)) > maxOutput {
			return &UnsupportedError{"more output than is allowed"}
		}
	}
	return nil
}

// call sees every command before it runs, also the shell's own.
func (m *Machine) call(ctx context.Context, args []string) ([]string, error) {
	h := interp.HandlerCtx(ctx)
	if err := m.ended(); err != nil {
		return nil, err
	}
	if err := m.spend(args); err != nil {
		return nil, m.end(err)
	}
	if deep() || m.functions.dynamic[h.Pos] && m.functions.calls[args[0]] != nil {
		return nil, m.end(&UnsupportedError{"functions that call each other"})
	}
	size := 0
	h.Env.Each(func(_ string, v expand.Variable) bool {
		size += len(v.Str)
		return true
	})
	if size > maxMemory {
		return nil, m.end(&UnsupportedError{"longer variables than are allowed"})
	}
	args, err := m.shell(h, args)
	return args, m.end(err)
}

// end remembers what ends the script: a part of it that runs in a subshell must
// not be all that ends.
func (m *Machine) end(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fatal == nil {
		m.fatal = err
	}
	return err
}

func (m *Machine) ended() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fatal
}

// shell changes those of the shell's own commands that would look at the host.
func (m *Machine) shell(h interp.HandlerContext, args []string) ([]string, error) {
	switch args[0] {
	case "alias", "unalias", "shopt", "pushd", "popd", "dirs", "mapfile", "readarray", "times", "help", "builtin", "wait", "caller", "compgen":
		return nil, &UnsupportedError{"the shell's " + args[0]}
	case "printf":
		return args, checkFormat(args)
	case "command":
		return m.commandBuiltin(args)
	case "type", "hash":
		return append([]string{"\x00type"}, args[1:]...), nil
	case "exec":
		if len(args) > 1 {
			return args, nil
		}
	case ".", "source":
		return m.source(h, args)
	case "eval", "trap":
		if len(args) > 1 {
			text := strings.Join(args[1:], " ")
			if args[0] == "trap" {
				text = args[1]
			}
			file, err := checked(args[0], []byte(text))
			if err != nil {
				return nil, err
			}
			if args[0] == "eval" && m.functions.names(file) {
				return nil, &UnsupportedError{"eval of functions"}
			}
		}
	case "umask":
		return append([]string{"\x00umask"}, args[1:]...), nil
	}
	return args, nil
}

// checkFormat refuses to fill up lines without end.
func checkFormat(args []string) error {
	if len(args) < 2 {
		return nil
	}
	digits := 0
	for _, c := range args[1] {
		if c >= '0' && c <= '9' {
			digits++
		} else {
			digits = 0
		}
		if digits > 4 || c == '*' || c == '(' && strings.Contains(args[1], "%(") {
			return &UnsupportedError{"printf " + strconv.Quote(args[1])}
		}
	}
	return nil
}

// commandBuiltin replaces "command -v", which looks for programs.
func (m *Machine) commandBuiltin(args []string) ([]string, error) {
	if len(args) < 2 || !strings.HasPrefix(args[1], "-") {
		return args, nil
	}
	if args[1] != "-v" || len(args) != 3 {
		return nil, &UnsupportedError{strings.Join(args[:2], " ")}
	}
	if interp.IsBuiltin(args[2]) {
		return args, nil
	}
	return []string{"\x00which", args[2]}, nil
}

// source checks what is read in as what reads it in was.
func (m *Machine) source(h interp.HandlerContext, args []string) ([]string, error) {
	if len(args) < 2 {
		return args, nil
	}
	name := args[1]
	if !strings.Contains(name, "/") {
		return nil, &UnsupportedError{". " + name}
	}
	name = path.Clean(abs(h.Dir, name))
	if _, ok := m.Sourced[name]; !ok {
		text, err := m.Tree.ReadFile(name)
		if err != nil {
			return args, nil //nolint:nilerr // the shell says so when it opens it
		}
		file, err := m.readIn(name, text)
		if err == nil {
			err = m.functions.learn(file)
		}
		if err != nil {
			return nil, err
		}
	}
	return append([]string{".", name}, args[2:]...), nil
}

// readIn parses a file that the shell is about to open. If it can't be run as it
// is, the shell gets another text in its place.
func (m *Machine) readIn(name string, text []byte) (*syntax.File, error) {
	file, err := parse(name, text)
	if err != nil {
		return nil, err
	}
	changed, err := lazy(file)
	if err != nil || !changed {
		return file, err
	}
	var b bytes.Buffer
	if err := syntax.NewPrinter().Print(&b, file); err != nil {
		return nil, err
	}
	if file, err = checked(name, b.Bytes()); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rewritten == nil {
		m.rewritten = map[string]string{}
	}
	m.rewritten[name] = b.String()
	return file, nil
}

// instead returns the text that the shell gets for the file that it opens now, if
// it isn't the file's own.
func (m *Machine) instead(name string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, ok := m.rewritten[name]
	delete(m.rewritten, name)
	return text, ok
}

// stat is what test(1) and cd see.
func (m *Machine) stat(ctx context.Context, name string, follow bool) (fs.FileInfo, error) {
	name = abs(interp.HandlerCtx(ctx).Dir, name)
	f, err := m.Tree.Lstat(name)
	if follow {
		f, err = m.Tree.Stat(name)
	}
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), f.Size, f.Mode}, nil
}

func (m *Machine) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	name = abs(interp.HandlerCtx(ctx).Dir, name)
	names, err := m.Tree.ReadDir(name)
	if err != nil {
		return nil, err
	}
	out := make([]fs.DirEntry, 0, len(names))
	for _, n := range names {
		f, err := m.Tree.Lstat(path.Join(name, n))
		if err != nil {
			return nil, err
		}
		out = append(out, fs.FileInfoToDirEntry(info{n, f.Size, f.Mode}))
	}
	return out, nil
}

// access is that of root, who may read and write everything.
func (m *Machine) access(_ context.Context, name string, mode interp.AccessMode) error {
	f, err := m.Tree.Stat(name)
	if err != nil {
		return err
	}
	if mode&interp.AccessExec != 0 && !f.Mode.IsDir() && f.Mode&0o111 == 0 {
		return &fs.PathError{Op: "access", Path: name, Err: fs.ErrPermission}
	}
	return nil
}

// An info is a file of the tree for the shell. It has no time.
type info struct {
	name string
	size int64
	mode fs.FileMode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

// own returns a command that stands for one of the shell's own.
func own(name string) (Command, bool) {
	switch name {
	case "\x00which", "\x00type":
		return func(_ context.Context, c *Call) error { return c.which(c.Args[1:]) }, true
	case "\x00umask":
		return setUmask, true
	}
	return nil, false
}

func setUmask(_ context.Context, c *Call) error {
	if len(c.Args) == 1 {
		fmt.Fprintf(c.Out, "%04o\n", c.umask)
		return nil
	}
	n, err := strconv.ParseUint(c.Args[1], 8, 9)
	if err != nil || len(c.Args) > 2 {
		return &UnsupportedError{"umask " + strings.Join(c.Args[1:], " ")}
	}
	c.umask = fs.FileMode(n)
	return nil
}

// which prints where programs are.
func (c *Call) which(names []string) error {
	status := Exit(0)
	for _, n := range names {
		if at, ok := c.lookup(n); ok {
			fmt.Fprintln(c.Out, at)
		} else {
			status = 1
		}
	}
	if status != 0 {
		return status
	}
	return nil
}
