// SPDX-License-Identifier: Apache-2.0

// Package python turns requirements into the exact wheels that a parent image
// lacks. uv decides which, or pip: it is shown the parent's own interpreter and
// installed packages, so that it decides as `uv pip install`, or `pip install`,
// would inside the image. Nothing of the parent and nothing of a package is
// executed but by a Builder, which builds what has no wheel; the host needs no
// Python but for pip, and every file in the answer has a sha256.
package python

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/layers"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// A Store keeps resolutions by name; disk.Values is one.
type Store interface {
	Get(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Put(name string, b []byte) error
}

// A Resolver resolves requirements. Several may share one Dir and Store, in
// one process or many.
type Resolver struct {
	// UV finds the uv to ask; FindUV does. It is called only when the Store has
	// no answer.
	UV func(context.Context) (UV, error)
	// Pip finds the pip to ask where that is the installer; FindPip does.
	Pip func(context.Context) (Pip, error)
	// Runner runs them, where nothing isolates them.
	Runner Runner
	// Isolation isolates them, where it works; nil isolates nothing.
	Isolation Isolation
	// Env is the user's environment as KEY=VALUE. uv sees those that say how to
	// reach the network and where the user's files are, and no others.
	Env []string
	// Dir is uv's cache; beside it, with a longer name, those of indexes with
	// credentials. It must be inlay's alone: uv reuses what it has built there, and
	// what was built for this machine doesn't fit the parent.
	Dir string
	// PipDir is pip's cache.
	PipDir string
	// Temp is the directory for files that live as long as a call. It must allow
	// executing scripts. It is made if need be.
	Temp string
	// Store keeps resolutions.
	Store Store
	// Files keeps wheels. One is read to show a group what the group before it
	// installed, where the index doesn't say that apart.
	Files *fetch.Store
	// Builder builds what has no wheel; nil builds nothing.
	Builder Builder
	// Repositories get what requirements name of repositories.
	Repositories Repositories
	// Progress is told of a resolution that takes its time; nil is fine.
	Progress func(task string, total int64) (add func(n int64), done func(error))
}

// A Request says what to install, and where.
type Request struct {
	Inventory *parent.Inventory
	// View opens the parent's file tree; nil means Inventory.View. It is called
	// only when the Store has no answer, or packages of the parent are removed.
	View func(context.Context) (*layers.View, error)
	// Installer decides: "uv", or "pip". "" is uv.
	Installer string
	// Arguments are what it is told beside that.
	Arguments Arguments
	torch     string // the build that uv is told to take, "" if it isn't told
	// Groups are the requirements. They are installed one after the other, and
	// the later wins.
	Groups []Group
	// Index has the package indexes and their credentials; nil asks uv's own.
	// Lines of requirements files add to it.
	Index   *index.Set
	indexes []*index.Set // of each group with requirements, those of its lines too
	// Locked is the answer that a lock file gives, nil if there is none: nobody
	// is asked.
	Locked *Resolution
	// Refresh resolves anew, with what the index says now.
	Refresh bool
	// Offline uses only what the caches have.
	Offline bool
	// NoBuild builds nothing: what has no wheel is a *SdistError.
	NoBuild bool

	locals map[string]plan.Wheel // of this machine that Groups name, by URL
	trees  map[string]source     // the same of sources
	links  links                 // of the group that is installed
}

// Arguments are the user's for the installer, in its own words.
type Arguments struct {
	Flags       []string         // for the call that decides
	Both        []string         // for that one, and for the one that looks files up
	Env         []string         // NAME=VALUE: how the network is asked
	Options     []reqfile.Option // of every group: "find-links" and "no-index"
	Constraints []Line           // of every group
	Overrides   []Line           // of uv, in place of what packages require
	Build       []string         // for what builds sources, in uv's words
	// BuildConstraints bound what sources need to be built.
	BuildConstraints []Line
	Torch            string // the build of torch as uv names it; "none" for what the index has; "" or "auto" for the parent's
}

// A Resolution is the difference that requirements make to a parent.
type Resolution struct {
	Wheels      []plan.Wheel  `json:"wheels"`                // to install, sorted by name; none if the parent satisfies all
	Remove      []parent.Dist `json:"remove,omitempty"`      // of the parent's: replaced by wheels
	RemovePaths []string      `json:"removePaths,omitempty"` // what to white out for that: absolute, sorted
	Broken      []string      `json:"broken,omitempty"`      // what no longer holds of what was there before, in the words of `pip check`
	Notes       []string      `json:"notes,omitempty"`       // for people
	Torch       string        `json:"torch,omitempty"`       // which torch is among Wheels: "torch 2.9.0: CPU"
	Installer   string        `json:"installer,omitempty"`   // that decided, with its version: "uv 0.13.9"
	Recalled    bool          `json:"-"`                     // the answer was known: nothing was asked
}

// Resolve says which wheels meet the requirements on top of the parent. The
// same request gives the same answer until it is refreshed. Mistakes in the
// request are a *RequirementError, *parent.NoPythonError, *UnsatisfiableError,
// *SdistError or *HashError; *IndexError, *OfflineError, *NoUVError and
// *NoPipError mean that the question could not be answered.
func (r *Resolver) Resolve(ctx context.Context, req Request) (*Resolution, error) {
	groups, err := req.check()
	if err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		return &Resolution{}, nil
	}
	if req.indexes, err = indexes(req.Index, groups); err != nil {
		return nil, err
	}
	if req.Locked != nil {
		return r.locked(ctx, req)
	}
	if req.locals, err = readLocals(ctx, groups); err != nil {
		return nil, err
	}
	if req.trees, err = r.readSources(ctx, groups); err != nil {
		return nil, err
	}
	req.View = req.open()
	name, err := req.storeName(groups)
	if err != nil {
		return nil, err
	}
	a, err := r.answer(ctx, name, req, groups)
	if err != nil {
		return nil, r.lacks(name, req, err)
	}
	if lacks := a.lacks(); req.NoBuild && len(lacks) > 0 {
		return nil, &SdistError{Packages: lacks, Target: req.target()}
	}
	if a.completeFor(req.Inventory.Digest) {
		return &a.Resolution, nil
	}
	if err := a.finish(ctx, req); err != nil {
		return nil, err
	}
	if err := r.remember(name, a); err != nil {
		return nil, err
	}
	return &a.Resolution, nil
}

