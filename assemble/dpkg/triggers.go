// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

const triggersDir = adminDir + "triggers/"

// triggers are what packages wait for (deb-triggers(5)): names, and paths below
// which something changes.
type triggers struct {
	db      *database
	paths   []interest
	names   map[string][]interest
	changed map[string]bool // the files have to be written
	pending map[string][]string
}

// An interest is that of a package in a path or a name.
type interest struct {
	path    string
	pkg     string
	noawait bool
}

func (i interest) String() string {
	if i.noawait {
		return i.pkg + "/noawait"
	}
	return i.pkg
}

func parseInterest(p, word string) interest {
	pkg, noawait := strings.CutSuffix(word, "/noawait")
	return interest{p, pkg, noawait}
}

// read reads what dpkg keeps of interests.
func (t *triggers) read(db *database) error {
	t.db, t.names, t.changed, t.pending = db, map[string][]interest{}, map[string]bool{}, map[string][]string{}
	names, err := db.tree.ReadDir(triggersDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, n := range names {
		if n == "Unincorp" || n == "Lock" {
			continue
		}
		text, err := db.read(triggersDir + n)
		if err != nil {
			return err
		}
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			switch {
			case n == "File" && len(words) == 2:
				t.paths = append(t.paths, parseInterest(words[0], words[1]))
			case n != "File" && len(words) == 1:
				t.names[n] = append(t.names[n], parseInterest("", words[0]))
			}
		}
	}
	return nil
}

func (t *triggers) clone() triggers {
	c := *t
	c.pending = maps.Clone(t.pending)
	return c
}

// declare takes the interests of a package over, in the place of those it had.
func (t *triggers) declare(e *entry, text string) {
	stem := e.stem()
	mine := func(i interest) bool { return i.pkg == stem || i.pkg == e.name }
	if slices.ContainsFunc(t.paths, mine) {
		t.paths, t.changed["File"] = slices.DeleteFunc(t.paths, mine), true
	}
	for n, list := range t.names {
		if slices.ContainsFunc(list, mine) {
			t.names[n], t.changed[n] = slices.DeleteFunc(list, mine), true
		}
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 2 || !strings.HasPrefix(words[0], "interest") {
			continue
		}
		i := interest{pkg: stem, noawait: words[0] == "interest-noawait"}
		if strings.HasPrefix(words[1], "/") {
			i.path = path.Clean(words[1])
			t.paths, t.changed["File"] = append(t.paths, i), true
		} else if isTrigger(words[1]) {
			t.names[words[1]], t.changed[words[1]] = append(t.names[words[1]], i), true
		}
	}
}

// isTrigger reports whether a name can be a file's.
func isTrigger(name string) bool {
	return name != "File" && name != "Unincorp" && name != "Lock" && name != "." && name != ".." && !strings.Contains(name, "/")
}

// activates sets off what a package says that it does.
func (t *triggers) activates(text string) {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) == 2 && strings.HasPrefix(words[0], "activate") {
			t.activate(words[1])
		}
	}
}

// activate sets off a name or a path.
func (t *triggers) activate(name string) {
	if strings.HasPrefix(name, "/") {
		t.files([]string{name})
		return
	}
	for _, i := range t.names[name] {
		t.add(i.pkg, name)
	}
}

// files sets off the interests in paths.
func (t *triggers) files(paths []string) {
	for _, i := range t.paths {
		for _, p := range paths {
			if p == i.path || strings.HasPrefix(p, i.path+"/") {
				t.add(i.pkg, i.path)
				break
			}
		}
	}
}

func (t *triggers) add(pkg, name string) {
	if !slices.Contains(t.pending[pkg], name) {
		t.pending[pkg] = append(t.pending[pkg], name)
	}
}

// take returns what waits, by the name of the package, and forgets it.
func (t *triggers) take() (out []activated) {
	for _, pkg := range slices.Sorted(maps.Keys(t.pending)) {
		out = append(out, activated{pkg, t.pending[pkg]})
	}
	t.pending = map[string][]string{}
	return out
}

// write writes the interests that changed.
func (t *triggers) write() error {
	for _, n := range slices.Sorted(maps.Keys(t.changed)) {
		if err := t.db.tree.MkdirAll(triggersDir, 0o755); err != nil {
			return err
		}
		text := t.text(n)
		if text == "" && n != "File" {
			if err := t.db.tree.RemoveAll(triggersDir + n); err != nil {
				return err
			}
			continue
		}
		if err := t.db.tree.WriteFile(triggersDir+n, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// text returns what the file n holds.
func (t *triggers) text(n string) string {
	var b strings.Builder
	for _, i := range t.names[n] {
		b.WriteString(i.String() + "\n")
	}
	if n == "File" {
		for _, i := range t.paths {
			b.WriteString(i.path + " " + i.String() + "\n")
		}
	}
	return b.String()
}
