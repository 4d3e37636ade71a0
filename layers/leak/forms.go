// SPDX-License-Identifier: Apache-2.0

package leak

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"inlay/layers/pattern"
)

// The shortest that are searched for. A shorter one is found in what has
// nothing to do with it: the build of somebody whose password is "password"
// would fail for ever.
const (
	anyLength   = 12 // of any letters
	mixedLength = 8  // of letters of more than one kind
	userLength  = 16 // of a token that is given as the user: a name, as a rule
	codeLength  = 12 // of base64
)

// strong reports whether x can be searched for as it is.
func (x Secret) strong() bool {
	n := len(x.Value)
	if x.User == x.Value {
		return n >= userLength
	}
	return n >= anyLength || n >= mixedLength && kinds(x.Value) > 1
}

// kinds counts the kinds of letters in text: small, capital, digit, other.
func kinds(text string) int {
	var seen [4]bool
	for _, r := range text {
		switch {
		case 'a' <= r && r <= 'z':
			seen[0] = true
		case 'A' <= r && r <= 'Z':
			seen[1] = true
		case '0' <= r && r <= '9':
			seen[2] = true
		default:
			seen[3] = true
		}
	}
	n := 0
	for _, is := range seen {
		if is {
			n++
		}
	}
	return n
}

// forms returns the ways to write x that are searched for.
func (x Secret) forms() (all []string) {
	login := x.User + ":" + x.Value // as in the field Authorization
	if x.User == x.Value {
		login = x.Value + ":"
	}
	if x.User != "" {
		all = append(all, encoded(login)...)
	}
	if !x.strong() {
		return slices.DeleteFunc(all, func(s string) bool { return len(s) < codeLength })
	}
	all = append(all, x.Value)
	all = append(all, encoded(x.Value)...)
	quoted, err := json.Marshal(x.Value)
	if err == nil {
		all = append(all, strings.Trim(string(quoted), `"`))
	}
	for _, escaped := range []string{
		url.QueryEscape(x.Value), url.PathEscape(x.Value), strings.TrimPrefix(url.UserPassword("", x.Value).String(), ":"),
	} {
		all = append(all, escaped, hexadecimal().ReplaceAllStringFunc(escaped, strings.ToLower))
	}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < mixedLength })
}

var hexadecimal = pattern.New(`%[0-9A-F]{2}`)

// encoded returns text in base64, in both alphabets. Without the end that only
// fills it up, and that another text after it would change.
func encoded(text string) []string {
	b := []byte(text)
	return []string{base64.RawStdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b)}
}
