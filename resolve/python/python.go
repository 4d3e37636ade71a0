// SPDX-License-Identifier: Apache-2.0

// Package python turns requirements into the exact wheels that a parent image
// lacks. uv decides which, or pip: it is shown the parent's own interpreter and
// installed packages, so that it decides as `uv pip install`, or `pip install`,
// would inside the image. Nothing of the parent and nothing of a package is ever
// executed, the host needs no Python but for pip, and every file in the answer
// has a sha256.
package python

import (
	"cmp"
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

	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/layers"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
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
	// Runner runs them.
	Runner Runner
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

	locals map[string]plan.Wheel // of this machine that Groups name, by URL
}

// Arguments are the user's for the installer, in its own words.
type Arguments struct {
	Flags       []string // for the call that decides
	Both        []string // for that one, and for the one that looks files up
	Env         []string // NAME=VALUE: how the network is asked
	Constraints []Line   // of every group
	Overrides   []Line   // of uv, in place of what packages require
	Torch       string   // the build of torch as uv names it; "none" for what the index has; "" or "auto" for the parent's
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
	req.View = req.open()
	name := req.storeName(groups)
	a, err := r.recall(name)
	recalled := err == nil
	if req.Refresh || errors.Is(err, fs.ErrNotExist) {
		a, err = r.ask(ctx, req, groups)
		recalled = false
	}
	if err != nil {
		return nil, err
	}
	a.Recalled = recalled
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
		if err := check(g); err != nil {
			return nil, err
		}
		if len(g.Lines) > 0 {
			g.Constraints = slices.Concat(g.Constraints, req.Arguments.Constraints)
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

// storeFormat is part of the name under which an answer is stored. It grows
// when the same question may get another answer from this program.
const storeFormat = 4

// storeName names all that decides what uv answers, but for the index's content
// and uv's own version: an answer stays what it is until it is refreshed.
func (req Request) storeName(groups []Group) string {
	py := *req.Inventory.Python
	py.Dists = slices.SortedFunc(slices.Values(py.Dists), func(a, b parent.Dist) int { return cmp.Compare(a.Path, b.Path) })
	lines, keys, realms := make([][2][]string, len(groups)), make([][]string, len(groups)), make([]string, len(groups))
	for i, g := range groups {
		set := req.indexes[i]
		lines[i] = [2][]string{public(set, g.Lines), public(set, g.Constraints)}
		keys[i], realms[i] = set.Key(), set.Realm()
	}
	question, err := json.Marshal(struct {
		Format    int
		Installer string
		Groups    [][2][]string
		Indexes   [][]string
		Realms    []string
		Libc      parent.Libc
		Python    parent.Python
		Locals    map[string]plan.Wheel
		Parent    string
		Arguments [][]string
	}{
		storeFormat, cmp.Or(req.Installer, "uv"), lines, keys, realms, req.Inventory.Libc, py, req.locals, req.parentSeen(),
		[][]string{req.Arguments.Flags, req.Arguments.Both, texts(req.Arguments.Overrides), {req.Arguments.Torch, string(wantedTorch(req.Inventory))}},
	})
	if err != nil {
		panic(err) // strings, numbers and booleans
	}
	sum := sha256.Sum256(question)
	return "python-" + hex.EncodeToString(sum[:])
}

// parentSeen names the parent if the installer sees more of it than its Python.
func (req Request) parentSeen() string {
	if req.Installer == installerPip && req.Inventory.Python.Kind == "debian" { // what apt has installed
		return req.Inventory.Digest
	}
	return ""
}

// An answer is a resolution as it is stored. Paths and notes depend on the
// parent's files, the rest only on what storeName covers.
type answer struct {
	Parent   string   `json:"parent"`             // the digest of the image that finish has seen, "" before that
	Warnings []string `json:"warnings,omitempty"` // of uv
	Resolution
}

func (r *Resolver) recall(name string) (*answer, error) {
	b, err := r.Store.Get(name)
	if err != nil {
		return nil, err
	}
	a := new(answer)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("a stored resolution is damaged (%w): %w", err, fs.ErrNotExist)
	}
	return a, nil
}

func (r *Resolver) remember(name string, a *answer) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return r.Store.Put(name, b)
}

// completeFor reports whether a can be given for the image of this digest.
func (a *answer) completeFor(digest string) bool {
	return a.Parent == digest || a.Parent != "" && len(a.Remove) == 0
}

// finish adds what depends on the parent's files.
func (a *answer) finish(ctx context.Context, req Request) error {
	a.Parent = req.Inventory.Digest
	a.Notes = slices.Clone(a.Warnings)
	if req.Inventory.Python.ExternallyManaged && len(a.Wheels) > 0 {
		a.Notes = append(a.Notes, "the parent's Python is externally managed (PEP 668): installing all the same, an image is no host")
	}
	if len(a.Remove) == 0 {
		return nil
	}
	view, err := req.View(ctx)
	if err != nil {
		return err
	}
	paths, notes, err := parent.Removal(view, req.Inventory.Python, a.Remove)
	if err != nil {
		return fmt.Errorf("removing packages of the parent: %w", err)
	}
	a.RemovePaths, a.Notes = paths, append(a.Notes, notes...)
	return nil
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

// session prepares a resolution: it finds uv and lays out the skeleton.
func (r *Resolver) session(ctx context.Context, req Request) (_ *session, err error) {
	uv, err := r.UV(ctx)
	if err != nil {
		return nil, err
	}
	view, err := req.View(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := filepath.Abs(r.Dir)
	if err != nil {
		return nil, err
	}
	dir, remove, err := disk.Scratch(ctx, r.Temp)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	s := &session{
		uv: uv, runner: r.Runner, dir: dir, remove: remove, offline: req.Offline, target: req.target(),
		tags: wheelTags(req.Inventory.Python, req.Inventory.Libc), locals: req.locals,
	}
	if s.skeleton, err = writeSkeleton(dir, req.Inventory.Python, req.Inventory.Libc, view); err != nil {
		return nil, err
	}
	temp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		return nil, err
	}
	s.common = pick(r.Env, uvEnv, slices.Concat(req.Arguments.Env, []string{
		"UV_CACHE_DIR=" + cache, "TMPDIR=" + temp, "NO_COLOR=1", "UV_NO_PROGRESS=1", "UV_NO_CONFIG=1", "UV_PYTHON_DOWNLOADS=never",
	})...)
	s.decides, s.both, s.overrides = req.Arguments.Flags, slices.Clone(req.Arguments.Both), req.Arguments.Overrides
	if req.torch != "" {
		s.both = append(s.both, "--torch-backend="+req.torch)
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
