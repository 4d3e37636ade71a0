// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"inlay/assemble/deb"
	"inlay/assemble/record"
	"inlay/assemble/step"
	"inlay/cache"
	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/cmd/inlay/progress"
	"inlay/resolve"
	"inlay/resolve/apt"
	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/login"
	"inlay/resolve/egress"
	"inlay/resolve/git"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/pyproject"
	"inlay/resolve/python"
	"inlay/resolve/sandbox"
	"inlay/resolve/source"
	"inlay/resolve/tree"
)

// A site is the machine that a build runs on: its cache, its network and its
// tools, wired together.
type site struct {
	root    string // of the cache
	cache   *cache.Dir
	wheels  *fetch.Store
	debs    *fetch.Store
	apt     *apt.Resolver
	logins  *login.Set               // for Debian archives
	parent  atomic.Pointer[v1.Image] // that was opened last: it may have logins, too
	records *record.Store
	builds  *record.Builds
	images  source.Images
	python  *python.Resolver
	find    python.FindOptions // of uv and pip
	// installer is the program that resolved requirements, nil if none had to.
	installer atomic.Pointer[installer]
	rung      func() (*sandbox.Rung, error) // how commands are isolated
	outside   egress.Options                // what they may reach
	release   func()
}

// open returns the site that the flags describe. It holds the cache until it
// is closed, so that nothing prunes what is in use.
func open(c *cli.Context, show progress.Display, set *index.Set, env []string) (*site, error) {
	root, err := cacheDir(c)
	if err != nil {
		return nil, err
	}
	dir, err := cache.Open(root)
	if err != nil {
		return nil, err
	}
	keepTrees(dir)
	release, err := dir.Use(c.Context)
	if err != nil {
		return nil, err
	}
	offline := c.Bool("offline")
	images, err := registries(c, show)
	if err != nil {
		release()
		return nil, err
	}
	images.Platform, images.Offline = "linux/"+runtime.GOARCH, offline
	images.Store = values(dir, cache.Inventories)
	logins := &login.Set{Files: hostLogins}
	s := &site{
		logins:  logins,
		root:    root,
		cache:   dir,
		release: release,
		rung:    sync.OnceValues(func() (*sandbox.Rung, error) { return rung(c, dir, show) }),
		wheels:  &fetch.Store{Dir: dir.Path(cache.Wheels), Transport: set.Transport(nil), Offline: offline, Progress: downloads(show)},
		debs:    &fetch.Store{Dir: dir.Path(cache.Debs), Transport: logins.Transport(nil), Offline: offline, Progress: downloads(show)},
		records: &record.Store{Values: values(dir, cache.Records)},
		builds:  &record.Builds{Values: values(dir, cache.Records)},
		images:  images,
	}
	if s.outside, err = outside(c); err != nil {
		release()
		return nil, err
	}
	s.python = s.resolver(dir, show, set, env)
	s.python.Isolation = s.isolation(c, show)
	s.apt = &apt.Resolver{Logins: logins, Archives: &archive.Client{
		Files: s.debs, Values: values(dir, cache.Archives), Jobs: indexesAtOnce, Offline: offline,
	}}
	return s, nil
}

// indexesAtOnce is how many indexes of Debian archives are fetched at a time.
const indexesAtOnce = 8

// downloads shows the files that are fetched.
func downloads(show progress.Display) func(string, int64) (func(int64), func(error)) {
	return func(file string, total int64) (func(int64), func(error)) { return show.Start("download "+file, total) }
}

func (s *site) close() { s.release() }

// values keeps the small values of a kind.
func values(dir *cache.Dir, k cache.Kind) disk.Values {
	// What was the newest state of an archive no other can tell.
	return disk.Values{Dir: dir.Path(k), Synced: k == cache.Archives}
}

