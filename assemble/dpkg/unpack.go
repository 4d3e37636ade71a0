// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"crypto/md5" //nolint:gosec // what dpkg's database holds
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"inlay/assemble/deb"
	"inlay/assemble/overlay"
)

// maxConffile bounds a configuration file, in bytes.
const maxConffile = 16 << 20

// An unpacking lays the files of one package into the tree.
type unpacking struct {
	*database
	filter filter
	pkg    *pack
	files  []deb.File
	names  map[string]int // accounts by name, as far as they were looked up

	conffiles map[string]bool   // absolute paths
	sums      map[string]string // of conffiles, in hex
	known     map[string]string // those of the version before
	fresh     map[string]string // where conffiles are of which there was nothing before, by absolute path
	placed    map[string]string // where the file of an absolute path of the package is
	left      map[string]bool   // hard links' targets that a filter left out
	list      []string
	losers    map[string][]string // packages whose files this one replaces
	report    *Report
	time      int64
}

// A CollisionError reports a file that two packages have.
type CollisionError struct{ Package, Path, Owner string }

func (e *CollisionError) Error() string {
	return fmt.Sprintf("package %s has /%s, which is also in package %s", e.Package, strings.TrimPrefix(e.Path, "/"), e.Owner)
}

// begin reads what the package says of its files.
func (u *unpacking) begin() (err error) {
	u.conffiles, u.sums, u.known = map[string]bool{}, map[string]string{}, map[string]string{}
	u.fresh, u.placed, u.left, u.losers = map[string]string{}, map[string]string{}, map[string]bool{}, map[string][]string{}
	for line := range strings.Lines(string(u.pkg.deb.Control["conffiles"])) {
		if f := strings.Fields(line); len(f) > 0 {
			u.conffiles[f[len(f)-1]] = true // "remove-on-upgrade" may stand before
		}
	}
	if u.pkg.before != nil {
		for _, c := range conffileLines(u.pkg.before.fields) {
			u.known[c[0]] = c[1]
		}
	}
	if u.files, err = u.pkg.deb.Files(); err != nil {
		return fmt.Errorf("unpacking package %s: %w", u.pkg.name, err)
	}
	return nil
}

// unpack lays all files into the tree and notes them in the database.
func (u *unpacking) unpack() error {
	if err := u.begin(); err != nil {
		return err
	}
	for i := range u.files {
		if err := u.file(&u.files[i]); err != nil {
			return fmt.Errorf("unpacking %s of package %s: %w", u.files[i].Path, u.pkg.name, err)
		}
	}
	if err := u.removeOld(); err != nil {
		return err
	}
	return u.takeOver()
}

// file lays one file into the tree.
func (u *unpacking) file(f *deb.File) error {
	p := "/" + f.Path
	if f.Path == "." {
		u.list = append(u.list, "/.")
		return nil
	}
	u.list = append(u.list, p)
	to := u.divert(p, u.pkg.name)
	if u.filter.excludes(p, f.Mode) {
		u.left[p] = f.Mode.IsRegular()
		return nil
	}
	if err := u.parents(to); err != nil {
		return err
	}
	if f.Mode.IsDir() {
		return u.directory(f, to)
	}
	at, err := u.tree.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case at.Mode.IsDir() && f.Mode.Type() == fs.ModeSymlink:
		return nil // the directory stays
	case at.Mode.IsDir():
		return overlay.ErrIsDir
	default:
		if err := u.collision(p, to); err != nil {
			return err
		}
	}
	return u.lay(f, p, to)
}

// parents makes the directories on the way to p that no package told of.
func (u *unpacking) parents(p string) error {
	dir := path.Dir(p)
	if _, err := u.tree.Stat(dir); err == nil {
		return nil
	}
	return u.tree.MkdirAll(dir, 0o755)
}

// directory makes a directory, unless one is there or a link leads to one.
func (u *unpacking) directory(f *deb.File, to string) error {
	if at, err := u.tree.Stat(to); err == nil && at.Mode.IsDir() {
		return nil
	}
	meta, err := u.meta(f)
	if err != nil {
		return err
	}
	return u.tree.Put(to, meta, nil)
}

// collision checks that this package may replace what is at the path p.
func (u *unpacking) collision(p, to string) error {
	owners, err := u.owner(p)
	if err != nil {
		return err
	}
	for _, stem := range owners {
		e := u.find(stem)
		if e == nil || e.name == u.pkg.name || to != p {
			continue
		}
		if u.pkg.replaces(e) || u.pkg.fields.get("Multi-Arch") == "same" && e.name == u.pkg.name {
			u.losers[stem] = append(u.losers[stem], p)
			continue
		}
		if slices.ContainsFunc(u.diversions, func(d diversion) bool { return d.from == p }) {
			continue
		}
		return &CollisionError{u.pkg.name, p, e.name}
	}
	return nil
}

// lay puts a file or a link into the tree.
func (u *unpacking) lay(f *deb.File, p, to string) error {
	meta, err := u.meta(f)
	if err != nil {
		return err
	}
	switch {
	case f.Hard:
		return u.hardLink(f, p, to)
	case f.Mode.Type() == fs.ModeSymlink:
		meta.Link = f.Link
		return u.tree.Put(to, meta, nil)
	case u.conffiles[p]:
		if to, err = u.conffile(f, p, to); err != nil || to == "" {
			return err
		}
	}
	u.placed[p] = to
	return u.tree.Put(to, meta, u.pkg.deb.Body(f))
}

