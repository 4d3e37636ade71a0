// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"path"
	"slices"
	"strings"

	"inlay/assemble/script"
)

const (
	shellsFile  = "/etc/shells"
	shellsState = "/var/lib/shells.state"
	shellsOwn   = "/usr/share/debianutils/shells" // those that /etc/shells begins with
	shellsDir   = "/usr/share/debianutils/shells.d"
)

// addShell is add-shell(8).
func addShell(_ context.Context, c *script.Call) error {
	old, err := text(c.Tree, shellsFile)
	if err != nil {
		return c.Fail(err)
	}
	have := strings.Split(old, "\n")
	for _, s := range c.Args[1:] {
		if strings.HasPrefix(s, "-") {
			return c.Usage()
		}
		for _, s := range namesOfShell(c, s) {
			if !slices.Contains(have, s) {
				have, old = append(have, s), old+s+"\n"
			}
		}
	}
	if err := c.Tree.WriteFile(shellsFile, []byte(old), 0o644); err != nil {
		return c.Fail(err)
	}
	return nil
}

// namesOfShell returns the paths that count for a shell: with merged
// directories two.
func namesOfShell(c *script.Call, s string) []string {
	if dir, _ := c.Tree.Resolve(path.Dir(s)); dir == "usr/bin" && path.Dir(s) == "/bin" {
		return []string{s, "/usr" + s}
	}
	return []string{s}
}

// updateShells adds the shells that packages declare, and remembers them.
func updateShells(_ context.Context, c *script.Call) error {
	if len(c.Args) > 1 {
		return c.Usage()
	}
	now, err := declaredShells(c)
	if err != nil {
		return c.Fail(err)
	}
	shells, err := text(c.Tree, shellsFile)
	if err != nil {
		return c.Fail(err)
	}
	state, err := text(c.Tree, shellsState)
	if err != nil {
		return c.Fail(err)
	}
	had, have := strings.Split(state, "\n"), strings.Split(shells, "\n")
	for _, s := range had {
		if s != "" && !slices.Contains(now, s) {
			return &script.UnsupportedError{Needs: "update-shells to remove " + s}
		}
	}
	declared := ""
	for _, s := range now {
		declared += s + "\n"
		if !slices.Contains(have, s) && !slices.Contains(had, s) {
			have, shells = append(have, s), shells+s+"\n"
		}
	}
	if err := c.Tree.WriteFile(shellsFile, []byte(shells), 0o644); err != nil {
		return c.Fail(err)
	}
	if err := c.Tree.WriteFile(shellsState, []byte(declared), 0o644); err != nil {
		return c.Fail(err)
	}
	return nil
}

// declaredShells lists the shells of Debian itself and of all packages.
func declaredShells(c *script.Call) (all []string, err error) {
	names, err := c.Tree.ReadDir(shellsDir)
	if err != nil {
		return nil, err
	}
	files := []string{shellsOwn}
	for _, n := range names {
		files = append(files, path.Join(shellsDir, n))
	}
	for _, file := range files {
		list, err := text(c.Tree, file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(list) {
			if s := strings.TrimSpace(line); s != "" && s[0] != '#' {
				all = append(all, namesOfShell(c, s)...)
			}
		}
	}
	return all, nil
}
