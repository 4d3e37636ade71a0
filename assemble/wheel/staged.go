// SPDX-License-Identifier: Apache-2.0

package wheel

import (
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Staged says what a wheel of that file name installs into s, from a tree that
// another program installed it into alone: the slow way for wheels whose
// *FormatError says Odd. The files are packed by the RECORD that program left,
// and they are those of the fast way: modes are 0644 or 0755 whatever the umask
// was, and a RECORD lists what is there and nothing else. A tree with links in
// it, or of another distribution, gives a *FormatError.
func Staged(tree fs.FS, file string, s Scheme) (*Wheel, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	id, err := parseFileName(file)
	if err != nil {
		return nil, err
	}
	a := &archive{file: file}
	w, err := (&staging{tree: tree, id: id, installation: &installation{
		archive: a, scheme: s, name: id.name, byPath: make(map[string]int),
	}}).wheel()
	if err != nil {
		return nil, a.explain(err)
	}
	return w, nil
}

// A staging is an installation that another program has made.
type staging struct {
	*installation
	tree  fs.FS
	id    identity
	infos []string // the .dist-info directories, absolute
}

func (st *staging) wheel() (*Wheel, error) {
	if err := fs.WalkDir(st.tree, ".", st.look); err != nil {
		return nil, err
	}
	if len(st.infos) != 1 {
		return nil, bad("", "installing it made %d .dist-info directories, not one", len(st.infos))
	}
	st.lib, st.info = path.Split(st.infos[0])
	st.lib = path.Clean(st.lib)
	version, err := st.identify()
	if err != nil {
		return nil, err
	}
	if err := st.list(); err != nil {
		return nil, err
	}
	if err := st.sign(); err != nil {
		return nil, err
	}
	files, err := st.finish()
	if err != nil {
		return nil, err
	}
	return &Wheel{Name: st.id.name, Version: version, Files: files}, nil
}

// look places the files; it is a fs.WalkDirFunc.
func (st *staging) look(name string, e fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	to := "/" + name
	if e.IsDir() {
		if dir := path.Dir(to); path.Ext(to) == ".dist-info" && (dir == st.scheme.Purelib || dir == st.scheme.Platlib) {
			st.infos = append(st.infos, to)
		}
		return nil
	}
	if !e.Type().IsRegular() {
		return bad(name, "installing it made a link or a special file")
	}
	f, err := st.file(name)
	if err != nil {
		return err
	}
	return st.place(placed{file: f, row: row{size: strconv.FormatInt(f.Size, 10)}}, fromRoot)
}

// file describes a file of the tree, which is read for it.
func (st *staging) file(name string) (File, error) {
	f, err := st.tree.Open(name)
	if err != nil {
		return File{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, f)
	if err != nil {
		return File{}, err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return File{Path: "/" + name, Mode: mode, Size: n, CRC32: sum.Sum32(), archive: st.archive, tree: st.tree}, nil
}

// small reads a file of .dist-info.
func (st *staging) small(name string, limit int64) ([]byte, error) {
	full := path.Join(st.lib, st.info, name)
	i, ok := st.byPath[full]
	if !ok {
		return nil, bad("", "installing it made no %s/%s", st.info, name)
	}
	if f := &st.files[i].file; f.Size > limit {
		return nil, bad(full[1:], "it holds %d bytes, more than the %d that inlay reads", f.Size, limit)
	}
	return fs.ReadFile(st.tree, full[1:])
}

// identify checks that the distribution is the one that the file's name says.
func (st *staging) identify() (version string, err error) {
	text, err := st.small("METADATA", maxHeaders)
	if err != nil {
		return "", err
	}
	return st.id.check(st.info, text)
}

// list gives the files the rows that RECORD has for them.
func (st *staging) list() error {
	text, err := st.small("RECORD", maxRecord)
	if err != nil {
		return err
	}
	at := func(name string) string { return path.Join(st.lib, name) }
	rows, err := readRecord(strings.NewReader(string(text)), func(name string) bool {
		_, ok := st.byPath[at(name)]
		return ok
	})
	if err != nil {
		return err
	}
	for name, r := range rows {
		st.files[st.byPath[at(name)]].row = r
	}
	for i := range st.files {
		p := &st.files[i]
		_, listed := rows[strings.TrimPrefix(relative(st.lib, p.file.Path), "/")]
		p.unlisted = !listed && isSignature(path.Base(p.file.Path)) && path.Dir(p.file.Path) == path.Join(st.lib, st.info)
	}
	st.recordMode = st.files[st.byPath[path.Join(st.lib, st.info, "RECORD")]].file.Mode
	return nil
}

// A stagedReader reads a file of a tree and gives io.EOF only if it is what it
// was. It closes itself at the end.
type stagedReader struct {
	file *File
	f    fs.File
	n    int64
	sum  uint32
	err  error
}

// Read reads on.
func (r *stagedReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.f == nil {
		if r.f, r.err = r.file.tree.Open(r.file.Path[1:]); r.err != nil {
			return 0, r.err
		}
	}
	n, err := r.f.Read(p)
	r.n += int64(n)
	r.sum = crc32.Update(r.sum, crc32.IEEETable, p[:n])
	if err != nil {
		_ = r.f.Close() // only read
		if r.err = err; err == io.EOF && (r.n != r.file.Size || r.sum != r.file.CRC32) {
			r.err = fmt.Errorf("reading wheel %s: %s was changed after it was installed", r.file.archive.file, r.file.Path)
		}
	}
	return n, r.err
}
