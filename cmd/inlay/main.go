// SPDX-License-Identifier: Apache-2.0

// Inlay assembles container images for Python and ML work without Docker: it
// takes a parent image, requirements and source, and writes the layers itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"inlay/cache/fetch"
	"inlay/cache/registry"
	"inlay/layers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is main without the process: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := &cli.App{
		Name:                      "inlay",
		Usage:                     "assemble container images for Python without Docker",
		Writer:                    stdout,
		ErrWriter:                 stderr,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,                         // --env A=1,2 is one value
		ExitErrHandler:            func(*cli.Context, error) {}, // report is the only place that prints errors
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return &usageError{err.Error(), ""} },
		Commands:                  []*cli.Command{buildCommand(), planCommand(), inspectCommand(), cacheCommand(), versionCommand()},
		Action:                    noCommand,
	}
	args, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "interrupted: nothing was left half made")
		return 130
	}
	report(stderr, err)
	return status(err)
}

// noCommand shows the help, or names the command that was probably meant.
func noCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	var names []string
	for _, command := range c.App.Commands {
		names = append(names, command.Name)
	}
	name := c.Args().First()
	return &usageError{fmt.Sprintf("no command %q", name), nearest(name, names, "")}
}

// report prints err and, if an error in its chain has one, a hint.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "error: %v\n", err)
	var h interface {
		error
		Hint() string
	}
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintf(w, "hint: %s\n", h.Hint())
	}
}

// status is the exit status that tells scripts why a command failed: 1 the
// user can fix it; 2 the network, a registry or a mistake of ours.
func status(err error) int {
	var temporary interface{ Temporary() bool }
	var server *fetch.StatusError
	switch {
	case is[*registry.NetworkError](err), is[*net.OpError](err), is[*net.DNSError](err),
		is[*fetch.MismatchError](err), is[*layers.DigestError](err),
		errors.As(err, &temporary) && temporary.Temporary(),
		errors.As(err, &server) && server.Code >= 500:
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
