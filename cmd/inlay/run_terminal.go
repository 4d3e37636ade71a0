// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"inlay/cmd/inlay/launch"
	"inlay/resolve/sandbox"
)

// A runTerminal is what a command that runs is connected with: this process's
// streams, its signals, and the ports that it answers for.
type runTerminal struct {
	in    *os.File // nil: the command reads nothing
	tty   bool
	ports *launch.Ports
}

// newTerminal checks that what the flags ask for can be had.
func newTerminal(c *cli.Context) (*runTerminal, error) {
	t := &runTerminal{tty: c.Bool("tty")}
	if c.Bool("interactive") {
		t.in = os.Stdin
		if t.tty && !term.IsTerminal(int(t.in.Fd())) {
			return nil, &usageError{"standard input is no terminal", "leave out --tty, or run it at a terminal"}
		}
	}
	return t, nil
}

// run runs the command and returns its exit status as a verdict. From the start
// on, signals are the command's: none of them ends this process before it.
func (t *runTerminal) run(c *cli.Context, r *sandbox.Rung, command sandbox.Command) (err error) {
	if t.ports, err = launch.Listen(c.StringSlice("publish")); err != nil {
		return err
	}
	defer t.ports.Close()
	if !c.Bool("quiet") {
		for _, line := range t.ports.Addresses() {
			consoleOf(c).note("listening at " + line)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context))
	defer cancel()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	if err := c.Err(); err != nil { // before the signals were the command's
		return err
	}
	restore, err := t.connect(c, &command)
	if err != nil {
		return err
	}
	defer restore()
	command.Started = func(running *sandbox.Running) { t.serve(ctx, running, signals) }
	result, err := r.Run(ctx, command)
	if err != nil {
		return err
	}
	if result.Exit != 0 {
		return verdictError(result.Exit)
	}
	return nil
}

// passedOn are the signals that a command gets which this process gets.
var passedOn = []os.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT, unix.SIGWINCH,
}

// connect gives the command its streams. With a terminal of its own, ours shows
// what is written there and passes on every key, until restore.
func (t *runTerminal) connect(c *cli.Context, command *sandbox.Command) (restore func(), err error) {
	restore = func() {}
	if !t.tty {
		command.Stdout, command.Stderr = stdout(c), c.App.ErrWriter
		if t.in != nil {
			command.Stdin = t.in
		}
		return restore, nil
	}
	if t.in == nil {
		return restore, nil
	}
	fd := int(t.in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return restore, err
	}
	return func() { _ = term.Restore(fd, before) }, nil
}

// stdout is standard output as the command gets it: the file itself if it is one.
func stdout(c *cli.Context) io.Writer {
	if w, ok := c.App.Writer.(*resultWriter); ok {
		return w.w
	}
	return c.App.Writer
}

// serve passes signals, keys and connections on to the command, and returns when
// all that it wrote to its terminal is shown.
func (t *runTerminal) serve(ctx context.Context, running *sandbox.Running, signals <-chan os.Signal) {
	go t.ports.Serve(ctx, running.Dial)
	go pass(ctx, signals, running)
	if running.Terminal == nil {
		return
	}
	defer running.Terminal.Close() //nolint:errcheck // it ends with the command
	resize(running.Terminal)
	if t.in != nil {
		go io.Copy(running.Terminal, t.in) //nolint:errcheck // it ends with the command
	}
	_, _ = io.Copy(os.Stdout, running.Terminal) // EIO says that nobody is left to write
}

// pass sends the signals on until ctx ends.
func pass(ctx context.Context, signals <-chan os.Signal, running *sandbox.Running) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			if s == unix.SIGWINCH && running.Terminal != nil {
				resize(running.Terminal)
			}
			if n, ok := s.(syscall.Signal); ok {
				_ = running.Signal(n) // it may have ended
			}
		}
	}
}

// resize makes a terminal as large as ours.
func resize(to *os.File) {
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			continue
		}
		conn, err := to.SyscallConn() // Fd would make the file blocking
		if err != nil {
			return
		}
		_ = conn.Control(func(fd uintptr) { _ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
		return
	}
}
