// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"inlay/assemble/overlay"
	"inlay/assemble/script"
)

// Confmodule is the file that scripts read in to ask questions.
const Confmodule = "/usr/share/debconf/confmodule"

// ConfmoduleText returns what stands for that file: the questions are answered
// by the command inlay:debconf.
var ConfmoduleText = sync.OnceValue(func() string {
	var b strings.Builder
	for _, name := range []string{
		"capb", "set", "reset", "title", "input", "beginblock", "endblock", "go", "get", "register", "unregister", "subst",
		"fset", "fget", "purge", "metaget", "version", "clear", "settitle", "info", "progress", "data", "x_loadtemplatefile", "stop",
	} {
		fmt.Fprintf(&b, "db_%s() {\n_debconf_status=0\nRET=\"$(inlay:debconf %s \"$@\")\" || _debconf_status=$?\nreturn $_debconf_status\n}\n", name, name)
	}
	return b.String()
})

// Debconf holds the questions that packages ask. Nobody is there to answer
// them: each has the answer it had in the image, or its default.
type Debconf struct {
	questions map[string]*question
	loaded    map[string]bool
}

type question struct {
	template map[string]string
	value    string
	set      bool
	flags    map[string]bool
	subst    map[string]string
}

// NewDebconf returns the answers that the image has.
func NewDebconf(tree *overlay.Tree) (*Debconf, error) {
	d := &Debconf{questions: map[string]*question{}, loaded: map[string]bool{}}
	b, err := tree.ReadFile("/var/cache/debconf/config.dat")
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	for paragraph := range strings.SplitSeq(string(b), "\n\n") {
		fields := paragraphFields(paragraph)
		if name := fields["Name"]; name != "" {
			q := d.question(name)
			q.value, q.set = fields["Value"], fields["Value"] != ""
			for f := range strings.SplitSeq(fields["Flags"], ",") {
				q.flags[strings.TrimSpace(f)] = true
			}
		}
	}
	return d, nil
}

func (d *Debconf) question(name string) *question {
	q := d.questions[name]
	if q == nil {
		q = &question{template: map[string]string{}, flags: map[string]bool{}, subst: map[string]string{}}
		d.questions[name] = q
	}
	return q
}

// Load takes a package's templates over, once.
func (d *Debconf) Load(pkg, templates string) {
	if d.loaded[pkg] {
		return
	}
	d.loaded[pkg] = true
	for paragraph := range strings.SplitSeq(templates, "\n\n") {
		fields := paragraphFields(paragraph)
		if name := fields["Template"]; name != "" {
			d.question(name).template = fields
		}
	}
}

// paragraphFields reads the fields of a paragraph. Lines that go on are joined.
func paragraphFields(text string) map[string]string {
	fields := map[string]string{}
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += "\n" + line
		default:
			name, value, _ := strings.Cut(line, ":")
			last = name
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields
}

// get returns a question's answer: what was set, or the default.
func (q *question) get() string {
	if q.set {
		return q.value
	}
	return q.template["Default"]
}

// The statuses of debconf's answers (debconf-devel(7)).
const (
	badParameter  = script.Exit(10)
	internalError = script.Exit(20)
	notShown      = script.Exit(30)
)

// command answers one command of the protocol.
func (d *Debconf) command(_ context.Context, c *script.Call) error {
	if len(c.Args) < 2 {
		return c.Usage()
	}
	name, args := c.Args[1], c.Args[2:]
	need := map[string]int{"get": 1, "set": 2, "reset": 1, "fset": 3, "fget": 2, "subst": 2, "metaget": 2, "input": 2, "register": 2, "unregister": 1}[name]
	if len(args) < need {
		return internalError
	}
	switch name {
	case "version":
		fmt.Fprintf(c.Out, "2.0")
	case "capb":
		fmt.Fprintf(c.Out, "multiselect")
	case "title", "settitle", "info", "beginblock", "endblock", "clear", "stop", "progress", "go":
	case "input":
		if d.questions[args[1]] == nil {
			return badParameter
		}
		return notShown // nobody is there
	case "register":
		if d.questions[args[0]] == nil {
			return badParameter
		}
		d.question(args[1]).template = d.questions[args[0]].template
	case "purge":
	case "unregister":
		delete(d.questions, args[0])
	default:
		return d.about(c, name, args)
	}
	return nil
}

// about answers a command about one question.
func (d *Debconf) about(c *script.Call, name string, args []string) error {
	q := d.questions[args[0]]
	if q == nil {
		return badParameter
	}
	switch name {
	case "get":
		fmt.Fprintf(c.Out, "%s", q.get())
	case "set":
		q.value, q.set = strings.Join(args[1:], " "), true
	case "reset":
		q.value, q.set = "", false
		q.flags["seen"] = false
	case "fset":
		q.flags[args[1]] = args[2] == "true"
	case "fget":
		fmt.Fprintf(c.Out, "%s", strconv.FormatBool(q.flags[args[1]]))
	case "subst":
		q.subst[args[1]] = strings.Join(args[2:], " ")
	case "metaget":
		value, ok := q.field(args[1])
		if !ok {
			return internalError
		}
		fmt.Fprintf(c.Out, "%s", value)
	default:
		return c.Usage()
	}
	return nil
}

// field returns a field of the template, with what was substituted.
func (q *question) field(name string) (string, bool) {
	for field, value := range q.template {
		if strings.EqualFold(field, name) {
			for k, v := range q.subst {
				value = strings.ReplaceAll(value, "${"+k+"}", v)
			}
			return value, true
		}
	}
	return "", false
}
