// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"inlay/cache/registry"
	"inlay/resolve/index"
	"inlay/resolve/lock"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/reqfile"
	"inlay/resolve/source"
)

// A Lock says what a build knows of its lock file.
type Lock struct {
	File  *lock.File // nil: there is none
	Name  string     // of the file, for messages
	Dir   string     // where it is, absolute: paths in it start there
	Step  string     // of the pipeline whose image is built; "" for the pipeline's own
	Renew bool       // what doesn't fit is resolved anew, and no error
}

// question returns what the lock file must be an answer to.
func question(req Request, from parentName, groups []python.Group) *lock.Image {
	im := &lock.Image{Step: req.Lock.Step, Parent: lock.Parent{Image: from.name}, Interpreter: req.Settings.Python, Arguments: req.decisive(), Packages: packageQuestion(req.Settings.Apt)}
	if req.Settings.Installer != "uv" {
		im.Installer = req.Settings.Installer
	}
	for _, g := range groups {
		for _, o := range python.Decisive(g) {
			im.Arguments = append(im.Arguments, o+" in "+strings.ReplaceAll(g.Name, req.Lock.Dir+string(filepath.Separator), ""))
		}
		im.Groups = append(im.Groups, lock.Group{
			Name:         strings.ReplaceAll(g.Name, req.Lock.Dir+string(filepath.Separator), ""),
			Requirements: req.Lock.lines(g, g.Lines),
			Constraints:  req.Lock.lines(g, g.Constraints),
		})
	}
	return im
}

// lines returns lines as they are locked: without secrets, and without the path
// of this machine.
func (l Lock) lines(g python.Group, lines []python.Line) []string {
	var out []string
	for _, line := range lines {
		switch {
		case line.Path() != "":
			out = append(out, strings.Replace(line.Text, line.URL, l.relative(line.Path()), 1))
		case line.URL != "":
			out = append(out, g.Redact(line.Text))
		default:
			out = append(out, line.Text)
		}
	}
	return out
}

func (l Lock) relative(file string) string {
	if rel, err := filepath.Rel(l.Dir, file); err == nil {
		file = rel
	}
	return filepath.ToSlash(file)
}

// answer returns what the lock file says of now, nil if nothing, and the digest
// to which it pins the parent, if it does. A file that doesn't fit is a
// *lock.StaleError.
func answer(ctx context.Context, req Request, from parentName, groups []python.Group, now *lock.Image) (im *lock.Image, pin string, err error) {
	l := req.Lock
	if l.File == nil || req.Refresh {
		return nil, "", nil
	}
	im, err = l.image(req, from)
	if err != nil || im == nil {
		return nil, "", err
	}
	changes := im.Changes(now)
	if len(changes) == 0 {
		changes, err = l.wheelChanges(im, groups)
		if err == nil && len(changes) == 0 {
			changes, err = l.sourceChanges(ctx, req.Python, im, groups)
		}
	}
	switch {
	case err != nil:
		return nil, "", err
	case len(changes) == 0:
		return im, im.Parent.Digest, nil
	case !l.Renew:
		return nil, "", &lock.StaleError{File: l.Name, Changes: changes}
	case im.Parent.Image == now.Parent.Image:
		return nil, im.Parent.Digest, nil
	default:
		return nil, "", nil
	}
}

// isGone reports whether err says that there is no such image.
func isGone(err error) bool {
	var reference *source.ReferenceError
	var notFound *registry.NotFoundError
	return errors.As(err, &reference) || errors.As(err, &notFound)
}

// gone is the error that there is no such parent any more.
func (l Lock) gone(ref source.Reference) error {
	return &lock.StaleError{File: l.Name, Changes: []string{"there is no parent image " + ref.String() + " any more"}, Fix: "inlay lock --refresh"}
}

