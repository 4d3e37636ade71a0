// SPDX-License-Identifier: Apache-2.0

package ignore

import (
	"fmt"
	"strings"
)

// A set is what a bracket of a .gitignore pattern stands for.
type set struct {
	not    bool
	ranges []byteRange
}

type byteRange struct{ low, high byte }

// classes are the named sets of POSIX as git knows them: ASCII only.
var classes = map[string][]byteRange{
	"alnum":  {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}},
	"alpha":  {{'A', 'Z'}, {'a', 'z'}},
	"blank":  {{'\t', '\t'}, {' ', ' '}},
	"cntrl":  {{0, 0x1f}, {0x7f, 0x7f}},
	"digit":  {{'0', '9'}},
	"graph":  {{'!', '~'}},
	"lower":  {{'a', 'z'}},
	"print":  {{' ', '~'}},
	"punct":  {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}},
	"space":  {{'\t', '\n'}, {'\r', '\r'}, {' ', ' '}},
	"upper":  {{'A', 'Z'}},
	"xdigit": {{'0', '9'}, {'A', 'F'}, {'a', 'f'}},
}

// parseSet reads the bracket that p begins with and returns how many bytes it
// takes: 0 if it never ends or names an unknown class. A "]" that comes first
// is a member.
func parseSet(p string) (s set, n int) {
	rest := p[1:]
	if strings.HasPrefix(rest, "!") || strings.HasPrefix(rest, "^") {
		s.not = true
		rest = rest[1:]
	}
	var last byte
	for first := true; first || !strings.HasPrefix(rest, "]"); first = false {
		var ok bool
		if rest, last, ok = s.cut(rest, last); !ok {
			return set{}, 0
		}
	}
	return s, len(p) - len(rest) + 1
}

// cut reads one member of a bracket and returns what follows. Last is the
// character before it, from which a "-" makes a range; next is that for the
// member after it. Zero is none.
func (s *set) cut(rest string, last byte) (after string, next byte, ok bool) {
	if class, after, named := cutClass(rest); named {
		ranges, known := classes[class]
		s.ranges = append(s.ranges, ranges...)
		return after, 0, known
	}
	isRange := last != 0 && len(rest) > 1 && rest[0] == '-' && rest[1] != ']'
	if isRange {
		rest = rest[1:]
	}
	rest = strings.TrimPrefix(rest, `\`)
	if rest == "" {
		return "", 0, false
	}
	c := rest[0]
	if isRange {
		s.ranges = append(s.ranges, byteRange{last, c})
		return rest[1:], 0, true
	}
	s.ranges = append(s.ranges, byteRange{c, c})
	return rest[1:], c, true
}

// cutClass reads the "[:name:]" that rest begins with, if it does.
func cutClass(rest string) (class, after string, ok bool) {
	rest, ok = strings.CutPrefix(rest, "[:")
	if !ok {
		return "", "", false
	}
	class, after, ok = strings.Cut(rest, "]")
	if !ok {
		return "", "", false
	}
	class, ok = strings.CutSuffix(class, ":")
	return class, after, ok
}

// expr returns s as a bracket of a regular expression that matches no slash.
func (s set) expr() string {
	var b strings.Builder
	for _, r := range s.ranges {
		if s.not {
			writeRange(&b, r.low, r.high)
		} else {
			writeRange(&b, r.low, min(r.high, '/'-1))
			writeRange(&b, max(r.low, '/'+1), r.high)
		}
		if r.low <= '\n' && '\n' <= r.high {
			writeRange(&b, 0, 0) // which stands for a newline; see bytewise
		}
	}
	switch {
	case s.not:
		return `[^\x{2f}` + b.String() + `]`
	case b.Len() == 0:
		return `[^\x{0}-\x{ff}]` // nothing
	default:
		return `[` + b.String() + `]`
	}
}

// writeRange writes the characters from low to high, of which there may be none.
func writeRange(b *strings.Builder, low, high byte) {
	if low <= high {
		fmt.Fprintf(b, `\x{%x}-\x{%x}`, low, high)
	}
}
