// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/layers/hint"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// A Builder makes wheels of sources, which is to run code of a package.
type Builder interface {
	// Build makes the wheel of b in the directory out, which is empty, and says for
	// people what of the network was asked. The code of the package must reach
	// nothing else of this machine. A *NoBuildError says that it can't here.
	Build(ctx context.Context, b Build, out string) (asked string, err error)
	// Command is the command that Build runs for sources of that file name, for
	// people.
	Command(file string) string
}

// A Build is a wheel to make.
type Build struct {
	Inventory *parent.Inventory // the Python in whose image it is made
	Package   Package
	Source    *os.File // what it is made of; its digest was checked
	File      string   // its name
	Index     *index.Set
	Arguments []string // of the user, for uv
	// Constraints bound what the build needs.
	Constraints []string
	// Links are directories that have it too; Only tells that no index is asked.
	Links []string
	Only  bool
}

// A built wheel is stored with what was learned when it was built.
type built struct {
	Wheel plan.Wheel
	Note  string
}

// A NoBuildError reports that nothing can be built here.
type NoBuildError struct{ Err error }

func (e *NoBuildError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *NoBuildError) Unwrap() error { return e.Err }

// A BuildError reports sources of which no wheel could be made.
type BuildError struct {
	Package Package
	Target  string // for which there is no wheel; "" if the sources were asked for
	Command string
	Err     error
	Fix     string // what may help, "" if that isn't known
}

func (e *BuildError) Error() string {
	text := fmt.Sprintf("building %s from its sources with `%s`: %v", e.Package, e.Command, e.Err)
	if e.Target != "" {
		return fmt.Sprintf("%s has no wheel for %s; %s", e.Package, e.Target, text)
	}
	return text
}

// Unwrap returns what happened.
func (e *BuildError) Unwrap() error { return e.Err }

// Hint says what may help.
func (e *BuildError) Hint() string {
	if e.Fix != "" {
		return e.Fix
	}
	return "if it lacks a compiler or a library, name the packages that have it in `apt_packages`, or pin a version that has a wheel"
}

// A source is what index has of a release that has no wheel that fits.
type source struct {
	Package
	plan.Source
	size int64
}

// buildFormat is part of the name under which a built wheel is known. It grows
// when the same sources may become another wheel.
const buildFormat = 1

// errNotTaken tells of arguments such as --no-binary and --require-hashes.
var errNotTaken = errors.New("a wheel was built of them, and the arguments for the installer don't let it take that")

// decide says what installing g changes. What has no wheel is built first, where
// that is allowed.
func (in *installation) decide(ctx context.Context, req Request, set *index.Set, g Group) (*delta, error) {
	done := map[Package]bool{}
	for refresh := req.Refresh; ; refresh = false {
		d, err := in.session.decide(ctx, g, refresh)
		var lacks *SdistError
		if !errors.As(err, &lacks) || in.resolver.Builder == nil || req.NoBuild {
			return d, err
		}
		if err := in.makeAll(ctx, req, set, g, lacks, done); err != nil {
			return nil, err
		}
	}
}

