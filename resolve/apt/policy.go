// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"net/url"
	"path"
	"regexp"
	"strings"

	"inlay/layers/version"
	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/setup"
)

// Priorities that apt gives versions without pins (apt_preferences(5)).
const (
	priorityDefault   = 990  // of the default release
	priorityArchive   = 500  // of an archive
	priorityUpgrades  = 100  // of one from which only upgrades come, and of what is installed
	priorityManual    = 1    // of one from which nothing comes by itself
	priorityDowngrade = 1000 // at least this, to go below what is installed
	priorityGone      = -1   // of what was removed, but is known of
)

// A policy gives versions their priorities.
type policy struct {
	pins      []setup.Pin
	byDefault string // release
	general   map[*archive.Index]int
}

func newPolicy(s *setup.Setup) *policy {
	return &policy{pins: s.Pins, byDefault: s.Conf.Get("APT::Default-Release"), general: map[*archive.Index]int{}}
}

// choose sets the candidates of all packages.
func (p *policy) choose(u *universe) {
	for _, pkg := range u.byID {
		for _, v := range pkg.versions {
			v.pin = p.priority(v)
		}
	}
	p.special(u)
	for _, pkg := range u.byID {
		pkg.candidate = candidate(pkg)
	}
}

// candidate returns the version of the highest priority, of several the newest.
func candidate(p *pkg) *ver {
	best, most := (*ver)(nil), priorityGone
	for _, v := range p.versions {
		if v.pin == 0 || v.pin <= most {
			continue
		}
		if p.current != nil && v.pin < priorityDowngrade && version.Compare(v.version, p.current.version) < 0 {
			continue
		}
		best, most = v, v.pin
	}
	return best
}

// priority returns the highest priority of the indexes that v is in.
func (p *policy) priority(v *ver) int {
	most := -1 << 16
	for _, x := range v.indexes {
		n := priorityGone
		if x != nil || v.isInstalled() {
			n = p.ofIndex(x)
		}
		most = max(most, n)
	}
	return most
}

// ofIndex returns the priority of an index, or with nil of the status file: the
// first pin for all packages counts.
func (p *policy) ofIndex(x *archive.Index) int {
	if n, ok := p.general[x]; ok {
		return n
	}
	n := p.count(x)
	p.general[x] = n
	return n
}

func (p *policy) count(x *archive.Index) int {
	for _, pin := range p.pins {
		if pin.General() && pin.Kind != setup.PinVersion && matchesIndex(&pin, x) {
			return pin.Priority
		}
	}
	switch {
	case p.byDefault != "" && matchesRelease(p.byDefault, x):
		return priorityDefault
	case x == nil:
		return priorityUpgrades
	case x.Release.NotAutomatic && x.Release.ButAutomaticUpgrades:
		return priorityUpgrades
	case x.Release.NotAutomatic:
		return priorityManual
	default:
		return priorityArchive
	}
}

// special applies the pins for some packages: of those that fit a version the
// first counts.
func (p *policy) special(u *universe) {
	done := map[*ver]bool{}
	for _, pin := range p.pins {
		if pin.General() && pin.Kind != setup.PinVersion {
			continue
		}
		for _, pkg := range u.byID {
			for _, v := range pkg.versions {
				if !done[v] && fits(&pin, v) {
					v.pin, done[v] = pin.Priority, true
				}
			}
		}
	}
}

// fits reports whether a pin is about v.
func fits(pin *setup.Pin, v *ver) bool {
	named := false
	for _, pattern := range pin.Packages {
		name := v.pkg.name
		if source, ok := strings.CutPrefix(pattern, "src:"); ok {
			pattern = source
			name, _ = v.source()
		}
		if matches(pattern, name) {
			named = true
			break
		}
	}
	if !named {
		return false
	}
	if pin.Kind == setup.PinVersion {
		return matches(pin.Match, v.version)
	}
	for _, x := range v.indexes {
		if matchesIndex(pin, x) {
			return true
		}
	}
	return false
}

func matchesIndex(pin *setup.Pin, x *archive.Index) bool {
	if pin.Kind == setup.PinOrigin {
		want := strings.Trim(pin.Match, `"`)
		if x == nil {
			return false
		}
		u, err := url.Parse(x.Source.URL)
		return err == nil && (want == u.Hostname() || want != "" && matches(want, u.Hostname()))
	}
	return matchesRelease(pin.Match, x)
}

// matchesRelease reports whether a release is what a list such as "a=stable,
// c=main" describes, or the name of a release alone.
func matchesRelease(want string, x *archive.Index) bool {
	release, component, arch := &archive.Release{Suite: "now"}, "", ""
	if x != nil {
		release, component = x.Release, x.Component
	}
	if !strings.Contains(want, "=") {
		if want != "" && want[0] >= '0' && want[0] <= '9' {
			return strings.HasPrefix(release.Version, want)
		}
		return want == "*" || matches(want, release.Suite) || matches(want, release.Codename)
	}
	has := map[string]string{
		"a": release.Suite, "n": release.Codename, "v": release.Version, "o": release.Origin, "l": release.Label,
		"c": component, "b": arch,
	}
	for _, term := range strings.Split(want, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(term), "=")
		got, known := has[key]
		if !known || key == "b" {
			continue
		}
		if !matches(value, got) {
			return false
		}
	}
	return true
}

// matches compares a name with a pattern: a regular expression between slashes,
// or one with *, ? and [.
func matches(pattern, name string) bool {
	if len(pattern) > 1 && pattern[0] == '/' && strings.HasSuffix(pattern, "/") {
		re, err := regexp.Compile("(?i)" + pattern[1:len(pattern)-1])
		return err == nil && re.MatchString(name)
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return pattern == name
	}
	// In a version and a name there may be slashes, which path.Match keeps apart.
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00"))
	return err == nil && ok
}
