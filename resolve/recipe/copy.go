// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"inlay/resolve/dockerfile"
	"inlay/resolve/plan"
)

// dir makes a working directory, if it isn't there.
func (b *builder) dir(ctx context.Context, s *stage, op dockerfile.Op) error {
	t, err := b.look(ctx, s)
	if err != nil {
		return err
	}
	there, missing, bad := t.missing(op.Dir.Path)
	if bad != "" {
		return b.fault(op, bad+" is no directory", "name another")
	}
	if len(missing) == 0 {
		return nil
	}
	uid, gid, err := b.owner(t, op, op.Dir.User)
	if err != nil {
		return err
	}
	b.add(s, t, op, &plan.Files{Target: there, UID: uid, GID: gid, From: Context, Files: folders(there, missing)})
	return nil
}

// folders are directories below another.
func folders(below string, paths []string) (all []plan.File) {
	for _, p := range paths {
		all = append(all, plan.File{Path: rel(below, p), Mode: fs.ModeDir | usual})
	}
	return all
}

// rel returns the path of p below dir.
func rel(dir, p string) string { return strings.TrimPrefix(strings.TrimPrefix(p, dir), "/") }

// add adds a step of files, and what it makes to the tree.
func (b *builder) add(s *stage, t *tree, op dockerfile.Op, f *plan.Files) {
	f.Keep, f.ModTime = true, b.Created
	slices.SortFunc(f.Files, func(x, y plan.File) int { return cmp.Compare(x.Path, y.Path) })
	places := []string{f.Target}
	if f.Target == "/" {
		places = nil
		for _, x := range f.Files {
			top, _, _ := strings.Cut(x.Path, "/")
			places = append(places, "/"+top)
		}
		places = slices.Compact(places)
	}
	f.Base = t.inv.Base(places...)
	s.steps = append(s.steps, plan.Step{Name: op.Text, Files: f})
	var dirs []plan.Dir
	for _, x := range f.Files {
		switch {
		case x.Mode.IsDir():
			dirs = append(dirs, plan.Dir{Path: t.inv.Resolve(path.Join(f.Target, x.Path)), Mode: x.Mode &^ fs.ModeType, UID: f.UID, GID: f.GID})
		case x.Mode&fs.ModeSymlink != 0, strings.HasPrefix(path.Join(f.Target, x.Path), "/etc/"):
			s.stale = true // a link may lead anywhere, /etc says who is who
		}
	}
	s.tree = t.with(dirs)
}

// copy copies files of the context.
func (b *builder) copy(ctx context.Context, s *stage, op dockerfile.Op) error {
	c := op.Copy
	if c.From != "" {
		return b.fault(op, "--from="+c.From+" is not supported", "copy from the context: remove `--from`")
	}
	if b.Context == nil {
		return b.fault(op, "there is no context to copy from", "add `build_context_root: .`, the directory that the files are in")
	}
	t, err := b.look(ctx, s)
	if err != nil {
		return err
	}
	found, single, err := b.find(op)
	if err != nil {
		return err
	}
	if c.Add {
		if err := b.plain(op, found); err != nil {
			return err
		}
	}
	return b.bring(s, t, op, found, place(t, op, found, single))
}

// bring adds files in the directory dest, which is made if it isn't there.
func (b *builder) bring(s *stage, t *tree, op dockerfile.Op, found []plan.File, dest string) (err error) {
	there, missing, bad := t.missing(dest)
	if bad != "" {
		return b.fault(op, bad+" is no directory", "name another destination, or remove it in a RUN above")
	}
	f := &plan.Files{Target: there, From: Context}
	if f.UID, f.GID, err = b.owner(t, op, op.Copy.Owner); err != nil {
		return err
	}
	byPath := map[string]plan.File{}
	for _, d := range folders(there, missing) {
		byPath[d.Path] = d
	}
	for _, x := range found {
		x.Path = path.Join(rel(there, t.inv.Resolve(dest)), x.Path)
		if op.Copy.Mode != "" && x.Mode&fs.ModeSymlink == 0 {
			x.Mode = x.Mode&fs.ModeType | modeOf(op.Copy.Mode)
		}
		if x.Source == x.Path {
			x.Source = ""
		}
		byPath[x.Path] = x
	}
	f.Files = slices.Collect(maps.Values(byPath))
	if len(f.Files) > 0 {
		b.add(s, t, op, f)
	}
	return nil
}

// modeOf reads octal digits.
func modeOf(text string) fs.FileMode {
	n, _ := strconv.ParseUint(text, 8, 32) // they are
	m := fs.FileMode(n & 0o777)
	for bit, mode := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n&bit != 0 {
			m |= mode
		}
	}
	return m
}

// find returns the files that op names: each with its path below the
// destination, or, of a single file, with its name. single tells that it is one,
// and not what a directory holds.
func (b *builder) find(op dockerfile.Op) (all []plan.File, single bool, err error) {
	single = len(op.Copy.Sources) == 1
	for _, source := range op.Copy.Sources {
		clean := strings.TrimPrefix(path.Join("/", source), "/")
		matched := clean == ""
		if matched {
			single = false
			all = append(all, below(b.Context.Files, "")...)
		}
		for _, f := range b.Context.Files {
			ok, err := path.Match(clean, f.Path)
			switch {
			case err != nil:
				return nil, false, b.fault(op, fmt.Sprintf("%q is no pattern: %v", source, err), "close its brackets")
			case !ok:
				continue
			case f.Mode.IsDir():
				single = false
				all = append(all, below(b.Context.Files, f.Path+"/")...)
			case f.Mode&fs.ModeSymlink != 0:
				return nil, false, b.fault(op, f.Path+" is a symbolic link", "name the file that it leads to, or the directory that it is in")
			default:
				all = append(all, plan.File{Path: path.Base(f.Path), Mode: f.Mode, Size: f.Size, Digest: f.Digest, Source: f.Path})
			}
			matched = true
		}
		if !matched {
			return nil, false, b.fault(op, fmt.Sprintf("there is no %s in the context", source), "check `build_context_root`, and that its .dockerignore doesn't leave it out")
		}
	}
	return all, single && len(all) == 1, nil
}

// below returns the files whose paths begin with prefix, as from there.
func below(files []plan.File, prefix string) (all []plan.File) {
	for _, f := range files {
		rest, ok := strings.CutPrefix(f.Path, prefix)
		if !ok {
			continue
		}
		if f.Mode.IsRegular() {
			f.Source = f.Path
		}
		f.Path = rest
		all = append(all, f)
	}
	return all
}

// place returns the directory that the files go into. A single file without a
// slash behind its destination gets that name, unless a directory has it.
func place(t *tree, op dockerfile.Op, found []plan.File, single bool) string {
	dest := path.Clean(op.Copy.Dest)
	if !single || strings.HasSuffix(op.Copy.Dest, "/") {
		return dest
	}
	if dir, _ := t.kind(dest); dir {
		return dest
	}
	found[0].Path = path.Base(dest)
	return path.Dir(dest)
}

// plain refuses archives, which ADD unpacks.
func (b *builder) plain(op dockerfile.Op, found []plan.File) error {
	for _, f := range found {
		if !f.Mode.IsRegular() {
			continue
		}
		head, err := b.Head(f.In())
		if err != nil {
			return err
		}
		if archive(head) {
			return b.fault(op, f.In()+" may be an archive, which Docker would unpack", "copy it with COPY, and unpack it in RUN")
		}
	}
	return nil
}

// archive reports whether a file begins as one that Docker tries to unpack.
func archive(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "BZh", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return len(head) > 262 && string(head[257:262]) == "ustar"
}
