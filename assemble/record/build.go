// SPDX-License-Identifier: Apache-2.0

package record

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"inlay/resolve/plan"
)

// A Build is what one command made: an image, or those of a pipeline. Where ZenML
// has such a field it has ZenML's name. No value of a variable and no URL is in
// it.
type Build struct {
	ID            string    `json:"id"` // made of all that follows
	Created       time.Time `json:"created"`
	Pipeline      string    `json:"pipeline,omitempty"` // its name
	Context       string    `json:"context"`            // the directory of the source
	Images        []Image   `json:"images"`
	IsLocal       bool      `json:"is_local"` // no image is in a registry
	ContainsCode  bool      `json:"contains_code"`
	ZenMLVersion  string    `json:"zenml_version,omitempty"`
	PythonVersion string    `json:"python_version,omitempty"`
	Checksum      string    `json:"checksum"` // of the images' keys and plans, and the code that they download
	StackChecksum string    `json:"stack_checksum,omitempty"`
	Duration      float64   `json:"duration"` // in seconds
	Inlay         string    `json:"inlay"`    // the version of the program
}

// An Image is one that a build made.
type Image struct {
	Keys                 []string    `json:"keys"` // "orchestrator", "train.orchestrator"
	Steps                []string    `json:"steps,omitempty"`
	Image                string      `json:"image"`      // by digest, in the first place that it went to
	References           []string    `json:"references"` // by digest, in all of them
	Digest               string      `json:"digest"`
	Plan                 string      `json:"plan"` // the plan's digest; "" of a parent as it is, of which no more is known than Image
	Platform             string      `json:"platform"`
	Index                string      `json:"index,omitempty"` // by digest, that lists it beside those for other platforms, in the first place that it went to
	Parent               plan.Parent `json:"parent"`
	ContainsCode         bool        `json:"contains_code"`
	RequiresCodeDownload bool        `json:"requires_code_download"`
	Code                 *Code       `json:"code,omitempty"`         // what containers download
	Requirements         []string    `json:"requirements,omitempty"` // without credentials
	Layers               []Layer     `json:"layers"`                 // those on top of the parent, lowest first
	Wheels               []File      `json:"wheels,omitempty"`
	Debs                 []File      `json:"debs,omitempty"`
}

// Built is false of an image that is a parent as it is: skip_build.
func (im Image) Built() bool { return im.Plan != "" }

// A Code is the source that an image doesn't hold.
type Code struct {
	Location     string `json:"location"` // what containers are told
	Repository   string `json:"repository,omitempty"`
	Commit       string `json:"commit,omitempty"`
	Subdirectory string `json:"subdirectory,omitempty"`
}

// A Layer is one that a build put on top of the parent.
type Layer struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// Asked is what the command that made the layer asked of the network:
	// "host.example:443 (CONNECT, 2×, 9 kB)".
	Asked []string `json:"asked,omitempty"`
}

// A File is a package that is in an image.
type File struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Digest  string  `json:"digest"`
	Source  *Source `json:"source,omitempty"` // of a wheel that was built
}

// A Source is what a wheel was built of.
type Source struct {
	File    string `json:"file"`
	Digest  string `json:"digest"`
	Command string `json:"command"`
	Asked   string `json:"asked,omitempty"` // of the network, by the build
}

// BuildValues keeps records by name; *disk.Values is one. A value appears whole,
// so builds may be saved at the same time.
type BuildValues interface {
	Values
	Use(name string) bool // whether there is one, which counts as use
	List() ([]string, error)
	Delete(name string) error
}

// Builds keeps the records of builds.
type Builds struct{ Values BuildValues }

// What the names of values begin with: a build, the last image of a plan, and the
// last of those that are in a registry.
const (
	buildPrefix  = "build-"
	madePrefix   = "made-"
	pushedPrefix = "pushed-"
)

