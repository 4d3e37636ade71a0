// SPDX-License-Identifier: Apache-2.0

// Package complete says how a command line that is being typed can go on:
// commands, flags, their values, files. It knows what the commands say of
// themselves, so that a new flag is completed as soon as it is there.
package complete

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// A Candidate is one way to go on.
type Candidate struct {
	Word  string // in full, what is typed already included
	About string // in a few words, "" if the word says it all
}

// Line returns how the last of the words, which may be empty, can go on. The
// words are those after the program's name.
func Line(app *cli.App, words []string) []Candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	l := line{commands: app.Commands}
	for _, w := range words[:len(words)-1] {
		l.take(w)
	}
	typed := words[len(words)-1]
	return slices.DeleteFunc(l.candidates(typed), func(c Candidate) bool { return !strings.HasPrefix(c.Word, typed) })
}

// A line is what was typed before the last word.
type line struct {
	commands []*cli.Command // that may come next
	command  *cli.Command   // nil before the first
	given    []string       // flags, without dashes
	pending  cli.Flag       // waits for its value
	args     int            // that are no flags
	noFlags  bool           // after "--"
}

// take reads one whole word.
func (l *line) take(word string) {
	switch {
	case l.pending != nil:
		l.pending = nil
	case word == "--":
		l.noFlags = true
	case l.isFlag(word):
		name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if f := l.flag(name); f != nil {
			l.given = append(l.given, f.Names()...)
			if takesValue(f) && !hasValue {
				l.pending = f
			}
		}
	case l.commands != nil:
		l.enter(word)
	default:
		l.args++
	}
}

func (l *line) enter(name string) {
	for _, c := range l.commands {
		if c.HasName(name) {
			l.command, l.commands = c, c.Subcommands
			return
		}
	}
	l.commands = nil // nothing is known of what follows
}

func (l *line) isFlag(word string) bool {
	return !l.noFlags && strings.HasPrefix(word, "-") && word != "-"
}

// flag returns the flag of that name, nil if there is none.
func (l *line) flag(name string) cli.Flag {
	if l.command == nil {
		return nil
	}
	for _, f := range l.command.Flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func (l *line) candidates(typed string) []Candidate {
	switch {
	case l.pending != nil:
		return values(l.pending, typed)
	case l.isFlag(typed) || typed == "-":
		name, value, hasValue := strings.Cut(typed, "=")
		f := l.flag(strings.TrimLeft(name, "-"))
		if !hasValue || f == nil {
			return l.flags()
		}
		found := values(f, value)
		for i := range found {
			found[i].Word = name + "=" + found[i].Word
		}
		return found
	case len(l.commands) > 0:
		return l.names()
	case l.command != nil:
		return arguments(l.command, l.args, typed)
	default:
		return nil
	}
}

// names lists the commands that may come next.
func (l *line) names() []Candidate {
	var found []Candidate
	for _, c := range l.commands {
		if !c.Hidden {
			found = append(found, Candidate{c.Name, c.Usage})
		}
	}
	return found
}

// flags lists the flags that may come next: one that was given, only if it
// takes several values.
func (l *line) flags() []Candidate {
	help := Candidate{"--help", "show help"}
	if l.command == nil {
		return []Candidate{help}
	}
	var found []Candidate
	for _, f := range l.command.Flags {
		name := f.Names()[0]
		if d, ok := f.(cli.DocGenerationFlag); ok && (many(f) || !slices.Contains(l.given, name)) {
			found = append(found, Candidate{"--" + name, strings.ReplaceAll(d.GetUsage(), "`", "")})
		}
	}
	return append(found, help)
}

func many(f cli.Flag) bool {
	s, ok := f.(cli.DocGenerationSliceFlag)
	return ok && s.IsSliceFlag()
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// A Chooser is a flag that knows which values it takes.
type Chooser interface{ Choices() []string }

// values lists the values of a flag: those it knows, else what its value is
// called says which files they are.
func values(f cli.Flag, typed string) []Candidate {
	if c, ok := f.(Chooser); ok {
		return literal(c.Choices())
	}
	if d, ok := f.(cli.DocGenerationFlag); ok {
		return named(Placeholder(d.GetUsage()), typed)
	}
	return nil
}

// Placeholder returns what the usage of a flag calls its value: the first words
// in backquotes, else "VALUE".
func Placeholder(usage string) string {
	_, rest, ok := strings.Cut(usage, "`")
	name, _, closed := strings.Cut(rest, "`")
	if !ok || !closed {
		return "VALUE"
	}
	return name
}

// arguments lists what a command's argument may be, of which n were given.
func arguments(c *cli.Command, n int, typed string) []Candidate {
	all := strings.Fields(c.ArgsUsage)
	if n >= len(all) {
		return nil
	}
	name := strings.Trim(all[n], "[].")
	if strings.Contains(name, "|") {
		return literal(strings.Split(name, "|"))
	}
	return named(name, typed)
}

func literal(words []string) []Candidate {
	found := make([]Candidate, len(words))
	for i, w := range words {
		found[i].Word = w
	}
	return found
}

// named lists what a value of that name may be.
func named(name, typed string) []Candidate {
	switch name {
	case "FILE":
		return files(typed, false)
	case "DIR", "CONTEXT":
		return files(typed, true)
	case "IMAGE":
		return transports(typed, nil)
	case "OUTPUT":
		if strings.HasPrefix(typed, "engine:") {
			return literal([]string{"engine:docker", "engine:podman", "engine:containerd"})
		}
		return transports(typed, []Candidate{{"registry", "push the image"}, {"engine", "load it into docker, podman or containerd"}})
	default:
		return nil
	}
}

// transports lists the kinds of images, and after one of them the files.
func transports(typed string, more []Candidate) []Candidate {
	all := []Candidate{
		{"oci:", "a directory in OCI layout"},
		{"oci-archive:", "a tar of an OCI layout"},
		{"docker-archive:", "what docker save and docker load use"},
	}
	for _, t := range all {
		rest, ok := strings.CutPrefix(typed, t.Word)
		if !ok {
			continue
		}
		found := files(rest, t.Word == "oci:")
		for i := range found {
			found[i].Word = t.Word + found[i].Word
		}
		return found
	}
	return append(more, all...)
}

// files lists the files that a path may become; directories end in a slash.
// What begins with a dot is listed once a dot was typed.
func files(typed string, onlyDirs bool) []Candidate {
	dir, base := filepath.Split(typed)
	entries, err := os.ReadDir(inHome(dir))
	if err != nil {
		return nil // a name that leads nowhere can't be completed
	}
	var found []Candidate
	for _, e := range entries {
		isDir := e.IsDir()
		if info, err := os.Stat(filepath.Join(inHome(dir), e.Name())); err == nil {
			isDir = info.IsDir() // of a link, what it leads to
		}
		hidden := strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(base, ".")
		switch {
		case hidden || onlyDirs && !isDir:
		case isDir:
			found = append(found, Candidate{Word: dir + e.Name() + "/"})
		default:
			found = append(found, Candidate{Word: dir + e.Name()})
		}
	}
	return found
}

// inHome returns the directory to list, with "~/" as shells mean it.
func inHome(dir string) string {
	rest, ok := strings.CutPrefix(dir, "~/")
	home, err := os.UserHomeDir()
	if !ok || err != nil {
		return filepath.Clean(dir + ".")
	}
	return filepath.Join(home, rest)
}
