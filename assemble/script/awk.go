// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"inlay/layers/pattern"
)

// awk knows what maintainer scripts use of it: rules of an optional pattern and
// of print, sub, gsub and assignments of single values.
func awk(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("F:")
	if err != nil {
		return err
	}
	if len(rest) == 0 || len(set["F"]) > 1 {
		return c.Usage()
	}
	rules, ok := parseAwk(rest[0])
	if !ok {
		return &UnsupportedError{fmt.Sprintf("awk %.60q", rest[0])}
	}
	b, err := c.inputs(rest[1:])
	if err != nil {
		return c.Fail(err)
	}
	run := awkRun{c: c, sep: set["F"], vars: map[string]string{}}
	for _, line := range lines(b) {
		run.line = line
		run.apply(rules, false)
	}
	run.apply(rules, true)
	return nil
}

// apply does what the rules say for a line, or at the end.
func (r *awkRun) apply(rules []awkRule, end bool) {
	for _, rule := range rules {
		if rule.end == end && (rule.re == nil || rule.re.MatchString(r.line)) {
			r.actions(rule.actions)
		}
	}
}

type awkRule struct {
	re      *regexp.Regexp
	end     bool
	actions []awkAction
}

type awkAction struct {
	name  string // "print", "sub", "gsub", "="
	re    *regexp.Regexp
	to    string
	value []string
}

var (
	reAwkRule   = pattern.New(`^\s*(?:/((?:[^/\\]|\\.)*)/|(END))?\s*\{([^{}]*)\}`)
	reAwkPrint  = pattern.New(`^print(?:\s+(.*))?$`)
	reAwkSub    = pattern.New(`^(g?sub)\(\s*"((?:[^"\\]|\\.)*)"\s*,\s*"([^"\\&]*)"\s*\)$`)
	reAwkAssign = pattern.New(`^([a-zA-Z_]\w*)\s*=\s*(.*)$`)
	reAwkValue  = pattern.New(`^\s*(\$\d+|\$NF|[a-zA-Z_]\w*|"[^"\\]*")\s*`)
)

func parseAwk(text string) (rules []awkRule, ok bool) {
	for strings.TrimSpace(text) != "" {
		m := reAwkRule().FindStringSubmatch(text)
		if m == nil {
			return nil, false
		}
		r := awkRule{end: m[2] != ""}
		if m[1] != "" {
			if r.re, ok = awkPattern(strings.ReplaceAll(m[1], `\/`, "/")); !ok {
				return nil, false
			}
		}
		for part := range strings.FieldsFuncSeq(m[3], func(r rune) bool { return r == ';' || r == '\n' }) {
			a, ok := parseAwkAction(strings.TrimSpace(part))
			if !ok {
				return nil, false
			}
			r.actions = append(r.actions, a)
		}
		rules, text = append(rules, r), text[len(m[0]):]
	}
	return rules, true
}

func awkPattern(text string) (*regexp.Regexp, bool) {
	p, err := convert(text, true)
	if err != nil {
		return nil, false
	}
	re, err := compile(p)
	return re, err == nil
}

func parseAwkAction(s string) (a awkAction, ok bool) {
	if s == "" {
		return awkAction{name: "nothing"}, true
	}
	if m := reAwkPrint().FindStringSubmatch(s); m != nil {
		if a.value, ok = awkValues(m[1]); m[1] == "" {
			a.value, ok = []string{"$0"}, true
		}
		a.name = "print"
		return a, ok
	}
	if m := reAwkSub().FindStringSubmatch(s); m != nil {
		a.name, a.to = m[1], m[3]
		a.re, ok = awkPattern(m[2])
		return a, ok
	}
	if m := reAwkAssign().FindStringSubmatch(s); m != nil && !strings.HasPrefix(m[2], "=") {
		a.name, a.to = "=", m[1]
		a.value, ok = awkValues(m[2])
		return a, ok
	}
	return a, false
}

// awkValues reads values that stand side by side.
func awkValues(s string) (out []string, ok bool) {
	for s != "" {
		m := reAwkValue().FindStringSubmatch(s)
		if m == nil {
			return nil, false
		}
		out, s = append(out, m[1]), s[len(m[0]):]
	}
	return out, true
}

type awkRun struct {
	c    *Call
	sep  string
	line string
	vars map[string]string
}

func (r *awkRun) actions(actions []awkAction) {
	for _, a := range actions {
		switch a.name {
		case "print":
			fmt.Fprintln(r.c.Out, r.values(a.value))
		case "=":
			r.vars[a.to] = r.values(a.value)
		case "gsub":
			r.line = a.re.ReplaceAllLiteralString(r.line, a.to)
		case "sub":
			if at := a.re.FindStringIndex(r.line); at != nil {
				r.line = r.line[:at[0]] + a.to + r.line[at[1]:]
			}
		}
	}
}

func (r *awkRun) values(values []string) string {
	var b strings.Builder
	for _, v := range values {
		switch v[0] {
		case '"':
			b.WriteString(v[1 : len(v)-1])
		case '$':
			b.WriteString(r.field(v[1:]))
		default:
			b.WriteString(r.vars[v])
		}
	}
	return b.String()
}

func (r *awkRun) field(name string) string {
	fields := strings.Fields(r.line)
	if r.sep != "" && r.sep != " " {
		fields = strings.Split(r.line, r.sep)
	}
	n, err := strconv.Atoi(name)
	if err != nil { // NF
		n = len(fields)
	}
	switch {
	case n == 0:
		return r.line
	case n <= len(fields):
		return fields[n-1]
	}
	return ""
}