// answer is the one that is remembered by that name, or a new one.
func (r *Resolver) answer(ctx context.Context, name string, req Request, groups []Group) (*answer, error) {
	a, err := r.recall(name)
	if req.Refresh || errors.Is(err, fs.ErrNotExist) || err == nil && !r.holds(a, req) {
		return r.ask(ctx, req, groups)
	}
	if err == nil {
		a.Recalled = true
	}
	return a, err
}

// open returns a function that opens the view at most once.
func (req Request) open() func(context.Context) (*layers.View, error) {
	open := req.View
	if open == nil {
		open = req.Inventory.View
	}
	var view *layers.View
	return func(ctx context.Context) (_ *layers.View, err error) {
		if view == nil {
			view, err = open(ctx)
		}
		return view, err
	}
}

// check validates req and returns the groups that have requirements.
func (req Request) check() ([]Group, error) {
	var groups []Group
	for _, g := range req.Groups {
		if err := check(g, req.Installer); err != nil {
			return nil, err
		}
		if len(g.Lines) > 0 {
			g.Constraints = slices.Concat(g.Constraints, req.Arguments.Constraints)
			g.Options = slices.Concat(g.Options, req.Arguments.Options)
			groups = append(groups, g)
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	return groups, req.checkPython()
}

// checkPython refuses a Python that no wheel's tags can be told for.
func (req Request) checkPython() error {
	inv := req.Inventory
	if err := inv.NeedPython(); err != nil {
		return err
	}
	problem := ""
	switch py := inv.Python; {
	case arches[py.Arch].bits == 0:
		problem = fmt.Sprintf("no wheels are made for its architecture %q", py.Arch)
	case inv.Libc.Family != "glibc" && inv.Libc.Family != "musl":
		problem = "its C library is unknown, neither glibc nor musl"
	case !strings.HasPrefix(py.Version, "3."):
		problem = fmt.Sprintf("its version is %q, and only Python 3 is supported", py.Version)
	default:
		return nil
	}
	return &parent.NoPythonError{Parent: inv.Name, Problem: problem}
}

// installerPip is the installer that isn't the default.
const installerPip = "pip"

// askOnce asks the installer.
func (r *Resolver) askOnce(ctx context.Context, req Request, groups []Group) (*answer, error) {
	a := &answer{}
	if req.Installer == installerPip {
		s, err := r.pipSession(ctx, req)
		if err != nil {
			return nil, err
		}
		defer s.remove()
		a.Installer = "pip " + s.pip.Version
		return a, r.install(ctx, req, s, groups, a)
	}
	s, err := r.session(ctx, req)
	if err != nil {
		return nil, err
	}
	defer s.remove()
	a.Installer = "uv " + s.uv.Version
	return a, r.install(ctx, req, s, groups, a)
}

// A room is where an installer works.
type room struct {
	*cells
	parent *layers.View // nil for uv if the parent has no distributions, which is all that it is shown of it
	cache  string       // the installer's own; absolute
	dir    string       // holds what lives as long as the resolution
	leave  func()       // closes the cell, and removes the directory
}

// What an installer may write in a room is in these directories. Of the second
// this program reads, and doesn't follow links there.
const (
	tempDir = "tmp"
	outDir  = "out"
)

func (r *Resolver) room(ctx context.Context, req Request, cache string) (at room, err error) {
	if at.cells, err = r.cells(ctx, req.Offline); err != nil {
		return room{}, err
	}
	if len(req.Inventory.Python.Dists) > 0 || req.Installer == installerPip {
		if at.parent, err = req.View(ctx); err != nil {
			return room{}, err
		}
	}
	if at.cache, err = filepath.Abs(cache); err != nil {
		return room{}, err
	}
	dir, remove, err := disk.Scratch(ctx, r.Temp)
	if err != nil {
		return room{}, err
	}
	at.dir, at.leave = dir, func() { at.cells.leave(); remove() }
	at.needs.Read = []string{dir}
	for _, name := range []string{tempDir, outDir} {
		at.needs.Write = append(at.needs.Write, filepath.Join(dir, name))
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			remove()
			return room{}, err
		}
	}
	return at, nil
}

// left returns what an installer left in the second of these.
func left(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Join(dir, outDir))
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.ReadFile(name)
}