// makeAll builds what lacks names, unless that was done before.
func (in *installation) makeAll(ctx context.Context, req Request, set *index.Set, g Group, lacks *SdistError, done map[Package]bool) error {
	sources, err := in.session.sources(ctx, lacks)
	if err != nil {
		return err
	}
	for _, s := range sources {
		if done[s.Package] {
			lacks.Why = errNotTaken
			return lacks
		}
		done[s.Package] = true
		if err := s.allowed(g); err != nil {
			return err
		}
		_, _, err := in.make(ctx, req, set, s)
		var failed *BuildError
		if errors.As(err, &failed) {
			failed.Target = lacks.Target
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allowed refuses sources that aren't among those that the hashes of g allow.
func (s source) allowed(g Group) error {
	if want := hashes(g, s.Name); len(want) > 0 && !slices.Contains(want, s.Digest) {
		return &HashError{Package: s.Package, File: s.File, Digest: s.Digest, Want: want}
	}
	return nil
}

// buildLines returns g with wheels in place of the sources that it names by their
// URLs.
func (in *installation) buildLines(ctx context.Context, req Request, set *index.Set, g Group) (Group, error) {
	for _, lines := range []*[]Line{&g.Lines, &g.Constraints} {
		*lines = slices.Clone(*lines)
		for i, l := range *lines {
			if !l.Sources {
				continue
			}
			s, err := in.resolver.sourceOf(ctx, req, set, l)
			if err != nil {
				return g, err
			}
			if l.Editable {
				in.notes = append(in.notes, fmt.Sprintf("%s (%s:%d) is installed as a wheel, not for editing", l.Name, l.Source, l.Number))
			}
			file, w, err := in.make(ctx, req, set, s)
			if err != nil {
				return g, err
			}
			l.Text = strings.Replace(requires(l), l.URL, file, 1)
			l.URL, l.Hashes = file, nil
			(*lines)[i], req.locals[file] = l, w
		}
	}
	return g, nil
}

// make builds a wheel and shows it to the session, which knows it by the URL that
// is returned. What can't be built is a *SdistError.
func (in *installation) make(ctx context.Context, req Request, set *index.Set, s source) (file string, w plan.Wheel, err error) {
	if in.resolver.Builder == nil || req.NoBuild {
		return "", w, &SdistError{Packages: []Package{s.Package}, Target: req.target()}
	}
	made, err := in.resolver.build(ctx, req, set, s)
	var none *NoBuildError
	if errors.As(err, &none) {
		return "", w, &SdistError{Packages: []Package{s.Package}, Target: req.target(), Why: none.Err}
	}
	if err != nil {
		return "", w, err
	}
	w = made.Wheel
	f, err := in.resolver.Files.Open(ctx, fileOf(w))
	if err != nil {
		return "", w, err
	}
	defer func() { _ = f.Close() }()
	name, err := in.session.offer(w, f)
	if err != nil {
		return "", w, err
	}
	in.notes = append(in.notes, made.Note)
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(name)}).String(), w, nil
}

func fileOf(w plan.Wheel) fetch.File {
	return fetch.File{Name: w.File, URL: w.URL, Size: w.Size, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(w.Digest, "sha256:")}}
}

// build returns the wheel of s for the parent, and a note of its making: the one
// that was built first, as long as it is kept.
func (r *Resolver) build(ctx context.Context, req Request, set *index.Set, s source) (w built, err error) {
	name := buildName(req, set, s)
	if w, err = r.known(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return w, err
	}
	if req.Offline {
		return w, &NoBuildError{&OfflineError{Missing: "they were not built over this parent before"}}
	}
	unlock, err := disk.Only(ctx, r.Files.Dir, name)
	if err != nil {
		return w, err
	}
	defer unlock()
	// While this call waited for the lock, another may have built it.
	if w, err = r.known(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return w, err
	}
	if r.Progress != nil {
		_, done := r.Progress("build "+s.String(), 0)
		defer func() { done(err) }()
	}
	return r.buildAnew(ctx, req, set, s, name)
}

// known returns the wheel that is stored by a name; fs.ErrNotExist if there is none,
// or it is gone.
func (r *Resolver) known(name string) (w built, err error) {
	b, err := r.Store.Get(name)
	if err != nil {
		return w, err
	}
	if json.Unmarshal(b, &w) != nil || !r.has(w.Wheel) {
		return built{}, fs.ErrNotExist
	}
	return w, nil
}

// buildAnew builds the wheel of s and stores it by a name.
func (r *Resolver) buildAnew(ctx context.Context, req Request, set *index.Set, s source, name string) (w built, err error) {
	out, remove, err := disk.Scratch(ctx, r.Temp)
	if err != nil {
		return w, err
	}
	defer remove()
	asked, err := r.buildInto(ctx, req, set, s, out)
	if err != nil {
		return w, err
	}
	if w.Wheel, err = r.take(ctx, req, s, out); err != nil {
		return w, r.unbuilt(s, err)
	}
	w.Wheel.Source.Asked = asked
	w.Note = fmt.Sprintf("%s was built from %s, in the sandbox; the build asked %s", Package{s.Name, w.Wheel.Version}, s.from(), asked)
	b, err := json.Marshal(w)
	if err != nil {
		return w, err
	}
	return w, r.Store.Put(name, b)
}

// buildName names all that decides what a build makes: the sources, the image
// with its Python, and where what the build needs comes from.
func buildName(req Request, set *index.Set, s source) string {
	question, err := json.Marshal([]any{
		buildFormat, s.Name, s.Digest, req.Inventory.Digest, req.Inventory.Platform, req.Inventory.Python.Interpreter, set.Key(), set.Realm(),
		req.buildArguments(), texts(req.Arguments.BuildConstraints),
	})
	if len(req.links.dirs) > 0 || req.links.only {
		more, _ := json.Marshal([]any{req.links.dirs, req.links.only}) // strings
		question = append(question, more...)
	}
	if err != nil {
		panic(err) // strings and numbers
	}
	return fmt.Sprintf("built-%x", sha256.Sum256(question))
}

