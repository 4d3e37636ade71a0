// SPDX-License-Identifier: Apache-2.0

package wheel

import (
	"strings"

	"inlay/layers/pattern"
)

// An identity is what a wheel's file name says.
type identity struct {
	name    string // normalised
	version string // as written
}

var (
	projectName = pattern.New(`^(?i:[a-z0-9]|[a-z0-9][a-z0-9._]*[a-z0-9])$`)
	buildTag    = pattern.New(`^[0-9][A-Za-z0-9_.]*$`)
	tag         = pattern.New(`^[A-Za-z0-9_.]+$`)
)

// parseFileName reads NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl (PEP 427).
func parseFileName(file string) (identity, error) {
	wrong := func(problem string) (identity, error) {
		return identity{}, &FormatError{File: file, Problem: problem}
	}
	stem, ok := strings.CutSuffix(file, ".whl")
	parts := strings.Split(stem, "-")
	if !ok || len(parts) < 5 || len(parts) > 6 {
		return wrong("the file's name is not a wheel's")
	}
	if !projectName().MatchString(parts[0]) {
		return wrong("the file's name has no valid project name")
	}
	version := strings.ReplaceAll(parts[1], "_", "-") // the escape of PEP 427
	if canonicalVersion(version) == "" {
		return wrong("the file's name has no valid version")
	}
	if len(parts) == 6 && !buildTag().MatchString(parts[2]) {
		return wrong("the file's name has a build tag that starts with no digit")
	}
	for _, t := range parts[len(parts)-3:] {
		if !tag().MatchString(t) {
			return wrong("the file's name has no valid tags")
		}
	}
	return identity{name: normalize(parts[0]), version: version}, nil
}

var separators = pattern.New(`[-_.]+`)

// normalize returns the normalised form of a project's name (PEP 503).
func normalize(name string) string {
	return strings.ToLower(separators().ReplaceAllString(name, "-"))
}

// versionForm is the grammar of PEP 440. Groups: epoch, release, pre letter,
// pre number, implicit post number, post, post number, dev, dev number, local.
var versionForm = pattern.New(`^v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)` +
	`(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?([0-9]*))?` +
	`(?:-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?` +
	`(?:[-_.]?(dev)[-_.]?([0-9]*))?` +
	`(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

var preLetters = map[string]string{
	"a": "a", "alpha": "a", "b": "b", "beta": "b", "c": "rc", "rc": "rc", "pre": "rc", "preview": "rc",
}

// canonicalVersion returns a text that is the same for equal versions (PEP
// 440) and different for others; "" for what is no version.
func canonicalVersion(version string) string {
	g := versionForm().FindStringSubmatch(strings.ToLower(strings.TrimSpace(version)))
	if g == nil {
		return ""
	}
	release := strings.Split(g[2], ".")
	for i, n := range release {
		release[i] = number(n)
	}
	for len(release) > 1 && release[len(release)-1] == "0" {
		release = release[:len(release)-1]
	}
	out := number(g[1]) + "!" + strings.Join(release, ".")
	if g[3] != "" {
		out += preLetters[g[3]] + number(g[4])
	}
	if g[5] != "" || g[6] != "" {
		out += ".post" + number(g[5]+g[7])
	}
	if g[8] != "" {
		out += ".dev" + number(g[9])
	}
	if g[10] != "" {
		out += "+" + canonicalLocal(g[10])
	}
	return out
}

func canonicalLocal(local string) string {
	parts := separators().Split(local, -1)
	for i, p := range parts {
		if strings.Trim(p, "0123456789") == "" {
			parts[i] = number(p)
		}
	}
	return strings.Join(parts, ".")
}

// number writes digits, of any length, without leading zeros.
func number(digits string) string {
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		return "0"
	}
	return digits
}

// sameVersion reports whether the version in a wheel's METADATA is the one in
// its file name, where some builders add a local part.
func sameVersion(metadata, fileName string) bool {
	got, want := canonicalVersion(metadata), canonicalVersion(fileName)
	public, _, _ := strings.Cut(want, "+")
	return got != "" && (got == want || got == public)
}
