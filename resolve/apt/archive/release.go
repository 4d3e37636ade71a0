// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"inlay/resolve/apt/deb822"
)

// A Release is what an archive says about one of its suites.
type Release struct {
	Origin, Label, Suite, Codename, Version string

	Date       time.Time
	ValidUntil time.Time // zero: for ever
	Components []string
	Arches     []string // "all" among them: it has an index for packages of every architecture

	NotAutomatic         bool // nothing of it is installed unless it is asked for
	ButAutomaticUpgrades bool // but what was, is upgraded from it
	ByHash               bool // files can be had by their digests, too

	SHA256   string // of the file, in hex
	SignedBy string // fingerprint of the key

	files map[string]listed // by path below the suite's directory
	noAll bool              // its other indexes hold what is for every architecture
}

// A listed file is a line of a release file.
type listed struct {
	sha256 string
	size   int64
}

// parseRelease reads a release file.
func parseRelease(text []byte) (*Release, error) {
	r := deb822.NewReader(bytes.NewReader(text))
	stanza, err := r.Next()
	if err == io.EOF {
		return nil, fmt.Errorf("it is empty")
	}
	if err != nil {
		return nil, err
	}
	if _, err := r.Next(); err != io.EOF {
		return nil, fmt.Errorf("it has more than one stanza")
	}
	yes := func(name string) bool { return stanza.Get(name) == "yes" }
	rel := &Release{
		Origin: stanza.Get("Origin"), Label: stanza.Get("Label"), Version: stanza.Get("Version"),
		Suite: stanza.Get("Suite"), Codename: stanza.Get("Codename"),
		Components: strings.Fields(stanza.Get("Components")), Arches: strings.Fields(stanza.Get("Architectures")),
		NotAutomatic: yes("NotAutomatic"), ButAutomaticUpgrades: yes("ButAutomaticUpgrades"), ByHash: yes("Acquire-By-Hash"),
		noAll: slices.Contains(strings.Fields(stanza.Get("No-Support-for-Architecture-all")), "Packages"),
	}
	if rel.Date, err = parseDate(stanza.Get("Date")); err != nil {
		return nil, fmt.Errorf("its Date %w", err)
	}
	if until := stanza.Get("Valid-Until"); until != "" {
		if rel.ValidUntil, err = parseDate(until); err != nil {
			return nil, fmt.Errorf("its Valid-Until %w", err)
		}
	}
	rel.files, err = parseFiles(stanza.Get("SHA256"))
	return rel, err
}

// parseDate reads a date, which archives write in UTC.
func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{"Mon, _2 Jan 2006 15:04:05 MST", "Mon, _2 Jan 2006 15:04:05 -0700"} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if zone, offset := t.Zone(); offset == 0 && slices.Contains([]string{"UTC", "GMT", "Z", ""}, zone) {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("is %q, want one such as Sat, 01 Jan 2000 00:00:00 UTC", s)
}

// parseFiles reads the field SHA256: digest, size and path, a line each.
func parseFiles(field string) (map[string]listed, error) {
	files := map[string]listed{}
	for line := range strings.Lines(field) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 || !isDigest(words[0]) {
			return nil, fmt.Errorf("its line %q is no sha256, size and path", shorten(line))
		}
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fmt.Errorf("its line %q has no size", shorten(line))
		}
		files[path.Clean(words[2])] = listed{words[0], size}
	}
	return files, nil
}

func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func shorten(s string) string {
	const most = 80
	s = strings.TrimSpace(s)
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// names reports whether a release is the suite that a source asks for.
func (r *Release) names(suite string) bool {
	if r.Suite == "" && r.Codename == "" {
		return true // it doesn't say
	}
	base, _, _ := strings.Cut(suite, "/") // "bullseye/updates" was a way to write it
	return slices.Contains([]string{r.Suite, r.Codename}, suite) || base != suite && slices.Contains([]string{r.Suite, r.Codename}, base)
}
