// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"inlay/resolve/python/arguments"
	"inlay/resolve/python/reqfile"
)

// deciding are the options of requirements files that decide which files are
// chosen, by the names that they have as arguments too.
var deciding = []string{"pre", "no-binary", "only-binary", "prefer-binary", "require-hashes"}

// check refuses what groups may say but the installer, or this program, can't
// do.
func check(g Group, installer string) error {
	for _, o := range g.Options {
		switch o.Name {
		case "index-url", "extra-index-url", "find-links", "no-index":
		case "trusted-host":
			return o.Refuse("not supported: a wheel is fetched without the installer, whose certificates don't count then",
				"remove the line, and name the certificates in the variable SSL_CERT_FILE")
		default:
			if _, err := fileArguments([]reqfile.Option{o}, installer); err != nil {
				return o.Refuse(fmt.Sprintf("%s has no `--%s`", cmp.Or(installer, "uv"), o.Name), "remove the line")
			}
		}
	}
	return nil
}

// fileArguments returns the options of a group as arguments: as pip does, they are
// for all of its requirements.
func fileArguments(options []reqfile.Option, installer string) (*arguments.Set, error) {
	var given []arguments.Given
	for _, o := range options {
		if !slices.Contains(deciding, o.Name) {
			continue
		}
		g := arguments.Given{Name: o.Name, Null: true}
		if o.Value != "" {
			g.Values, g.Null = []string{o.Value}, false
		}
		given = append(given, g)
	}
	return arguments.Read(cmp.Or(installer, "uv"), given)
}

// ownArguments are those that g has for itself.
func ownArguments(g Group, installer string) *arguments.Set {
	own, err := fileArguments(g.Options, installer)
	if err != nil {
		return &arguments.Set{} // check has refused it
	}
	return own
}

// onceEach adds to args those of own that aren't among them. Of prereleases uv
// takes one word: that of the settings counts.
func onceEach(args, own []string) []string {
	args = slices.Clone(args)
	for _, a := range own {
		name, _, _ := strings.Cut(a, "=")
		if !slices.Contains(args, a) && (name != "--prerelease" || !slices.ContainsFunc(args, func(b string) bool { return strings.HasPrefix(b, name+"=") })) {
			args = append(args, a)
		}
	}
	return args
}

// Decisive returns the options of a group that decide which files are chosen, but
// for indexes and links.
func Decisive(g Group) (all []string) {
	for _, o := range g.Options {
		if slices.Contains(deciding, o.Name) {
			all = append(all, strings.TrimSuffix("--"+o.Name+"="+o.Value, "="))
		}
	}
	return all
}
