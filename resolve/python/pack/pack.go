// SPDX-License-Identifier: Apache-2.0

// Package pack makes archives of projects: trees of sources as a tar that a
// builder of wheels takes. Equal trees give equal archives on every machine,
// whatever their times, owners and umask were.
package pack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"inlay/layers/pattern"
)

// A Project is a tree of sources.
type Project struct {
	Dir  string // where it is
	Name string // of the package, as it was given
	// Version is what the history of the project says, "" if that doesn't matter.
	Version string
}

// leftOut are directories that are no sources: of version control, environments,
// and what tools keep for themselves.
var leftOut = []string{
	".git", ".hg", ".svn", ".bzr", ".venv", ".tox", ".nox", ".eggs", "__pycache__", "node_modules",
	".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".idea", ".vscode",
}

// Bounds of a project.
const (
	maxFiles = 1 << 20
	maxBytes = 4 << 30
)

// then is the time of all files: no zip can have an older one.
var then = time.Unix(315532800, 0)

// Write writes the archive of a project, below one directory. What leads out of
// the project by a link is a link there too.
func Write(ctx context.Context, p Project, to io.Writer) error {
	w := &writer{out: tar.NewWriter(to), top: strings.ReplaceAll(p.Name, "/", "-")}
	err := filepath.WalkDir(p.Dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p.Dir, name)
		if err != nil {
			return err
		}
		if rel != "." && d.IsDir() && skipped(name, d.Name()) {
			return filepath.SkipDir
		}
		return w.add(name, filepath.ToSlash(rel), d)
	})
	if err == nil && p.Version != "" && !w.described {
		err = w.describe(p)
	}
	if err == nil {
		err = w.out.Close()
	}
	if err != nil {
		return fmt.Errorf("packing %s: %w", p.Dir, err)
	}
	return nil
}

// skipped reports whether a directory is left out.
func skipped(dir, name string) bool {
	if slices.Contains(leftOut, name) {
		return true
	}
	for _, mark := range []string{"pyvenv.cfg", "CACHEDIR.TAG"} {
		if _, err := os.Lstat(filepath.Join(dir, mark)); err == nil {
			return true
		}
	}
	return false
}

type writer struct {
	out       *tar.Writer
	top       string
	files     int
	bytes     int64
	described bool // there is a PKG-INFO
}

// ErrTooLarge tells of a project that is no project.
var ErrTooLarge = errors.New("it has more than a million files or 4 GiB, which can't all be sources")

func (w *writer) add(name, rel string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: path.Join(w.top, rel), Mode: 0o644, ModTime: then, Format: tar.FormatPAX}
	switch mode := info.Mode(); {
	case mode.IsDir():
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, h.Name+"/", 0o755
	case mode.Type() == fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(name); err != nil {
			return err
		}
	case mode.IsRegular():
		if path.Ext(rel) == ".pyc" || path.Base(rel) == ".git" { // of a submodule or a work tree
			return nil
		}
		w.described = w.described || rel == "PKG-INFO"
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		if mode&0o100 != 0 {
			h.Mode = 0o755
		}
	default:
		return nil // nothing that a build reads
	}
	w.files++
	w.bytes += h.Size
	if w.files > maxFiles || w.bytes > maxBytes {
		return ErrTooLarge
	}
	if err := w.out.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	return w.content(name, h.Size)
}

// content writes a file, which must be as long as it was.
func (w *writer) content(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := io.CopyN(w.out, f, size); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return nil
}

// describe adds what says the version of a project without its history, as
// archives of sources have it (core metadata).
func (w *writer) describe(p Project) error {
	text := "Metadata-Version: 2.1\nName: " + p.Name + "\nVersion: " + p.Version + "\n"
	h := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(w.top, "PKG-INFO"), Size: int64(len(text)), Mode: 0o644, ModTime: then, Format: tar.FormatPAX}
	if err := w.out.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.WriteString(w.out, text)
	return err
}

var scm = pattern.New(`setuptools[-_]scm|hatch[-_]vcs|flit[-_]scm|\bpbr\b`)

// ByHistory reports whether the project at dir gets its version from the history
// of a repository.
func ByHistory(dir string) bool {
	for _, name := range []string{"pyproject.toml", "setup.cfg", "setup.py"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil && scm().Match(b) {
			return true
		}
	}
	return false
}
