// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"inlay/cmd/inlay/complete"
	"inlay/resolve/settings"
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: examples("Commands, flags, their values and files are then completed with the tab key. To have that in every shell,\n"+
			"add the line to ~/.bashrc or ~/.zshrc, or write the script to ~/.config/fish/completions/inlay.fish.",
			"source <(inlay completion bash)", "source <(inlay completion zsh)", "inlay completion fish | source"),
		OnUsageError: usageProblem,
		Action: func(c *cli.Context) error {
			script, ok := map[string]string{"bash": complete.Bash, "zsh": complete.Zsh, "fish": complete.Fish}[c.Args().First()]
			if !ok || c.NArg() > 1 {
				return &usageError{fmt.Sprintf("completion takes the name of one shell, not %q", strings.Join(c.Args().Slice(), " ")), "use bash, zsh or fish"}
			}
			_, err := fmt.Fprint(c.App.Writer, script)
			return err
		},
	}
}

// completeCommand is what the scripts call.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, SkipFlagParsing: true, HideHelp: true,
		Action: func(c *cli.Context) error {
			for _, found := range complete.Line(newApp(c.App.Writer, c.App.ErrWriter), c.Args().Slice()) {
				fmt.Fprintf(c.App.Writer, "%s\t%s\n", found.Word, found.About)
			}
			return nil
		},
	}
}

// A choiceFlag takes one of a few values.
type choiceFlag struct {
	*cli.StringFlag
	values []string
}

// Choices implements complete.Chooser.
func (f choiceFlag) Choices() []string { return f.values }

// choice returns a flag that takes one of the values; usage says what for, and
// calls the value NAME in backquotes.
func choice(name, usage, value string, values ...string) cli.Flag {
	f := &cli.StringFlag{Name: name, Usage: usage + ": " + alternatives(values), Value: value}
	f.Action = func(_ *cli.Context, given string) error { return isOneOf(name, given, values) }
	return choiceFlag{f, values}
}

func isOneOf(flag, given string, values []string) error {
	for _, v := range values {
		if v == given {
			return nil
		}
	}
	return &usageError{fmt.Sprintf("--%s takes no %q", flag, given), "use " + alternatives(values)}
}

// alternatives joins words as in "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// A pathFlag takes PATH=YAML of the settings.
type pathFlag struct{ *cli.StringSliceFlag }

// Choices implements complete.Chooser.
func (pathFlag) Choices() []string {
	var names []string
	for _, f := range settings.Fields() {
		if f.Status == settings.Supported && !strings.Contains(f.Name, "*") {
			names = append(names, strings.TrimPrefix(f.Name, "settings.docker.")+"=")
		}
	}
	return names
}
