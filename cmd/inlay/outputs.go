// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/urfave/cli/v2"

	"inlay/assemble"
	"inlay/assemble/output"
	"inlay/cache"
	"inlay/resolve/settings"
)

// A target is a place the image goes, and how to speak of it.
type target struct {
	output place
	path   string // on this machine, "" if it is elsewhere
	said   func(output.Delivered) string
}

// A place can tell whether it is there.
type place interface {
	assemble.Output
	Reach(ctx context.Context) error
}

// imageNames returns what the image is called: by the flags, else by the
// settings, else nothing.
func imageNames(c *cli.Context, s *settings.Docker) ([]string, error) {
	names := c.StringSlice("tag")
	if t := s.Target.String(); len(names) == 0 && t != "" {
		names = []string{t}
	}
	for _, n := range names {
		if _, after, ok := strings.Cut(n, "@"); ok { // before it may stand a password
			return nil, &usageError{
				fmt.Sprintf("%q is no name for an image: it may hold neither a login nor a digest", "****@"+after),
				"write REGISTRY/REPOSITORY:TAG, and log in with docker login, podman login or crane auth login",
			}
		}
		if _, err := name.NewTag(n); err != nil {
			return nil, &usageError{fmt.Sprintf("%q is no name for an image: %v", n, err), "write REGISTRY/REPOSITORY:TAG"}
		}
	}
	return names, nil
}

// targets returns where the image goes: to the outputs that the flags name,
// else into a layout in the cache.
func (j *job) targets(c *cli.Context) ([]target, error) {
	names := c.StringSlice("output")
	if c.Bool("push") {
		names = append([]string{"registry"}, names...)
	}
	if len(names) == 0 {
		return []target{j.kept()}, nil
	}
	var all []target
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			continue // --push and --output registry are one
		}
		t, err := j.target(n)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func (j *job) target(text string) (target, error) {
	transport, rest, _ := strings.Cut(text, ":")
	switch {
	case text == "registry":
		return j.registry()
	case transport == "oci" && rest != "":
		dir, tag, _ := strings.Cut(rest, ":")
		return j.layout(dir, tag), nil
	case transport == "oci-archive" && rest != "":
		return target{output.OCIArchive{File: rest, Tags: j.shortTags(), Progress: output.Progress(j.show.Start)}, rest, written}, nil
	case transport == "docker-archive" && rest != "":
		tags, err := j.tags()
		return target{output.Tarball{File: rest, Tags: tags, Progress: output.Progress(j.show.Start)}, rest, written}, err
	case text == "engine" || transport == "engine" && rest != "":
		return j.engine(rest)
	}
	kinds := []string{"registry", "engine", "oci", "oci-archive", "docker-archive"}
	if slices.Contains(kinds[2:], transport) {
		return target{}, &usageError{fmt.Sprintf("output %q has no path", text), "write --output " + transport + ":PATH"}
	}
	hint := nearest(transport, kinds, "--output ")
	if hint == "" {
		hint = "write registry, engine, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE"
	}
	return target{}, &usageError{fmt.Sprintf("no output %q", text), hint}
}

func (j *job) registry() (target, error) {
	tags, err := j.tags()
	if err != nil {
		return target{}, err
	}
	if len(tags) == 0 {
		return target{}, &usageError{"nothing says where to push the image", "give `--tag REGISTRY/REPOSITORY:TAG`, or `target_repository` and `registry` in the settings"}
	}
	im := j.site.images
	out := output.Registry{
		Tags: tags, Keychain: im.Keychain, Transport: im.Transport, UserAgent: im.UserAgent, Progress: output.Progress(j.show.Start),
		Recently: func() bool { return !j.several && j.family == nil && time.Since(j.begun) < recently },
	}
	return target{out.Keep(), "", pushed}, nil
}

// recently is how old an answer of a registry may be for the build to rely on it.
const recently = time.Second

func (j *job) layout(dir, tag string) target {
	tags := []string{tag}
	if tag == "" {
		tags = j.shortTags()
	}
	return target{output.Layout{Dir: dir, Tags: tags, Progress: output.Progress(j.show.Start)}, dir, written}
}

// kept is where an image goes that was not asked to go anywhere.
func (j *job) kept() target {
	dir := j.site.cache.Path(cache.Images)
	t := j.layout(dir, "")
	t.said = func(d output.Delivered) string {
		return written(d) + "\nkept in the cache: `--push` pushes it, `--output engine` loads it into docker or podman"
	}
	return t
}

// tags returns the image's names.
func (j *job) tags() ([]name.Tag, error) {
	tags := make([]name.Tag, len(j.names))
	for i, n := range j.names {
		var err error
		if tags[i], err = j.site.newTag(n); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

// shortTags returns the tags of the image's names without the names, which is
// what a layout knows: each once, "latest" if the image has no name.
func (j *job) shortTags() []string {
	tags, err := j.tags()
	if err != nil || len(tags) == 0 {
		return []string{"latest"}
	}
	var short []string
	for _, t := range tags {
		if !slices.Contains(short, t.TagStr()) {
			short = append(short, t.TagStr())
		}
	}
	return short
}

// written returns the paths in the context that the build writes to.
func (j *job) written() []string { return j.inContext(j.writes()) }

// writes returns the paths that the build writes to: those of the outputs, of
// the metadata, of the cache and of an artifact store.
func (j *job) writes() []string {
	paths := []string{j.site.root}
	if j.metadata != "" {
		paths = append(paths, j.metadata)
	}
	if j.origin != nil {
		paths = append(paths, j.origin.directory()...)
	}
	for _, t := range j.outputs {
		if t.path != "" {
			paths = append(paths, t.path)
		}
	}
	return paths
}

// inContext returns those of paths that lie in the context.
func (j *job) inContext(paths []string) []string { return inDir(j.context, paths) }

// inDir returns those of paths that lie in a directory, as from there.
func inDir(dir string, paths []string) (inside []string) {
	root := realPath(dir)
	for _, p := range paths {
		if rel, err := filepath.Rel(root, realPath(p)); err == nil && rel != "." && filepath.IsLocal(rel) {
			inside = append(inside, filepath.ToSlash(rel))
		}
	}
	return inside
}

// realPath returns the absolute path without links, of which the last parts may not
// exist yet.
func realPath(path string) string {
	path = absolute([]string{path})[0]
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(realPath(dir), filepath.Base(path))
	}
	return path
}

func pushed(d output.Delivered) string {
	if d.Moved == 0 {
		return fmt.Sprintf("pushed nothing: %s has it all", d.Reference)
	}
	return fmt.Sprintf("pushed %s in %s to %s (%d mounted, %d already there)", inBytes(d.Bytes), count(d.Moved, "blob"), d.Reference, d.Mounted, d.Present)
}

func written(d output.Delivered) string {
	if d.Moved == 0 {
		return fmt.Sprintf("wrote nothing: %s is there", d.Reference)
	}
	return fmt.Sprintf("wrote %s in %s to %s (%d already there)", inBytes(d.Bytes), count(d.Moved, "blob"), d.Reference, d.Present)
}
