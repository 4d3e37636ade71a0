// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/parent"
	"inlay/resolve/python/reqfile"
)

// A BrokenError reports requirements that no longer hold once all groups are
// installed.
type BrokenError struct {
	Problems []string // in the words of `pip check`
}

func (e *BrokenError) Error() string {
	return "what was installed first is broken by what was installed later: " + strings.Join(e.Problems, "; ")
}

// Hint says how to go on.
func (e *BrokenError) Hint() string {
	return "change one of the requirements so that all hold, or build without `--strict`"
}

var (
	incompatible = pattern.New("(?m)^(The package `([^`]+)` requires .+)$")
	wrongVersion = pattern.New("^The package `[^`]+` requires `([^`]+)`, but `([^`]+)` is installed$")
	notInstalled = pattern.New("^The package `[^`]+` requires `([^`]+)`, but it's not installed$")
)

// standIn names the distribution that stands for a line while uv checks.
const standIn = "inlay-requirement-"

// standIns puts distributions into a session that require what groups list, and
// returns who requires something, by the names of distributions.
func standIns(s installer, purelib string, dists []parent.Dist, groups []Group) (who map[string]string, err error) {
	who = map[string]string{}
	for _, d := range dists {
		who[d.Name] = d.Name + " " + d.Version
	}
	for _, g := range groups {
		for _, l := range g.Lines {
			name := fmt.Sprintf("%s%d", standIn, len(who))
			who[name] = fmt.Sprintf("%s:%d", l.Source, l.Number)
			d := parent.Dist{Name: name, Version: "0", Path: purelib + "/" + strings.ReplaceAll(name, "-", "_") + "-0.dist-info"}
			metadata := append(minimal(d), "Requires-Dist: "+requires(l)+"\n"...)
			if err := s.change(nil, []parent.Dist{d}, []installedFiles{{metadata: metadata}}); err != nil {
				return nil, err
			}
		}
	}
	return who, nil
}

// check lets uv say which requirements don't hold in the skeleton: those of the
// distributions in it, which are dists, and those that groups list. The answer
// is in the words of `pip check`.
func (s *session) check(ctx context.Context, dists []parent.Dist, groups []Group) ([]string, error) {
	who, err := standIns(s, s.skeleton.purelib, dists, groups)
	if err != nil {
		return nil, err
	}
	log := &logWriter{keep: relevant}
	exit, err := s.run(ctx, log, log, "pip", "check")
	if err != nil {
		return nil, err
	}
	found := incompatible().FindAllStringSubmatch(s.clean(log.String()), -1)
	if exit > 1 || exit == 1 && len(found) == 0 {
		return nil, s.failure(log.String(), Group{Name: "what is installed"})
	}
	var broken []string
	for _, m := range found {
		broken = append(broken, pipWords(cmp.Or(who[reqfile.Normalise(m[2])], m[2]), m[1]))
	}
	slices.Sort(broken)
	return slices.Compact(broken), nil
}

// pipWords says as `pip check` does what uv says that who requires.
func pipWords(who, said string) string {
	if m := wrongVersion().FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("%s has requirement %s, but you have %s %s", who, m[1], nameOf(m[1]), m[2])
	}
	if m := notInstalled().FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("%s requires %s, which is not installed", who, nameOf(m[1]))
	}
	return sentence(said)
}
