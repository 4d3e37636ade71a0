// SPDX-License-Identifier: Apache-2.0

// Package resolve turns settings into a plan. It decides and makes nothing:
// after it, no name is left to look up.
package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/ignore"
	"inlay/resolve/apt"
	"inlay/resolve/apt/setup"
	"inlay/resolve/code"
	"inlay/resolve/dockerfile"
	"inlay/resolve/index"
	"inlay/resolve/lock"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/settings"
	"inlay/resolve/source"
	"inlay/resolve/tree"
)

// A Request is everything a plan depends on.
type Request struct {
	Settings *settings.Docker
	Context  string    // the directory of the source
	Source   fs.FS     // its files; a *tree.Dir as a rule
	Written  []string  // paths in it that the build writes to, such as an output's; no part of the source
	Own      []string  // paths in it of inlay's own files, such as the lock file; no part of the source either
	Platform string    // of a parent for several, where the settings name none
	Created  int64     // SOURCE_DATE_EPOCH, or 0: seconds since 1970
	OCI      bool      // the image is to be part of an index for several platforms
	Refresh  bool      // resolve requirements anew
	Strict   bool      // requirements that later ones break are an error
	Offline  bool      // no network
	Lock     Lock      // the lock file
	Now      time.Time // decides which indexes of packages are too old

	// Code says how the source gets into containers.
	Code Code

	// Groups are requirements that nobody wrote: what the stack, a deployer and
	// integrations need. They come before those of the project.
	Groups []Group

	Index      *index.Set       // the package indexes; nil asks the installer's own
	arguments  python.Arguments // of the settings, for the installer
	onlyWheels bool             // nothing is built now

	// Dockerfile is what is at hand for the Dockerfile of the settings.
	Dockerfile Dockerfile

	Images   Images
	Python   Python
	Projects Projects
	Locals   Locals
	Packages Packages
	Answers  Store                        // keeps what packages came to
	Host     func() (*setup.Setup, error) // how apt is set up on this machine, for images without a parent; nil: not at all
	// Root returns what the parent of a digest was made of, if it was made of
	// packages alone; nil knows none.
	Root func(digest string) *apt.Resolved
	// Make returns the image of a plan, made for that if need be: where packages
	// bring a Python or a user, their layer decides about the rest.
	Make    func(ctx context.Context, p plan.Plan) (v1.Image, error)
	Store   Store                            // keeps what was learned of parents
	Digests *tree.Cache                      // of files seen before; nil reads every file
	Jobs    int                              // files and parent layers read at a time
	Lookup  func(name string) (string, bool) // returns a variable of the user's environment, for requirements files; nil knows none
	Note    func(string)                     // is told what the user should know; safe for concurrent use; nil drops it
	// Default names the parent where the settings name none, and says why that
	// one; "" if there is none.
	Default func() (image, why string)
	// Progress is told of tasks; nil shows none.
	Progress func(task string, total int64) (add func(int64), done func(error))
}

// A Group is a list of requirements with a name for messages.
type Group struct {
	Name         string
	Requirements []string
}

// Images opens images by name; *source.Images does.
type Images interface {
	Open(ctx context.Context, ref source.Reference, platform string) (*source.Image, error)
}

// Python resolves requirements; *python.Resolver does.
type Python interface {
	Resolve(ctx context.Context, req python.Request) (*python.Resolution, error)
	// Sources returns the digests of this machine's sources that groups name, by
	// their URLs.
	Sources(ctx context.Context, groups []python.Group) (map[string]string, error)
}

// A Store keeps small values by name. Get's error is fs.ErrNotExist if there
// is none.
type Store interface {
	Get(name string) ([]byte, error)
	Put(name string, b []byte) error
}

// A Result is a plan and what was learned on the way.
type Result struct {
	Plan       plan.Plan
	Under      *parent.Inventory  // the image that all begins with
	Parent     *parent.Inventory  // the same, or what a Dockerfile makes of it
	Base       *parent.Inventory  // what the steps above the packages stand on: the parent, or the parent with them
	Packages   *apt.Resolved      // nil without packages
	Resolution *python.Resolution // nil without requirements
	Asked      *lock.Image        // what was asked for, as a lock file says it; with the answer, where a lock file had that
	Locked     func() *lock.Image // what a lock file is to say of it: most builds write none

	stages []plan.Stage // of a Dockerfile
	bare   bool         // nothing comes on top of them
}

