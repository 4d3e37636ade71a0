// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"inlay/assemble/overlay"
	"inlay/layers"
)

// Where dpkg and apt keep what they know.
const (
	adminDir   = "var/lib/dpkg/"
	statusFile = adminDir + "status"
	infoDir    = adminDir + "info/"
	statesFile = "var/lib/apt/extended_states"
)

// A database is dpkg's, of the packages that are installed.
type database struct {
	tree     *overlay.Tree
	packages []*entry // sorted by name and architecture
	byName   map[string][]*entry

	diversions []diversion
	overrides  map[string]override // by absolute path

	unlisted bool // nothing is written of which files packages have

	lists  map[string][]string // of installed packages, by the stem of their info files
	owners map[string][]string // stems by absolute path; nil: not made yet
}

// An entry is a package that the database knows.
type entry struct {
	name, arch, version string
	same                bool // Multi-Arch: same
	fields              stanza
	text                string // as it stands in the file; "": fields say it
}

// stem is how the files of e in the info directory begin.
func (e *entry) stem() string {
	if e.same {
		return e.name + ":" + e.arch
	}
	return e.name
}

// installed reports whether files of e are there.
func (e *entry) installed() bool {
	words := strings.Fields(e.fields.get("Status"))
	return len(words) == 3 && words[2] != "not-installed" && words[2] != "config-files"
}

func (e *entry) configured() bool { return strings.HasSuffix(e.fields.get("Status"), " installed") }

// A diversion moves the files of all packages but one.
type diversion struct{ from, to, owner string } // owner ":" is the administrator

// An override says what a file is whatever its package says.
type override struct {
	owner, group string
	mode         fs.FileMode
}

// A StateError reports a package of the parent that was left half done.
type StateError struct{ Package, Status string }

func (e *StateError) Error() string {
	return fmt.Sprintf("package %s of the parent image is %q", e.Package, e.Status)
}

// Hint says how to get a parent without it.
func (e *StateError) Hint() string {
	return "finish it in the parent image with: dpkg --configure -a"
}

// readDatabase reads what the tree's dpkg knows.
func readDatabase(tree *overlay.Tree) (*database, error) {
	db := &database{tree: tree, byName: map[string][]*entry{}, overrides: map[string]override{}, lists: map[string][]string{}}
	text, err := db.read(statusFile)
	if err != nil {
		return nil, err
	}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		all, err := stanzas(paragraph)
		if err != nil {
			return nil, fmt.Errorf("reading /%s: %w", statusFile, err)
		}
		for _, s := range all {
			if err := db.known(s, paragraph); err != nil {
				return nil, err
			}
		}
	}
	if err := db.readDiversions(); err != nil {
		return nil, err
	}
	return db, db.readOverrides()
}

// read returns the content of a file that need not be there.
func (db *database) read(name string) (string, error) {
	b, err := db.tree.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// known takes a package over from the status file.
func (db *database) known(s stanza, text string) error {
	e := &entry{
		name: s.get("Package"), arch: s.get("Architecture"), version: s.get("Version"),
		same: s.get("Multi-Arch") == "same", fields: s, text: strings.Trim(text, "\n") + "\n",
	}
	status := strings.Fields(s.get("Status"))
	if e.name == "" || len(status) != 3 {
		return fmt.Errorf("reading /%s: a package has no name or no status: %.60q", statusFile, s)
	}
	if !slices.Contains([]string{"installed", "config-files", "not-installed"}, status[2]) || status[1] != "ok" {
		return &StateError{e.name, s.get("Status")}
	}
	db.add(e)
	return nil
}

// add puts e in the place of what there was.
func (db *database) add(e *entry) {
	same := func(o *entry) bool { return o.name == e.name && (o.arch == e.arch || !o.same || !e.same) }
	db.packages = append(slices.DeleteFunc(db.packages, same), e)
	db.byName[e.name] = append(slices.DeleteFunc(db.byName[e.name], same), e)
}

// find returns the installed package of a name, as "name" or "name:arch".
func (db *database) find(name string) *entry {
	name, arch, _ := strings.Cut(name, ":")
	for _, e := range db.byName[name] {
		if arch == "" || arch == "any" || e.arch == arch || e.arch == "all" {
			return e
		}
	}
	return nil
}

// list returns the paths of a package's files, absolute, as its list has them.
func (db *database) list(stem string) ([]string, error) {
	if l, ok := db.lists[stem]; ok {
		return l, nil
	}
	text, err := db.read(infoDir + stem + ".list")
	if err != nil {
		return nil, err
	}
	l := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		l = nil
	}
	db.lists[stem] = l
	return l, nil
}

