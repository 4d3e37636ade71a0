// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/assemble"
	"inlay/assemble/step"
	"inlay/cache"
	"inlay/cache/fetch"
	"inlay/resolve/apt"
	"inlay/resolve/plan"
)

// image makes the image of a plan of which other decisions depend, and delivers
// it nowhere.
func (j *job) image(ctx context.Context, p plan.Plan) (v1.Image, error) {
	tools := j.tools(p)
	tools.Note = nil // the build that these layers are for tells what is to be known of them
	return j.imageWith(ctx, p, tools)
}

func (j *job) imageWith(ctx context.Context, p plan.Plan, tools step.Tools) (v1.Image, error) {
	if last := p.Image(); len(p.Stages) == 1 && len(last.Steps) == 0 && reflect.DeepEqual(last.Config, plan.Config{}) {
		return j.parents().Parent(ctx, p.Image().Parent, p.Platform)
	}
	r, err := assemble.Build(ctx, p, assemble.Options{
		Images:   j.parents(),
		Cache:    j.site.cache,
		Dirs:     values(j.site.cache, cache.Inventories),
		Anew:     j.noCache && runs(p), // of other steps what is in the cache is as good
		Made:     j.remade,
		Tools:    tools,
		Jobs:     1,
		Progress: j.show.Start,
	})
	if err != nil {
		return nil, err
	}
	return r.Image, nil
}

// runs reports whether p has commands of a Dockerfile.
func runs(p plan.Plan) bool {
	return slices.ContainsFunc(p.Stages, func(s plan.Stage) bool {
		return slices.ContainsFunc(s.Steps, func(s plan.Step) bool { return s.Run != nil && s.Run.Exact })
	})
}

// A goneError reports a package that an archive had once.
type goneError struct{ err error }

func (e *goneError) Error() string { return e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

// Hint says how to get what came in its place.
func (e *goneError) Hint() string {
	return "archives drop packages when newer ones come: give `--refresh`, which chooses anew"
}

// deb opens a Debian package.
func (j *job) deb(ctx context.Context, d plan.Deb) (*os.File, error) {
	digest, err := v1.NewHash(d.Digest)
	if err != nil {
		return nil, err
	}
	f, err := j.site.debs.Open(ctx, fetch.File{Name: d.File, URL: d.URL, Digest: digest, Size: d.Size})
	var status *fetch.StatusError
	if errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusGone) {
		return nil, &goneError{err}
	}
	return f, j.site.logins.Denied(err)
}

// printDebs prints which Debian packages are installed, and why.
func printDebs(w io.Writer, r *apt.Resolved) {
	if r == nil || len(r.Packages) == 0 {
		return
	}
	var size int64
	var t table
	for _, p := range r.Packages {
		size += p.Size
		version := p.Version
		if p.Replaces != "" {
			version = p.Replaces + " → " + p.Version
		}
		t.row("  "+p.Name, version, inBytes(p.Size), p.Why.String())
	}
	for _, g := range r.Removed {
		t.row("  "+g.Name, g.Version+" → removed", "", g.Why.String())
	}
	fmt.Fprintf(w, "%s to install, %s to download unless they are in the cache\n", count(len(r.Packages), "package"), inBytes(size))
	t.print(w)
}
