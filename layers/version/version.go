// SPDX-License-Identifier: Apache-2.0

// Package version knows the versions of Debian packages and the relations
// between packages that name them. It orders versions exactly as dpkg does
// (deb-version(7)), and reads relations as apt does (deb-control(5)).
package version

import (
	"fmt"
	"strings"
)

// An Error reports a text that is no version.
type Error struct {
	Version string
	Problem string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%q is no version: %s", shorten(e.Version), e.Problem)
}

// maxShown bounds what errors quote, in bytes.
const maxShown = 80

func shorten(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "…"
	}
	return s
}

// Check returns an *Error if v is no version of a package: dpkg accepts it if,
// and only if, Check does.
func Check(v string) error {
	if v == "" {
		return &Error{v, "it is empty"}
	}
	epoch, upstream, revision := split(v)
	switch {
	case strings.Contains(v, ":") && !isEpoch(epoch):
		return &Error{v, "its epoch is no number below 2147483648"}
	case upstream == "":
		return &Error{v, "there is no version number"}
	case strings.HasSuffix(v, "-"):
		return &Error{v, "its revision is empty"}
	case !isDigit(upstream[0]):
		return &Error{v, "it doesn't begin with a digit"}
	case !consists(upstream, ".+~-:"), !consists(revision, ".+~"):
		return &Error{v, "it has other letters than A-Z, a-z, 0-9, `.`, `+`, `~`, `-` and `:`"}
	}
	return nil
}

func isEpoch(s string) bool {
	const most = "2147483647"
	n := strings.TrimLeft(s, "0")
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != "" && (len(n) < len(most) || len(n) == len(most) && n <= most)
}

// consists reports whether s has only letters, digits and those of others.
func consists(s, others string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && !isLetter(s[i]) && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// split returns the parts of a version. No epoch is "", no revision too.
func split(v string) (epoch, upstream, revision string) {
	if e, rest, ok := strings.Cut(v, ":"); ok {
		epoch, v = e, rest
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

// Compare returns -1, 0 or 1 if a is older than, equal to or newer than b. Any
// two texts can be compared; the order is total.
func Compare(a, b string) int {
	if a == b {
		return 0
	}
	aEpoch, aUpstream, aRevision := split(a)
	bEpoch, bUpstream, bRevision := split(b)
	if c := comparePart(aEpoch, bEpoch); c != 0 {
		return c
	}
	if c := comparePart(aUpstream, bUpstream); c != 0 {
		return c
	}
	return comparePart(aRevision, bRevision)
}

// comparePart compares texts and numbers in turn: first what comes before the
// first digit, letter by letter, then the number, and so on.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for (a != "" && !isDigit(a[0])) || (b != "" && !isDigit(b[0])) {
			if c := weight(a) - weight(b); c != 0 {
				return sign(c)
			}
			a, b = a[min(1, len(a)):], b[min(1, len(b)):]
		}
		var m, n string
		m, a = cutNumber(a)
		n, b = cutNumber(b)
		if c := compareNumbers(m, n); c != 0 {
			return c
		}
	}
	return 0
}

// weight orders what a text begins with: a tilde before the end and before
// numbers, then letters, then all else.
func weight(s string) int {
	switch {
	case s == "" || isDigit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case isLetter(s[0]):
		return int(s[0])
	default:
		return int(s[0]) + 256
	}
}

// cutNumber splits s behind the digits it begins with. Leading zeros count for
// nothing.
func cutNumber(s string) (number, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return strings.TrimLeft(s[:i], "0"), s[i:]
}

// compareNumbers compares numbers of any length.
func compareNumbers(m, n string) int {
	if len(m) != len(n) {
		return sign(len(m) - len(n))
	}
	return strings.Compare(m, n)
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	default:
		return 0
	}
}
