// SPDX-License-Identifier: Apache-2.0

package ignore

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// wild are the characters that have a meaning in a .gitignore pattern.
const wild = `*?[\`

// gitExpr writes a pattern of a .gitignore file, without its leading and
// trailing slash, as a line that go-gitignore reads as git reads the pattern;
// ok is false if git could never match it. What go-gitignore has no form for
// is written as the regular expression it turns lines into: brackets, and "$"
// against its matching of everything below a directory. Characters other than
// letters and digits are written as numbers, for it gives many of them a
// meaning. Paths are matched as bytewise writes them.
func gitExpr(p string, base bool) (line string, ok bool) {
	var b strings.Builder
	if !base {
		b.WriteByte('/')
	}
	for rest := p; rest != ""; {
		switch c := rest[0]; c {
		case '*':
			before := p[:len(p)-len(rest)]
			rest = writeStars(&b, before, rest, base)
		case '[':
			s, n := parseSet(rest)
			if n == 0 {
				return "", false
			}
			b.WriteString(s.expr())
			rest = rest[n:]
		case '?':
			b.WriteString(`[^\x2f]`)
			rest = rest[1:]
		case '\\':
			if rest = rest[1:]; rest == "" {
				return "", false
			}
			fallthrough
		default:
			b.WriteString(number(rest[0]))
			rest = rest[1:]
		}
	}
	b.WriteByte('$')
	return b.String(), true
}

// writeStars writes the stars that rest begins with and returns what follows.
// Two or more are any number of directories if a slash or an end of the
// pattern stands on both sides; otherwise they are one star. Git cuts off what
// stands before the first wildcard, so that counts as an end too.
func writeStars(b *strings.Builder, before, rest string, base bool) string {
	after := strings.TrimLeft(rest, "*")
	open := before == "" || strings.HasSuffix(before, "/") || !strings.ContainsAny(before, wild)
	below, slash := strings.CutPrefix(after, "/")
	switch {
	case base || len(rest)-len(after) == 1 || !open:
		b.WriteByte('*')
		return after
	case after == "" || strings.HasPrefix(after, `\/`): // which, unlike "/", is never left out
		b.WriteString(`[\x{0}-\x{ff}]{0,}`)
		return after
	case slash:
		if !strings.HasSuffix(b.String(), "**/") { // go-gitignore takes two in a row for four stars
			b.WriteString("**/")
		}
		return below
	default:
		b.WriteByte('*')
		return after
	}
}

// number writes c so that neither go-gitignore nor regexp see more in it than
// the character it is.
func number(c byte) string {
	switch {
	case c == '/', c == '_', '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return string(rune(c))
	default:
		return fmt.Sprintf(`\x{%x}`, c)
	}
}

// bytewise writes each byte of a path as one character, since that is what
// "?" and "[…]" stand for in git. A NUL, which is in no name and no pattern,
// stands for a newline, which "**" would not match.
func bytewise(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf || r == '\n' }) < 0 {
		return name
	}
	chars := make([]rune, len(name))
	for i := range len(name) {
		if c := name[i]; c != '\n' {
			chars[i] = rune(c)
		}
	}
	return string(chars)
}
