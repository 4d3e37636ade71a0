// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inlay/resolve/index"
)

// maxLock bounds a pylock.toml. One package of a hundred wheels takes 40 KB.
const maxLock = 64 << 20

// lock says where the files of c come from and what their hashes are. Most are
// known without uv, whose answer would be the same; it is asked for the rest.
func (s *session) lock(ctx context.Context, c *choice, g Group, refresh bool) (*lockFile, error) {
	k := s.known(c, g)
	k.anew = refresh
	if err := k.recall(); err != nil {
		return nil, err
	}
	lock, rest := k.split(c)
	if len(rest.add) > 0 {
		asked, err := s.lookUp(ctx, rest, g)
		if err != nil {
			return nil, err
		}
		lock.Packages = append(lock.Packages, asked.Packages...)
	}
	return lock, k.learn(c, lock)
}

// lookUp asks uv where the files of c come from and what their hashes are. What
// the dry run has just read of the index is in uv's cache, so the network isn't
// asked again, and the answer is of the same pages; only the hash of a file that
// a requirement names by its URL may not be there yet.
func (s *session) lookUp(ctx context.Context, c *choice, g Group) (*lockFile, error) {
	pins := make([]string, len(c.add))
	direct := false
	for i, a := range c.add {
		pins[i] = a.pin
		direct = direct || a.direct
	}
	file, err := s.write("pins.txt", pins)
	if err != nil {
		return nil, err
	}
	args := []string{"pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate", "--format", "pylock.toml", file}
	args = slices.Concat(args, onceEach(s.both, ownArguments(g, "uv").Both), s.links.arguments(s))
	if !s.offline && !direct {
		out := &boundedBuffer{limit: maxLock}
		exit, err := s.run(ctx, out, &logWriter{keep: relevant}, append(slices.Clone(args), "--offline")...)
		if err != nil {
			return nil, err
		}
		if exit == 0 {
			return parseLock(out.Bytes())
		}
	}
	out, log := &boundedBuffer{limit: maxLock}, &logWriter{keep: relevant}
	exit, err := s.run(ctx, out, log, args...)
	if err != nil {
		return nil, err
	}
	if exit != 0 {
		return nil, s.failure(log.String(), Group{Name: g.Name})
	}
	return parseLock(out.Bytes())
}

// knowledge is what is known, without asking uv, of the wheels that it chose. It
// has two sources. What the index said in this session, uv has read just so. What
// uv said before, it would say again as long as the page that it has in its cache
// is the one that it had then, for it says what stands there.
type knowledge struct {
	store  Store
	name   string            // of what is stored; "" if nothing is known, nor to be
	pages  map[string]string // by the name of a project: which pages of it uv has, "" if none
	said   map[string]Listed // in this session, by file
	stored map[string]record // by "NAME==VERSION FILE"
	anew   bool              // that doesn't count
	index  *index.Set
}

// A record is what was known of a file when uv had these pages.
type record struct {
	Pages string
	Listed
}

// maxRecords bounds what is stored for one index. When there is more it begins
// anew.
const maxRecords = 2000

// known returns what is known of the files of c. Where several indexes are asked,
// or directories and pages of files beside them, that is nothing: which of them
// counts is for uv to say.
func (s *session) known(c *choice, g Group) *knowledge {
	k := &knowledge{store: s.store, index: s.index, pages: map[string]string{}}
	several := slices.ContainsFunc(s.index.Indexes(), func(x index.Index) bool { return !x.Default })
	if several || s.torch || len(s.links.key()) > 0 {
		return k
	}
	var files []string
	dirs := pageDirs(cacheOf(s.cache, s.index))
	for _, a := range c.add {
		if file := c.files[a.String()]; file != "" && !a.direct {
			files = append(files, file)
			k.pages[a.Name] = pagesOf(dirs, a.Name)
		}
	}
	k.said = s.Listed(files)
	question, err := json.Marshal([][]string{{s.uv.Version, s.index.Realm()}, s.index.Key(), onceEach(s.both, ownArguments(g, "uv").Both)})
	if err != nil {
		panic(err) // strings
	}
	sum := sha256.Sum256(question)
	k.name = "files-" + hex.EncodeToString(sum[:])
	return k
}

// pageDirs returns the directories of uv's cache that have pages of indexes. Of a
// uv that keeps them elsewhere nothing is known.
func pageDirs(cache string) (dirs []string) {
	for _, pattern := range []string{"pypi", "index/*"} {
		found, err := filepath.Glob(filepath.Join(escapeGlob(cache), "simple-v*", pattern))
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	return dirs
}

var globSigns = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func escapeGlob(dir string) string { return globSigns.Replace(dir) }

// pagesOf names the pages of a project that directories have: uv writes one anew
// whenever it asks for it.
func pagesOf(dirs []string, project string) string {
	var all strings.Builder
	for _, dir := range dirs {
		if info, err := os.Lstat(filepath.Join(dir, project+".rkyv")); err == nil && info.Mode().IsRegular() {
			fmt.Fprintf(&all, "%s %d %d\n", filepath.Base(dir), info.Size(), info.ModTime().UnixNano())
		}
	}
	return all.String()
}

// recall reads what is stored.
func (k *knowledge) recall() error {
	k.stored = map[string]record{}
	if k.name == "" {
		return nil
	}
	b, err := k.store.Get(k.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if json.Unmarshal(b, &k.stored) != nil {
		k.stored = map[string]record{} // it is made anew
	}
	return nil
}

// split returns what is known of c as uv would say it, and what is not.
func (k *knowledge) split(c *choice) (*lockFile, *choice) {
	lock, rest := &lockFile{}, &choice{files: c.files}
	for _, a := range c.add {
		l, ok := k.wheel(a, c.files[a.String()])
		if !ok {
			rest.add = append(rest.add, a)
			continue
		}
		f := lockedFile{URL: l.URL, Size: l.Size}
		f.Hashes.SHA256 = l.SHA256
		lock.Packages = append(lock.Packages, lockedPackage{Name: a.Name, Version: a.Version, Wheels: []lockedFile{f}})
	}
	return lock, rest
}

// wheel returns what is known of a file.
func (k *knowledge) wheel(a change, file string) (Listed, bool) {
	if k.name == "" || a.direct || !wheelName().MatchString(file) {
		return Listed{}, false
	}
	if l, ok := k.said[file]; ok {
		return l, true
	}
	r, ok := k.stored[a.String()+" "+file]
	return r.Listed, ok && !k.anew && r.Pages == k.pages[a.Name]
}

// learn stores what lock says of the files of c, for the next time. A URL that
// holds what mustn't be stored is asked for again.
func (k *knowledge) learn(c *choice, lock *lockFile) error {
	fresh := map[string]record{}
	for _, a := range c.add {
		file, pages := c.files[a.String()], k.pages[a.Name]
		w, err := lock.wheel(a, file, nil)
		if k.name == "" || file == "" || pages == "" || a.direct || err != nil || w.File != file || k.index.Public(w.URL) != w.URL {
			continue
		}
		r := record{pages, Listed{w.URL, strings.TrimPrefix(w.Digest, "sha256:"), w.Size}}
		if name := a.String() + " " + file; k.stored[name] != r {
			fresh[name] = r
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if len(k.stored)+len(fresh) > maxRecords {
		clear(k.stored)
	}
	for name, r := range fresh {
		k.stored[name] = r
	}
	b, err := json.Marshal(k.stored)
	if err != nil {
		return err
	}
	return k.store.Put(k.name, b)
}
