// SPDX-License-Identifier: Apache-2.0

package reqfile

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"inlay/layers/pattern"
)

var (
	userinfo = pattern.New(`(://)[^/?#@\s]*(?:@[^/?#@\s]*)*@`)
	query    = pattern.New("(://[^?#\\s`'\"<>()]*)\\?[^#\\s`'\"<>():]+")
)

// Redact hides the credentials of the URLs in text, and their queries: a
// signature there is as good as a password.
func Redact(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return query().ReplaceAllString(userinfo().ReplaceAllString(text, "${1}****@"), "${1}?****")
}

// Redact hides the secrets of g in text, too.
func (g Group) Redact(text string) string {
	return Redact(Hide(text, g.Secrets))
}

// Hide replaces secrets in text, however a URL spells them.
func Hide(text string, secrets []string) string {
	secrets = slices.Clone(secrets)
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // one may hold another
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:]} {
			if form != "" {
				text = strings.ReplaceAll(text, form, "****")
			}
		}
	}
	return text
}

// RedactTyped hides the credentials in what a user wrote: also those that don't
// fit a URL, because a space or a slash in a password wasn't escaped. It rather
// hides too much.
func RedactTyped(text string) string {
	before, rest, found := strings.Cut(text, "://")
	end := strings.LastIndex(rest, "@")
	if !found || end < 0 {
		return Redact(text)
	}
	secret := rest[:end]
	if at := strings.IndexAny(secret, "/?#"); at < 0 || strings.ContainsAny(secret[:at], ":@") || strings.Contains(secret, " ") {
		return Redact(before + "://****" + rest[end:])
	}
	return Redact(text)
}
