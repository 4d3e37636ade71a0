// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// A MirrorError reports a mirror that can't take the place of an archive.
type MirrorError struct {
	Mirror  string // without user and password
	Problem string
}

func (e *MirrorError) Error() string { return fmt.Sprintf("the apt mirror %s %s", e.Mirror, e.Problem) }

// Hint says what a mirror is.
func (e *MirrorError) Hint() string {
	return "give the URL of an archive's root, the directory that holds `dists`, with --apt-mirror URL"
}

// Redirect returns sources with a mirror in the place of the archive of the
// first. Archives whose last directory begins like that of the first, such as
// "…/debian-security" and "…/debian", move along: to what the mirror has beside
// it. Other archives stay where they are.
func Redirect(sources []Source, mirror string) ([]Source, error) {
	m, err := url.Parse(mirror)
	if err != nil {
		return nil, &MirrorError{"that was given", "is no URL"}
	}
	shown := (&url.URL{Scheme: m.Scheme, Host: m.Host, Path: m.Path}).String()
	if m.Scheme != "http" && m.Scheme != "https" && m.Scheme != "file" {
		return nil, &MirrorError{shown, "is no http, https or file URL"}
	}
	if len(sources) == 0 {
		return nil, &MirrorError{shown, "has nothing to take the place of: the parent has no sources"}
	}
	first := lastDir(sources[0].URL)
	moved := slices.Clone(sources)
	for i := range moved {
		if suffix, ok := strings.CutPrefix(lastDir(moved[i].URL), first); ok {
			moved[i].URL = strings.TrimSuffix(mirror, "/") + suffix + "/"
		}
	}
	return moved, nil
}

// lastDir returns the last directory of the path of a URL.
func lastDir(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return path.Base(u.Path)
}