// A Made is the last image of a plan.
type Made struct {
	Build      string   `json:"build"` // its ID
	Digest     string   `json:"digest"`
	References []string `json:"references"` // where it is, by digest
	// Of the build, and whether a later one is the same.
	Checksum string `json:"checksum"`
	Context  string `json:"context"`
}

// Complete returns b with what is made of the rest: the checksum and the ID.
func (b Build) Complete() (Build, error) {
	return b.summed().identified()
}

// identified returns b, which is summed, with its ID.
func (b Build) identified() (Build, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return b, fmt.Errorf("recording the build: %w", err)
	}
	id := sha256.Sum256(text)
	b.ID = hex.EncodeToString(id[:6])
	return b, nil
}

// summed returns b with what is made of its images, and no ID.
func (b Build) summed() Build {
	sum := sha256.New()
	b.IsLocal, b.ContainsCode = true, false
	for _, im := range b.Images {
		fmt.Fprintf(sum, "%q %s\n", im.Keys, im.Plan)
		if !im.Built() {
			fmt.Fprintf(sum, "%q\n", im.Image)
		}
		if im.Code != nil {
			fmt.Fprintf(sum, "%q\n", im.Code.Location)
		}
		b.ContainsCode = b.ContainsCode || im.ContainsCode
		b.IsLocal = b.IsLocal && !slices.ContainsFunc(im.References, Remote)
	}
	b.Checksum, b.ID = hex.EncodeToString(sum.Sum(nil)), ""
	return b
}

// Remote reports whether a reference names an image of a registry.
func Remote(reference string) bool {
	name, _, byDigest := strings.Cut(reference, "@")
	return byDigest && strings.Contains(name, "/") && !strings.HasPrefix(name, "oci:") && !strings.Contains(name, "-archive:")
}

// same reports whether the last build of b's images is b again: it made them of
// the same plans, and they are in the same places.
func (s *Builds) same(b Build) bool {
	id := ""
	for _, im := range b.Images {
		if !im.Built() {
			continue
		}
		m, ok, err := s.Made(im.Plan)
		if err != nil || !ok || m.Digest != im.Digest || id != "" && m.Build != id || !slices.Equal(m.References, im.References) {
			return false
		}
		if m.Checksum != b.Checksum || m.Context != b.Context || slices.ContainsFunc(im.References, Remote) && !s.Values.Use(pushedPrefix+im.Plan) {
			return false
		}
		id = m.Build
	}
	_, err := s.Values.Get(buildPrefix + id)
	return err == nil
}

// Save completes a build and keeps it, unless it only made again what the last
// build of these images made.
func (s *Builds) Save(b Build) error {
	b = b.summed()
	if s.same(b) {
		return nil
	}
	b, err := b.identified()
	if err != nil {
		return err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("recording the build: %w", err)
	}
	if err := s.Values.Put(buildPrefix+b.ID, text); err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the ID, which nobody knows yet
		}
		return fmt.Errorf("recording the build: %w", err)
	}
	for _, im := range b.Images {
		if err := s.note(b, im); err != nil {
			return fmt.Errorf("recording the build: %w", err)
		}
	}
	return nil
}

// note keeps what was made of the plan of an image of a build.
func (s *Builds) note(b Build, im Image) error {
	if !im.Built() {
		return nil
	}
	made, err := json.Marshal(Made{Build: b.ID, Digest: im.Digest, References: im.References, Checksum: b.Checksum, Context: b.Context})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(im.References, Remote) {
		if err := s.Values.Put(pushedPrefix+im.Plan, made); err != nil {
			return err
		}
	}
	return s.Values.Put(madePrefix+im.Plan, made)
}

// Made returns the last image that was made of the plan of that digest, and
// whether there is one.
func (s *Builds) Made(plan string) (m Made, ok bool, err error) { return s.last(madePrefix, plan) }

