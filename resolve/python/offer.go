// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// offered are the wheels that a session can choose and no index has.
type offered struct {
	dir    string                // holds them
	wheels map[string]plan.Wheel // by file name
	hashes bool                  // the installer wants those of files in a directory
}

// add lays a wheel beside the others, and returns its path.
func (o *offered) add(w plan.Wheel, f *os.File) (string, error) {
	name := filepath.Join(o.dir, w.File)
	if o.wheels[w.File] == w {
		return name, nil
	}
	if o.wheels == nil {
		o.wheels = map[string]plan.Wheel{}
		if err := os.Mkdir(o.dir, 0o700); err != nil {
			return "", err
		}
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, io.NewSectionReader(f, 0, w.Size))
	o.wheels[w.File] = w
	return name, errors.Join(err, out.Close())
}

// arguments tell an installer where they are.
func (o *offered) arguments() []string {
	if len(o.wheels) == 0 {
		return nil
	}
	return []string{"--find-links", o.dir}
}

// allow returns lines that allow the wheels where they allow what those were
// built of. pip wants their hashes too, uv takes none for files of a directory.
func (o *offered) allow(lines []Line) []Line {
	lines = slices.Clone(lines)
	for _, w := range o.wheels {
		for i, l := range lines {
			if l.Name == w.Name && slices.Contains(l.Hashes, w.Source.Digest) {
				lines[i].Text = requires(l)
				if o.hashes {
					lines[i].Text = l.Text + " --hash=" + w.Digest
				}
			}
		}
	}
	return lines
}

// at returns the wheel that a URL names, if it is one of them.
func (o *offered) at(raw string) (plan.Wheel, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "file" || path.Dir(u.Path) != filepath.ToSlash(o.dir) {
		return plan.Wheel{}, false
	}
	w, ok := o.wheels[path.Base(u.Path)]
	return w, ok
}

// takeOffered moves what was chosen of o from what c adds to d.
func (c *choice) takeOffered(d *delta, o *offered) {
	c.add = slices.DeleteFunc(c.add, func(a change) bool {
		w, ok := o.wheels[c.files[a.String()]]
		if ok = ok && w.Name == a.Name; ok {
			d.add = append(d.add, w)
		}
		return ok
	})
}

// offer lets uv choose a wheel that no index has.
func (s *session) offer(w plan.Wheel, f *os.File) (string, error) { return s.offered.add(w, f) }

// sources asks uv for the sources of what lacks a wheel, which needs no build.
func (s *session) sources(ctx context.Context, lacks *SdistError) ([]source, error) {
	found, c, err := s.localSources(ctx, lacks)
	if err != nil || len(c.add) == 0 {
		return found, err
	}
	lock, err := s.lock(ctx, c, Group{Name: "what has no wheel"}, false)
	if err != nil {
		return nil, err
	}
	for _, a := range c.add {
		i := slices.IndexFunc(lock.Packages, func(l lockedPackage) bool { return reqfile.Normalise(l.Name) == a.Name })
		if i < 0 || lock.Packages[i].Sdist.URL == "" {
			return nil, lacks
		}
		x, err := s.lockedSource(a.Package, lock.Packages[i])
		if err != nil {
			return nil, err
		}
		found = append(found, x)
	}
	return found, nil
}

// localSources finds the sources that directories of wheels have, and returns
// what else is lacking.
func (s *session) localSources(ctx context.Context, lacks *SdistError) (found []source, c *choice, err error) {
	c = &choice{}
	for _, p := range lacks.Packages {
		local, ok, err := s.links.sources(ctx, p)
		switch {
		case err != nil:
			return nil, c, err
		case ok:
			found = append(found, local)
		case p.Version == "":
			return nil, c, lacks
		default:
			c.add = append(c.add, change{Package: p, pin: p.String()})
		}
	}
	return found, c, nil
}

// lockedSource is the one that uv chose for p.
func (s *session) lockedSource(p Package, l lockedPackage) (source, error) {
	digest := ""
	if l.Sdist.Hashes.SHA256 != "" {
		digest = "sha256:" + strings.ToLower(l.Sdist.Hashes.SHA256)
	}
	x, err := s.source(p, l.Sdist.URL, digest)
	x.size = l.Sdist.Size
	return x, err
}

func (s *session) source(p Package, raw, digest string) (source, error) {
	raw, _, _ = strings.Cut(raw, "#")
	return newSource(p, s.index.Public(raw), digest)
}

// newSource describes the sources at a URL, which must have a digest.
func newSource(p Package, raw, digest string) (source, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return source{}, fmt.Errorf("the index says that the sources of %s are at %q: only http and https URLs are supported", p, reqfile.Redact(raw))
	}
	x := source{Package: p, Source: plan.Source{File: path.Base(u.Path), URL: raw, Digest: digest}}
	if !hexSHA256().MatchString(strings.TrimPrefix(digest, "sha256:")) {
		return x, &HashError{Package: p, File: x.File}
	}
	return x, nil
}