// hardLink makes p another name of a file of the package; the first name that
// wasn't left out becomes the file.
func (u *unpacking) hardLink(f *deb.File, p, to string) error {
	first := "/" + f.Link
	if at, ok := u.placed[first]; ok {
		if err := u.tree.RemoveAll(to); err != nil {
			return err
		}
		u.placed[p] = at
		return u.tree.Link(at, to)
	}
	for i := range u.files {
		g := &u.files[i]
		if "/"+g.Path != first || !g.Mode.IsRegular() || g.Hard {
			continue
		}
		meta, err := u.meta(g)
		if err != nil {
			return err
		}
		u.placed[first], u.placed[p] = to, to
		return u.tree.Put(to, meta, u.pkg.deb.Body(g))
	}
	return fmt.Errorf("it is a hard link to %s, which is none of the package's files", f.Link)
}

// conffile says where a configuration file goes: into its place if that is
// free or holds what the package put there, else beside it.
func (u *unpacking) conffile(f *deb.File, p, to string) (string, error) {
	now, err := u.pkg.deb.ReadFile(f, maxConffile)
	if err != nil {
		return "", err
	}
	u.sums[p] = sum(now)
	if real, err := u.tree.Resolve(to); err == nil { // dpkg follows links
		to = "/" + real
	}
	old, err := u.tree.ReadFile(to)
	if errors.Is(err, fs.ErrNotExist) {
		if u.known[p] != "" {
			u.report.note("%s: %s was removed in the parent image and stays so", u.pkg.name, p)
			return "", nil
		}
		u.fresh[p] = to
		return to, nil
	}
	if err != nil {
		return "", err
	}
	switch sum(old) {
	case u.known[p]:
		return to, nil
	case u.sums[p]:
		return "", nil
	}
	if u.known[p] == u.sums[p] {
		return "", nil // changed in the parent, not in the package
	}
	u.report.note("%s: %s was changed in the parent image and stays so; the package's is %s.dpkg-dist", u.pkg.name, p, p)
	return to + ".dpkg-dist", nil
}

func sum(b []byte) string {
	s := md5.Sum(b) //nolint:gosec // see above
	return hex.EncodeToString(s[:])
}

// meta is what the tree says of f.
func (u *unpacking) meta(f *deb.File) (overlay.File, error) {
	m := overlay.File{Mode: f.Mode, UID: f.UID, GID: f.GID, Time: f.ModTime, Size: f.Size}
	if u.time > 0 {
		m.Time = min(m.Time, u.time)
	}
	owner, group := f.Owner, f.Group
	if o, ok := u.overrides["/"+f.Path]; ok {
		owner, group = o.owner, o.group
		m.Mode = m.Mode.Type() | o.mode
	}
	var err error
	if m.UID, err = u.account("etc/passwd", owner, m.UID); err != nil {
		return m, err
	}
	m.GID, err = u.account("etc/group", group, m.GID)
	return m, err
}

// account looks the number of an owner's name up.
func (u *unpacking) account(file, name string, number int) (int, error) {
	if name == "" {
		return number, nil
	}
	key := file + ":" + name
	if n, ok := u.names[key]; ok {
		if n < 0 {
			return number, nil
		}
		return n, nil
	}
	text, err := u.read(file)
	if err != nil {
		return 0, err
	}
	n, ok := numberOf(text, name)
	if !ok {
		n = -1
	}
	u.names[key] = n
	if !ok {
		return number, nil
	}
	return n, nil
}

// removeOld removes what the version before had and this one has not.
func (u *unpacking) removeOld() error {
	if u.pkg.before == nil {
		return nil
	}
	old, err := u.database.list(u.pkg.before.stem())
	if err != nil {
		return err
	}
	have := make(map[string]bool, len(u.list))
	for _, p := range u.list {
		have[p] = true
		if real, err := u.tree.Place(p); err == nil {
			have["/"+real] = true
		}
	}
	for _, p := range slices.Backward(old) {
		if err := u.removeGone(p, have); err != nil {
			return err
		}
	}
	return nil
}

// removeGone removes a path of the version before.
func (u *unpacking) removeGone(p string, have map[string]bool) error {
	if have[p] && !u.left[p] || p == "/." || u.known[p] != "" {
		return nil
	}
	to := u.divert(p, u.pkg.name)
	real, err := u.tree.Place(to)
	if err != nil || have["/"+real] && !u.left[p] {
		return nil //nolint:nilerr // where there is no way to it nothing is there
	}
	owners, err := u.owner(p)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(owners, func(stem string) bool { return stem != u.pkg.before.stem() }) {
		return nil
	}
	err = u.tree.Remove(to)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, overlay.ErrNotEmpty) {
		return nil
	}
	return err
}

// takeOver takes replaced files from the lists of others, and writes this
// package's.
func (u *unpacking) takeOver() error {
	for stem, lost := range u.losers {
		list, err := u.database.list(stem)
		if err != nil {
			return err
		}
		kept := slices.DeleteFunc(slices.Clone(list), func(p string) bool { return slices.Contains(lost, p) })
		if err := u.setList(stem, kept); err != nil {
			return err
		}
	}
	return u.setList(u.pkg.stem(), u.list)
}

// conffileLines returns the paths and sums of a Conffiles field.
func conffileLines(s stanza) [][2]string {
	var out [][2]string
	for line := range strings.Lines(s.get("Conffiles")) {
		if f := strings.Fields(line); len(f) >= 2 {
			out = append(out, [2]string{f[0], f[1]})
		}
	}
	return out
}
