// SPDX-License-Identifier: Apache-2.0

package dockerfile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"inlay/layers/pattern"
)

// run evaluates a command, with all that it sees.
func (e *evaluation) run(i instruction) error {
	r := &Run{Dir: e.directory(), User: e.state.User, Env: slices.Clone(e.state.Env)}
	for _, f := range i.flags {
		if err := e.runFlag(i, r, f); err != nil {
			return err
		}
	}
	switch script := e.script(i); {
	case script == "" && i.rest == "":
		return e.file.fault(i, "it has no command", "write one behind the flags")
	case strings.HasPrefix(script, "#!"):
		return e.file.fault(i, "a script that names its interpreter is not supported", "call the interpreter: RUN python3 <<EOF")
	case script != "":
		r.Command = e.shell(" " + script) // never JSON
		r.Command[len(r.Command)-1] = script
	default:
		text := i.rest
		for n, d := range i.docs {
			if n == 0 {
				text += "\n"
			}
			text += d.text
		}
		r.Command = e.shell(text)
	}
	for _, a := range e.args {
		if _, hidden := lookup(e.state.Env, a.Name); !hidden {
			r.Args = append(r.Args, a)
		}
	}
	e.ops = append(e.ops, Op{Line: i.line, Text: i.text(), Run: r})
	return nil
}

// script returns the text of an instruction that is a script and nothing else.
func (e *evaluation) script(i instruction) string {
	if len(i.docs) != 1 || opening().FindString(i.rest) != i.rest {
		return ""
	}
	return strings.Join(i.docs[0].body, "\n") + "\n"
}

func (e *evaluation) runFlag(i instruction, r *Run, f string) error {
	name, value, _ := strings.Cut(f, "=")
	i.name += " " + f
	if name == "--network" {
		if value == "default" {
			return nil
		}
		return e.file.fault(i, "is not supported", "remove it: commands reach package indexes and the hosts of `--allow-host`")
	}
	kind, target := "bind", ""
	options := strings.Split(value, ",")
	for _, option := range options {
		key, v, _ := strings.Cut(option, "=")
		switch key {
		case "type":
			kind = v
		case "target", "dst", "destination":
			target = v
		case "from", "source", "src":
			return e.file.fault(i, "a mount of files is not supported", "write `COPY FILES /PATH` above it")
		}
	}
	switch {
	case kind == "secret":
		return e.secret(i, r, target, options)
	case kind != "cache" && kind != "tmpfs":
		return e.file.fault(i, fmt.Sprintf("a mount of the type %s is not supported", kind), mountFix(kind))
	case target == "":
		return e.file.fault(i, "the mount has no target", "write target=/PATH")
	}
	target, err := e.word(i, target)
	if err != nil {
		return err
	}
	r.Caches = append(r.Caches, e.absolute(target))
	return nil
}

// secret evaluates a mount of a secret, which is the file /run/secrets/ID.
func (e *evaluation) secret(i instruction, r *Run, target string, options []string) error {
	id := ""
	if target != "" {
		id = path.Base(target) // as with Docker
	}
	for _, option := range options {
		key, v, _ := strings.Cut(option, "=")
		switch {
		case key == "id":
			id = v
		case slices.Contains([]string{"type", "target", "dst", "destination"}, key), option == "required", option == "required=true":
		case key == "required":
			return e.file.fault(i, "a secret that may be missing is not supported", "remove required: the build needs it then")
		default:
			return e.file.fault(i, "the option "+key+" of a secret is not supported", "remove it: a secret is the file /run/secrets/ID, of the user root")
		}
	}
	switch {
	case id == "":
		return e.file.fault(i, "the secret has no name", "write id=NAME")
	case target != "" && target != "/run/secrets/"+id:
		return e.file.fault(i, "a secret at "+target+" is not supported", "remove target, and read /run/secrets/"+id)
	}
	r.Secrets = append(r.Secrets, id)
	return nil
}

func mountFix(kind string) string {
	if kind == "bind" {
		return "write `COPY FILES /PATH` above it"
	}
	return "remove `--mount`"
}

var (
	octal  = pattern.New(`^[0-7]{3,4}$`)
	remote = pattern.New(`^([a-z]+://|git@)`)
)

// copy evaluates COPY and ADD.
func (e *evaluation) copy(i instruction) error {
	if len(i.docs) > 0 {
		return e.file.fault(i, "a text in place of a file is not supported", "write it to a file of the context, and copy that")
	}
	words, err := e.words(i, e.sources(i))
	if err != nil {
		return err
	}
	if len(words) < 2 {
		return e.file.fault(i, "want what to copy, and where to", "write "+i.name+" SOURCE DESTINATION")
	}
	c := &Copy{Add: i.name == "ADD", Sources: words[:len(words)-1], Dest: words[len(words)-1]}
	for _, s := range c.Sources {
		if c.Add && remote().MatchString(s) {
			return e.file.fault(i, fmt.Sprintf("%s is not on this machine, and nothing says what it must be", s), "download it in RUN and check its digest there, or put it into the context")
		}
	}
	if strings.HasSuffix(c.Dest, "/") || c.Dest == "." || strings.HasSuffix(c.Dest, "/.") {
		c.Dest = strings.TrimSuffix(e.absolute(c.Dest), "/") + "/"
	} else {
		c.Dest = e.absolute(c.Dest)
	}
	if len(c.Sources) > 1 && !strings.HasSuffix(c.Dest, "/") {
		return e.file.fault(i, "several files go into a directory", "end the destination with a slash: "+c.Dest+"/")
	}
	if err := e.copyFlags(i, c); err != nil {
		return err
	}
	e.ops = append(e.ops, Op{Line: i.line, Text: i.text(), Copy: c})
	return nil
}

func (e *evaluation) sources(i instruction) []string {
	if words, ok := array(i.rest); ok {
		return words
	}
	return e.file.quoted(i.rest)
}

func (e *evaluation) copyFlags(i instruction, c *Copy) (err error) {
	if owner, ok := flag(i, "chown"); ok {
		if c.Owner, err = e.word(i, owner); err != nil {
			return err
		}
	}
	if mode, ok := flag(i, "chmod"); ok {
		if c.Mode, err = e.word(i, mode); err != nil {
			return err
		}
		if !octal().MatchString(c.Mode) {
			i.name += " --chmod=" + c.Mode
			return e.file.fault(i, "want an octal number", "write --chmod=755")
		}
	}
	if from, ok := flag(i, "from"); ok {
		c.From, c.Of = from, e.file.named(from, e.stage.index)
	}
	return nil
}
