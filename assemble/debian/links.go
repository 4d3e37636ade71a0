// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"inlay/assemble/overlay"
	"inlay/assemble/script"
)

// finish makes the links what the group says, and writes it.
func (a *alternator) finish(g *group) error {
	if len(g.choices) == 0 {
		if err := a.unlink(g.name, g.link); err != nil {
			return err
		}
		for _, s := range g.slaves {
			if err := a.unlink(s.name, s.link); err != nil {
				return err
			}
		}
		return a.write(g)
	}
	slices.SortFunc(g.choices, func(x, y choice) int { return strings.Compare(x.path, y.path) })
	now, ok := a.current(g)
	i := slices.IndexFunc(g.choices, func(ch choice) bool { return ch.path == now })
	pick := g.best()
	switch {
	case ok && g.manual && i >= 0:
		pick = &g.choices[i]
	case ok && i < 0 && g.manual:
		return &script.UnsupportedError{Needs: "update-alternatives for " + g.name + ", which somebody set by hand"}
	}
	if err := a.link(g, pick); err != nil {
		return err
	}
	return a.write(g)
}

// link makes the links of a choice. The links of slaves whose file isn't there
// go.
func (a *alternator) link(g *group, ch *choice) error {
	if err := a.c.Tree.MkdirAll(alternativesDir, 0o755); err != nil {
		return err
	}
	if err := a.relink(g.name, g.link, ch.path); err != nil {
		return err
	}
	for _, s := range g.slaves {
		target := ch.slaves[s.name]
		if target != "" {
			if _, err := a.c.Tree.Stat(target); err == nil {
				if err := a.relink(s.name, s.link, target); err != nil {
					return err
				}
				continue
			}
		}
		if err := a.unlink(s.name, s.link); err != nil {
			return err
		}
	}
	return nil
}

func (a *alternator) relink(name, link, target string) error {
	at, err := a.c.Tree.Lstat(link)
	if err == nil && at.Mode.Type() != fs.ModeSymlink && !a.force {
		fmt.Fprintf(a.c.Err, "not replacing %s with a link\n", link)
	} else if err := a.replace(path.Join(alternativesDir, name), link); err != nil {
		return err
	}
	return a.replace(target, path.Join(alternativesDir, name))
}

func (a *alternator) replace(target, link string) error {
	if at, err := a.c.Tree.Lstat(link); err == nil {
		if at.Link == target {
			return nil
		}
		if err := a.c.Tree.Remove(link); err != nil {
			return err
		}
	}
	return a.c.Tree.Symlink(target, link)
}

func (a *alternator) unlink(name, link string) error {
	for _, l := range []string{link, path.Join(alternativesDir, name)} {
		at, err := a.c.Tree.Lstat(l)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, overlay.ErrNotDir) || err == nil && at.Mode.Type() != fs.ModeSymlink {
			continue
		}
		if err != nil {
			return err
		}
		if err := a.c.Tree.Remove(l); err != nil {
			return err
		}
	}
	return nil
}

// list prints the choices of a group.
func (a *alternator) list(name string) error {
	g, err := a.read(name)
	if err != nil {
		return fmt.Errorf("%w for %s", err, name)
	}
	for _, ch := range g.choices {
		fmt.Fprintln(a.c.Out, ch.path)
	}
	return nil
}

// query prints a group for programs.
func (a *alternator) query(name string) error {
	g, err := a.read(name)
	if err != nil {
		return fmt.Errorf("%w for %s", err, name)
	}
	value, ok := a.current(g)
	if !ok {
		value = "none"
	}
	links := make(map[string]string, len(g.slaves))
	for _, s := range g.slaves {
		links[s.name] = s.link
	}
	fmt.Fprintf(a.c.Out, "Name: %s\nLink: %s\n", g.name, g.link)
	a.printSlaves(g, links)
	fmt.Fprintf(a.c.Out, "Status: %s\n", map[bool]string{true: "manual", false: "auto"}[g.manual])
	if best := g.best(); best != nil {
		fmt.Fprintf(a.c.Out, "Best: %s\n", best.path)
	}
	fmt.Fprintf(a.c.Out, "Value: %s\n", value)
	for _, ch := range g.choices {
		fmt.Fprintf(a.c.Out, "\nAlternative: %s\nPriority: %d\n", ch.path, ch.priority)
		a.printSlaves(g, ch.slaves)
	}
	return nil
}

// printSlaves prints a path for each slave that has one.
func (a *alternator) printSlaves(g *group, paths map[string]string) {
	if len(g.slaves) > 0 {
		fmt.Fprintln(a.c.Out, "Slaves:")
	}
	for _, s := range g.slaves {
		if p := paths[s.name]; p != "" {
			fmt.Fprintf(a.c.Out, " %s %s\n", s.name, p)
		}
	}
}