// Resolve returns the plan for req.
func Resolve(ctx context.Context, req Request) (*Result, error) {
	rules, err := readIgnore(req)
	if err != nil {
		return nil, err
	}
	if req, err = detect(req); err != nil {
		return nil, err
	}
	if req.arguments, req.Index, err = installerArguments(req); err != nil {
		return nil, err
	}
	groups, err := readRequirements(req)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	var files *plan.Files
	var fetched *plan.Code
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if files, err = snapshot(ctx, req, rules); err != nil {
			return err
		}
		fetched, err = req.fetched(ctx)
		return err
	})
	g.Go(func() (err error) {
		before, err := groupsBefore(ctx, req)
		if err != nil {
			return err
		}
		groups = append(before, groups...) // what the settings list wins
		return r.environment(ctx, req, groups)
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if r.Plan, err = compose(req, r, files); err != nil {
		return nil, err
	}
	r.Plan.Code = fetched
	r.Locked = sync.OnceValue(func() *lock.Image {
		if r.Asked.Platform != "" { // it has the answer
			return r.Asked
		}
		return locked(req, r, r.Asked, groups)
	})
	return r, nil
}

// environment finds the parent and what the requirements need on top of it: as
// the lock file says, where there is one that fits.
func (r *Result) environment(ctx context.Context, req Request, groups []python.Group) error {
	file, err := readDockerfile(req)
	if err != nil {
		return err
	}
	from, err := nameParent(req, file)
	if err != nil {
		return err
	}
	r.bare = isBare(req, len(groups))
	r.Asked = question(req, from, groups)
	r.Asked.Dockerfile = recipeDigest(file, req.Settings)
	known, pin, err := answer(ctx, req, from, groups, r.Asked)
	if err != nil {
		return err
	}
	if r.Under, err = inspect(ctx, req, from, pin); err != nil {
		return err
	}
	r.Parent = r.Under
	if file != nil {
		if err := r.cook(ctx, req, file, from); err != nil {
			return err
		}
	}
	if known != nil {
		r.Asked = known
	}
	return r.contents(ctx, req, groups, known)
}

// contents resolves packages and, beside them, requirements: once more if it
// turns out that the packages decide about them.
func (r *Result) contents(ctx context.Context, req Request, groups []python.Group, known *lock.Image) error {
	var said []string
	beside := req
	beside.Note = func(s string) { said = append(said, s) }
	var problem error
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		r.Packages, err = packages(gctx, req, r.Parent, known)
		return err
	})
	// What has no wheel is built over the parent with its packages: a compiler may
	// be among them.
	beside.onlyWheels = len(req.Settings.Apt.Packages) > 0
	r.Resolution, problem = requirements(gctx, beside, r.Parent, groups, known)
	if err := g.Wait(); err != nil {
		return err
	}
	r.Base = r.Parent
	var unbuilt *python.SdistError
	if r.grows(req, len(groups) > 0) || beside.onlyWheels && errors.As(problem, &unbuilt) {
		var err error
		if r.Base, err = r.grow(ctx, req); err != nil {
			return err
		}
		r.Resolution, err = requirements(ctx, req, r.Base, groups, known)
		return err
	}
	for _, s := range said {
		req.note("%s", s)
	}
	return problem
}

// A parentName is how the settings, or the default, name the parent.
type parentName struct {
	name     string
	ref      source.Reference
	platform string // asked for; "" takes what there is
}

// nameParent returns the parent, which a Dockerfile names if there is one.
func nameParent(req Request, file *dockerfile.File) (parentName, error) {
	s := req.Settings
	p := parentName{name: s.ParentImage, platform: s.Platform}
	var err error
	if file != nil {
		if p.name, err = baseOf(file, dockerfileOptions(req)); err != nil {
			return p, err
		}
		if p.ref, err = parseFrom(p.name); err != nil {
			return p, fmt.Errorf("%s: FROM %s: %w", file.Name, p.name, err)
		}
		p.platform = cmp.Or(p.platform, platformOf(req, p.ref))
		return p, nil
	}
	if p.name == "" {
		var why string
		if p.name, why = req.Default(); p.name == "" {
			return p, s.FieldError("parent_image", "is missing", "add `parent_image: IMAGE` or give `--parent-image IMAGE`")
		}
		req.note("parent image %s: %s", p.name, why)
	}
	if p.ref, err = source.Parse(p.name); err != nil {
		return p, s.FieldError("parent_image", err.Error(), fix(err))
	}
	p.platform = cmp.Or(p.platform, platformOf(req, p.ref))
	return p, nil
}