// owner returns the stems of the packages that have the absolute path p.
func (db *database) owner(p string) ([]string, error) {
	if db.owners == nil {
		db.owners = make(map[string][]string)
		for _, e := range db.packages {
			l, err := db.list(e.stem())
			if err != nil {
				return nil, err
			}
			for _, f := range l {
				db.owners[f] = append(db.owners[f], e.stem())
			}
		}
	}
	return db.owners[p], nil
}

// setList changes the files of a package. The list and its file share the text:
// of many packages it is much.
func (db *database) setList(stem string, now []string) error {
	old, err := db.list(stem)
	if err != nil {
		return err
	}
	text := ""
	if len(now) > 0 {
		text = strings.Join(now, "\n") + "\n"
		now = strings.Split(text[:len(text)-1], "\n")
	}
	db.lists[stem] = now
	if db.owners != nil {
		for _, f := range old {
			db.owners[f] = slices.DeleteFunc(slices.Clone(db.owners[f]), func(s string) bool { return s == stem })
		}
		for _, f := range now {
			db.owners[f] = append(db.owners[f][:len(db.owners[f]):len(db.owners[f])], stem)
		}
	}
	if db.unlisted {
		return nil
	}
	return db.tree.WriteBody(infoDir+stem+".list", strings.NewReader(text), int64(len(text)), 0o644)
}

// forgetList drops the files of a package from what is known of owners.
func (db *database) forgetList(stem string) error {
	if err := db.setList(stem, nil); err != nil {
		return err
	}
	delete(db.lists, stem)
	return nil
}

func (db *database) readDiversions() error {
	text, err := db.read(adminDir + "diversions")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		return nil
	}
	if len(lines)%3 != 0 {
		return fmt.Errorf("reading /%sdiversions: it does not consist of three lines each", adminDir)
	}
	for i := 0; i < len(lines); i += 3 {
		db.diversions = append(db.diversions, diversion{lines[i], lines[i+1], lines[i+2]})
	}
	return nil
}

// divert returns where the file p of a package goes.
func (db *database) divert(p, pkg string) string {
	for _, d := range db.diversions {
		if d.from == p && d.owner != pkg {
			return d.to
		}
	}
	return p
}

func (db *database) writeDiversions() error {
	var b strings.Builder
	for _, d := range db.diversions {
		fmt.Fprintf(&b, "%s\n%s\n%s\n", d.from, d.to, d.owner)
	}
	return db.tree.WriteFile(adminDir+"diversions", []byte(b.String()), 0o644)
}

func (db *database) readOverrides() error {
	text, err := db.read(adminDir + "statoverride")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 4 {
			return fmt.Errorf("reading /%sstatoverride: %.60q has not four words", adminDir, line)
		}
		mode, err := parseMode(words[2])
		if err != nil {
			return fmt.Errorf("reading /%sstatoverride: %w", adminDir, err)
		}
		db.overrides[words[3]] = override{words[0], words[1], mode}
	}
	return nil
}

func (db *database) writeOverrides() error {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(db.overrides)) {
		o := db.overrides[p]
		fmt.Fprintf(&b, "%s %s %o %s\n", o.owner, o.group, layers.UnixMode(o.mode), p)
	}
	return db.tree.WriteFile(adminDir+"statoverride", []byte(b.String()), 0o644)
}

// write writes the status file.
func (db *database) write() error {
	slices.SortStableFunc(db.packages, func(a, b *entry) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.arch, b.arch))
	})
	var b strings.Builder
	for _, e := range db.packages {
		if e.text != "" {
			b.WriteString(e.text + "\n")
		} else {
			b.WriteString(e.fields.String() + "\n")
		}
	}
	return db.tree.WriteFile(statusFile, []byte(b.String()), 0o644)
}

// writeStates notes in apt's file which of the new packages nobody asked for.
func (db *database) writeStates(auto []*entry) error {
	text, err := db.read(statesFile)
	if err != nil || len(auto) == 0 {
		return err
	}
	known, err := stanzas(text)
	if err != nil {
		return fmt.Errorf("reading /%s: %w", statesFile, err)
	}
	for _, e := range auto {
		arch := e.arch
		if arch == "all" {
			arch = db.architecture()
		}
		known = slices.DeleteFunc(known, func(s stanza) bool { return s.get("Package") == e.name && s.get("Architecture") == arch })
		known = append(known, stanza{{"Package", e.name}, {"Architecture", arch}, {"Auto-Installed", "1"}})
	}
	var b strings.Builder
	for _, s := range known {
		b.WriteString(s.String() + "\n")
	}
	if err := db.tree.MkdirAll("var/lib/apt", 0o755); err != nil {
		return err
	}
	return db.tree.WriteFile(statesFile, []byte(b.String()), 0o644)
}

// architecture is dpkg's own.
func (db *database) architecture() string {
	for _, name := range []string{"dpkg", "libc6", "base-files"} {
		if e := db.find(name); e != nil && e.arch != "all" {
			return e.arch
		}
	}
	return ""
}
