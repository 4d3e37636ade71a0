// SPDX-License-Identifier: Apache-2.0

// Package archive gets the indexes of Debian archives. No word of an index is
// believed unless a chain of digests leads from it to a release file that is
// signed by a key of the index's source, is not too old, and not older than one
// seen before.
package archive

import (
	"context"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/cache/fetch"
	"inlay/resolve/apt/setup"
)

// Files fetches files; *fetch.Store does.
type Files interface {
	// Open returns a file of which the digest is known, checked.
	Open(ctx context.Context, f fetch.File) (*os.File, error)
	// Read returns at most limit bytes, unchecked.
	Read(ctx context.Context, f fetch.File, limit int64) ([]byte, error)
	// Remove drops a file that Open has stored.
	Remove(digest v1.Hash) error
}

// Values keeps small named values; disk.Values does. A value that isn't there
// is a fs.ErrNotExist.
type Values interface {
	Get(name string) ([]byte, error)
	Put(name string, b []byte) error
}

// A Client gets indexes.
type Client struct {
	Files   Files
	Values  Values // remembers the newest release files, and keeps indexes
	Jobs    int    // how many files are fetched at the same time; less than 1: one
	Offline bool   // take what Values has
}

// A Request says which indexes are wanted.
type Request struct {
	Sources  []setup.Source
	Keyrings map[string][]byte // see setup.Setup
	Conf     setup.Conf
	Arch     string // Debian's name: "amd64"
	Now      time.Time
	// Older accepts a release file that is older than one seen before: for a
	// snapshot that was asked for.
	Older bool
}

// A Result is what Load returns.
type Result struct {
	Indexes []*Index // in the order of the sources
	Notes   []string // what was left out, and why: an archive lacks a component or the architecture
}

// maxRelease bounds a release file and its signature, in bytes.
const maxRelease = 32 << 20

// Load gets the indexes of all sources. Errors that a user can do something
// about are *SignatureError, *StaleError, *RollbackError, *ReleaseError,
// *OfflineError, and those of package fetch.
func (c *Client) Load(ctx context.Context, r Request) (*Result, error) {
	sources := dropDoubles(r.Sources, r.Arch)
	releases := make([]*Release, len(sources))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(max(c.Jobs, 1))
	for i := range sources {
		g.Go(func() (err error) {
			releases[i], err = c.release(each, &sources[i], r)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var result Result
	var wanted []wanted
	for i := range sources {
		w, notes := wants(&sources[i], releases[i], r.Arch)
		wanted, result.Notes = append(wanted, w...), append(result.Notes, notes...)
	}
	result.Indexes = make([]*Index, len(wanted))
	g, each = errgroup.WithContext(ctx)
	g.SetLimit(max(c.Jobs, 1))
	for i, w := range wanted {
		g.Go(func() (err error) {
			result.Indexes[i], err = c.index(each, w)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return &result, nil
}

// dropDoubles drops components that an earlier source names as well, as apt
// does, and puts the architecture in its place.
func dropDoubles(sources []setup.Source, arch string) []setup.Source {
	type key struct{ url, suite, component string }
	seen := map[key]bool{}
	var kept []setup.Source
	for _, s := range sources {
		s.Suite = strings.ReplaceAll(s.Suite, "$(ARCH)", arch)
		if s.Flat() {
			s.Components = []string{""}
		}
		s.Components = slices.DeleteFunc(slices.Clone(s.Components), func(c string) bool {
			k := key{s.URL, s.Suite, c}
			double := seen[k]
			seen[k] = true
			return double
		})
		if len(s.Components) > 0 {
			kept = append(kept, s)
		}
	}
	return kept
}

// name returns what errors call a source: its URL without user, password and
// query, and its suite.
func name(s *setup.Source) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "of " + s.Where
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String() + " " + s.Suite
}

// dir returns the URL of the directory of a suite.
func dir(s *setup.Source) string {
	if s.Flat() {
		return s.URL + strings.TrimPrefix(strings.TrimSuffix(path.Clean("/"+s.Suite), "/")+"/", "/")
	}
	return s.URL + "dists/" + s.Suite + "/"
}
