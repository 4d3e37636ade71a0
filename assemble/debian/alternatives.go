// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"inlay/assemble/script"
)

const (
	alternativesDir = "/etc/alternatives"
	alternativesDB  = "/var/lib/dpkg/alternatives"
)

// A group is a link whose target can be chosen, with links that follow it.
type group struct {
	name    string
	manual  bool
	link    string
	slaves  []slave // sorted by name
	choices []choice
}

type slave struct{ name, link string }

// A choice is one target, with those of the slaves.
type choice struct {
	path     string
	priority int
	slaves   map[string]string
}

// errNoGroup says that there are no alternatives for a name.
var errNoGroup = errors.New("no alternatives")

// alternatives is update-alternatives(1).
func alternatives(_ context.Context, c *script.Call) error {
	args := c.Args[1:]
	force := false
	for len(args) > 0 && slices.Contains([]string{"--quiet", "--force", "--verbose"}, args[0]) {
		force = force || args[0] == "--force"
		args = args[1:]
	}
	if len(args) == 0 {
		return c.Usage()
	}
	a := alternator{c: c, force: force}
	err := a.do(args[0], args[1:])
	if err == nil {
		return nil
	}
	if err = c.Fail(err); errors.Is(err, script.Exit(1)) {
		return script.Exit(2)
	}
	return err
}

// do does one operation.
func (a *alternator) do(op string, args []string) error {
	switch n := len(args); {
	case op == "--install" && n >= 4:
		return a.install(args)
	case op == "--remove" && n == 2:
		return a.remove(args[0], args[1])
	case op == "--remove-all" && n == 1:
		return a.edit(args[0], func(g *group) error { g.choices = nil; return nil })
	case op == "--auto" && n == 1:
		return a.edit(args[0], func(g *group) error { g.manual = false; return nil })
	case op == "--set" && n == 2:
		return a.set(args[0], args[1])
	case op == "--display" && n == 1:
		if _, err := a.read(args[0]); err != nil {
			return err
		}
		return a.c.Usage() // what is printed then is for people
	case op == "--list" && n == 1:
		return a.list(args[0])
	case op == "--query" && n == 1:
		return a.query(args[0])
	default:
		return a.c.Usage()
	}
}

type alternator struct {
	c     *script.Call
	force bool
}

// read returns the group of a name, or errNoGroup.
func (a *alternator) read(name string) (*group, error) {
	if name == "" || strings.ContainsAny(name, "/ \t\n") || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("%q can't be the name of an alternative", name)
	}
	b, err := a.c.Tree.ReadFile(path.Join(alternativesDB, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoGroup
	}
	if err != nil {
		return nil, err
	}
	g := &group{name: name}
	lines := strings.Split(string(b), "\n")
	next := func() string {
		if len(lines) == 0 {
			return ""
		}
		l := lines[0]
		lines = lines[1:]
		return l
	}
	g.manual, g.link = next() == "manual", next()
	for n := next(); n != ""; n = next() {
		g.slaves = append(g.slaves, slave{n, next()})
	}
	for p := next(); p != ""; p = next() {
		ch := choice{path: p, slaves: map[string]string{}}
		if ch.priority, err = strconv.Atoi(next()); err != nil {
			return nil, fmt.Errorf("the file of the alternative %s is damaged", name)
		}
		for _, s := range g.slaves {
			ch.slaves[s.name] = next()
		}
		g.choices = append(g.choices, ch)
	}
	return g, nil
}

