// SPDX-License-Identifier: Apache-2.0

package dockerfile

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"inlay/resolve/plan"
)

// A State is the configuration of an image between two instructions.
type State struct {
	Env     []string // "NAME=VALUE"
	User    string
	WorkDir string   // "" is the root
	Shell   []string // nil is /bin/sh -c
	// Changes are what instructions changed since the image that the first stage
	// began with.
	Changes plan.Config
}

// An Op is what one instruction does to the files of an image. Exactly one of
// Run, Copy and Dir is set.
type Op struct {
	Line int
	Text string // the instruction, for the history: variables unresolved
	Run  *Run
	Copy *Copy
	Dir  *Dir
}

// A Run is a command.
type Run struct {
	Command []string
	Dir     string // absolute
	User    string // "" is root
	Env     []string
	Args    []Arg    // that no variable of Env hides
	Caches  []string // absolute: directories that are empty, and not kept
	Secrets []string // by ID: files in /run/secrets that it reads
}

// An Arg is the value of an ARG.
type Arg struct {
	Name, Value string
	Given       bool // it comes from the options, not from the file
	Secret      bool // it seems to hold a secret
}

// A Copy brings files into the image.
type Copy struct {
	Add     bool // ADD, which unpacks archives
	From    string
	Of      *Stage // that From names; nil: an image, or the context if From is ""
	Sources []string
	Dest    string // absolute; with a slash at its end if it must be a directory
	Owner   string // of --chown; "" is root
	Mode    string // of --chmod, octal digits; "" is that of the source
}

// A Dir is a working directory, which is made if it isn't there.
type Dir struct {
	Path string
	User string // whose it is
}

// An evaluation goes through the instructions of a stage.
type evaluation struct {
	file   *File
	stage  *Stage
	o      Options
	global []Arg
	args   []Arg
	state  State
	cmdSet bool // CMD stood in this stage
	ops    []Op
}

// Evaluate returns what the instructions of s do, and the configuration after
// them. from is that of the image that the stage begins with.
func (s *Stage) Evaluate(from State, o Options) ([]Op, State, error) {
	g := &globals{file: s.file, o: o}
	if err := g.read(); err != nil {
		return nil, State{}, err
	}
	e := &evaluation{file: s.file, stage: s, o: o, global: g.args, state: from}
	for _, i := range s.body {
		if err := e.instruction(i); err != nil {
			return nil, State{}, err
		}
	}
	return e.ops, e.state, nil
}

// flagsOf are the flags of instructions that have any.
func flagsOf(name string) []string {
	switch name {
	case "COPY":
		return []string{"from", "chown", "chmod", "link"}
	case "ADD":
		return []string{"chown", "chmod", "link"}
	case "RUN":
		return []string{"mount", "network"}
	case "HEALTHCHECK":
		return []string{"interval", "timeout", "start-period", "start-interval", "retries"}
	default:
		return nil
	}
}

func (e *evaluation) instruction(i instruction) error {
	for _, f := range i.flags {
		name, _, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		if !slices.Contains(flagsOf(i.name), name) {
			i.name += " --" + name
			return e.file.fault(i, "is not supported", "remove `--"+name+"`")
		}
	}
	switch i.name {
	case "RUN":
		return e.run(i)
	case "COPY", "ADD":
		return e.copy(i)
	case "WORKDIR":
		return e.workdir(i)
	case "ENV":
		return e.env(i)
	case "ARG":
		return e.arg(i)
	case "LABEL":
		return e.label(i)
	case "ONBUILD":
		return e.file.fault(i, "is not supported: it is for other images", "write the instruction in those")
	case "MAINTAINER":
		return e.file.fault(i, "is not supported: Docker has deprecated it", "write `LABEL maintainer=…`")
	default:
		return e.configure(i)
	}
}

