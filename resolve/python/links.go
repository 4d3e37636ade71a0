// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inlay/cache/disk"
	"inlay/resolve/plan"
)

// links are where a group looks for files beside indexes, or in their place.
type links struct {
	dirs  []string          // of this machine, absolute
	pages []string          // URLs
	only  bool              // no index is asked
	files map[string]string // what dirs have, by name: paths
	seen  []string          // of these files: whether they are what they were
}

// linksOf reads the options of a group that say so.
func linksOf(g Group) (l links, err error) {
	for _, o := range g.Options {
		switch {
		case o.Name == "no-index":
			l.only = true
		case o.Name != "find-links":
		case strings.Contains(o.Value, "://"):
			if err := checkPage(o.Value); err != "" {
				return l, o.Refuse(err, "name an index with credentials in `indexes`, or a directory of wheels")
			}
			l.pages = append(l.pages, o.Value)
		default:
			if err := l.directory(o.Value); errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoDirectory) {
				return l, o.Refuse("there is no directory "+o.Value, "name a directory of wheels")
			} else if err != nil {
				return l, err
			}
		}
	}
	return l, nil
}

// checkPage says what is wrong with the URL of a page of links.
func checkPage(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "this is neither a directory nor an http or https URL"
	case u.User != nil:
		return "a page of links can't have credentials"
	}
	return ""
}

var errNoDirectory = errors.New("not a directory")

// directory notes what a directory has.
func (l *links) directory(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if info, failed := os.Stat(dir); failed == nil && !info.IsDir() {
			return errNoDirectory
		}
		return err
	}
	l.dirs = append(l.dirs, dir)
	if l.files == nil {
		l.files = map[string]string{}
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue // nothing that can be installed
		}
		if l.files[e.Name()] == "" {
			l.files[e.Name()] = name
		}
		l.seen = append(l.seen, fmt.Sprintf("%s %d %d", name, info.Size(), info.ModTime().UnixNano()))
	}
	return nil
}

// arguments tell an installer of them.
func (l links) arguments(c Cell) (args []string) {
	for _, d := range l.dirs {
		args = append(args, "--find-links", d)
	}
	for _, p := range l.pages {
		args = append(args, "--find-links", c.Inside(p))
	}
	if l.only {
		args = append(args, "--no-index")
	}
	return args
}

// key names all of them that decides what is chosen.
func (l links) key() []string {
	key := slices.Concat(l.dirs, l.pages, l.seen)
	if l.only {
		key = append(key, "no index")
	}
	return key
}

// wheel returns a wheel of that file name which a directory has.
func (l links) wheel(ctx context.Context, file string, p Package, want []string) (w plan.Wheel, ok bool, err error) {
	name, ok := l.files[file]
	if !ok || !wheelName().MatchString(file) {
		return w, false, nil
	}
	w = plan.Wheel{Name: p.Name, Version: p.Version, File: file, URL: fileURL(name)}
	if w.Digest, w.Size, err = sumFile(ctx, name); err != nil {
		return w, false, err
	}
	if len(want) > 0 && !slices.Contains(want, w.Digest) {
		return w, false, &HashError{Package: p, File: file, Digest: w.Digest, Want: want}
	}
	return w, true, nil
}

// sources returns the sources of p that a directory has.
func (l links) sources(ctx context.Context, p Package) (s source, ok bool, err error) {
	for file, name := range l.files {
		if got := sdistPackage(p.Name, file); got != p || !sdistName().MatchString(file) {
			continue
		}
		s = source{Package: p, Source: plan.Source{File: file, URL: fileURL(name)}}
		s.Digest, s.size, err = sumFile(ctx, name)
		return s, err == nil, err
	}
	return s, false, nil
}

func fileURL(name string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(name)}).String()
}

func sumFile(ctx context.Context, name string) (digest string, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	sum, err := disk.Sum(ctx, f)
	return "sha256:" + sum, info.Size(), err
}

// takeLinks moves what directories have from what c adds to d.
func (c *choice) takeLinks(ctx context.Context, d *delta, g Group, l links) error {
	var rest []change
	for _, a := range c.add {
		w, ok, err := l.wheel(ctx, c.files[a.String()], a.Package, hashes(g, a.Name))
		if err != nil {
			return err
		}
		if ok && !a.direct {
			d.add = append(d.add, w)
		} else {
			rest = append(rest, a)
		}
	}
	c.add = rest
	return nil
}
