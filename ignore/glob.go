// SPDX-License-Identifier: Apache-2.0

package ignore

import (
	"errors"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A glob is the compiled pattern of a rule of a .dockerignore file. It is
// matched against whole paths. Most patterns need no regular expression, and
// most paths are told from the others by the literal ends of the pattern.
type glob struct {
	kind    globKind
	literal string         // what a kind other than globExpr compares with
	expr    *regexp.Regexp // of globExpr
	prefix  string         // of globExpr: what every match begins with
	suffix  string         // and what it ends with
	depth   int            // of globExpr: number of slashes in every match, -1 if that varies
}

type globKind int

const (
	globExact  globKind = iota // the path is literal
	globPrefix                 // it begins with literal
	globSuffix                 // it ends with literal, or is literal after its slash
	globBase                   // its last element ends with literal, in any directory
	globTop                    // the same, at the top only
	globExpr                   // expr matches it
)

// special are the characters that make a pattern more than a literal. Beside
// the wildcards they are those that moby hands on to the regular expression
// unquoted, so that "*.a|b" has alternatives and "[ab]{2}" a count.
const special = `*?[]\^{|}`

// compile reads a pattern that was cleaned.
func compile(p string) (glob, error) {
	// Moby asks filepath.Match, which is laxer than path.Match.
	if _, err := filepath.Match(p, "."); err != nil {
		return glob{}, errors.New("a bracket or backslash in it is not complete")
	}
	kind, expr := translate(p)
	switch kind {
	case globPrefix:
		return glob{kind: kind, literal: strings.TrimSuffix(p, "**")}, nil
	case globSuffix:
		return glob{kind: kind, literal: strings.TrimPrefix(p, "**")}, nil
	case globExpr:
		if g, ok := byBase(p); ok {
			return g, nil
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			return glob{}, errors.New("a bracket or backslash in it means nothing")
		}
		g := glob{kind: kind, expr: re, depth: -1}
		g.bound(p)
		return g, nil
	default:
		return glob{kind: globExact, literal: p}, nil
	}
}

// byBase recognizes patterns like "*.pyc" and "**/*.pyc", the ones that
// people write most.
func byBase(p string) (glob, bool) {
	rest, deep := strings.CutPrefix(p, "**/")
	suffix, star := strings.CutPrefix(rest, "*")
	if !star || strings.ContainsAny(suffix, special+"/") || !plain(suffix) {
		return glob{}, false
	}
	if deep {
		return glob{kind: globBase, literal: suffix}, true
	}
	return glob{kind: globTop, literal: suffix}, true
}

// plain reports whether s matches byte for byte what it matches rune for
// rune: an invalid byte in a path reads as U+FFFD in a regular expression.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError)
}

// bound finds what all paths that p matches have in common.
func (g *glob) bound(p string) {
	if strings.ContainsAny(p, `{|`) {
		return // a count takes the character before it, alternatives have no common end
	}
	first := strings.IndexAny(p, special)
	if first > 0 && plain(p[:first]) {
		g.prefix = p[:first]
	}
	if strings.Contains(p, `\`) {
		return // an escape may take any number of the characters after it
	}
	last := strings.LastIndexAny(p, special)
	end := p[last+1:]
	if strings.HasSuffix(p[:last+1], "**") {
		end = strings.TrimPrefix(end, "/") // "**/" is also no directory at all
	}
	if plain(end) {
		g.suffix = end
	}
	if !strings.ContainsAny(p, "[]^") && !strings.Contains(p, "**") {
		g.depth = strings.Count(p, "/")
	}
}

// translate says how p is matched and, for globExpr, by which regular
// expression. Which patterns moby compares as literals decides what they
// match, so the kinds are moby's: "**" at the very start turns all that
// follows into a literal suffix as long as no other wildcard comes.
func translate(p string) (globKind, string) {
	var (
		kind = globExact
		re   strings.Builder
	)
	re.WriteByte('^')
	for rest := p; rest != ""; {
		first := len(rest) == len(p)
		r, n := utf8.DecodeRuneInString(rest)
		rest = rest[n:]
		switch {
		case r == '*' && strings.HasPrefix(rest, "*"):
			rest = strings.TrimPrefix(rest[1:], "/")
			kind = doubleStar(&re, kind, first, rest == "")
		case r == '*':
			kind = globExpr
			re.WriteString("[^/]*")
		case r == '?':
			kind = globExpr
			re.WriteString("[^/]")
		case r == '[' || r == ']':
			kind = globExpr
			re.WriteRune(r)
		case r == '\\' && rest != "":
			kind = globExpr
			_, n := utf8.DecodeRuneInString(rest)
			re.WriteString(`\` + strings.ToValidUTF8(rest[:n], "\uFFFD"))
			rest = rest[n:]
		case strings.ContainsRune(`.+()$`, r):
			re.WriteByte('\\')
			re.WriteRune(r)
		default:
			re.WriteRune(r)
		}
	}
	re.WriteByte('$')
	return kind, re.String()
}

// doubleStar writes a "**", the first and last thing in the pattern or not,
// and returns the kind that it gives a pattern that was of the given kind.
func doubleStar(re *strings.Builder, kind globKind, first, last bool) globKind {
	switch {
	case first:
		if !last {
			re.WriteString("(.*/)?")
		}
		return globSuffix
	case !last:
		re.WriteString("(.*/)?")
		return globExpr
	case kind == globExact:
		return globPrefix
	default:
		re.WriteString(".*")
		return globExpr
	}
}

// matches reports whether the pattern matches the whole of name.
func (g *glob) matches(name string) bool {
	switch g.kind {
	case globExact:
		return name == g.literal
	case globPrefix:
		return strings.HasPrefix(name, g.literal)
	case globSuffix:
		return strings.HasSuffix(name, g.literal) || strings.HasPrefix(g.literal, "/") && name == g.literal[1:]
	case globBase:
		// A "**" doesn't match a newline, a "*" does.
		dir, base := path.Split(name)
		return strings.HasSuffix(base, g.literal) && !strings.Contains(dir, "\n")
	case globTop:
		return strings.HasSuffix(name, g.literal) && !strings.Contains(name, "/")
	default:
		return strings.HasPrefix(name, g.prefix) && strings.HasSuffix(name, g.suffix) && g.expr.MatchString(name)
	}
}

// reachesBelow reports whether the pattern may match something below dir. It
// may err on the side of yes.
func (g *glob) reachesBelow(dir string) bool {
	dir += "/"
	switch g.kind {
	case globExact:
		return strings.HasPrefix(g.literal, dir)
	case globPrefix:
		return strings.HasPrefix(g.literal, dir) || strings.HasPrefix(dir, g.literal)
	case globTop:
		return false
	case globExpr:
		if g.depth >= 0 && g.depth < strings.Count(dir, "/") {
			return false
		}
		return strings.HasPrefix(g.prefix, dir) || strings.HasPrefix(dir, g.prefix)
	default:
		return true
	}
}
