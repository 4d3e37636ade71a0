// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// A usageError is a command line that can't be understood.
type usageError struct{ problem, hint string }

func (e *usageError) Error() string { return e.problem }

// Hint says what was probably meant.
func (e *usageError) Hint() string { return e.hint }

// arrange puts the flags of a command before its arguments, as the library
// wants them, so that users may write them in any order; an unknown flag is an
// error with the nearest one.
func arrange(app *cli.App, args []string) ([]string, error) {
	out := args[:min(len(args), 1):1]
	commands := app.Commands
	flags := app.Flags
	for i := 1; i < len(args); i++ {
		if c := named(commands, args[i]); c != nil {
			out, commands, flags = append(out, args[i]), c.Subcommands, c.Flags
			if len(commands) > 0 {
				continue
			}
			rest, err := permute(args[i+1:], flags)
			return append(out, rest...), err
		}
		rest, err := permute(args[i:], flags)
		return append(out, rest...), err
	}
	return out, nil
}

func named(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// permute moves flags, with their values, before the other arguments.
func permute(args []string, flags []cli.Flag) ([]string, error) {
	var first, rest []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return append(append(first, "--"), append(rest, args[i+1:]...)...), nil
		case !strings.HasPrefix(arg, "-") || arg == "-":
			rest = append(rest, arg)
			continue
		}
		first = append(first, arg)
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		takes, err := takesValue(name, flags)
		if err != nil {
			return nil, err
		}
		if !takes || hasValue {
			continue
		}
		if i++; i == len(args) {
			return nil, &usageError{fmt.Sprintf("flag %s needs a value", arg), ""}
		}
		first = append(first, args[i])
	}
	if len(rest) > 0 {
		first = append(first, "--")
	}
	return append(first, rest...), nil
}

// takesValue reports whether the named flag is followed by a value.
func takesValue(name string, flags []cli.Flag) (bool, error) {
	if name == "help" || name == "h" {
		return false, nil
	}
	var names []string
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				_, isBool := f.(*cli.BoolFlag)
				return !isBool, nil
			}
			names = append(names, n)
		}
	}
	return false, &usageError{fmt.Sprintf("no flag --%s", name), nearest(name, names, "--")}
}

// nearest asks whether the most similar of names was meant, "" if none is
// similar.
func nearest(name string, names []string, prefix string) string {
	best, found := 0.8, ""
	for _, n := range names {
		if s := smetrics.JaroWinkler(name, n, 0.7, 4); s > best && len(n) > 1 {
			best, found = s, n
		}
	}
	if found == "" {
		return ""
	}
	return "did you mean " + prefix + found + "?"
}
