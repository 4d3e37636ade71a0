// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/layers"
	"inlay/resolve/apt/login"
	"inlay/resolve/apt/setup"
	"inlay/resolve/plan"
)

// hostLogins returns the logins for archives that this machine's apt has, as far
// as this user may read them.
func hostLogins() []string { return login.Texts(os.DirFS("/")) }

// hideLogins moves the logins that the settings hold in URLs of archives to where
// nothing but requests gets them from.
func (j *job) hideLogins() {
	known := j.site.logins
	known.More = j.parentLogins
	s := *j.settings // others have it too
	s.Apt.Mirror = known.Strip(s.Apt.Mirror)
	s.Apt.Sources = slices.Clone(s.Apt.Sources)
	for i := range s.Apt.Sources {
		s.Apt.Sources[i].URL = known.Strip(s.Apt.Sources[i].URL)
	}
	j.settings = &s
}

// parentLogins learns the logins of the parent that was opened last: those in the
// URLs of its sources, and those of its files. They are in no cache, so its
// layers are read for that.
func (j *job) parentLogins(ctx context.Context) error {
	img := j.site.parent.Load()
	if img == nil {
		return nil
	}
	view, err := aptOf(ctx, *img)
	if err != nil {
		return fmt.Errorf("looking for logins in the parent image: %w", err)
	}
	conf, err := setup.Read(view)
	if err != nil {
		return err
	}
	for _, s := range conf.Sources {
		j.site.logins.Strip(s.URL)
	}
	for _, text := range login.Texts(view) {
		j.site.logins.Read(text)
	}
	return nil
}

// aptOf returns the files of an image that say how apt is set up, with its logins.
func aptOf(ctx context.Context, img v1.Image) (*layers.View, error) {
	all, err := img.Layers()
	if err != nil {
		return nil, err
	}
	keep := func(e layers.Entry) func(io.Reader) ([]byte, error) {
		if setup.Reads(e.Path) || login.Reads(e.Path) {
			return io.ReadAll
		}
		return nil
	}
	indexes := make([]*layers.Index, len(all))
	for i, l := range all {
		r, err := l.Compressed()
		if err != nil {
			return nil, err
		}
		indexes[i], err = layers.Scan(ctx, r, keep)
		_ = r.Close() // only read
		if err != nil {
			return nil, err
		}
	}
	return layers.Stack(indexes...)
}

// debURLs returns where the Debian packages of a plan are.
func debURLs(p plan.Plan) (urls []string) {
	for _, st := range p.Image().Steps {
		if st.Apt != nil {
			for _, d := range st.Apt.Debs {
				urls = append(urls, d.URL)
			}
		}
	}
	return urls
}
