// SPDX-License-Identifier: Apache-2.0

package ignore

import (
	"errors"
	"path"
	"strings"
)

// dockerRules are the rules of a .dockerignore file, in the file's order.
type dockerRules []dockerRule

type dockerRule struct {
	glob
	keep bool // an exception, written with "!"
}

// parseDocker reads one line; ok is false if it holds no rule.
//
// Docker reads a line twice, first as a line of the file, then as a pattern of
// a list, and what one step leaves the next may change: "/!a" is an exception,
// "!/" is one for nothing. The two steps below do what the two readers do.
func parseDocker(line string) (rule dockerRule, ok bool, err error) {
	if strings.HasPrefix(line, "#") {
		return rule, false, nil
	}
	p := normalize(strings.TrimSpace(cleanLine(line)))
	if p == "" {
		return rule, false, nil
	}
	rule.keep = p[0] == '!'
	if rule.keep {
		p = p[1:]
	}
	if p == "" {
		return rule, false, errors.New("it keeps nothing")
	}
	rule.glob, err = compile(p)
	return rule, true, err
}

// cleanLine makes the path on a line relative to the context, behind the "!"
// if there is one.
func cleanLine(line string) string {
	p := strings.TrimSpace(line)
	rest, not := strings.CutPrefix(p, "!")
	if not {
		rest = strings.TrimSpace(rest)
	}
	if rest = normalize(rest); len(rest) > 1 {
		rest = strings.TrimPrefix(rest, "/")
	}
	if not {
		return "!" + rest
	}
	return rest
}

// normalize is path.Clean, but leaves nothing as it is.
func normalize(p string) string {
	if p == "" {
		return ""
	}
	return path.Clean(p)
}

// match follows moby's MatchesUsingParentResults: a rule that matched a
// directory matches everything below it, and a rule is only tried where it
// could change the verdict so far, so one that wasn't tried on a directory
// doesn't match what is below it by that.
func (rules dockerRules) match(path string, dir bool, parent verdict) (v verdict) {
	if dir {
		v.hits = make([]bool, len(rules))
	}
	for i := range rules {
		r := &rules[i]
		hit := parent.hits != nil && parent.hits[i]
		if !hit && r.keep == v.ignored {
			hit = r.matches(path)
		}
		if hit {
			v.ignored = !r.keep
			if dir {
				v.hits[i] = true
			}
		}
	}
	return v
}

// reaches looks at the exceptions after the rule that decided to ignore dir.
// Those before it are overruled for everything below dir too.
func (rules dockerRules) reaches(dir string, v verdict) bool {
	for i := len(rules) - 1; i >= 0 && !v.hits[i]; i-- {
		if rules[i].keep && rules[i].reachesBelow(dir) {
			return true
		}
	}
	return false
}