// session prepares a resolution: it finds uv and lays out the skeleton.
func (r *Resolver) session(ctx context.Context, req Request) (_ *session, err error) {
	uv, err := r.UV(ctx)
	if err != nil {
		return nil, err
	}
	at, err := r.room(ctx, req, r.Dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			at.leave()
		}
	}()
	s := &session{
		uv: uv, cells: at.cells, dir: at.dir, remove: at.leave, cache: at.cache, offline: req.Offline, target: req.target(),
		offered: offered{dir: filepath.Join(at.dir, "built")},
		tags:    wheelTags(req.Inventory.Python, req.Inventory.Libc), locals: req.locals, store: r.Store, torch: req.torch != "",
	}
	if s.skeleton, err = writeSkeleton(at.dir, req.Inventory.Python, req.Inventory.Libc, at.parent); err != nil {
		return nil, err
	}
	s.needs.Read = append(s.needs.Read, uv.Path)
	s.own = func(ctx context.Context, set *index.Set) (*index.Set, error) {
		return WithOwnIndex(ctx, r.Runner, uv, set)
	}
	s.common = pick(r.Env, uvEnv(), slices.Concat(req.Arguments.Env, []string{
		"TMPDIR=" + filepath.Join(at.dir, tempDir), "NO_COLOR=1", "UV_NO_PROGRESS=1", "UV_NO_CONFIG=1", "UV_PYTHON_DOWNLOADS=never",
	})...)
	s.decides, s.both, s.overrides = req.Arguments.Flags, slices.Clone(req.Arguments.Both), req.Arguments.Overrides
	if req.torch != "" {
		s.both = append(s.both, "--torch-backend="+req.torch)
		if s.isolation != nil {
			if s.needs.Torch, err = r.torchIndex(ctx, uv, s, req.torch); err != nil {
				return nil, err
			}
		}
	}
	if req.torch != "" && !atLeast(uv.Version, stableTorch) {
		s.both = append(s.both, "--preview")
	}
	if req.Offline {
		s.flags = append(s.flags, "--offline")
	}
	return s, nil
}

// target says in words what a wheel must fit.
func (req Request) target() string {
	py, libc := req.Inventory.Python, req.Inventory.Libc
	kind := "Python"
	if py.FreeThreaded {
		kind = "free-threaded Python"
	}
	return fmt.Sprintf("%s %s on %s with %s %d.%d", kind, minorVersion(py.Version), py.Arch, libc.Family, libc.Major, libc.Minor)
}
