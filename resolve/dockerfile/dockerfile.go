// SPDX-License-Identifier: Apache-2.0

// Package dockerfile reads Dockerfiles: what each instruction does to an image's
// files and to its configuration. An instruction, or a part of one, that can't
// be done as Docker does it is an *Error that names file and line; nothing is
// left out in silence. Nothing is run, and no file but the Dockerfile is read.
package dockerfile

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// A File is a Dockerfile that was read.
type File struct {
	Name   string // for messages
	Digest string // of the text
	escape rune
	global []instruction // ARG before the first FROM
	stages []*Stage
}

// A Stage is an image that a Dockerfile makes.
type Stage struct {
	Name string // "" if it has none
	Line int    // of its FROM
	// From names the image that it begins with, Scratch for none. It is "" if Of
	// is set: the stage that it begins with.
	From string
	Of   *Stage

	index int
	file  *File
	from  instruction
	body  []instruction
}

// Scratch is the name of an image that holds nothing.
const Scratch = "scratch"

// Options decide what the instructions come to.
type Options struct {
	Args     []string // build arguments, "NAME=VALUE"
	Target   string   // the stage to make: its name or number; "" is the last
	Platform string   // of the image, "linux/amd64"
	Machine  string   // the platform of the machine that builds
	// Secret says whether a variable seems to hold a secret: its value must not
	// become part of the image. Nil knows none.
	Secret func(name, value string) bool
}

// An Error is an instruction that can't be done, where it stands and what to
// do instead.
type Error struct {
	File        string
	Line        int    // from 1; 0 is the file as a whole
	Instruction string // "COPY --parents"; "" if it is none
	Problem     string
	Fix         string
}

func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if e.Instruction != "" {
		s += ": " + e.Instruction
	}
	return s + ": " + e.Problem
}

// Hint says what to do instead.
func (e *Error) Hint() string { return e.Fix }

// An instruction is one of the file, its variables as they stand there.
type instruction struct {
	line  int
	name  string // in capitals
	flags []string
	rest  string
	docs  []heredoc
}

// A heredoc is a text that follows an instruction.
type heredoc struct {
	text string   // as it stands there, with the line that ends it
	body []string // its lines, for the instruction
}

// text returns the instruction as a history tells it: in one line that is not
// too long, variables unresolved.
func (i instruction) text() string {
	const most = 100
	words := strings.Fields(strings.Join(slices.Concat([]string{i.name}, i.flags, []string{i.rest}), " "))
	text := []rune(strings.Join(words, " "))
	if len(text) > most {
		return string(text[:most-1]) + "…"
	}
	return string(text)
}

// fault returns the error that something is wrong with i.
func (f *File) fault(i instruction, problem, fix string) *Error {
	return &Error{File: f.Name, Line: i.line, Instruction: i.name, Problem: problem, Fix: fix}
}

// Parse reads the text of a Dockerfile; name is for messages.
func Parse(name string, text []byte) (*File, error) {
	f := &File{Name: name, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(text))}
	all, err := f.read(string(text))
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if err := f.add(i); err != nil {
			return nil, err
		}
	}
	if len(f.stages) == 0 {
		return nil, &Error{File: name, Problem: "there is no FROM in it", Fix: "begin it with `FROM IMAGE`"}
	}
	return f, nil
}

// known are the instructions that there are.
const known = " ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR "

// add adds an instruction to its stage.
func (f *File) add(i instruction) error {
	switch {
	case !strings.Contains(known, " "+i.name+" "):
		return f.fault(i, "there is no such instruction", "see the list of instructions in docs/dockerfile.md")
	case i.rest == "" && len(i.flags) == 0:
		return f.fault(i, "it says nothing", "write what it is to do, or remove the line")
	case i.name == "FROM":
		return f.begin(i)
	case len(f.stages) > 0:
		last := f.stages[len(f.stages)-1]
		last.body = append(last.body, i)
		return nil
	case i.name == "ARG":
		f.global = append(f.global, i)
		return nil
	default:
		return f.fault(i, "it stands before the first FROM", "only ARG may: move it below")
	}
}

