// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"errors"
	"io/fs"
	"strings"

	"inlay/assemble/overlay"
)

// A filter says which files of packages are left out: the path-exclude and
// path-include options of an image's dpkg (dpkg(1)).
type filter []rule

type rule struct {
	include bool
	pattern string
}

// readFilter reads the configuration of the tree's dpkg.
func readFilter(tree *overlay.Tree) (filter, error) {
	files := []string{}
	names, err := tree.ReadDir("etc/dpkg/dpkg.cfg.d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, n := range names {
		if strings.IndexFunc(n, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", r)
		}) < 0 {
			files = append(files, "etc/dpkg/dpkg.cfg.d/"+n)
		}
	}
	var f filter
	for _, name := range append(files, "etc/dpkg/dpkg.cfg") {
		b, err := tree.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			f = f.option(strings.TrimSpace(line))
		}
	}
	return f, nil
}

// option appends the rule of a line, if it is one.
func (f filter) option(line string) filter {
	line = strings.TrimPrefix(line, "--")
	for _, include := range []bool{false, true} {
		name := "path-exclude"
		if include {
			name = "path-include"
		}
		rest, ok := strings.CutPrefix(line, name)
		if ok && rest != "" && strings.ContainsAny(rest[:1], "= \t") {
			value := strings.Trim(rest[1:], " \t")
			return append(f, rule{include, strings.Trim(value, `"'`)})
		}
	}
	return f
}

// excludes reports whether the absolute path p is left out. A directory or a
// link stays where something below it could be included again.
func (f filter) excludes(p string, mode fs.FileMode) bool {
	out := false
	for _, r := range f {
		if match(r.pattern, p) {
			out = !r.include
		}
	}
	if !out || mode.IsRegular() {
		return out
	}
	for _, r := range f {
		fixed := r.pattern
		if i := strings.IndexAny(fixed, "*?[\\"); i >= 0 {
			fixed = fixed[:i]
		}
		if r.include && strings.HasPrefix(p, strings.TrimRight(fixed, "/")) {
			return false
		}
	}
	return true
}

// match is fnmatch(3) without flags: "*" and "?" match "/" too. On a mismatch
// only the last "*" is tried again, which is enough.
func match(pattern, s string) bool {
	star, retry := "", ""
	starred := false
	for s != "" || pattern != "" {
		if pattern != "" && pattern[0] == '*' {
			star, retry, starred = pattern[1:], s, true
			pattern = star
			continue
		}
		if rest, ok := matchOne(pattern, s); ok {
			pattern, s = rest, s[1:]
			continue
		}
		if !starred || retry == "" {
			return false
		}
		retry = retry[1:]
		pattern, s = star, retry
	}
	return true
}

// matchOne matches the first byte of s, and returns the pattern for the others.
func matchOne(pattern, s string) (rest string, ok bool) {
	if pattern == "" || s == "" {
		return "", false
	}
	switch pattern[0] {
	case '?':
		return pattern[1:], true
	case '[':
		if end := strings.IndexByte(pattern[1:], ']'); end >= 1 {
			return pattern[end+2:], inClass(pattern[1:end+1], s[0])
		}
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	}
	return pattern[1:], pattern[0] == s[0]
}

func inClass(class string, c byte) bool {
	not := class[0] == '!' || class[0] == '^'
	if not {
		class = class[1:]
	}
	for i := 0; i < len(class); i++ {
		if i+2 < len(class) && class[i+1] == '-' {
			if class[i] <= c && c <= class[i+2] {
				return !not
			}
			i += 2
		} else if class[i] == c {
			return !not
		}
	}
	return not
}