// resolver returns what resolves requirements, with this machine's uv or pip or
// with inlay's own.
func (s *site) resolver(dir *cache.Dir, show progress.Display, set *index.Set, env []string) *python.Resolver {
	tools := dir.Path(cache.UV)
	s.find = python.FindOptions{
		LookPath: lookPath,
		Runner:   python.Exec{},
		Env:      env,
		Store:    values(dir, cache.Resolutions),
		Dir:      tools,
		Index:    set,
		Files:    s.wheels,
	}
	find := s.find
	return &python.Resolver{
		UV: func(ctx context.Context) (python.UV, error) {
			uv, err := s.uv(ctx)
			s.installer.Store(&installer{"uv", uv.Version})
			return uv, err
		},
		Pip: func(ctx context.Context) (python.Pip, error) {
			pip, err := python.FindPip(ctx, find)
			s.installer.Store(&installer{"pip", pip.Version})
			return pip, err
		},
		Runner:       find.Runner,
		Env:          find.Env,
		Dir:          filepath.Join(tools, "cache"),
		PipDir:       filepath.Join(tools, "pip"),
		Temp:         dir.Scratch(),
		Store:        values(dir, cache.Resolutions),
		Files:        s.wheels,
		Builder:      s.builder(show, find),
		Repositories: &git.Git{LookPath: lookPath, Runner: python.Exec{}, Env: env},
		Progress:     show.Start,
	}
}

// exporter returns what exports projects: with the uv of the user, whatever its
// version, for it wrote the lock file, or else inlay's own.
func (s *site) exporter(show progress.Display, secrets []string) *pyproject.Exporter {
	return &pyproject.Exporter{
		UV: func(ctx context.Context) (string, error) {
			if path, err := lookPath("uv"); err == nil {
				return path, nil
			}
			uv, err := s.python.UV(ctx)
			return uv.Path, err
		},
		LookPath: lookPath,
		Runner:   python.Exec{},
		Env:      os.Environ(),
		Secrets:  secrets,
		Store:    values(s.cache, cache.Resolutions),
		Progress: show.Start,
		Note:     show.Note,
	}
}

// request is what the plan depends on.
func (j *job) request(c *cli.Context) (resolve.Request, error) {
	date, err := created()
	if err != nil {
		return resolve.Request{}, err
	}
	exporter := j.site.exporter(j.show, j.index.Hidden())
	exporter.Said = j.asked
	return resolve.Request{
		Settings: j.settings,
		Context:  j.context,
		Source:   j.source,
		Written:  j.written(),
		Own:      j.inContext([]string{j.lockPath()}),
		Lock:     j.locked,
		Code:     j.code(),
		Digests:  &tree.Cache{Store: values(j.site.cache, cache.Inventories), Name: j.treeName(), Now: j.begun},
		Created:  date,
		OCI:      j.family != nil,
		Refresh:  c.Bool("refresh"),
		Strict:   c.Bool("strict"),
		Offline:  c.Bool("offline"),
		Index:    j.index,
		Platform: "linux/" + runtime.GOARCH,
		Images:   opener{j.site.images, j},
		Host:     j.hostApt,
		Root:     j.madeOf,
		Python:   j.site.python,
		Projects: exporter,
		Locals:   exporter,
		Groups:   j.groups(),
		Packages: j.site.apt,
		Answers:  values(j.site.cache, cache.Resolutions),
		Make:     j.image,
		Now:      j.begun,
		Store:    values(j.site.cache, cache.Inventories),
		Jobs:     c.Int("jobs"),
		Lookup:   j.lookup,
		Note:     j.show.Note,
		Default:  func() (string, string) { return defaultParent(c.Context, j.context, j.settings.ZenML) },
		Progress: j.show.Start,

		Dockerfile: j.dockerfile(),
	}, nil
}

// environ is what the installer may see of the environment: this process's, and
// over it the build arguments.
func (j *job) environ() []string {
	return append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.ContainsFunc(j.settings.BuildArgs, func(arg string) bool { return strings.HasPrefix(arg, name+"=") })
	}), j.settings.BuildArgs...)
}

// lookup returns a variable for requirements files: a build argument, or one of
// this process's environment.
func (j *job) lookup(name string) (string, bool) {
	for _, arg := range j.settings.BuildArgs {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value, true
		}
	}
	return os.LookupEnv(name)
}

