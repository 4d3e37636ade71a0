// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
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
			if c.SkipFlagParsing {
				return append(out, args[i+1:]...), nil
			}
			most := len(args)
			if c.Name == "run" {
				most = 1 // what follows the image is a command, flags and all
			}
			rest, err := permute(args[i+1:], flags, most)
			return append(out, rest...), withHelp(err, app, out)
		}
		if i == 1 && args[i] == "help" && i+1 < len(args) && named(commands, args[i+1]) == nil {
			return out, unknownCommand(app, args[i+1])
		}
		rest, err := permute(args[i:], flags, len(args))
		return append(out, rest...), withHelp(err, app, out)
	}
	return out, nil
}

// withHelp sends to the help of a command whose flags were not understood, or
// says which command has such a flag.
func withHelp(err error, app *cli.App, command []string) error {
	var u *usageError
	if !errors.As(err, &u) || u.hint != "" || strings.Contains(u.problem, "did you mean") {
		return err
	}
	u.hint = helpFor(strings.Join(append([]string{"inlay"}, command[1:]...), " "))
	if flag, ok := strings.CutPrefix(u.problem, "no flag "); ok {
		for _, c := range app.Commands {
			if _, err := takesValue(flag, c.Flags); err == nil {
				u.hint = fmt.Sprintf("`inlay %s` has it; %s", c.Name, u.hint)
				break
			}
		}
	}
	return err
}

func helpFor(command string) string { return fmt.Sprintf("see `%s --help`", command) }

func named(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// permute moves flags, with their values, before the other arguments. Of what
// follows those arguments that are at most looked at, nothing is a flag.
func permute(args []string, flags []cli.Flag, most int) ([]string, error) {
	var first, rest []string
	for i := 0; i < len(args); i++ {
		if letters := apart(args[i], flags); letters != nil {
			args = slices.Concat(args[:i], letters, args[i+1:])
		}
		arg := args[i]
		switch {
		case arg == "--":
			return append(append(first, "--"), append(rest, args[i+1:]...)...), nil
		case !isFlag(arg) && len(rest) == most:
			return append(append(first, "--"), append(rest, args[i:]...)...), nil
		case !isFlag(arg):
			rest = append(rest, arg)
			continue
		}
		first = append(first, arg)
		name, _, hasValue := strings.Cut(arg, "=")
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

func isFlag(arg string) bool { return strings.HasPrefix(arg, "-") && arg != "-" }

// apart splits "-it" into "-i" and "-t", if these are flags without a value.
func apart(arg string, flags []cli.Flag) []string {
	letters, ok := strings.CutPrefix(arg, "-")
	if !ok || len(letters) < 2 || letters[0] == '-' {
		return nil
	}
	var all []string
	for _, l := range strings.Split(letters, "") {
		if takes, err := takesValue("-"+l, flags); takes || err != nil {
			return nil
		}
		all = append(all, "-"+l)
	}
	return all
}

// What the commands and flags of versions to come are called, so that somebody
// who read of them isn't told that there is no such thing.
var (
	laterCommands = []string{"rebase"}
	laterFlags    = []string{
		"cache-from", "cache-to",
		"provenance", "sbom", "v",
	}
)

// takesValue reports whether the flag, given with its dashes, is followed by a
// value.
func takesValue(flag string, flags []cli.Flag) (bool, error) {
	name := strings.TrimLeft(flag, "-")
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
	if slices.Contains(laterFlags, name) {
		return false, &usageError{flag + " is not supported yet", "leave it out"}
	}
	problem := "no flag " + flag // and the nearest, in one line
	if meant := nearest(name, names, "--"); meant != "" {
		problem += ": " + meant
	}
	return false, &usageError{problem: problem}
}

// similarity is 1 for equal names. Jaro and Winkler see no likeness in short
// names with two letters in the wrong order.
func similarity(a, b string) float64 {
	s := smetrics.JaroWinkler(a, b, 0.7, 4)
	if len(a) > 2 && len(a) == len(b) && smetrics.WagnerFischer(a, b, 1, 1, 1) <= 2 && sorted(a) == sorted(b) {
		return max(s, 0.9)
	}
	return s
}

func sorted(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}

// nearest asks whether the most similar of names was meant, "" if none is
// similar.
func nearest(name string, names []string, prefix string) string {
	best, found := 0.8, ""
	for _, n := range names {
		if s := similarity(name, n); s > best && len(n) > 1 {
			best, found = s, n
		}
	}
	if found == "" {
		return ""
	}
	return "did you mean " + prefix + found + "?"
}
