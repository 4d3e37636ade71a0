// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

func grep(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("qvilcLEFGswxhHe:onm:", "quiet:q", "silent:q", "invert-match:v", "ignore-case:i", "extended-regexp:E",
		"fixed-strings:F", "no-messages:s", "line-regexp:x", "word-regexp:w", "files-with-matches:l", "count:c", "only-matching:o", "regexp=:e")
	if err != nil {
		return err
	}
	pattern, ok := set["e"]
	if !ok {
		if len(rest) == 0 {
			return c.Usage()
		}
		pattern, rest = rest[0], rest[1:]
	}
	if has(set, "L") || has(set, "H") || has(set, "n") || has(set, "m") || len(rest) > 1 && !has(set, "h") && !has(set, "q") && !has(set, "l") {
		return c.Usage()
	}
	re, err := grepPattern(c, pattern, set)
	if err != nil {
		return err
	}
	return c.grep(re, orInput(rest), set)
}

func grepPattern(c *Call, pattern string, set map[string]string) (*regexp.Regexp, error) {
	var alternatives []string
	for p := range strings.SplitSeq(pattern, "\n") {
		switch {
		case has(set, "F") || strings.HasSuffix(c.Args[0], "fgrep"):
			p = regexp.QuoteMeta(p)
		default:
			var err error
			if p, err = convert(p, has(set, "E") || strings.HasSuffix(c.Args[0], "egrep")); err != nil {
				return nil, err
			}
		}
		alternatives = append(alternatives, p)
	}
	p := strings.Join(alternatives, "|")
	if has(set, "w") {
		p = `\b(?:` + p + `)\b`
	}
	if has(set, "x") {
		p = "^(?:" + p + ")$"
	}
	if has(set, "i") {
		p = "(?i)" + p
	}
	return compile(p)
}

func (c *Call) grep(re *regexp.Regexp, paths []string, set map[string]string) error {
	found, failed := false, false
	if has(set, "s") {
		c.Err = &tail{}
	}
	for _, p := range paths {
		b, err := c.read(p)
		if err != nil {
			if err = c.Fail(err); !errors.Is(err, Exit(1)) {
				return err
			}
			failed = true
			continue
		}
		hits := matches(re, b, set)
		found = found || len(hits) > 0
		c.printHits(p, hits, set)
	}
	switch {
	case failed && (!found || !has(set, "q")):
		return Exit(2)
	case !found:
		return Exit(1)
	}
	return nil
}

// matches lists the lines, or the parts of lines, that grep finds.
func matches(re *regexp.Regexp, b []byte, set map[string]string) (hits []string) {
	for _, line := range lines(b) {
		switch {
		case re.MatchString(line) == has(set, "v"):
		case has(set, "o"):
			hits = append(hits, re.FindAllString(line, -1)...)
		default:
			hits = append(hits, line)
		}
	}
	return hits
}

// printHits prints what grep says of one file.
func (c *Call) printHits(p string, hits []string, set map[string]string) {
	switch {
	case has(set, "q"):
	case has(set, "l"):
		if len(hits) > 0 {
			fmt.Fprintln(c.Out, p)
		}
	case has(set, "c"):
		fmt.Fprintln(c.Out, len(hits))
	default:
		c.printLines(hits)
	}
}

func compile(p string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(p)
	if err != nil {
		return nil, &UnsupportedError{fmt.Sprintf("the regular expression %.60q", p)}
	}
	re.Longest()
	return re, nil
}

// convert turns a POSIX regular expression, basic or extended, into one of Go.
func convert(p string, extended bool) (string, error) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		ch := p[i]
		switch {
		case ch == '[':
			class, n := bracket(p[i:])
			if n == 0 {
				return "", &UnsupportedError{fmt.Sprintf("the regular expression %.60q", p)}
			}
			b.WriteString(class)
			i += n - 1
		case ch == '\\' && i+1 < len(p):
			i++
			if err := escaped(&b, p[i], extended); err != nil {
				return "", err
			}
		case !extended && strings.IndexByte("(){}|+?", ch) >= 0:
			b.WriteString(`\` + string(ch))
		case !extended && ch == '*' && (b.Len() == 0 || strings.HasSuffix(b.String(), "(") || b.String() == "^"):
			b.WriteString(`\*`)
		case !extended && ch == '^' && i > 0 && !strings.HasSuffix(p[:i], `\(`) && !strings.HasSuffix(p[:i], `\|`):
			b.WriteString(`\^`)
		case !extended && ch == '$' && i+1 < len(p) && !strings.HasPrefix(p[i+1:], `\)`) && !strings.HasPrefix(p[i+1:], `\|`):
			b.WriteString(`\$`)
		default:
			b.WriteByte(ch)
		}
	}
	return b.String(), nil
}

// escaped writes what follows a backslash.
func escaped(b *strings.Builder, ch byte, extended bool) error {
	switch {
	case !extended && strings.IndexByte("(){}|+?", ch) >= 0:
		b.WriteByte(ch)
	case ch >= '1' && ch <= '9':
		return &UnsupportedError{"a regular expression that refers to what it matched"}
	case strings.IndexByte("wWsSbB", ch) >= 0:
		b.WriteString(`\` + string(ch))
	case ch == '<' || ch == '>':
		b.WriteString(`\b`)
	case ch == 'n' || ch == 't':
		b.WriteString(`\` + string(ch))
	default:
		b.WriteString(regexp.QuoteMeta(string(ch)))
	}
	return nil
}

// bracket returns the class that p begins with as Go has it, and its length.
func bracket(p string) (string, int) {
	i := 1
	if i < len(p) && p[i] == '^' {
		i++
	}
	if i < len(p) && p[i] == ']' {
		i++
	}
	for i < len(p) && p[i] != ']' {
		if p[i] == '[' && i+1 < len(p) && p[i+1] == ':' {
			end := strings.Index(p[i:], ":]")
			if end < 0 {
				return "", 0
			}
			i += end + 1
		}
		i++
	}
	if i >= len(p) {
		return "", 0
	}
	inner := p[1:i]
	not := ""
	if strings.HasPrefix(inner, "^") {
		not, inner = "^", inner[1:]
	}
	if strings.HasPrefix(inner, "]") {
		inner = `\]` + inner[1:]
	} else {
		inner = strings.ReplaceAll(inner, `\`, `\\`) // no escape there
	}
	inner = strings.ReplaceAll(strings.ReplaceAll(inner, "[", `\[`), `\[:`, "[:")
	return "[" + not + inner + "]", i + 1
}