// change is to be called before Changes are changed: its slices and maps may be
// those of another state.
func (e *evaluation) env(i instruction) error {
	pairs, err := e.file.pairs(i)
	if err != nil {
		return err
	}
	for n, p := range pairs {
		for _, text := range []*string{&pairs[n].name, &pairs[n].value} {
			if *text, err = e.word(i, *text); err != nil {
				return err
			}
		}
		if p.name == "" || pairs[n].name == "" {
			return e.file.fault(i, "a name is empty", "write ENV NAME=VALUE")
		}
	}
	for _, p := range pairs {
		e.state.Env = set(e.state.Env, p.name, p.value)
		e.state.Changes.Env = set(e.state.Changes.Env, p.name, p.value)
	}
	return nil
}

func (e *evaluation) label(i instruction) error {
	pairs, err := e.file.pairs(i)
	if err != nil {
		return err
	}
	labels := map[string]string{}
	for k, v := range e.state.Changes.Labels {
		labels[k] = v
	}
	for _, p := range pairs {
		name, err := e.word(i, p.name)
		if err != nil {
			return err
		}
		if labels[name], err = e.word(i, p.value); err != nil {
			return err
		}
	}
	e.state.Changes.Labels = labels
	return nil
}

// arg declares arguments: with the value that the options give, that of the
// same ARG above the first FROM, or the default.
func (e *evaluation) arg(i instruction) error {
	var all []Arg
	for _, w := range e.file.quoted(i.rest) {
		name, value, given := strings.Cut(w, "=")
		name, err := e.word(i, name)
		if err != nil {
			return err
		}
		a := Arg{Name: name}
		if given {
			if a.Value, err = e.word(i, value); err != nil {
				return err
			}
		}
		if a, given = e.valueOf(a, given); given {
			a.Secret = e.o.Secret != nil && e.o.Secret(a.Name, a.Value)
			all = append(all, a)
		}
	}
	for _, a := range all {
		e.args = slices.DeleteFunc(slices.Clone(e.args), func(b Arg) bool { return b.Name == a.Name })
		e.args = append(e.args, a)
	}
	return nil
}

// valueOf returns a with its value, if it has one.
func (e *evaluation) valueOf(a Arg, given bool) (Arg, bool) {
	if value, ok := lookup(e.o.Args, a.Name); ok {
		a.Value, a.Given = value, true
		return a, true
	}
	if given {
		return a, true
	}
	for _, g := range e.global {
		if g.Name == a.Name {
			return g, true
		}
	}
	if value, ok := lookup(automatic(e.o), a.Name); ok {
		a.Value = value
		return a, true
	}
	return a, false
}

// automatic are the arguments that BuildKit gives.
func automatic(o Options) (all []string) {
	for _, p := range []struct{ prefix, platform string }{{"TARGET", o.Platform}, {"BUILD", o.Machine}} {
		words := append(strings.SplitN(p.platform, "/", 3), "", "")
		all = append(all, p.prefix+"PLATFORM="+p.platform, p.prefix+"OS="+words[0], p.prefix+"ARCH="+words[1], p.prefix+"VARIANT="+words[2])
	}
	return all
}

func (e *evaluation) workdir(i instruction) error {
	dir, err := e.word(i, i.rest)
	if err != nil {
		return err
	}
	if dir == "" {
		return e.file.fault(i, "the directory is empty", "give the variables that it is made of a value")
	}
	e.state.WorkDir = e.absolute(dir)
	e.state.Changes.WorkDir = e.state.WorkDir
	e.ops = append(e.ops, Op{Line: i.line, Text: i.text(), Dir: &Dir{Path: e.state.WorkDir, User: e.state.User}})
	return nil
}

// absolute returns where p is, seen from the working directory.
func (e *evaluation) absolute(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", e.state.WorkDir, p)
}

// shell returns the words of a command: those that stand there, or a line for
// the shell.
func (e *evaluation) shell(text string) []string {
	if words, ok := array(text); ok {
		return words
	}
	sh := e.state.Shell
	if len(sh) == 0 {
		sh = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(sh), text)
}

// directory is the working directory of commands.
func (e *evaluation) directory() string { return cmp.Or(e.state.WorkDir, "/") }
