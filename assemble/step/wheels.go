// SPDX-License-Identifier: Apache-2.0

package step

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"inlay/assemble/wheel"
	"inlay/layers"
	"inlay/layers/hint"
	"inlay/resolve/plan"
)

// Installer is the content of INSTALLER, which says what tool installed a
// distribution (the specification "Recording installed projects").
const Installer = "inlay\n"

// downloads bounds the wheels of one layer that are fetched at a time.
const downloads = 8

// An installed file of a wheel knows where in the image it lands.
type installed struct {
	path  string
	file  *wheel.File
	wheel int
}

// wheels installs the wheels of p. A file that two wheels install comes from
// the last of them by name.
func (l *layer) wheels(ctx context.Context, p plan.Python) error {
	all, done, err := l.all(ctx, p)
	defer done()
	if err != nil {
		return err
	}
	paths := make([]string, len(all))
	for i, f := range all {
		paths[i] = f.path
	}
	if err := l.dirs(paths); err != nil {
		return err
	}
	return l.write(ctx, all)
}

// all lists what the wheels of p install, no path twice. The files can be read
// until done is called, which is to be called even if it fails.
func (l *layer) all(ctx context.Context, p plan.Python) (all []installed, done func(), err error) {
	files, err := l.fetch(ctx, p.Wheels)
	done = func() {
		closeAll(files)
		for _, remove := range l.staged {
			remove()
		}
	}
	if err != nil {
		return nil, done, err
	}
	for i, w := range p.Wheels {
		found, err := l.install(ctx, files[i], w, p.Scheme)
		if err != nil {
			return nil, done, err
		}
		for _, f := range found {
			all = append(all, installed{path: f.path, file: f.file, wheel: i})
		}
	}
	return l.unshare(all, p.Wheels), done, nil
}

// fetch opens the wheels. The files it returns are to be closed even if it
// fails.
func (l *layer) fetch(ctx context.Context, ws []plan.Wheel) ([]*os.File, error) {
	files := make([]*os.File, len(ws))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(downloads)
	for i, w := range ws {
		g.Go(func() (err error) {
			if files[i], err = l.tools.Wheel(ctx, w); err != nil {
				return fmt.Errorf("%s %s: %w", w.Name, w.Version, err)
			}
			return nil
		})
	}
	return files, g.Wait()
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // only read
		}
	}
}

// install lists what the wheel in f installs.
func (l *layer) install(ctx context.Context, f *os.File, w plan.Wheel, s plan.Scheme) ([]installed, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	scheme := wheel.Scheme{
		Purelib: s.Purelib, Platlib: s.Platlib, Scripts: s.Scripts, Data: s.Data, Headers: s.Headers,
		Interpreter: s.Interpreter, Version: s.Version, Installer: Installer,
	}
	opened, err := wheel.Open(f, st.Size(), w.File, scheme)
	var odd *wheel.FormatError
	if errors.As(err, &odd) && odd.Odd && l.tools.Install != nil {
		opened, err = l.stage(ctx, f, w, scheme, odd)
	}
	if err != nil {
		return nil, err
	}
	out := make([]installed, len(opened.Files))
	for i := range opened.Files {
		l.look(path.Dir(opened.Files[i].Path), s)
		out[i] = installed{path: l.base.Place(opened.Files[i].Path), file: &opened.Files[i]}
	}
	return out, nil
}

// stage goes the slow way with a wheel: another program installs it, and what
// it leaves is packed.
func (l *layer) stage(ctx context.Context, f *os.File, w plan.Wheel, scheme wheel.Scheme, odd *wheel.FormatError) (*wheel.Wheel, error) {
	tree, remove, err := l.tools.Install(ctx, f, w)
	if err != nil {
		return nil, &OddError{Wheel: odd, Err: err}
	}
	l.staged = append(l.staged, remove)
	opened, err := wheel.Staged(tree, w.File, scheme)
	if err != nil {
		return nil, &OddError{Wheel: odd, Err: err}
	}
	l.note("%v: inlay doesn't read it; uv installed it, and what it left was packed", odd)
	return opened, nil
}

// An OddError reports a wheel that this program doesn't read and that could not
// be installed by another either.
type OddError struct {
	Wheel *wheel.FormatError
	Err   error // of installing it
}

func (e *OddError) Error() string {
	return fmt.Sprintf("%v; inlay doesn't read such wheels, and uv could not install it: %v", e.Wheel, e.Err)
}

// Unwrap returns both errors.
func (e *OddError) Unwrap() []error { return []error{e.Err, e.Wheel} }

// Hint says how to get uv to work, or how to do without the wheel.
func (e *OddError) Hint() string {
	if text, ok := hint.Of(e.Err); ok {
		return text + "; or " + e.Wheel.Hint()
	}
	return e.Wheel.Hint()
}

// look remembers a directory that a wheel installs into.
func (l *layer) look(dir string, s plan.Scheme) {
	if above(s.Purelib, dir) || above(s.Platlib, dir) {
		return
	}
	if l.outside == nil {
		l.outside = make(map[string]bool)
	}
	l.outside[dir] = true
}

// unshare keeps one file of those that land on the same path, and tells when
// they differ.
func (l *layer) unshare(all []installed, ws []plan.Wheel) []installed {
	last := make(map[string]int, len(all))
	for i, f := range all {
		if j, ok := last[f.path]; ok && (all[j].file.CRC32 != f.file.CRC32 || all[j].file.Size != f.file.Size) {
			l.note("%s and %s install different %s: %s wins", ws[all[j].wheel].Name, ws[f.wheel].Name, f.path, ws[f.wheel].Name)
		}
		last[f.path] = i
	}
	kept := all[:0]
	for i, f := range all {
		if last[f.path] == i {
			kept = append(kept, f)
		}
	}
	return kept
}

// write adds the files, wheel by wheel and small ones first: the small ones of
// a wheel are compressed together, the others keep the wheel's own stream.
func (l *layer) write(ctx context.Context, all []installed) error {
	slices.SortStableFunc(all, func(a, b installed) int {
		return cmp.Or(cmp.Compare(a.wheel, b.wheel), cmp.Compare(big(a), big(b)), strings.Compare(a.path, b.path))
	})
	for _, f := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.member(f); err != nil {
			return err
		}
	}
	return nil
}

func big(f installed) int {
	if f.file.Size >= layers.MinSplice {
		return 1
	}
	return 0
}

func (l *layer) member(f installed) error {
	l.at = f.path
	e := layers.Entry{Path: inLayer(f.path), Mode: f.file.Mode, Size: f.file.Size}
	if deflated, ok := f.file.Deflated(); ok {
		if err := l.w.Splice(e, deflated); err != nil {
			return blame(f.file, err)
		}
		return nil
	}
	body, err := f.file.Open()
	if err != nil {
		return err
	}
	return l.w.Add(e, body)
}

// blame returns what is wrong with the wheel that f comes from, if that is why
// splicing it failed with err: reading it once more tells.
func blame(f *wheel.File, err error) error {
	body, again := f.Open()
	if again == nil {
		_, again = io.Copy(io.Discard, body)
	}
	var format *wheel.FormatError
	if errors.As(again, &format) {
		return format
	}
	return err
}
