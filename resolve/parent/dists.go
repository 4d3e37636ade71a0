// SPDX-License-Identifier: Apache-2.0

package parent

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"inlay/layers"
	"inlay/layers/pattern"
)

var (
	reName = pattern.New(`(?i)^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)
	reSeps = pattern.New(`[-_.]+`)
)

// normalise returns the one form of a distribution's name (PEP 503).
func normalise(name string) string { return strings.ToLower(reSeps().ReplaceAllString(name, "-")) }

// dists lists the distributions installed in the given directories, as uv sees
// them: by the names of their metadata.
func (p *probe) dists(libs ...string) (found []Dist) {
	seen := map[string]bool{}
	for _, lib := range libs {
		real := p.resolve(lib)
		if seen[real] {
			continue
		}
		seen[real] = true
		for _, base := range p.list(lib) {
			if d, ok := p.dist(path.Join(lib, base)); ok {
				found = append(found, d)
			}
		}
	}
	slices.SortFunc(found, func(a, b Dist) int { return strings.Compare(a.Path, b.Path) })
	return found
}

// dist returns the distribution that name describes, if it does.
func (p *probe) dist(name string) (Dist, bool) {
	base := path.Base(name)
	ext := path.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	title, version, _ := strings.Cut(stem, "-")
	isDir := p.isDir(name)
	switch {
	case ext == ".dist-info" && isDir:
	case ext == ".egg-info":
		version, _, _ = strings.Cut(version, "-") // the Python and the platform follow
		if version == "" && isDir {
			version = header(p.kept(path.Join(name, "PKG-INFO")), "Version")
		} else if version == "" {
			version = header(p.kept(name), "Version")
		}
	case ext == ".egg-link" && !isDir:
		title, version = stem, p.linkedVersion(name)
	default:
		return Dist{}, false
	}
	if version == "" || !printable(version) || !reName().MatchString(title) {
		return Dist{}, false
	}
	return Dist{Name: normalise(title), Version: version, Path: name}, true
}

// printable tells whether text can be shown: a parent could otherwise write to
// the user's terminal.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// linkedVersion returns the version of the project that an .egg-link leads to.
func (p *probe) linkedVersion(link string) string {
	dir, _, _ := strings.Cut(p.kept(link), "\n")
	dir = strings.TrimSpace(dir)
	want := normalise(strings.TrimSuffix(path.Base(link), ".egg-link"))
	for _, base := range p.list(path.Join("/", dir)) {
		if stem, ok := strings.CutSuffix(base, ".egg-info"); ok && normalise(stem) == want {
			return header(p.kept(path.Join("/", dir, base, "PKG-INFO")), "Version")
		}
	}
	return ""
}

// header returns a field of the metadata of a distribution.
func header(text, field string) string {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "":
			return ""
		case ok && strings.EqualFold(key, field):
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// RemovalError reports an installed distribution that can't be replaced
// because nothing says which files are its own.
type RemovalError struct {
	Name, Version string
	Path          string // of its .egg-info file
}

func (e *RemovalError) Error() string {
	return fmt.Sprintf("the parent's %s %s can't be replaced: distutils installed it and %s doesn't say which files it has", e.Name, e.Version, e.Path)
}

// Hint says how to live with it.
func (e *RemovalError) Hint() string {
	return fmt.Sprintf("require the version that is there, `%s==%s`, or name a parent image without it", e.Name, e.Version)
}

// Removal lists what is to be whited out, in a layer above the parent, so that
// the given distributions are gone: absolute paths, sorted, with links to
// directories followed. A directory stands for all it holds.
//
// Removed is what uv 0.13.9 was seen to remove: the files of RECORD, the
// __pycache__ beside them, and the directories in purelib and platlib that are
// empty then; of an .egg-info directory what installed-files.txt and
// top_level.txt name. Beyond uv, the metadata directory goes as a whole, and so
// does the bytecode of a module that stands directly in purelib, since a new
// module of the same size would run it. Files outside the environment stay. The
// notes say what stays that shouldn't, for people.
//
// A distribution that nothing tells the files of is a [*RemovalError].
func Removal(view *layers.View, py *Python, dists []Dist) (paths, notes []string, err error) {
	r := &removal{probe: probe{view: view}, gone: map[string]bool{}, visited: map[string]bool{}}
	s := py.Scheme
	for _, dir := range []string{s.Purelib, s.Platlib} {
		r.libs = append(r.libs, r.resolve(dir))
	}
	for _, dir := range []string{s.Purelib, s.Platlib, s.Scripts, s.Data, s.Headers, py.Prefix} {
		r.roots = append(r.roots, r.resolve(dir))
	}
	r.stays = append(slices.Clone(r.roots), r.resolve(py.Stdlib))
	for _, d := range dists {
		if err := r.dist(d); err != nil {
			return nil, nil, err
		}
	}
	return r.collapse(), r.notes, nil
}

// A removal gathers what goes.
type removal struct {
	probe
	libs    []string        // where packages are, with links resolved; "" if there is no such directory
	roots   []string        // the environment's directories: all that goes is in one
	stays   []string        // directories that stay, with all above them
	gone    map[string]bool // paths that go
	visited map[string]bool // directories in which something goes
}

func (r *removal) dist(d Dist) error {
	switch path.Ext(d.Path) {
	case ".egg-link":
		r.remove(d.Path)
		r.note(d, "was installed for editing: its sources stay, and easy-install.pth still names them")
		return nil
	case ".egg-info":
		if !r.isDir(d.Path) {
			return &RemovalError{Name: d.Name, Version: d.Version, Path: d.Path}
		}
		return r.egg(d)
	}
	record, ok := r.view.Kept(rel(path.Join(d.Path, "RECORD")))
	if !ok {
		r.note(d, "has no RECORD of its files: they stay")
		return nil
	}
	rows := csv.NewReader(strings.NewReader(string(record)))
	rows.FieldsPerRecord, rows.LazyQuotes, rows.ReuseRecord = -1, true, true
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the RECORD of %s %s: %w", d.Name, d.Version, err)
		}
		r.listed(d, path.Dir(d.Path), row[0])
	}
	r.remove(d.Path)
	return nil
}

// egg removes a distribution that has an .egg-info directory.
func (r *removal) egg(d Dist) error {
	files, ok := r.view.Kept(rel(path.Join(d.Path, "installed-files.txt")))
	tops, ok2 := r.view.Kept(rel(path.Join(d.Path, "top_level.txt")))
	if !ok && !ok2 {
		r.note(d, "has neither installed-files.txt nor top_level.txt: its files stay")
		return nil
	}
	for line := range strings.Lines(string(files)) {
		r.listed(d, d.Path, strings.TrimSpace(line))
	}
	shared := strings.Fields(r.kept(path.Join(d.Path, "namespace_packages.txt")))
	for _, top := range strings.Fields(string(tops)) {
		if slices.Contains(shared, top) {
			continue
		}
		for _, ext := range []string{"", ".py", ".pyc", ".pyo"} {
			r.listed(d, path.Dir(d.Path), top+ext)
		}
	}
	r.remove(d.Path)
	return nil
}

func (r *removal) note(d Dist, format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf("the parent's %s %s ", d.Name, d.Version)+fmt.Sprintf(format, args...))
}

// listed removes the file that a list of d's files calls name, seen from dir.
func (r *removal) listed(d Dist, dir, name string) {
	if name == "" {
		return
	}
	full := path.Clean(name)
	if !path.IsAbs(full) {
		full = path.Join(dir, full)
	}
	if !r.remove(full) {
		r.note(d, "lists %q, which is not in its environment: it stays", name)
	}
}

// remove marks a path as gone, if it exists, and says whether it may go.
func (r *removal) remove(name string) bool {
	dir := r.resolve(path.Dir(name))
	if dir == "" {
		return true
	}
	real := path.Join(dir, path.Base(name))
	if !slices.ContainsFunc(r.roots, func(root string) bool { return root != "" && within(real, root) }) || r.holds(real) {
		return false
	}
	if _, err := r.view.Lstat(rel(real)); err != nil {
		return true
	}
	r.gone[real] = true
	r.visited[dir] = true
	if stem, ok := strings.CutSuffix(path.Base(real), ".py"); ok && slices.Contains(r.libs, dir) {
		r.bytecode(path.Join(dir, "__pycache__"), stem)
	}
	return true
}

// bytecode removes what is compiled from the module stem.
func (r *removal) bytecode(cache, stem string) {
	for _, base := range r.list(cache) {
		if strings.HasPrefix(base, stem+".") && path.Ext(base) == ".pyc" {
			r.gone[path.Join(cache, base)] = true
		}
	}
}

// collapse returns the paths that go, with a directory in place of all that it
// holds.
func (r *removal) collapse() []string {
	// The deepest first, and above them what they leave empty.
	dirs := slices.SortedFunc(maps.Keys(r.visited), func(a, b string) int {
		return cmp.Or(strings.Count(b, "/")-strings.Count(a, "/"), strings.Compare(a, b))
	})
	for _, dir := range dirs {
		for r.inLib(dir) && r.empties(dir) {
			r.gone[dir] = true
			dir = path.Dir(dir)
		}
	}
	var paths []string
	for name := range r.gone {
		if !r.above(name) {
			paths = append(paths, name)
		}
	}
	slices.Sort(paths)
	return paths
}

// inLib says whether dir is below purelib or platlib.
func (r *removal) inLib(dir string) bool {
	return slices.ContainsFunc(r.libs, func(lib string) bool { return lib != "" && within(dir, lib) }) && !r.holds(dir)
}

// holds says whether dir is or holds a directory that stays.
func (r *removal) holds(dir string) bool {
	return slices.ContainsFunc(r.stays, func(s string) bool { return within(s, dir) })
}

// empties removes the bytecode in dir and says whether nothing is left then.
func (r *removal) empties(dir string) bool {
	left := 0
	for _, base := range r.list(dir) {
		name := path.Join(dir, base)
		if base == "__pycache__" {
			r.gone[name] = true
		}
		if !r.gone[name] {
			left++
		}
	}
	return left == 0
}

// above says whether a directory that goes holds name.
func (r *removal) above(name string) bool {
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if r.gone[dir] {
			return true
		}
	}
	return false
}
