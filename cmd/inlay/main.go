// SPDX-License-Identifier: Apache-2.0

// Inlay assembles container images for Python and ML work without Docker: it
// takes a parent image, requirements and source, and writes the layers itself.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"inlay/cache/fetch"
	"inlay/cache/registry"
	"inlay/layers"
	"inlay/layers/hint"
	"inlay/resolve/sandbox"
)

func main() {
	sandbox.Init(tasks()) // doesn't return where this is the child process of another
	os.Exit(process(os.Stderr))
}

// process runs the command line of this process until it ends or is
// interrupted.
func process(stderr io.Writer) int {
	beginOnOne()
	boundHeap()
	syscall.Umask(syscall.Umask(0o777) &^ 0o700) // what it makes is its own to read and write
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends what doesn't heed the first
	defer stop()
	return run(ctx, os.Args, os.Stdout, stderr)
}

// run is main without the process: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &resultWriter{w: stdout}
	app := newApp(out, stderr)
	con := newConsole(stderr)
	con.readArgs(args)
	app.Metadata = map[string]any{"console": con}
	args, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	if err == nil {
		err = out.err
	}
	if err == nil {
		return 0
	}
	var verdict verdictError
	if errors.As(err, &verdict) { // of a command that run passed the signal on to, too
		return int(verdict)
	}
	if ctx.Err() != nil {
		return con.interrupted()
	}
	return con.report(err)
}

// A verdictError is the exit status of a command whose output says it all.
type verdictError int

func (e verdictError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// newApp returns the command line: every command and flag there is.
func newApp(stdout, stderr io.Writer) *cli.App {
	common := planFlags()
	return &cli.App{
		Name:        "inlay",
		Usage:       "assemble container images for Python without Docker",
		Writer:      stdout,
		ErrWriter:   stderr,
		HideVersion: true,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "version", Usage: "print the version, and what decides the bytes of layers: the same as the command version"},
		},
		DisableSliceFlagSeparator: true,                         // --env A=1,2 is one value
		ExitErrHandler:            func(*cli.Context, error) {}, // report is the only place that prints errors
		OnUsageError:              usageProblem,
		Commands: []*cli.Command{
			buildCommand(common), runCommand(), planCommand(common), lockCommand(common), bootstrapCommand(common),
			inspectCommand(), diffCommand(), buildsCommand(), doctorCommand(),
			cacheCommand(), schemaCommand(), completionCommand(), completeCommand(), versionCommand(),
		},
		Action: noCommand,
	}
}

// examples is the description of a command: text, and command lines to start
// from. The reference and a test find them there.
func examples(text string, lines ...string) string {
	return text + "\n\nExamples:\n  " + strings.Join(lines, "\n  ")
}

// noCommand shows the help, or names the command that was probably meant.
func noCommand(c *cli.Context) error {
	if c.Bool("version") && !c.Args().Present() {
		return printVersion(c.App.Writer)
	}
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	return unknownCommand(c.App, c.Args().First())
}

// unknownCommand reports a name that no command has, and the nearest that one
// has.
func unknownCommand(app *cli.App, name string) error {
	const listed = "see `inlay help` for the commands there are"
	names := []string{"help"}
	for _, command := range app.Commands {
		if !command.Hidden {
			names = append(names, command.Name)
		}
	}
	if slices.Contains(laterCommands, name) {
		return &usageError{fmt.Sprintf("inlay %s is not supported yet", name), listed}
	}
	return &usageError{fmt.Sprintf("no command %q", name), cmp.Or(nearest(name, names, ""), listed)}
}

// A resultWriter is standard output. It keeps the first error: a script that never
// got the image's name must not be told that all is well.
type resultWriter struct {
	w   io.Writer
	err error
}

// Write writes to standard output.
func (r *resultWriter) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("writing the result: %w", err)
	}
	return n, err
}

// advice says what to do about err: what an error in its chain says, else what
// helps with such files.
func advice(err error) string {
	text, ok := hint.Of(err)
	switch {
	case ok:
		return text
	case is[*layers.DigestError](err):
		return "it is damaged where it comes from: fetch or copy it again"
	case errors.Is(err, fs.ErrPermission):
		return "change the permissions there, or name another place"
	case errors.Is(err, syscall.EMFILE):
		return "let it open more files: `ulimit -n 1024`"
	case errors.Is(err, syscall.ENOSPC):
		return "make room there, or name another place"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return "check the path"
	default:
		return ""
	}
}

// status is the exit status that tells scripts why a command failed: 1 the
// user can fix it; 2 the network, a registry or a mistake of ours.
func status(err error) int {
	var temporary interface{ Temporary() bool }
	var own *statusError
	switch {
	case errors.As(err, &own):
		return own.status
	case is[*registry.NetworkError](err), is[*net.OpError](err), is[*net.DNSError](err),
		is[*fetch.MismatchError](err), is[*layers.DigestError](err),
		errors.As(err, &temporary) && temporary.Temporary():
		return 2
	default:
		return 1
	}
}

// is reports whether an error of type E is in the chain of err.
func is[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}
