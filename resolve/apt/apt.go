// SPDX-License-Identifier: Apache-2.0

// Package apt turns names of Debian packages into the exact .deb files that a
// parent lacks. It chooses what apt-get would choose in that parent (that of
// Debian 12 and 13; see Solver), without running anything. Equal parents,
// indexes and requests give equal results.
package apt

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/setup"
)

// Archives gets indexes; *archive.Client does.
type Archives interface {
	Load(ctx context.Context, r archive.Request) (*archive.Result, error)
}

// A Request says in which parent packages are installed.
type Request struct {
	Parent fs.FS  // its files, of which those are read that Reads reports
	Arch   string // Debian's name: "amd64"
	// Sources are used besides those of the parent, and Keyrings besides its
	// keyrings; see package setup.
	Sources  []setup.Source
	Keyrings map[string][]byte
	// Mirror is the URL of an archive to take in place of the parent's, or "";
	// see setup.Redirect.
	Mirror      string
	Recommends  bool // also what packages recommend
	AllowRemove bool // packages of the parent may go
	// Essential installs all packages without which a Debian system is none, as
	// if they were asked for: for an empty parent.
	Essential bool
	Now       time.Time
	Older     bool // see archive.Request
}

// Logins keeps the users and passwords that archives want; *login.Set does.
type Logins interface {
	// Strip returns a URL without user and password, and keeps these.
	Strip(url string) string
	// Denied returns err, with what to do if it is that of an archive that wants a
	// login.
	Denied(err error) error
}

// A Resolver resolves packages.
type Resolver struct {
	Archives Archives
	Logins   Logins // nil: URLs keep theirs
}

// Resolve returns what installing packages in a parent comes to. A word is
// "name", "name=version" or "name/suite". Errors that a user can do something
// about are *NotFoundError, *NoCandidateError, *VirtualError, *WordError,
// *ConflictError, *RemovalError, *ParentError, *setup.Error, and those of
// package archive.
func (r *Resolver) Resolve(ctx context.Context, q Request, words []string) (*Resolved, error) {
	s, err := r.Open(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.Resolve(words)
}

// A System is a parent with the packages that can be had for it.
type System struct {
	mu         sync.Mutex
	u          *universe
	status     *status
	indexes    []*archive.Index
	notes      []string
	suggests   bool
	recommends bool
	remove     bool
	essential  bool
}

// Open reads a parent and the indexes of its sources.
func (r *Resolver) Open(ctx context.Context, q Request) (*System, error) {
	conf, err := setup.Read(q.Parent)
	if err != nil {
		return nil, err
	}
	sources := conf.Sources
	if q.Mirror != "" {
		if sources, err = setup.Redirect(sources, q.Mirror); err != nil {
			return nil, err
		}
	}
	sources = slices.Concat(sources, q.Sources)
	for i := range sources {
		if r.Logins != nil {
			sources[i].URL = r.Logins.Strip(sources[i].URL)
		}
	}
	for name, b := range q.Keyrings {
		conf.Keyrings[name] = b
	}
	st, err := readStatus(q.Parent)
	if err != nil {
		return nil, err
	}
	loaded, err := r.Archives.Load(ctx, archive.Request{
		Sources: sources, Keyrings: conf.Keyrings, Conf: conf.Conf, Arch: q.Arch, Now: q.Now, Older: q.Older,
	})
	if err != nil && r.Logins != nil {
		err = r.Logins.Denied(err)
	}
	if err != nil {
		return nil, err
	}
	s := &System{
		u: newUniverse(q.Arch, loaded.Indexes), status: st, indexes: loaded.Indexes, notes: loaded.Notes,
		suggests:   conf.Conf.Bool("APT::AutoRemove::SuggestsImportant", true),
		recommends: q.Recommends, remove: q.AllowRemove, essential: q.Essential,
	}
	return s, s.fill(newPolicy(conf))
}

// fill reads all packages: those of the indexes first, as apt does.
func (s *System) fill(p *policy) error {
	for _, x := range s.indexes {
		for stanza := range x.Stanzas() {
			s.u.read(stanza, x)
		}
	}
	if err := s.u.addInstalled(s.status); err != nil {
		return err
	}
	p.choose(s.u)
	return nil
}

// Resolve is Resolver.Resolve for this system.
func (s *System) Resolve(words []string) (*Resolved, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	solver := &solver{u: s.u, recommends: s.recommends}
	solver.start()
	asked, err := s.asked(solver, words)
	if err != nil {
		return nil, err
	}
	solver.ask(asked)
	solver.sweep(s.suggests)
	if solver.err != nil {
		return nil, solver.err
	}
	if problems := solver.check(asked); len(problems) > 0 {
		return nil, &ConflictError{Requested: slices.Clone(words), Problems: problems}
	}
	r, err := s.resolved(words)
	if err == nil && len(r.Removed) > 0 && (!s.remove || s.status.alone) {
		return nil, &RemovalError{r.Removed, s.status.alone}
	}
	return r, err
}

// asked returns the packages that words name, and the essential ones if they
// are wanted.
func (s *System) asked(solver *solver, words []string) ([]*pkg, error) {
	var list []*pkg
	add := func(p *pkg) {
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if s.essential {
		for _, p := range s.u.byID {
			if c := p.mark.candidate; c != nil && c.essential {
				add(p)
			}
		}
	}
	for _, word := range words {
		p, err := solver.find(word)
		if err != nil {
			return nil, s.inSuites(err)
		}
		add(p)
	}
	return list, nil
}

// inSuites completes a NotFoundError.
func (s *System) inSuites(err error) error {
	var missing *NotFoundError
	if errors.As(err, &missing) {
		for _, x := range s.indexes {
			if !slices.Contains(missing.Suites, x.Source.Suite) {
				missing.Suites = append(missing.Suites, x.Source.Suite)
			}
		}
	}
	return err
}