// begin begins a stage.
func (f *File) begin(i instruction) error {
	words := strings.Fields(i.rest)
	s := &Stage{Line: i.line, index: len(f.stages), file: f, from: i}
	switch {
	case len(words) == 3 && strings.EqualFold(words[1], "as"):
		s.Name = strings.ToLower(words[2])
		if f.stage(s.Name) != nil {
			return f.fault(i, fmt.Sprintf("there is a stage %s above", s.Name), "give it another name")
		}
	case len(words) != 1:
		return f.fault(i, "want the name of an image, perhaps with AS and the name of the stage", "write `FROM IMAGE` or `FROM IMAGE AS NAME`")
	}
	f.stages = append(f.stages, s)
	return nil
}

// stage returns the stage of that name above the end, nil if there is none.
func (f *File) stage(name string) *Stage {
	for _, s := range f.stages {
		if s.Name != "" && s.Name == strings.ToLower(name) {
			return s
		}
	}
	return nil
}

// Stages returns the stages that the target of o needs, each behind those that
// it begins with or copies from; the last is the target.
func (f *File) Stages(o Options) ([]*Stage, error) {
	target, err := f.target(o.Target)
	if err != nil {
		return nil, err
	}
	g := &globals{file: f, o: o}
	if err := g.read(); err != nil {
		return nil, err
	}
	var needed []*Stage
	err = g.need(target, &needed)
	return needed, err
}

func (f *File) target(name string) (*Stage, error) {
	if name == "" {
		return f.stages[len(f.stages)-1], nil
	}
	if s := f.named(name, len(f.stages)); s != nil {
		return s, nil
	}
	var names []string
	for _, s := range f.stages {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	fix := "name a stage with `FROM IMAGE AS " + name + "`, or leave the target out"
	if len(names) > 0 {
		fix = "name one of its stages: `--target " + strings.Join(names, "`, `--target ") + "`"
	}
	return nil, &Error{File: f.Name, Problem: fmt.Sprintf("there is no stage %q in it", name), Fix: fix}
}

// named returns the stage of a name or number among the first n.
func (f *File) named(name string, n int) *Stage {
	for _, s := range f.stages[:n] {
		if s.Name != "" && s.Name == strings.ToLower(name) || fmt.Sprint(s.index) == name {
			return s
		}
	}
	return nil
}

// globals are what the ARGs before the first FROM come to.
type globals struct {
	file *File
	o    Options
	args []Arg
}

func (g *globals) read() error {
	e := &evaluation{file: g.file, o: g.o}
	for _, i := range g.file.global {
		if err := e.arg(i); err != nil {
			return err
		}
	}
	g.args = e.args
	return nil
}

// need appends s to all, behind those that it needs.
func (g *globals) need(s *Stage, all *[]*Stage) error {
	if slices.Contains(*all, s) {
		return nil
	}
	if err := g.resolve(s); err != nil {
		return err
	}
	if s.Of != nil {
		if err := g.need(s.Of, all); err != nil {
			return err
		}
	}
	for _, i := range s.body {
		from, ok := flag(i, "from")
		if !ok || i.name != "COPY" {
			continue
		}
		if other := g.file.named(from, s.index); other != nil {
			if err := g.need(other, all); err != nil {
				return err
			}
		}
	}
	*all = append(*all, s)
	return nil
}

// resolve finds what s begins with.
func (g *globals) resolve(s *Stage) error {
	e := &evaluation{file: g.file, o: g.o, args: g.args}
	for _, fl := range s.from.flags {
		name, value, _ := strings.Cut(fl, "=")
		if name != "--platform" {
			return g.file.fault(s.from, name+" is not supported", "remove it")
		}
		platform, err := e.word(s.from, value)
		if err != nil {
			return err
		}
		if platform != g.o.Platform {
			return g.file.fault(s.from, fmt.Sprintf("--platform=%s is not the platform of the image, %s", platform, g.o.Platform), "remove it, or give `--platform "+platform+"`: all stages have one platform")
		}
	}
	name, err := e.word(s.from, strings.Fields(s.from.rest)[0])
	switch {
	case err != nil:
		return err
	case name == "":
		return g.file.fault(s.from, "the name of the image is empty", "give the ARG that it is made of a default, or its value in `build_args`")
	}
	if s.Of = g.file.named(name, s.index); s.Of != nil && s.Of.Name == strings.ToLower(name) {
		s.From = ""
		return nil
	}
	s.From, s.Of = name, nil
	return nil
}

// flag returns the value of a flag of i.
func flag(i instruction, name string) (string, bool) {
	for _, f := range i.flags {
		if value, ok := strings.CutPrefix(f, "--"+name+"="); ok {
			return value, true
		}
	}
	return "", false
}
