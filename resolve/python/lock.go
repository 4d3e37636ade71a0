// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"inlay/layers/pattern"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// A lockFile is what this program reads of a pylock.toml (PEP 751).
type lockFile struct {
	Packages []lockedPackage `toml:"packages"`
}

// A lockedPackage lists the files of a release: up to uv 0.9.15 all of them,
// since then those that fit the interpreter.
type lockedPackage struct {
	Name    string       `toml:"name"`
	Version string       `toml:"version"`
	Wheels  []lockedFile `toml:"wheels"`
	Sdist   lockedFile   `toml:"sdist"`
	Archive lockedFile   `toml:"archive"` // of a requirement that names a URL
}

type lockedFile struct {
	URL    string `toml:"url"`
	Size   int64  `toml:"size"`
	Hashes struct {
		SHA256 string `toml:"sha256"`
	} `toml:"hashes"`
}

func parseLock(b []byte) (*lockFile, error) {
	l := new(lockFile)
	if err := toml.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("reading the pylock.toml that uv writes: %w", err)
	}
	return l, nil
}

// name returns the file's name.
func (f lockedFile) name() string {
	u, err := url.Parse(f.URL)
	if err != nil {
		return ""
	}
	return path.Base(u.Path) // unescaped: a "+" may stand there as "%2B"
}

var (
	wheelName = pattern.New(`^[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-[0-9][A-Za-z0-9_.]*)?-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+\.whl$`)
	sdistName = pattern.New(`\.(?:tar\.gz|tgz|zip)$`)
	hexSHA256 = pattern.New(`^[0-9a-f]{64}$`)
)

// wheels returns the files of c, sorted by name. Packages without a wheel are a
// *SdistError that names them all.
func (l *lockFile) wheels(c *choice, g Group, tags map[string]int, target string) ([]plan.Wheel, error) {
	var wheels []plan.Wheel
	var sources []Package
	for _, a := range c.add {
		w, err := l.wheel(a, c.files[a.String()], tags)
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(w.File, ".whl") {
			sources = append(sources, Package{Name: w.Name, Version: w.Version})
			continue
		}
		if err := checkWheel(w, hashes(g, w.Name)); err != nil {
			return nil, err
		}
		wheels = append(wheels, w)
	}
	if len(sources) > 0 {
		return nil, &SdistError{Packages: sources, Target: target}
	}
	slices.SortFunc(wheels, func(a, b plan.Wheel) int { return cmp.Compare(a.Name, b.Name) })
	return wheels, nil
}

// wheel looks up the file of one package: the one that uv named, or of an
// index's files the best that fits.
func (l *lockFile) wheel(a change, chosen string, tags map[string]int) (plan.Wheel, error) {
	i := slices.IndexFunc(l.Packages, func(p lockedPackage) bool {
		return reqfile.Normalise(p.Name) == a.Name && (a.direct || p.Version == a.Version)
	})
	if i < 0 {
		return plan.Wheel{}, fmt.Errorf("uv chose %s but doesn't say where it is; the index may be changing, try again", a.Package)
	}
	p := l.Packages[i]
	f := p.Archive
	if !a.direct {
		f = p.file(chosen, tags)
	}
	if f.URL == "" {
		return plan.Wheel{}, fmt.Errorf("uv chose %s of %s but doesn't say where it is; the index may be changing, try again", cmp.Or(chosen, "a file"), a.Package)
	}
	w := plan.Wheel{Name: a.Name, Version: cmp.Or(p.Version, a.Version), File: f.name(), Size: f.Size}
	w.URL, _, _ = strings.Cut(f.URL, "#")
	if f.Hashes.SHA256 != "" {
		w.Digest = "sha256:" + strings.ToLower(f.Hashes.SHA256)
	}
	return w, nil
}

// file returns the file named chosen, or if that is "" the best wheel, or if
// there is none the sources.
func (p lockedPackage) file(chosen string, tags map[string]int) lockedFile {
	if chosen != "" {
		for _, f := range append(slices.Clone(p.Wheels), p.Sdist) {
			if f.name() == chosen {
				return f
			}
		}
		return lockedFile{}
	}
	best, rank := p.Sdist, fit{}
	for _, f := range p.Wheels {
		if r := fitOf(f.name(), tags); r.fits && (!rank.fits || r.compare(rank) < 0) {
			best, rank = f, r
		}
	}
	return best
}

