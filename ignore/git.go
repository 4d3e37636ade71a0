// SPDX-License-Identifier: Apache-2.0

package ignore

import (
	"io"
	"path"
	"strings"

	gitignore "github.com/sabhiram/go-gitignore"
)

// gitRules are the rules of a .gitignore file, in the file's order.
type gitRules []gitRule

// A gitRule is one line of a .gitignore file, read as gitignore(5) says.
//
// A pattern with wildcards is compiled by go-gitignore. That package reads
// some lines otherwise than git: it doesn't anchor "a/b", takes "?" for itself
// and "[!a]" for "! or a", and applies every rule to all below a directory,
// so that "!*/" re-includes files. So it gets the pattern in the form of
// gitExpr, which it reads as git reads the original, and one rule at a time.
type gitRule struct {
	keep    bool // an exception, written with "!"
	dirOnly bool // for directories only, written with a slash at the end
	base    bool // for the last element of a path; else for all of it
	kind    globKind
	literal string // of globExact and globSuffix
	expr    *gitignore.GitIgnore
}

// parseGit reads the rules of a .gitignore file. Git drops a rule that can't
// match anything without a word, and so does this.
func parseGit(r io.Reader) (*Rules, error) {
	lines, err := readLines(r)
	if err != nil {
		return nil, err
	}
	var rules gitRules
	for _, line := range lines {
		if rule, ok := parseGitLine(line); ok {
			rules = append(rules, rule)
		}
	}
	return &Rules{matcher: rules}, nil
}

func parseGitLine(line string) (rule gitRule, ok bool) {
	if strings.HasPrefix(line, "#") {
		return rule, false
	}
	line, _, _ = strings.Cut(line, "\x00")
	p := trimGit(line)
	p, rule.keep = strings.CutPrefix(p, "!")
	p, rule.dirOnly = strings.CutSuffix(p, "/")
	rule.base = !strings.Contains(p, "/")
	p = strings.TrimPrefix(p, "/")
	if p == "" {
		return rule, false
	}
	suffix, star := strings.CutPrefix(p, "*")
	switch {
	case !strings.ContainsAny(p, wild):
		rule.kind, rule.literal = globExact, p
		return rule, true
	case rule.base && star && !strings.ContainsAny(suffix, wild):
		rule.kind, rule.literal = globSuffix, suffix
		return rule, true
	}
	expr, ok := gitExpr(p, rule.base)
	if ok {
		rule.kind, rule.expr = globExpr, gitignore.CompileIgnoreLines(expr)
	}
	return rule, ok
}

// trimGit removes the spaces at the end of a line that no backslash protects.
func trimGit(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ' ':
			continue
		case '\\':
			i++
		}
		end = min(i+1, len(line))
	}
	return line[:end]
}

// match asks the last rule first. Git has no look at what is below an ignored
// directory, so the parent is never an ignored one.
func (rules gitRules) match(name string, dir bool, _ verdict) verdict {
	base := path.Base(name)
	if base == ".git" {
		return verdict{ignored: true}
	}
	for i := len(rules) - 1; i >= 0; i-- {
		if r := &rules[i]; (dir || !r.dirOnly) && r.matches(name, base) {
			return verdict{ignored: !r.keep}
		}
	}
	return verdict{}
}

func (rules gitRules) reaches(string, verdict) bool { return false }

func (r *gitRule) matches(name, base string) bool {
	if r.base {
		name = base
	}
	switch r.kind {
	case globExact:
		return name == r.literal
	case globSuffix:
		return strings.HasSuffix(name, r.literal)
	default:
		return r.expr.MatchesPath(bytewise(name))
	}
}