// Pushed returns the last of them that went to a registry, whatever was made of
// the plan since.
func (s *Builds) Pushed(plan string) (m Made, ok bool, err error) { return s.last(pushedPrefix, plan) }

func (s *Builds) last(prefix, plan string) (m Made, ok bool, err error) {
	b, err := s.Values.Get(prefix + plan)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("looking for an earlier build: %w", err)
	}
	return m, json.Unmarshal(b, &m) == nil, nil
}

// List returns all builds, the newest first. What can't be read is left out: an
// older program wrote it.
func (s *Builds) List() ([]Build, error) {
	names, err := s.Values.List()
	if err != nil {
		return nil, err
	}
	var all []Build
	for _, name := range names {
		if !strings.HasPrefix(name, buildPrefix) {
			continue
		}
		b, err := s.Values.Get(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading the record of a build: %w", err)
		}
		var one Build
		if json.Unmarshal(b, &one) == nil && one.ID != "" {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Build) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// Find returns the build of an ID, or of the beginning of one. The error is a
// *BuildError if that is none or several.
func (s *Builds) Find(id string) (Build, error) {
	all, err := s.List()
	if err != nil {
		return Build{}, err
	}
	var found []Build
	for _, b := range all {
		if strings.HasPrefix(b.ID, id) {
			found = append(found, b)
		}
	}
	if len(found) != 1 || id == "" {
		return Build{}, &BuildError{ID: id, Count: len(found)}
	}
	return found[0], nil
}

// Delete removes the record of a build. The images stay where they are.
func (s *Builds) Delete(b Build) error {
	for _, im := range b.Images {
		for _, prefix := range []string{madePrefix, pushedPrefix} {
			if m, ok, err := s.last(prefix, im.Plan); err == nil && ok && m.Build == b.ID {
				if err := s.Values.Delete(prefix + im.Plan); err != nil {
					return fmt.Errorf("deleting the record of a build: %w", err)
				}
			}
		}
	}
	if err := s.Values.Delete(buildPrefix + b.ID); err != nil {
		return fmt.Errorf("deleting the record of a build: %w", err)
	}
	return nil
}

// A BuildError reports an ID that names no build, or several.
type BuildError struct {
	ID    string
	Count int
}

func (e *BuildError) Error() string {
	if e.Count == 0 {
		return fmt.Sprintf("there is no build %q", e.ID)
	}
	return fmt.Sprintf("%d builds begin with %q", e.Count, e.ID)
}

// Hint says where IDs are.
func (e *BuildError) Hint() string { return "see `inlay builds list`" }

// maxBuild bounds a build that is read from a file.
const maxBuild = 16 << 20

// Read reads a build that was written down as JSON.
func Read(r io.Reader) (Build, error) {
	d := json.NewDecoder(io.LimitReader(r, maxBuild))
	d.DisallowUnknownFields()
	var b Build
	if err := d.Decode(&b); err != nil {
		return b, fmt.Errorf("reading a build: %w", err)
	}
	if len(b.Images) == 0 {
		return b, errors.New("reading a build: it has no images")
	}
	for _, im := range b.Images {
		if len(im.Keys) == 0 || im.Built() && im.Digest == "" {
			return b, errors.New("reading a build: an image has no key or no digest")
		}
	}
	return b, nil
}

// Image returns the image that a build has for a platform and one of the keys,
// else for the pipeline as a whole: "orchestrator" for "train.orchestrator". For a
// parent as it is, it has none.
func (b Build) Image(platform string, keys ...string) (Image, bool) {
	for _, key := range keys {
		general := key[strings.LastIndexByte(key, '.')+1:]
		for _, k := range []string{key, general} {
			i := slices.IndexFunc(b.Images, func(im Image) bool {
				return k != "" && slices.Contains(im.Keys, k) && (im.Platform == platform || !im.Built())
			})
			if i >= 0 {
				return b.Images[i], b.Images[i].Built()
			}
		}
	}
	return Image{}, false
}
