// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"errors"
	"slices"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/index"
	"inlay/resolve/python/reqfile"
)

// indexes returns for each group the indexes that are asked for it: set, with
// those that the lines of the group name, and with the credentials for the files
// that its requirements name by their URLs.
func indexes(set *index.Set, groups []Group) ([]*index.Set, error) {
	all := make([]*index.Set, len(groups))
	for i, g := range groups {
		with, err := withOptions(set, g.Options)
		if err != nil {
			return nil, err
		}
		var urls []string
		for _, l := range slices.Concat(g.Lines, g.Constraints) {
			if l.URL != "" && l.Path() == "" && !strings.HasPrefix(l.URL, gitScheme+"ssh:") { // whose user is no secret
				urls = append(urls, l.URL)
			}
		}
		all[i] = with.WithFiles(urls...)
	}
	return all, nil
}

// withOptions returns set with the indexes that options name.
func withOptions(set *index.Set, options []reqfile.Option) (_ *index.Set, err error) {
	for _, o := range options {
		if o.Name != "index-url" && o.Name != "extra-index-url" {
			continue
		}
		x := index.Index{URL: o.Value, Default: o.Name == "index-url"}
		set, err = set.With(o.Source, x)
		var bad *index.Error
		if errors.As(err, &bad) {
			return nil, o.Refuse(bad.Problem, bad.Fix)
		}
		if err != nil {
			return nil, err
		}
	}
	return set, nil
}

// public returns what texts does, without credentials.
func public(set *index.Set, lines []Line) []string {
	texts := texts(lines)
	for i, l := range lines {
		if l.URL != "" && l.Path() == "" {
			texts[i] = strings.Replace(l.Text, l.URL, publicOf(set, l), 1)
		}
	}
	return texts
}

// publicOf returns the URL of a line without credentials. Which part of a
// repository it means stays.
func publicOf(set *index.Set, l Line) string {
	public := set.Public(l.URL)
	if _, part, ok := strings.Cut(l.URL, "#"); ok && l.Tree {
		public += "#" + part
	}
	return public
}

// ask makes what follows ask the indexes of set. They stand in uv's environment
// and never in argv, where others can read them.
func (s *session) ask(ctx context.Context, set *index.Set, g Group, l links) error {
	s.index, s.links = set, l
	s.hide(set.Hidden())
	cache := cacheOf(s.cache, set)
	return s.enter(ctx, set, g, l, cache, append(slices.Clone(s.common), "UV_CACHE_DIR="+cache), set.UVEnv())
}

// cacheOf is the cache of an installer for a set of indexes. Each realm has one
// of its own, for an installer knows answers by URLs, not by whom they were given
// to.
func cacheOf(cache string, set *index.Set) string {
	if realm := set.Realm(); realm != "" {
		cache += "-" + realm
	}
	return cache
}

var (
	// unauthorized matches what uv says of a server that wants credentials, or
	// others. uv goes on without that index, and says that it lacks packages.
	unauthorized = pattern.New(`\b40[13] (?:Client Error: )?(?:Unauthorized|Forbidden)`)
	anyURL       = pattern.New("https?://[^\\s`'\"()]+")
)

// denied returns err with a hint about credentials, if text says that a server
// refused a request for lack of them.
func denied(set *index.Set, text string, err error) error {
	at := unauthorized().FindStringIndex(text)
	if at == nil {
		return err
	}
	urls := anyURL().FindAllStringIndex(text, -1)
	if len(urls) == 0 {
		return err
	}
	best := urls[0]
	for _, u := range urls { // the last one before the status, else the first after it
		if u[0] < at[0] {
			best = u
		}
	}
	return set.Denied(strings.ReplaceAll(text[best[0]:best[1]], "****@", ""), err)
}
