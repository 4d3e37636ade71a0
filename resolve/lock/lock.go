// SPDX-License-Identifier: Apache-2.0

// Package lock is the form of a lock file: what the names of a build stood for
// when somebody wrote it down, for each platform. A file is read strictly, and
// a mistake in it is told with its line; equal contents are written as equal
// bytes. No credential and no query of a URL is in it.
package lock

import (
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Version is that of the form.
const Version = 1

// DefaultName is what the file is called, in the directory of the source.
const DefaultName = "inlay.lock"

// A File is a lock file.
type File struct {
	Version int     `yaml:"version"`
	Images  []Image `yaml:"images"` // sorted by step and platform, one for each of both
}

// An Image is what was asked for one platform, and what it stood for.
type Image struct {
	Step        string    `yaml:"step,omitempty"` // of the pipeline whose image it is; "" for the pipeline's own
	Platform    string    `yaml:"platform"`       // "linux/amd64"
	Parent      Parent    `yaml:"parent"`
	Dockerfile  string    `yaml:"dockerfile,omitempty"`  // digest of what makes an image of the parent: "" is nothing
	Interpreter string    `yaml:"interpreter,omitempty"` // that the settings name
	Installer   string    `yaml:"installer,omitempty"`   // if it isn't uv
	Arguments   []string  `yaml:"arguments,omitempty"`   // of the settings for it, as far as they decide
	Packages    *Packages `yaml:"packages,omitempty"`    // nil without Debian packages
	Groups      []Group   `yaml:"groups,omitempty"`
	Python      *Python   `yaml:"python,omitempty"` // nil without requirements
	Removed     []Dist    `yaml:"removed,omitempty"`
	Wheels      []Wheel   `yaml:"wheels,omitempty"` // sorted by name
	Broken      []string  `yaml:"broken,omitempty"` // what doesn't hold any more, in the words of `pip check`
}

// A Parent is an image by its name and by its digest.
type Parent struct {
	Image  string `yaml:"image"`  // as the settings name it
	Digest string `yaml:"digest"` // of the manifest for the platform
	// Packages are those that it is made of, if it is made of packages alone.
	Packages *Packages `yaml:"packages,omitempty"`
}

// A Group is a list of requirements that are installed together.
type Group struct {
	Name         string   `yaml:"name"`
	Requirements []string `yaml:"requirements"`
	Constraints  []string `yaml:"constraints,omitempty"`
}

// Python is what requirements were resolved with and for.
type Python struct {
	Version   string   `yaml:"version"`
	Installer string   `yaml:"installer"`
	Indexes   []string `yaml:"indexes,omitempty"` // without credentials; for people
}

// A Dist is a distribution of the parent that is removed.
type Dist struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
	Path    string `yaml:"path"`
}

// A Wheel is a file to install: of the web, of this machine, or built of sources.
type Wheel struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
	File    string `yaml:"file"`
	URL     string `yaml:"url,omitempty"`
	Path    string `yaml:"path,omitempty"` // from the directory of the lock file, with slashes
	SHA256  string `yaml:"sha256"`
	Size    int64  `yaml:"size,omitempty"`
	// Source is what the wheel was built of, which another machine builds again.
	Source *Sdist `yaml:"source,omitempty"`
}

// An Sdist is the archive of sources that a wheel is built of: of the web, of this
// machine, or made of a directory or of a commit.
type Sdist struct {
	File   string `yaml:"file"`
	URL    string `yaml:"url,omitempty"`
	Path   string `yaml:"path,omitempty"` // from the directory of the lock file, with slashes
	SHA256 string `yaml:"sha256"`
}

// Image returns what f has for a step's image, "" for the pipeline's own, and a
// platform, or nil.
func (f *File) Image(step, platform string) *Image {
	for i := range f.Images {
		if f.Images[i].Step == step && f.Images[i].Platform == platform {
			return &f.Images[i]
		}
	}
	return nil
}

