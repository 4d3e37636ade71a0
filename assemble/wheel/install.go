// SPDX-License-Identifier: Apache-2.0

package wheel

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Ranks of a file: of two that go to one path the higher one is installed, as
// uv does, which writes them in this order.
const (
	fromRoot = iota
	fromEntryPoint
	fromData
	fromInstaller
	fromRecord
)

// An installation is a wheel being laid out.
type installation struct {
	*archive
	scheme     Scheme
	name       string              // normalised
	recordMode fs.FileMode         // of RECORD
	info       string              // "typing_extensions-4.0.dist-info"
	dataDir    string              // "typing_extensions-4.0.data/"
	lib        string              // where the wheel's root goes
	scripts    map[string]launcher // by name
	recorded   map[string]row      // what RECORD says, by the member's name
	infoFiles  map[string]*member  // of .dist-info, by their names in it
	files      []placed
	byPath     map[string]int // their indexes, by path in the image
}

// A placed file goes to a path.
type placed struct {
	file     File
	row      row
	unlisted bool // RECORD has no row for it
	rank     int
}

// install lays the wheel out.
func install(a *archive, id identity, s Scheme) (*Wheel, error) {
	in := &installation{
		archive: a, scheme: s, name: id.name,
		files: make([]placed, 0, len(a.members)+1), byPath: make(map[string]int, len(a.members)+1),
	}
	version, err := in.readMetadata(id)
	if err != nil {
		return nil, err
	}
	if err := in.readLists(); err != nil {
		return nil, err
	}
	for i := range a.members {
		if err := in.member(&a.members[i]); err != nil {
			return nil, err
		}
	}
	if err := in.generate(); err != nil {
		return nil, err
	}
	files, err := in.finish()
	if err != nil {
		return nil, err
	}
	return &Wheel{Name: id.name, Version: version, Files: files}, nil
}

// readMetadata finds the one .dist-info directory at the top (others are of
// vendored distributions) and checks that it is the distribution's. It returns
// the version.
func (in *installation) readMetadata(id identity) (version string, err error) {
	if err := in.findInfo(); err != nil {
		return "", err
	}
	if stem := normalize(strings.TrimSuffix(in.info, ".dist-info")); stem != id.name && !strings.HasPrefix(stem, id.name+"-") {
		return "", bad("", "%s is not the .dist-info directory of %s", in.info, id.name)
	}
	metadata, err := in.metadata("METADATA")
	if err != nil {
		return "", err
	}
	if version, err = id.check(in.info, metadata); err != nil {
		return "", err
	}
	text, err := in.metadata("WHEEL")
	if err != nil {
		return "", err
	}
	format := field(text, "Wheel-Version")
	if major, _, _ := strings.Cut(format, "."); major != "1" {
		return "", bad(in.info+"/WHEEL", "Wheel-Version is %q, not 1.0", format)
	}
	in.lib = in.scheme.Platlib
	if strings.EqualFold(field(text, "Root-Is-Purelib"), "true") { // some say "True"
		in.lib = in.scheme.Purelib
	}
	return version, nil
}

// check compares METADATA with the file's name and returns the version.
func (id identity) check(info string, metadata []byte) (version string, err error) {
	name, version := field(metadata, "Name"), field(metadata, "Version")
	if normalize(name) != id.name || !sameVersion(version, id.version) {
		return "", bad(info+"/METADATA", "it is of %q %q, not of the %s %s that the file's name says", name, version, id.name, id.version)
	}
	return version, nil
}

func (in *installation) findInfo() error {
	in.infoFiles = make(map[string]*member)
	for i := range in.members {
		m := &in.members[i]
		top, rest, ok := strings.Cut(m.name, "/")
		if !ok || !strings.HasSuffix(top, ".dist-info") {
			continue
		}
		if in.info != "" && in.info != top {
			return bad("", "it has two .dist-info directories, %s and %s", in.info, top)
		}
		in.info = top
		in.infoFiles[rest] = m
	}
	if in.info == "" {
		return bad("", "it has no .dist-info directory")
	}
	in.dataDir = strings.TrimSuffix(in.info, ".dist-info") + ".data/"
	return nil
}

// metadata reads a file that must stand in .dist-info.
func (in *installation) metadata(name string) ([]byte, error) {
	m := in.infoFiles[name]
	if m == nil {
		return nil, bad("", "%s/%s is missing", in.info, name)
	}
	return in.small(m, maxHeaders)
}

// readLists reads RECORD and the entry points.
func (in *installation) readLists() error {
	m := in.infoFiles["RECORD"]
	if m == nil {
		return bad("", "%s/RECORD is missing", in.info)
	}
	in.recordMode = m.installedMode()
	r, err := in.limited(m, maxRecord)
	if err != nil {
		return err
	}
	if in.recorded, err = readRecord(r, in.isFile); err != nil {
		return err
	}
	m = in.infoFiles["entry_points.txt"]
	if m == nil {
		return nil
	}
	text, err := in.small(m, maxEntryPoints)
	if err != nil {
		return err
	}
	in.scripts, err = launchers(text, in.scheme.Version)
	return err
}

