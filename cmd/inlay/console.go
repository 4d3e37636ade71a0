// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"inlay/cmd/inlay/progress"
)

// A console is standard error, and how it is written to.
type console struct {
	w      io.Writer
	file   *os.File // w, if it is a terminal; else nil
	colour bool
	json   bool // every line is JSON (--progress json)
	diff   bool // the command is diff, whose status 1 means that the images differ
}

func newConsole(w io.Writer) *console {
	con := &console{w: w, file: terminal(w)}
	con.colour = colours(con.file != nil, os.Getenv)
	return con
}

// terminal returns w if it is one, else nil.
func terminal(w io.Writer) *os.File {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// colours says whether to use colours (no-color.org, bixense.com/clicolors).
func colours(terminal bool, env func(string) string) bool {
	switch {
	case env("NO_COLOR") != "":
		return false
	case env("CLICOLOR_FORCE") != "" && env("CLICOLOR_FORCE") != "0":
		return true
	default:
		return terminal && env("CLICOLOR") != "0" && env("TERM") != "dumb"
	}
}

// readArgs looks for --progress json: errors of the command line itself are
// reported so too.
func (con *console) readArgs(args []string) {
	i := slices.Index(args, "--progress")
	con.json = i >= 0 && i+1 < len(args) && args[i+1] == "json" || slices.Contains(args, "--progress=json")
	con.diff = len(args) > 1 && args[1] == "diff"
}

// consoleOf returns the console of a command.
func consoleOf(c *cli.Context) *console {
	con, _ := c.App.Metadata["console"].(*console) // newApp puts it there
	return con
}

// display returns how work is shown.
func display(c *cli.Context) progress.Display {
	con := consoleOf(c)
	mode := c.String("progress")
	if mode == "auto" {
		mode = "plain"
		if con.file != nil && os.Getenv("TERM") != "dumb" {
			mode = "tty"
		}
	}
	switch {
	case c.Bool("quiet"):
		return progress.None(io.Discard)
	case mode == "tty":
		return progress.Bars(progress.Terminal{Writer: con.w, Colour: con.colour, Width: con.width, Now: time.Now})
	case mode == "plain":
		return progress.Lines(con.w, time.Now)
	case mode == "json":
		return progress.JSON(con.w, time.Now)
	default:
		return progress.None(con.w)
	}
}

// width returns the columns of the terminal.
func (con *console) width() int {
	if con.file != nil {
		if columns, _, err := term.GetSize(int(con.file.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// An errorEvent is how an error is reported to programs: docs/progress.md.
type errorEvent struct {
	Event  string `json:"event"` // "error"
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
	Status int    `json:"status"` // the exit status
}

// report prints err and a hint, if there is one, and returns the exit status.
func (con *console) report(err error) int {
	e := errorEvent{Event: "error", Text: err.Error(), Hint: advice(err), Status: status(err)}
	if con.diff {
		e.Status = 2
	}
	if con.json {
		con.print(e)
		return e.Status
	}
	fmt.Fprintf(con.w, "%s %s\n", con.paint("1;31", "error:"), e.Text)
	if e.Hint != "" {
		fmt.Fprintf(con.w, "%s %s\n", con.paint("1;36", "hint:"), e.Hint)
	}
	return e.Status
}

// note tells something that isn't an error.
func (con *console) note(text string) {
	if !con.json {
		fmt.Fprintln(con.w, text)
	}
}

// interrupted says that a signal ended the command, and returns the exit status.
func (con *console) interrupted() int {
	e := errorEvent{Event: "error", Text: "interrupted: nothing was left half made", Status: 130}
	if con.json {
		con.print(e)
	} else {
		fmt.Fprintln(con.w, e.Text)
	}
	return e.Status
}

func (con *console) print(e errorEvent) {
	enc := json.NewEncoder(con.w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(e) // nobody is left to be told
}

func (con *console) paint(code, text string) string {
	if !con.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
