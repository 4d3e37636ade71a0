// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"inlay/cache/disk"
	"inlay/layers"
)

// sum returns the digest of what is below root: names, modes, owners, links,
// contents. Known are contents' digests, by path, that needn't be read for.
func sum(ctx context.Context, root *os.Root, known map[string]string) (string, error) {
	s := summer{ctx: ctx, root: root, known: known, h: sha256.New()}
	if err := s.walk("."); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", s.h.Sum(nil)), nil
}

// A summer walks a tree. fs.WalkDir takes no names that are not UTF-8.
type summer struct {
	ctx   context.Context //nolint:containedctx // of the one call that it lives in
	root  *os.Root
	known map[string]string
	h     hash.Hash
}

func (s *summer) walk(dir string) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	var entries []fs.DirEntry
	err := in(s.root, dir, func(f *os.File) (err error) {
		entries, err = f.ReadDir(-1)
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		if err := s.add(p); err != nil {
			return err
		}
		if !e.IsDir() {
			continue
		}
		if err := s.walk(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *summer) add(p string) error {
	info, err := s.root.Lstat(p)
	if err != nil {
		return err
	}
	what, err := s.content(p, info)
	if err != nil {
		return err
	}
	var uid, gid uint32
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		uid, gid = st.Uid, st.Gid
	}
	fmt.Fprintf(s.h, "%q %v %o %d:%d %q\n", p, info.Mode().Type(), layers.UnixMode(info.Mode()), uid, gid, what)
	return nil
}

// content names what is in a file or behind a link.
func (s *summer) content(p string, info fs.FileInfo) (what string, err error) {
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return s.root.Readlink(p)
	case !info.Mode().IsRegular():
		return "", nil
	case s.known[p] != "":
		return s.known[p], nil
	}
	err = in(s.root, p, func(f *os.File) (err error) {
		what, err = disk.Sum(s.ctx, f)
		return err
	})
	return what, err
}