func (r *Resolver) has(w plan.Wheel) bool { return r.Files.Has(fileOf(w).Digest) }

// buildArguments are those of the user that a build is told: its own, and of
// those that say how files are looked up what uv knows in a build.
func (req Request) buildArguments() []string {
	args := slices.Clone(req.Arguments.Build)
	for _, a := range req.Arguments.Both {
		if name, _, _ := strings.Cut(a, "="); req.Installer != installerPip && (name == "--exclude-newer" || name == "--index-strategy") {
			args = append(args, a)
		}
	}
	return args
}

// local is the store for what is no download.
func (r *Resolver) local() *fetch.Store { return &fetch.Store{Dir: r.Files.Dir} }

// buildInto gets the sources and lets the builder make a wheel of them in out.
func (r *Resolver) buildInto(ctx context.Context, req Request, set *index.Set, s source, out string) (asked string, err error) {
	if err := r.gather(ctx, set, s); err != nil {
		return "", err
	}
	f, err := r.Files.Open(ctx, fileOf(plan.Wheel{File: s.File, URL: s.URL, Digest: s.Digest, Size: s.size}))
	if err != nil {
		return "", fmt.Errorf("getting the sources of %s: %w", s.Package, err)
	}
	defer func() { _ = f.Close() }()
	asked, err = r.Builder.Build(ctx, Build{
		Inventory: req.Inventory, Package: s.Package, Source: f, File: s.File, Index: set,
		Arguments: req.buildArguments(), Constraints: texts(req.Arguments.BuildConstraints), Links: req.links.dirs, Only: req.links.only,
	}, out)
	return asked, r.unbuilt(s, err)
}

// unbuilt returns err as an error of a build, if it isn't about something else.
func (r *Resolver) unbuilt(s source, err error) error {
	var none *NoBuildError
	if err == nil || errors.As(err, &none) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	failed := &BuildError{Package: s.Package, Command: r.Builder.Command(s.File), Err: err}
	failed.Fix, _ = hint.Of(err)
	return failed
}

// take moves the wheel that was built into the store. What code of a package
// has written is believed in nothing.
func (r *Resolver) take(ctx context.Context, req Request, s source, out string) (w plan.Wheel, err error) {
	names, err := filepath.Glob(filepath.Join(out, "*.whl"))
	if err != nil {
		return w, err
	}
	if len(names) != 1 {
		return w, fmt.Errorf("it made %d wheels, want 1", len(names))
	}
	w = plan.Wheel{Name: s.Name, File: filepath.Base(names[0]), Source: s.Source}
	parts := strings.Split(w.File, "-")
	if !wheelName().MatchString(w.File) || reqfile.Normalise(parts[0]) != s.Name {
		return w, fmt.Errorf("it made %q, which is no name of a wheel of %s (PEP 427)", w.File, s.Name)
	}
	w.Version, w.Source.Command = parts[1], r.Builder.Command(s.File)
	if !fitOf(w.File, wheelTags(req.Inventory.Python, req.Inventory.Libc)).fits {
		return w, fmt.Errorf("it made %s, which doesn't fit %s", w.File, req.target())
	}
	info, err := os.Lstat(names[0])
	if err != nil {
		return w, err
	}
	if !info.Mode().IsRegular() {
		return w, fmt.Errorf("what it made of %s is no regular file", s.File)
	}
	f, err := os.Open(names[0])
	if err != nil {
		return w, err
	}
	defer func() { _ = f.Close() }()
	sum, err := disk.Sum(ctx, f)
	if err != nil {
		return w, err
	}
	w.Digest, w.Size = "sha256:"+sum, info.Size()
	kept := fileOf(w)
	kept.URL = names[0]
	in, err := r.local().Open(ctx, kept)
	if err != nil {
		return w, err
	}
	defer func() { _ = in.Close() }()
	metadata, err := ReadMetadata(in)
	if err == nil && !describes(metadata, w) {
		err = fmt.Errorf("%s says that it is of another distribution", w.File)
	}
	return w, err
}