// write writes the group's file, or removes it with the last choice.
func (a *alternator) write(g *group) error {
	file := path.Join(alternativesDB, g.name)
	if len(g.choices) == 0 {
		return a.c.Tree.RemoveAll(file)
	}
	slices.SortFunc(g.slaves, func(x, y slave) int { return strings.Compare(x.name, y.name) })
	slices.SortFunc(g.choices, func(x, y choice) int { return strings.Compare(x.path, y.path) })
	var b strings.Builder
	b.WriteString(map[bool]string{true: "manual", false: "auto"}[g.manual] + "\n" + g.link + "\n")
	for _, s := range g.slaves {
		b.WriteString(s.name + "\n" + s.link + "\n")
	}
	b.WriteString("\n")
	for _, ch := range g.choices {
		b.WriteString(ch.path + "\n" + strconv.Itoa(ch.priority) + "\n")
		for _, s := range g.slaves {
			b.WriteString(ch.slaves[s.name] + "\n")
		}
	}
	b.WriteString("\n")
	if err := a.c.Tree.MkdirAll(alternativesDB, 0o755); err != nil {
		return err
	}
	return a.c.Tree.WriteFile(file, []byte(b.String()), 0o644)
}

// install is --install LINK NAME PATH PRIORITY, and --slave LINK NAME PATH for
// each slave.
func (a *alternator) install(args []string) error {
	link, name, target := args[0], args[1], args[2]
	priority, err := strconv.Atoi(args[3])
	if err != nil {
		return fmt.Errorf("the priority %q is no number", args[3])
	}
	ch := choice{path: target, priority: priority, slaves: map[string]string{}}
	var slaves []slave
	for rest := args[4:]; len(rest) > 0; rest = rest[4:] {
		if rest[0] != "--slave" || len(rest) < 4 {
			return a.c.Usage()
		}
		slaves = append(slaves, slave{rest[2], rest[1]})
		ch.slaves[rest[2]] = rest[3]
	}
	if _, err := a.c.Tree.Stat(target); err != nil {
		return fmt.Errorf("the alternative %s is not there", target)
	}
	g, err := a.read(name)
	if errors.Is(err, errNoGroup) {
		g, err = &group{name: name, link: link}, nil
	}
	if err != nil {
		return err
	}
	if g.link != link {
		return &script.UnsupportedError{Needs: "update-alternatives to move the link " + g.link}
	}
	for _, s := range slaves {
		i := slices.IndexFunc(g.slaves, func(o slave) bool { return o.name == s.name })
		switch {
		case i < 0:
			g.slaves = append(g.slaves, s)
		case g.slaves[i].link != s.link:
			return &script.UnsupportedError{Needs: "update-alternatives to move the link " + g.slaves[i].link}
		}
	}
	g.choices = append(slices.DeleteFunc(g.choices, func(o choice) bool { return o.path == target }), ch)
	return a.finish(g)
}

func (a *alternator) remove(name, target string) error {
	g, err := a.read(name)
	if errors.Is(err, errNoGroup) {
		return nil // dpkg says so and goes on
	}
	if err != nil {
		return err
	}
	if now, _ := a.current(g); now == target {
		g.manual = false
	}
	g.choices = slices.DeleteFunc(g.choices, func(o choice) bool { return o.path == target })
	return a.finish(g)
}

func (a *alternator) set(name, target string) error {
	return a.edit(name, func(g *group) error {
		i := slices.IndexFunc(g.choices, func(ch choice) bool { return ch.path == target })
		if i < 0 {
			return fmt.Errorf("%s is no alternative for %s", target, name)
		}
		g.manual = true
		return a.link(g, &g.choices[i])
	})
}

func (a *alternator) edit(name string, f func(*group) error) error {
	g, err := a.read(name)
	if err != nil {
		return fmt.Errorf("%w for %s", err, name)
	}
	if err := f(g); err != nil {
		return err
	}
	return a.finish(g)
}

// current is what the link leads to now.
func (a *alternator) current(g *group) (string, bool) {
	f, err := a.c.Tree.Lstat(path.Join(alternativesDir, g.name))
	return f.Link, err == nil && f.Mode.Type() == fs.ModeSymlink
}

// best returns the choice of the highest priority.
func (g *group) best() *choice {
	var best *choice
	for i := range g.choices {
		if best == nil || g.choices[i].priority > best.priority {
			best = &g.choices[i]
		}
	}
	return best
}