// image returns what the file has for the platform of the build. Where nothing
// names one, it is that of the only image with this parent, or this machine's.
func (l Lock) image(req Request, from parentName) (*lock.Image, error) {
	platform := from.platform
	if platform == "" {
		platform = l.platform(req, from)
	}
	platform, err := source.Platform(platform)
	if err != nil {
		return nil, err
	}
	im := l.File.Image(l.Step, platform)
	if im != nil || l.Renew {
		return im, nil
	}
	stale := &lock.StaleError{File: l.Name, Changes: []string{"it has nothing for " + platform}, Fix: "inlay lock --platform " + platform}
	if l.Step != "" {
		stale.Changes, stale.Fix = []string{fmt.Sprintf("it has nothing for the step %s on %s", l.Step, platform)}, ""
	}
	return nil, stale
}

// platform returns the platform of a parent of which nothing names one.
func (l Lock) platform(req Request, from parentName) string {
	var own, of []lock.Image
	for _, im := range l.File.Images {
		if im.Step == l.Step {
			own = append(own, im)
			if im.Parent.Image == from.name {
				of = append(of, im)
			}
		}
	}
	switch {
	case len(of) == 1:
		return of[0].Platform
	case len(of) == 0 && len(own) == 1:
		return own[0].Platform // it tells what changed
	default:
		return req.Platform
	}
}

// wheelChanges says which wheels of this machine are other files than when they
// were locked, and which URLs name another one by way of a variable.
func (l Lock) wheelChanges(im *lock.Image, groups []python.Group) (changes []string, err error) {
	for _, w := range im.Wheels {
		if w.Source != nil {
			continue
		}
		if w.Path == "" {
			if names := filesOf(groups, w.Name); len(names) > 0 && !slices.Contains(names, w.File) {
				changes = append(changes, fmt.Sprintf("the URL of %s names another file than %s", w.Name, w.File))
			}
			continue
		}
		sum, err := sumOf(l.absolute(w.Path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			changes = append(changes, "there is no file "+w.Path)
		case err != nil:
			return nil, fmt.Errorf("reading a wheel that %s names: %w", l.Name, err)
		case sum != w.SHA256:
			changes = append(changes, w.Path+" is another file")
		}
	}
	return changes, nil
}

// sourceChanges says which sources of this machine are others than when what was
// built of them was locked.
func (l Lock) sourceChanges(ctx context.Context, r Python, im *lock.Image, groups []python.Group) (changes []string, err error) {
	var now map[string]string
	for _, w := range im.Wheels {
		if w.Source == nil || w.Source.Path == "" {
			continue
		}
		if now == nil {
			if now, err = r.Sources(ctx, groups); err != nil {
				return nil, err
			}
		}
		digest, ok := now[l.url(w.Source.Path)]
		if !ok { // of a directory of wheels and sources
			digest, err = l.digest(w.Source.Path)
		}
		if err != nil {
			return nil, err
		}
		if digest != "sha256:"+w.Source.SHA256 {
			changes = append(changes, "the sources of "+w.Name+" in "+w.Source.Path+" are others")
		}
	}
	return changes, nil
}

// digest returns the digest of a file that the lock file names, and no digest's
// if it isn't there.
func (l Lock) digest(file string) (string, error) {
	sum, err := sumOf(l.absolute(file))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return "sha256:" + sum, err
}

// url returns the URL of a file or a directory that the lock file names.
func (l Lock) url(file string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(l.absolute(file))}).String()
}

func (l Lock) absolute(file string) string {
	file = filepath.FromSlash(file)
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(l.Dir, file)
}

func sumOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// resolution returns what im says of the requirements, nil without im.
func (l Lock) resolution(im *lock.Image, set *index.Set, inv *parent.Inventory, groups []python.Group) (*python.Resolution, error) {
	if im == nil {
		return nil, nil
	}
	r := &python.Resolution{Broken: im.Broken, Installer: im.Installer}
	for _, w := range im.Wheels {
		wheel := plan.Wheel{Name: w.Name, Version: w.Version, File: w.File, Digest: "sha256:" + w.SHA256, Size: w.Size}
		switch s := w.Source; {
		case s != nil:
			wheel.Source = plan.Source{File: s.File, URL: restored(s.URL, set.WithFiles(), groups), Digest: "sha256:" + s.SHA256}
			if s.Path != "" {
				wheel.Source.URL = l.url(s.Path)
			}
		case w.Path != "":
			wheel.URL = l.url(w.Path)
		default:
			wheel.URL = restored(w.URL, set.WithFiles(), groups)
		}
		r.Wheels = append(r.Wheels, wheel)
	}
	for _, d := range im.Removed {
		dist := parent.Dist{Name: d.Name, Version: d.Version, Path: d.Path}
		if !slices.Contains(inv.Python.Dists, dist) {
			return nil, &lock.StaleError{File: l.Name, Changes: []string{fmt.Sprintf("the parent image has no %s %s to remove", d.Name, d.Version)}}
		}
		r.Remove = append(r.Remove, dist)
	}
	return r, nil
}

// filesOf returns the names of the files that URLs give for a distribution.
func filesOf(groups []python.Group, name string) (names []string) {
	for _, g := range groups {
		for _, l := range slices.Concat(g.Lines, g.Constraints) {
			if u, err := url.Parse(l.URL); err == nil && l.URL != "" && l.Name == name {
				names = append(names, path.Base(u.Path))
			}
		}
	}
	return names
}

// public returns a wheel's URL as it is locked.
func public(raw string, groups []python.Group) string {
	var secrets []string
	for _, g := range groups {
		secrets = append(secrets, g.Secrets...)
	}
	return reqfile.Hide(lock.Public(raw), secrets)
}

// restored returns a locked URL with what of its query may stand in a plan,
// where a requirement says it; set learns what may not.
func restored(locked string, set *index.Set, groups []python.Group) string {
	for _, g := range groups {
		for _, l := range slices.Concat(g.Lines, g.Constraints) {
			if l.URL != "" && public(l.URL, groups) == locked {
				return set.Public(l.URL)
			}
		}
	}
	return locked
}

// locked returns now with the answer that r is.
func locked(req Request, r *Result, now *lock.Image, groups []python.Group) *lock.Image {
	now.Platform, now.Parent.Digest = r.Plan.Platform, r.Under.Digest
	if p, err := source.Platform(now.Platform); err == nil {
		now.Platform = p
	}
	now.Parent.Packages = lockRoot(req, r)
	lockPackages(now.Packages, r.Packages)
	if r.Resolution == nil {
		return now
	}
	now.Python = &lock.Python{Version: r.Base.Python.Version, Installer: cmp.Or(req.Settings.Installer, "uv")}
	for _, x := range req.Index.Indexes() {
		now.Python.Indexes = append(now.Python.Indexes, lock.Public(x.URL))
	}
	now.Broken = r.Resolution.Broken
	for _, d := range r.Resolution.Remove {
		now.Removed = append(now.Removed, lock.Dist{Name: d.Name, Version: d.Version, Path: d.Path})
	}
	for _, w := range r.Resolution.Wheels {
		lw := lock.Wheel{Name: w.Name, Version: w.Version, File: w.File, SHA256: strings.TrimPrefix(w.Digest, "sha256:"), Size: w.Size}
		switch file := (reqfile.Line{URL: w.URL}).Path(); {
		case w.Source != plan.Source{}:
			lw.Source = req.Lock.source(w.Source, groups)
		case file != "":
			lw.Path = req.Lock.relative(file)
		default:
			lw.URL = public(w.URL, groups)
		}
		now.Wheels = append(now.Wheels, lw)
	}
	return now
}

// source returns what a wheel was built of as it is locked.
func (l Lock) source(s plan.Source, groups []python.Group) *lock.Sdist {
	x := &lock.Sdist{File: s.File, SHA256: strings.TrimPrefix(s.Digest, "sha256:")}
	switch file := (reqfile.Line{URL: s.URL}).Path(); {
	case file != "":
		x.Path = l.relative(file)
	case strings.HasPrefix(s.URL, "git+"):
		x.URL = s.URL // with the directory in it, and without credentials
	default:
		x.URL = public(s.URL, groups)
	}
	return x
}