// member places m.
func (in *installation) member(m *member) error {
	rest, isData := strings.CutPrefix(m.name, in.dataDir)
	switch {
	case m.dir(), m == in.infoFiles["RECORD"]:
		return nil
	case isData:
		return in.data(m, rest)
	}
	return in.place(in.file(m, path.Join(in.lib, m.name)), fromRoot)
}

// file describes m, which goes to a path.
func (in *installation) file(m *member, to string) placed {
	f := File{Path: to, Mode: m.installedMode(), Size: m.size, CRC32: m.crc, archive: in.archive, member: m}
	r, ok := in.recorded[m.name]
	if ok {
		return placed{file: f, row: r}
	}
	dir, base := path.Split(m.name)
	signature := dir == in.info+"/" && isSignature(base)
	return placed{file: f, row: row{size: strconv.FormatInt(m.size, 10)}, unlisted: signature}
}

// isSignature says whether a file of .dist-info is a signature of RECORD, which
// can't list it.
func isSignature(name string) bool { return name == "RECORD.jws" || name == "RECORD.p7s" }

// data places m of the .data directory, whose name in there begins with the
// key of the directory that it goes to.
func (in *installation) data(m *member, name string) error {
	key, name, ok := strings.Cut(name, "/")
	if !ok {
		return bad(m.name, "it stands in no directory of .data")
	}
	var to string
	switch key {
	case "purelib":
		to = in.scheme.Purelib
	case "platlib":
		to = in.scheme.Platlib
	case "data":
		to = in.scheme.Data
	case "headers":
		to = path.Join(in.scheme.Headers, in.name)
	case "scripts":
		return in.script(m, name)
	default:
		return bad(m.name, "%q is no directory that .data may have", key)
	}
	return in.place(in.file(m, path.Join(to, name)), fromData)
}

// place installs p, unless a file of higher rank goes to its path.
func (in *installation) place(p placed, rank int) error {
	p.rank = rank
	to := p.file.Path
	if path.Dir(to) == in.scheme.Scripts && reservedName(path.Base(to)) {
		return bad(p.source(), "%s would take the place of the interpreter", to)
	}
	i, ok := in.byPath[to]
	switch {
	case !ok:
		in.byPath[to] = len(in.files)
		in.files = append(in.files, p)
	case in.files[i].rank == rank:
		return bad(p.source(), "%s would be installed twice, also from %q", to, in.files[i].source())
	case in.files[i].rank < rank:
		in.files[i] = p
	}
	return nil
}

// source returns the name of the member that p comes from, "" if from none.
func (p placed) source() string {
	if p.file.member == nil {
		return ""
	}
	return p.file.member.name
}

// generate places the files that stand in no wheel. RECORD, which lists the
// others, comes later.
func (in *installation) generate() error {
	for _, name := range slices.Sorted(maps.Keys(in.scripts)) {
		text := in.scripts[name].script(in.scheme.Interpreter)
		f := made(path.Join(in.scheme.Scripts, name), 0o755, text)
		if err := in.place(placed{file: f, row: rowOf(text)}, fromEntryPoint); err != nil {
			return err
		}
	}
	return in.sign()
}

// sign places INSTALLER.
func (in *installation) sign() error {
	if in.scheme.Installer == "" {
		return nil
	}
	text := []byte(in.scheme.Installer)
	return in.place(placed{file: made(path.Join(in.lib, in.info, "INSTALLER"), 0o644, text), row: rowOf(text)}, fromInstaller)
}

// finish adds RECORD and returns the files.
func (in *installation) finish() ([]File, error) {
	self := path.Join(in.lib, in.info, "RECORD")
	lines := make([]line, 0, len(in.files)+1)
	for _, p := range in.files {
		if !p.unlisted && p.file.Path != self {
			lines = append(lines, line{path: relative(in.lib, p.file.Path), row: p.row})
		}
	}
	text := writeRecord(append(lines, line{path: relative(in.lib, self)})) // which can't hold its own hash
	if err := in.place(placed{file: made(self, in.recordMode, text)}, fromRecord); err != nil {
		return nil, err
	}
	slices.SortFunc(in.files, func(a, b placed) int { return strings.Compare(a.file.Path, b.file.Path) })
	files := make([]File, len(in.files))
	above := make(folders)
	isFile := func(name string) bool { _, ok := in.byPath[name]; return ok }
	for i, p := range in.files {
		if clash := above.add(p.file.Path, isFile); clash != "" {
			return nil, bad("", "%s would be a file and a directory", clash)
		}
		files[i] = p.file
	}
	return files, nil
}