// treeName names the digests of the context's files in the cache.
func (j *job) treeName() string { return filesName(j.context) }

// filesName does so for the files of any directory.
func filesName(dir string) string {
	sum := sha256.Sum256([]byte(absolute([]string{dir})[0]))
	return fmt.Sprintf("files-%x", sum)
}

// tools are what the layers of p are made with.
func (j *job) tools(p plan.Plan) step.Tools {
	wheels := j.site.wheels
	return step.Tools{
		Context:  j.source,
		Contexts: j.contexts(),
		Args:     j.args,
		Wheel: func(ctx context.Context, w plan.Wheel) (*os.File, error) {
			digest, err := v1.NewHash(w.Digest)
			if err != nil {
				return nil, err
			}
			if w.Source != (plan.Source{}) && !wheels.Has(digest) {
				return nil, goneWheel(w)
			}
			f, err := wheels.Open(ctx, fetch.File{Name: w.File, URL: w.URL, Digest: digest, Size: w.Size})
			if local, ok := strings.CutPrefix(w.URL, "file://"); ok && errors.Is(err, fs.ErrNotExist) {
				if plain, err := url.PathUnescape(local); err == nil {
					local = plain
				}
				return nil, &usageError{"the wheel is a file of the machine that made the plan, and there is no " + local + " here", "copy it there, or plan the build on this machine"}
			}
			return f, refused(j.index, w.URL, err)
		},
		Deb:  j.deb,
		Debs: deb.NewStore(j.site.cache.Path(cache.Unpacked), processors()),
		Install: func(ctx context.Context, f *os.File, w plan.Wheel) (fs.FS, func(), error) {
			inv, err := j.inventory(ctx, p)
			if err != nil {
				return nil, nil, err
			}
			return j.site.python.Stage(ctx, python.Staging{Inventory: inv, Scheme: scheme(p, w), Wheel: w, File: f})
		},
		Sandbox: func(context.Context) (*step.Sandbox, error) { return j.sandbox(p.Platform) },
		Secrets: j.secrets(p),
		Note:    j.show.Note,
	}
}

// inventory returns what p's parent holds, with the packages that p installs
// first: the cache mostly knows.
func (j *job) inventory(ctx context.Context, p plan.Plan) (*parent.Inventory, error) {
	below := p.Image()
	below.Steps, below.Config = below.Steps[:0:0], plan.Config{}
	for _, s := range p.Image().Steps {
		if s.Apt != nil || s.Run != nil && s.Run.Configure {
			below.Steps = append(below.Steps, s)
		}
	}
	stages := append(slices.Clone(p.Stages[:len(p.Stages)-1]), below)
	img, err := j.image(ctx, plan.Plan{Version: p.Version, Platform: p.Platform, Created: p.Created, Stages: stages})
	if err != nil {
		return nil, err
	}
	inv, err := parent.Inspect(ctx, parent.Options{
		Image: img, Name: p.Parent().Image, Reference: p.Parent().Image, Platform: p.Platform, Python: j.settings.Python,
		Store: values(j.site.cache, cache.Inventories), Progress: j.show.Start, Brief: true,
	})
	if err != nil {
		return nil, err
	}
	return inv, inv.NeedPython()
}

// scheme returns where p installs a wheel.
func scheme(p plan.Plan, w plan.Wheel) (s plan.Scheme) {
	for _, st := range p.Image().Steps {
		if st.Python != nil && slices.Contains(st.Python.Wheels, w) {
			return st.Python.Scheme
		}
	}
	return s
}

// parents opens the parents that plans name.
type parents struct{ images opener }

func (j *job) parents() parents { return parents{opener{j.site.images, j}} }

// Parent implements assemble.Source.
func (p parents) Parent(ctx context.Context, pl plan.Parent, platform string) (v1.Image, error) {
	if pl.Image == plan.Scratch {
		return source.Scratch(platform)
	}
	ref, err := source.Parse(pl.Image)
	if err != nil {
		return nil, err
	}
	return p.images.Open(ctx, ref, platform)
}
