// SPDX-License-Identifier: Apache-2.0

// Package step writes one step of a plan as one layer. What it writes depends
// on the step and the files that the step names by digest, and on nothing else;
// but for a Run step, which is also what its command makes of them.
package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/assemble/deb"
	"inlay/layers"
	"inlay/layers/leak"
	"inlay/resolve/plan"
)

// Tools are what steps are made with.
type Tools struct {
	// Context holds the files of a Files step, by their path in the plan.
	Context fs.FS
	// Contexts hold the files of Files steps that name one.
	Contexts map[string]fs.FS
	// Wheel opens a wheel whose digest was checked.
	Wheel func(context.Context, plan.Wheel) (*os.File, error)
	// Install installs a wheel alone into an empty tree, where the step's scheme
	// says, and removes that when it is told to. It is asked for wheels whose form
	// this program doesn't read; nil refuses them. The file's digest was checked.
	Install func(context.Context, *os.File, plan.Wheel) (tree fs.FS, remove func(), err error)
	// Parent opens the tree below an Apt step, of which Keep says what is at hand.
	Parent func(context.Context) (*layers.View, error)
	// Deb opens a Debian package whose digest was checked, and Debs keeps those
	// that were unpacked.
	Deb  func(context.Context, plan.Deb) (*os.File, error)
	Debs *deb.Store
	// Sandbox opens what commands run in, over the layers Below, lowest first;
	// nil refuses to run any.
	Sandbox func(context.Context) (*Sandbox, error)
	Below   []v1.Layer
	// Args are the values of the variables that Run steps name.
	Args map[string]string
	// Secrets are what no layer may hold.
	Secrets *leak.Scanner
	// Note is told what the user should know and may ignore; nil drops it.
	// It must be safe for concurrent use.
	Note func(string)
}

// packaged is the time of every file that comes from a package, as the files
// of a wheel in a zip can't be older: programs that zip what they find
// installed refuse earlier times.
var packaged = time.Unix(315532800, 0) // 1980-01-01 00:00:00 UTC

// Made describes a layer that was written.
type Made struct {
	layers.Summary
	// Dirs are the directories of the step's files, before links are followed,
	// as plan.Step.Key wants them: sorted, and never nil.
	Dirs []string
	// Report tells what a user of the layer should know, whenever it was made.
	Report []string
	// Asked tells what the command that made the layer asked of the network.
	Asked []string
}

// Write writes s as a layer to dst and describes it. A secret in one of its
// files is a *leak.Error that names the file.
func Write(ctx context.Context, dst io.Writer, s plan.Step, t Tools) (Made, error) {
	l := &layer{tools: t}
	if s.Compression == plan.Zstd {
		l.mediaType = types.OCILayerZStd
	}
	var err error
	switch {
	case s.Remove != nil:
		l.open(dst, s.Remove.Base, packaged)
		err = l.remove(s.Remove.Paths)
	case s.Apt != nil:
		l.open(dst, plan.Base{}, epoch(s.Apt.Created))
		err = l.packages(ctx, *s.Apt)
	case s.Python != nil:
		l.open(dst, s.Python.Base, packaged)
		err = l.wheels(ctx, *s.Python)
	case s.Bytecode != nil:
		l.open(dst, s.Bytecode.Base, packaged)
		err = l.bytecode(ctx, *s.Bytecode)
	case s.Files != nil:
		l.open(dst, s.Files.Base, time.Unix(s.Files.ModTime, 0))
		err = l.files(ctx, *s.Files)
	case s.Run != nil:
		l.open(dst, plan.Base{}, epoch(s.Run.Created))
		err = l.run(ctx, *s.Run)
	default:
		err = errors.New("no such kind of step")
	}
	var found *leak.Error
	if errors.As(err, &found) {
		return Made{}, &leak.Error{In: t.Secrets.Hide(fmt.Sprintf("%s of layer %q", l.at, s.Name)), Of: found.Of}
	}
	if err != nil {
		return Made{}, fmt.Errorf("making layer %q: %w", s.Name, err)
	}
	sum, err := l.w.Close()
	return Made{Summary: sum, Dirs: append([]string{}, slices.Sorted(maps.Keys(l.outside))...), Report: l.report, Asked: l.asked}, err
}

// A layer is one that is being written.
type layer struct {
	tools Tools
	base  plan.Base
	w     *layers.Writer
	at    string // the path of the file that is being added
	// mediaType says how the layer is compressed; "" is gzip.
	mediaType types.MediaType
	// outside are the directories of a wheel's files that are not below purelib
	// or platlib.
	outside map[string]bool
	report  []string
	asked   []string
	// staged removes the trees that wheels were installed into.
	staged []func()
}

func (l *layer) open(dst io.Writer, b plan.Base, mtime time.Time) {
	l.base = b
	o := layers.Options{ModTime: mtime, MediaType: l.mediaType}
	if watch := l.tools.Secrets.Watch(); watch != nil {
		o.Inspect = watch
	}
	l.w = layers.NewWriter(dst, o)
}

func (l *layer) note(format string, args ...any) {
	if l.tools.Note != nil {
		l.tools.Note(fmt.Sprintf(format, args...))
	}
}

// dirs adds the directories on the way to each of paths, once. Engines make up
// the mode of a directory that a layer doesn't name.
func (l *layer) dirs(paths []string) error {
	all := make(map[string]bool)
	for _, p := range paths {
		for d := path.Dir(p); d != "/" && !all[d]; d = path.Dir(d) {
			all[d] = true
		}
	}
	for _, d := range slices.Sorted(maps.Keys(all)) {
		if err := l.w.Add(l.dir(d), nil); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) dir(p string) layers.Entry {
	d := l.base.Dir(p)
	return layers.Entry{Path: inLayer(p), Mode: fs.ModeDir | d.Mode, UID: d.UID, GID: d.GID}
}

// inLayer turns an absolute path of the image into one of a layer.
func inLayer(p string) string { return strings.TrimPrefix(p, "/") }

func (l *layer) remove(paths []string) error {
	placed := make([]string, len(paths))
	for i, p := range paths {
		placed[i] = l.base.Place(p)
	}
	slices.Sort(placed)
	placed = slices.Compact(placed)
	if err := l.dirs(placed); err != nil {
		return err
	}
	for _, p := range placed {
		if err := l.w.Remove(inLayer(p)); err != nil {
			return err
		}
	}
	return nil
}