// With returns f with im in place of what it has for that step and platform. f
// may be nil.
func (f *File) With(im Image) *File {
	out := &File{Version: Version, Images: []Image{im}}
	if f != nil {
		for _, other := range f.Images {
			if other.Step != im.Step || other.Platform != im.Platform {
				out.Images = append(out.Images, other)
			}
		}
	}
	slices.SortFunc(out.Images, func(a, b Image) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Platform, b.Platform))
	})
	return out
}

// Of returns f with the images of these steps alone, nil if it has none of
// them. f may be nil.
func (f *File) Of(steps []string) *File {
	if f == nil {
		return nil
	}
	out := &File{Version: Version}
	for _, im := range f.Images {
		if slices.Contains(steps, im.Step) {
			out.Images = append(out.Images, im)
		}
	}
	if len(out.Images) == 0 {
		return nil
	}
	return out
}

const header = "# What the names of this build stand for. Written by `inlay lock`, read by `inlay build` and `inlay plan`:\n" +
	"# keep it with the source, and let `inlay lock --refresh` renew it.\n"

// Encode returns the bytes of f.
func (f *File) Encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(header)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(f); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// Public returns a URL without what may be secret in it: credentials, query
// and fragment.
func Public(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// Changes says in what im was asked for otherwise than now, in words; nil if it
// answers the same question.
func (im *Image) Changes(now *Image) []string {
	var out []string
	if im.Parent.Image != now.Parent.Image {
		out = append(out, fmt.Sprintf("the parent image was %s and is %s", im.Parent.Image, now.Parent.Image))
	}
	if im.Dockerfile != now.Dockerfile {
		out = append(out, "the Dockerfile changed, its target or its arguments")
	}
	if im.Interpreter != now.Interpreter {
		out = append(out, fmt.Sprintf("`python` was %q and is %q", im.Interpreter, now.Interpreter))
	}
	if was, is := cmp.Or(im.Installer, "uv"), cmp.Or(now.Installer, "uv"); was != is {
		out = append(out, fmt.Sprintf("the installer was %s and is %s", was, is))
	}
	out = append(out, listChanges("argument ", im.Arguments, now.Arguments)...)
	out = append(out, im.Packages.changes(now.Packages)...)
	return append(out, groupChanges(im.Groups, now.Groups)...)
}

func groupChanges(old, now []Group) []string {
	if slices.EqualFunc(old, now, sameGroup) {
		return nil
	}
	var out []string
	for _, g := range now {
		was := named(old, g.Name)
		out = append(out, listChanges(g.Name+": ", was.Requirements, g.Requirements)...)
		out = append(out, listChanges(g.Name+": constraint ", was.Constraints, g.Constraints)...)
	}
	for _, g := range old {
		if named(now, g.Name).Name == "" {
			out = append(out, listChanges(g.Name+": ", g.Requirements, nil)...)
		}
	}
	if len(out) == 0 {
		out = []string{"the order of the requirements"}
	}
	return out
}

func sameGroup(a, b Group) bool {
	return a.Name == b.Name && slices.Equal(a.Requirements, b.Requirements) && slices.Equal(a.Constraints, b.Constraints)
}

func named(gs []Group, name string) Group {
	for _, g := range gs {
		if g.Name == name {
			return g
		}
	}
	return Group{}
}

func listChanges(what string, old, now []string) (out []string) {
	for _, l := range now {
		if !slices.Contains(old, l) {
			out = append(out, what+l+" added")
		}
	}
	for _, l := range old {
		if !slices.Contains(now, l) {
			out = append(out, what+l+" removed")
		}
	}
	return out
}

// A StaleError reports a lock file that isn't one of what is to be built.
type StaleError struct {
	File    string
	Changes []string
	Fix     string // the command that helps; "" is `inlay lock`
}

// shown is how many changes an error lists.
const shown = 4

func (e *StaleError) Error() string {
	changes := e.Changes
	if len(changes) > shown {
		changes = append(slices.Clone(changes[:shown-1]), fmt.Sprintf("and %d more", len(changes)-shown+1))
	}
	return fmt.Sprintf("%s doesn't fit: %s", e.File, strings.Join(changes, "; "))
}

// Hint says how to get one that fits.
func (e *StaleError) Hint() string {
	return "run `" + cmp.Or(e.Fix, "inlay lock") + "` with the same settings, which writes it anew"
}