// platformOf is that of an image for several, where nobody names one; "" takes
// what there is.
func platformOf(req Request, ref source.Reference) string {
	if ref.Transport == "docker" || ref.Transport == source.Apt || ref.Transport == plan.Scratch {
		return req.Platform
	}
	return ""
}

// inspect pins the parent, to the digest given if it isn't "", and lists what it
// holds.
func inspect(ctx context.Context, req Request, from parentName, pin string) (*parent.Inventory, error) {
	ref := from.ref
	if pin != "" && ref.Transport != plan.Scratch {
		ref = ref.Pinned(pin)
	}
	img, err := openImage(ctx, req, ref, from.platform)
	if pin != "" && isGone(err) {
		return nil, req.Lock.gone(ref)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the parent image: %w", err)
	}
	inv, err := parent.Inspect(ctx, parent.Options{
		Image: img, Name: from.name, Reference: img.Reference, Platform: from.platform, Python: req.Settings.Python,
		Store: req.Store, Jobs: req.Jobs, Progress: req.Progress,
		Brief: len(req.Settings.Apt.Packages) == 0,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the parent image: %w", err)
	}
	for _, n := range inv.Notes {
		req.note("note: %s", n)
	}
	if len(inv.Config.Config.OnBuild) > 0 {
		req.note("warning: the parent's ONBUILD instructions are not run")
	}
	return inv, nil
}

// openImage opens an image, or the one that holds nothing.
func openImage(ctx context.Context, req Request, ref source.Reference, platform string) (*source.Image, error) {
	if ref.Transport != plan.Scratch {
		return req.Images.Open(ctx, ref, platform)
	}
	img, err := source.Scratch(platform)
	return &source.Image{Image: img, Reference: plan.Scratch, Platform: platform}, err
}

// requirements resolves what the parent lacks; known holds the answer if it is
// known.
func requirements(ctx context.Context, req Request, inv *parent.Inventory, groups []python.Group, known *lock.Image) (*python.Resolution, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	if err := inv.NeedPython(); err != nil {
		return nil, err
	}
	given, err := req.Lock.resolution(known, req.Index, inv, groups)
	if err != nil {
		return nil, err
	}
	r, err := req.Python.Resolve(ctx, python.Request{
		Inventory: inv, View: inv.View, Installer: req.Settings.Installer, Arguments: req.arguments, Groups: groups, Index: req.Index, Locked: given,
		Refresh: req.Refresh, Offline: req.Offline, NoBuild: req.onlyWheels,
	})
	if err != nil {
		return nil, unresolved(req, err)
	}
	if len(r.Broken) > 0 && req.Strict {
		return nil, fmt.Errorf("resolving requirements: %w", &python.BrokenError{Problems: r.Broken})
	}
	for _, b := range r.Broken {
		req.note("warning: %s", b)
	}
	if r.Torch != "" {
		req.note("note: %s", r.Torch)
	}
	if !r.Recalled { // else an earlier build has said them
		for _, n := range r.Notes {
			req.note("note: %s", n)
		}
	}
	return r, nil
}

func snapshot(ctx context.Context, req Request, rules *ignore.Rules) (*plan.Files, error) {
	if req.Code.Way == code.Nothing && req.Settings.Recipe.Dockerfile == "" { // else that may bring it
		req.note("warning: the source is not in the image (`allow_including_files_in_images: false`), and nothing fetches it: what runs the image has to bring it")
	}
	if req.Code.Way != code.Include {
		return &plan.Files{Target: target, Mode: everybody, ModTime: req.Created}, nil
	}
	files, err := tree.Snapshot(ctx, tree.Options{
		FS: req.Source, Rules: rules, Written: req.Written, Own: req.Own, Target: target, ModTime: req.Created,
		Cache: req.Digests, Jobs: req.Jobs, Note: req.Note, Progress: req.Progress,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the source: %w", err)
	}
	files.Mode = everybody
	for i := range files.Files {
		if f := &files.Files[i]; f.Mode&fs.ModeSymlink == 0 {
			f.Mode |= everybody
		}
	}
	return files, nil
}

// everybody may read and write what is in the working directory, whoever the
// container runs as: ZenML's `chmod -R a+rw`.
const everybody fs.FileMode = 0o666

func (req Request) note(format string, args ...any) {
	if req.Note != nil {
		req.Note(fmt.Sprintf(format, args...))
	}
}