// checkWheel refuses a wheel that can't be fetched safely. Its digest must be
// one of want, if that names any.
func checkWheel(w plan.Wheel, want []string) error {
	if !wheelName().MatchString(w.File) {
		return fmt.Errorf("the index offers %q for %s, which is no name of a wheel (PEP 427)", w.File, w.Name)
	}
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("the index says that %s is at %q: only http and https URLs are supported", w.File, reqfile.Redact(w.URL))
	}
	p := Package{Name: w.Name, Version: w.Version}
	if hex := strings.TrimPrefix(w.Digest, "sha256:"); !hexSHA256().MatchString(hex) {
		return &HashError{Package: p, File: w.File, Want: want}
	}
	if len(want) > 0 && !slices.Contains(want, w.Digest) {
		return &HashError{Package: p, File: w.File, Digest: w.Digest, Want: want}
	}
	return nil
}

// wheelTags returns the tags that py accepts, each with its rank: 0 is the best
// (PEP 425, 600 and 656, in the order of the packaging library).
func wheelTags(py *parent.Python, libc parent.Libc) map[string]int {
	platforms := platformTags(py.Arch, libc)
	minor, _ := strconv.Atoi(strings.TrimPrefix(minorVersion(py.Version), "3."))
	interpreter := fmt.Sprintf("cp3%d", minor)
	abis := []string{interpreter + abiFlags(py)}
	if py.Debug {
		abis = append(abis, strings.TrimSuffix(abis[0], "d"))
	}
	stable := "abi3"
	if py.FreeThreaded {
		stable = "abi3t"
	}
	abis = append(abis, stable)
	ranks := map[string]int{}
	add := func(python, abi string, platforms ...string) {
		for _, p := range platforms {
			if tag := python + "-" + abi + "-" + p; ranks[tag] == 0 {
				ranks[tag] = len(ranks) + 1
			}
		}
	}
	for _, abi := range append(abis, "none") {
		add(interpreter, abi, platforms...)
	}
	for older := minor - 1; older >= 2; older-- {
		add(fmt.Sprintf("cp3%d", older), stable, platforms...)
	}
	versions := []string{fmt.Sprintf("py3%d", minor), "py3"}
	for older := minor - 1; older >= 0; older-- {
		versions = append(versions, fmt.Sprintf("py3%d", older))
	}
	for _, v := range versions {
		add(v, "none", platforms...)
	}
	add(interpreter, "none", "any")
	for _, v := range versions {
		add(v, "none", "any")
	}
	return ranks
}

// platformTags returns the platforms that a machine accepts, best first.
func platformTags(machine string, libc parent.Libc) (platforms []string) {
	aliases := map[int]string{17: "manylinux2014_", 12: "manylinux2010_", 5: "manylinux1_"}
	switch libc.Family {
	case "glibc":
		for minor := libc.Minor; minor >= arches[machine].oldest; minor-- {
			platforms = append(platforms, fmt.Sprintf("manylinux_2_%d_%s", minor, machine))
			if old, ok := aliases[minor]; ok {
				platforms = append(platforms, old+machine)
			}
		}
	case "musl":
		for minor := libc.Minor; minor >= 0; minor-- {
			platforms = append(platforms, fmt.Sprintf("musllinux_%d_%d_%s", libc.Major, minor, machine))
		}
	}
	return append(platforms, "linux_"+machine)
}

// A fit says how well a wheel fits.
type fit struct {
	fits  bool
	rank  int    // of its best tag
	build string // its build tag: the greater is the newer
}

func fitOf(file string, tags map[string]int) fit {
	parts := strings.Split(strings.TrimSuffix(file, ".whl"), "-")
	if !wheelName().MatchString(file) {
		return fit{}
	}
	f := fit{}
	if len(parts) == 6 {
		f.build = parts[2]
	}
	last := parts[len(parts)-3:]
	for python := range strings.SplitSeq(last[0], ".") {
		for abi := range strings.SplitSeq(last[1], ".") {
			for platform := range strings.SplitSeq(last[2], ".") {
				if r := tags[python+"-"+abi+"-"+platform]; r > 0 && (!f.fits || r < f.rank) {
					f.fits, f.rank = true, r
				}
			}
		}
	}
	return f
}

// compare is negative if f fits better than g.
func (f fit) compare(g fit) int {
	number := func(build string) int {
		n, _ := strconv.Atoi(build[:len(build)-len(strings.TrimLeft(build, "0123456789"))])
		return n
	}
	return cmp.Or(
		cmp.Compare(f.rank, g.rank),
		cmp.Compare(number(g.build), number(f.build)),
		cmp.Compare(g.build, f.build),
	)
}
