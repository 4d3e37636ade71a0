// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"inlay/cache"
	"inlay/cache/fetch"
	"inlay/cmd/inlay/doctor"
	"inlay/resolve/index"
	"inlay/resolve/python"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what works here, and what to do about what doesn't",
		Description: examples("Tries what builds need: the cache, uv, the package index, the sandbox of commands, logins, the directory for temporary files, the clock;\n"+
			"and looks for what some builds or tests use. The status is 1 if a plain build can't work.",
			"inlay doctor", "inlay doctor --offline", "inlay doctor --format json"),
		Flags: append(append([]cli.Flag{
			choice("format", "print as `FORMAT`", "text", "text", "json"),
			&cli.BoolFlag{Name: "offline", Usage: "check what builds with --offline need"},
		}, indexFlags()...), globalFlags()...),
		OnUsageError: usageProblem,
		Action:       examine,
	}
}

// A healthReport is what doctor prints; its JSON is for programs.
type healthReport struct {
	Healthy  bool             `json:"healthy"` // nothing is a problem
	Version  string           `json:"version"`
	Platform string           `json:"platform"`
	Findings []doctor.Finding `json:"findings"`
}

func examine(c *cli.Context) error {
	if c.Args().Present() {
		return &usageError{"doctor takes no arguments", helpFor(c.Command.HelpName)}
	}
	root, err := cacheDir(c)
	if err != nil {
		return err
	}
	found, err := doctor.Examine(c.Context, checks(c, root))
	if err != nil {
		return err
	}
	r := healthReport{doctor.Healthy(found), version, runtime.GOOS + "/" + runtime.GOARCH, found}
	if c.String("format") == "json" {
		err = printJSON(c.App.Writer, r)
	} else {
		r.print(c.App.Writer, outColours(c))
	}
	if err == nil && !r.Healthy {
		return verdictError(1)
	}
	return err
}

// checks are all there are, in the order in which they are shown.
func checks(c *cli.Context, root string) []doctor.Check {
	home, _ := os.UserHomeDir() // without one there are no logins in it
	m := doctor.Machine{
		LookPath: lookPath, Output: printed, Getenv: os.Getenv, Now: time.Now,
		Home: home, Temp: os.TempDir(), Root: "/",
	}
	all := []doctor.Check{
		m.Cache(root),
		{Name: "uv", Run: func(ctx context.Context) []doctor.Finding { return uvCheck(ctx, c, root) }},
		{Name: "package index", Run: func(ctx context.Context) []doctor.Finding { return indexCheck(ctx, c, m, root) }},
		doctor.Sandbox(root), m.Logins(), m.TempDir(), m.Clock(created),
		{Name: "terminal", Run: func(context.Context) []doctor.Finding { return terminalCheck(c) }},
	}
	return append(append(all, m.Programs()...), m.Engines(), m.Emulation())
}

// printed runs a program for a check, and returns what it printed.
func printed(ctx context.Context, program string, args ...string) (string, error) {
	var out, said bytes.Buffer
	exit, err := python.Exec{}.Run(ctx, python.Command{
		Path: program, Args: args, Env: os.Environ(), Stdout: &out, Stderr: &said,
	})
	if err == nil && exit != 0 {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		err = fmt.Errorf("%s ends with status %d: %s", filepath.Base(program), exit, strings.TrimSpace(lines[len(lines)-1]))
	}
	return strings.TrimSpace(out.String()), err
}

// localUV returns the uv that is on this machine.
func localUV(ctx context.Context, root string) (python.UV, error) {
	dir, err := cache.Open(root)
	if err != nil {
		return python.UV{}, err
	}
	return python.FindUV(ctx, python.FindOptions{
		LookPath: lookPath, Runner: python.Exec{}, Env: os.Environ(), Dir: dir.Path(cache.UV),
		Files: &fetch.Store{Dir: dir.Path(cache.Wheels), Offline: true},
	})
}

func uvCheck(ctx context.Context, c *cli.Context, root string) []doctor.Finding {
	uv, err := localUV(ctx, root)
	var none *python.NoUVError
	switch {
	case err == nil:
		return doctor.One(doctor.OK, fmt.Sprintf("uv %s (%s)", uv.Version, uv.Path), "")
	case errors.As(err, &none) && !c.Bool("offline"):
		return doctor.One(doctor.Note, none.Tried[0]+": the first build with requirements fetches one of its own", "install uv, if nothing can be fetched here")
	default:
		return doctor.One(doctor.Problem, err.Error(), advice(err))
	}
}

// indexFix is what to do about an index that can't be reached.
const indexFix = "check the network and HTTPS_PROXY, or name another index with --index-url URL"

// indexCheck asks the package indexes as a build would: those that flags and
// variables name directly, else uv's own by uv, or without uv pip's by pip.
func indexCheck(ctx context.Context, c *cli.Context, m doctor.Machine, root string) []doctor.Finding {
	if c.Bool("offline") {
		return doctor.One(doctor.Note, "not asked: --offline", "leave --offline out to try it")
	}
	set, err := index.Gather(ctx, index.Options{
		Default: c.String("index-url"), Extra: c.StringSlice("extra-index-url"), Env: os.Environ(), Netrc: netrcFile(), Keyring: keyring,
	})
	if err != nil {
		return doctor.One(doctor.Problem, err.Error(), cmp.Or(advice(err), indexFix))
	}
	var found []doctor.Finding
	for _, x := range set.Indexes() {
		found = append(found, doctor.Index(ctx, set.Transport(nil), x.URL, indexFix))
	}
	if set.Default() != "" {
		return found
	}
	uv, err := localUV(ctx, root)
	if err != nil {
		return append(found, m.IndexByPip(ctx, indexFix)...)
	}
	return append(found, m.IndexByUV(ctx, uv.Path, indexFix)...)
}

// outColours reports whether standard output is a terminal with colours.
func outColours(c *cli.Context) bool {
	out, ok := c.App.Writer.(*resultWriter)
	return ok && colours(terminal(out.w) != nil, os.Getenv)
}

func terminalCheck(c *cli.Context) []doctor.Finding {
	con := consoleOf(c)
	switch {
	case con.file == nil:
		return doctor.One(doctor.OK, "standard error is no terminal: progress is a line for each task", "")
	case con.colour:
		return doctor.One(doctor.OK, fmt.Sprintf("%d columns, with colours", con.width()), "")
	default:
		return doctor.One(doctor.OK, fmt.Sprintf("%d columns, without colours", con.width()), "")
	}
}

// print writes the report for people: a line for each finding, and below it
// what to do.
func (r healthReport) print(w io.Writer, coloured bool) {
	fmt.Fprintf(w, "inlay %s on %s\n\n", r.Version, r.Platform)
	colour := map[string]string{doctor.OK: "32", doctor.Note: "33", doctor.Problem: "1;31"}
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Check))
	}
	con := console{colour: coloured}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s  %-*s  %s\n", con.paint(colour[f.Status], fmt.Sprintf("%-7s", f.Status)), width, f.Check, onePiece(f.Found))
		if f.Fix != "" {
			fmt.Fprintf(w, "%*s→ %s\n", len(doctor.Problem)+2+width+2, "", onePiece(f.Fix))
		}
	}
	if r.Healthy {
		fmt.Fprintln(w, "\na plain build works here")
	} else {
		fmt.Fprintln(w, "\na plain build does not work here: see the lines that say problem")
	}
}
