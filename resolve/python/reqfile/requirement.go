// SPDX-License-Identifier: Apache-2.0

package reqfile

import (
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"inlay/layers/pattern"
)

var (
	option     = pattern.New(`(?:^|\s)-`)
	hashOption = pattern.New(`^--hash(?:=| )(\w+):([0-9a-fA-F]+)$`)
	named      = pattern.New(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*(.*)$`)
	archive    = pattern.New(`(?i)\.(?:whl|zip|tar\.[a-z0-9]+|tgz|tbz)(?:\[[^\]]*\])?$`)
	extras     = pattern.New(`[^/\[\]\s]\s*(\[[^\]:/]*\])$`)
	wheelName  = pattern.New(`^([A-Za-z0-9_.]+)-[A-Za-z0-9_.!+]+(?:-[0-9][A-Za-z0-9_.]*)?-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+\.whl$`)
	sources    = pattern.New(`(?i)\.(?:tar\.gz|tgz|zip)$`)
	sdistName  = pattern.New(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)-[0-9][A-Za-z0-9_.!+]*\.(?:tar\.gz|tgz|zip)$`)
	separators = pattern.New(`[-_.]+`)
	drive      = pattern.New(`^[A-Za-z]:[\\/]`)
)

// Normalise returns a distribution's name as PEP 503 writes it.
func Normalise(name string) string {
	return strings.ToLower(separators().ReplaceAllString(name, "-"))
}

const (
	example    = "a requirement starts with the name of a package, as in `numpy>=2`"
	urlExample = "write `NAME @ https://HOST/NAME-1.0-py3-none-any.whl`"
	archives   = "this is no wheel, and no archive of sources (.tar.gz, .tgz or .zip)"
)

// requirement takes a line apart.
func (p *parser) requirement(at place, text string) (l Line, problem, fix string) {
	body, tail := text, ""
	if i := option().FindStringIndex(text); i != nil {
		body, tail = strings.TrimSpace(text[:i[0]]), " "+strings.TrimSpace(text[i[0]:])
		if l.Hashes, problem, fix = hashes(text[i[0]:]); problem != "" {
			return l, problem, fix
		}
	}
	if unnamed(body) {
		target, marker := cutMarker(body)
		problem, fix = p.reference(at, &l, "", target, marker)
	} else {
		m := named().FindStringSubmatch(body)
		if m == nil {
			return l, "this is not a requirement", example
		}
		l.Name, l.Text = Normalise(m[1]), body
		if target, ok := strings.CutPrefix(m[3], "@"); ok {
			target, marker := cutMarker(strings.TrimSpace(target))
			problem, fix = p.reference(at, &l, m[1]+m[2], target, marker)
		}
	}
	l.Text += tail
	return l, problem, fix
}

// unnamed reports whether a requirement is a path or a URL that no name
// precedes.
func unnamed(text string) bool {
	head := text
	if end := strings.IndexAny(text, "@<>=!~;[( "); end > 0 {
		head = text[:end] // where a name would stand
	}
	target, _ := cutMarker(text)
	return strings.Contains(head, "://") || strings.HasPrefix(text, "file:") || strings.HasPrefix(text, "git+") || strings.ContainsAny(head[:1], `.~`) ||
		strings.ContainsAny(head, `/\`) || drive().MatchString(text) || archive().MatchString(target) && !strings.Contains(target, "@")
}

// cutMarker splits a reference from the marker that follows it.
func cutMarker(text string) (target, marker string) {
	for _, sep := range []string{" ;", "; "} {
		if target, marker, found := strings.Cut(text, sep); found {
			return strings.TrimSpace(target), strings.TrimSpace(marker)
		}
	}
	return text, ""
}

// reference reads what follows the "@" of a requirement, or stands alone: name
// has its extras and is "" if the file's name says it.
func (p *parser) reference(at place, l *Line, name, target, marker string) (problem, fix string) {
	if m := extras().FindStringSubmatch(target); m != nil && name == "" {
		target = strings.TrimSpace(strings.TrimSuffix(target, m[1]))
		defer func() { l.Text = strings.Replace(l.Text, " @ ", m[1]+" @ ", 1) }()
	}
	if strings.ContainsAny(target, " ") && strings.Contains(target, "://") {
		return "a URL has no spaces", urlExample
	}
	scheme, _, isURL := strings.Cut(target, ":")
	switch {
	case !isURL && name != "" && !strings.ContainsAny(target, `/\`) && !archive().MatchString(target):
		return "what follows the @ is not a URL", urlExample
	case drive().MatchString(target) || !isURL || strings.ContainsAny(scheme, `/\.`) || scheme == "file":
		problem, fix = p.local(at, l, target)
	case strings.HasPrefix(scheme, "git+"):
		problem, fix = repository(l, target)
	default:
		problem, fix = web(l, target)
	}
	if problem != "" {
		return problem, fix
	}
	if name == "" {
		if name, problem, fix = p.nameOf(l); problem != "" {
			return problem, fix
		}
		l.Name = Normalise(name)
	}
	l.Text = name + " @ " + l.URL
	if marker != "" {
		l.Text += " ; " + marker
	}
	return "", ""
}

// nameOf returns the name of the package that the file at l's URL is of, as its
// own name has it, or of a project, as that says it itself.
func (p *parser) nameOf(l *Line) (name, problem, fix string) {
	u, _ := url.Parse(l.URL) // it was parsed before
	if l.Tree {
		if name = p.projectName(l, u); name == "" {
			return "", "nothing says what package this is", "write its name first, as in `NAME @ file:PATH` or `NAME @ git+https://HOST/REPOSITORY`"
		}
		return name, "", ""
	}
	file, form := path.Base(u.Path), wheelName()
	if l.Sources {
		form = sdistName()
	}
	m := form.FindStringSubmatch(file)
	switch {
	case m != nil:
		return m[1], "", ""
	case l.Sources:
		return "", "nothing says of which package these sources are", "write its name first, as in `NAME @ https://HOST/NAME-1.0.tar.gz#sha256=…`"
	default:
		return "", file + " is no name of a wheel (PEP 427)", "give the file the name that it was built with"
	}
}

// local reads the path of a wheel.
func (p *parser) local(at place, l *Line, target string) (problem, fix string) {
	name, isURL := strings.CutPrefix(target, "file:")
	name, fragment, _ := strings.Cut(name, "#")
	if isURL {
		name = "/" + strings.TrimLeft(strings.TrimPrefix(name, "//localhost/"), "/")
		if !strings.HasPrefix(target, "file:/") {
			name = strings.TrimPrefix(name, "/") // relative to the file, as pip has it
		}
		if unescaped, err := url.PathUnescape(name); err == nil {
			name = unescaped
		}
	}
	file, ok := p.find(at, name)
	if !ok {
		return "there is no file " + rename(at.source, name), "name a wheel, a project or an archive of sources by its path from " + at.source
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(file)}
	l.URL = u.String()
	l.pin(fragment)
	switch base := path.Base(u.Path); {
	case strings.HasSuffix(strings.ToLower(name), ".whl"):
	case sources().MatchString(base):
		l.Sources = true
	case archive().MatchString(base):
		return archives, "name a wheel, a project or an archive of sources"
	case !p.exists(filepath.Join(file, "pyproject.toml")) && !p.exists(filepath.Join(file, "setup.py")):
		return "there is no pyproject.toml and no setup.py in " + rename(at.source, name), "name the directory of a project"
	default:
		l.Sources, l.Tree = true, true
	}
	return "", ""
}

// web reads the URL of a wheel, or of sources whose digest is known.
func web(l *Line, raw string) (problem, fix string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme == "":
		return "what follows the @ is not a URL", urlExample
	case strings.Contains(u.Scheme, "+"):
		return "only repositories of git are supported", "write `NAME @ git+https://HOST/REPOSITORY@REVISION`, or make a wheel of it with `pip wheel --no-deps` and write its path"
	case u.Scheme != "http" && u.Scheme != "https":
		return "only http, https and file URLs are supported", urlExample
	case u.Host == "":
		return "the URL has no host", urlExample
	}
	l.URL = raw
	l.pin(u.Fragment)
	if strings.HasSuffix(path.Base(u.Path), ".whl") {
		return "", ""
	}
	l.Sources = true
	switch {
	case !sources().MatchString(path.Base(u.Path)):
		return archives, urlExample
	case strings.Contains(u.Fragment, "subdirectory="):
		return "a part of an archive can't be built", "write `NAME @ git+https://HOST/REPOSITORY@REVISION#subdirectory=PATH`"
	case len(l.Hashes) == 0:
		return "sources are built only if their sha256 is known", "add `#sha256=` and its 64 hex digits to the URL"
	case len(l.Hashes) > 1:
		return "there are several sha256 for one file", "write one of them"
	}
	return "", ""
}

// pin adds the digest that the fragment of a URL gives.
func (l *Line) pin(fragment string) {
	for part := range strings.SplitSeq(fragment, "&") {
		if sum, ok := strings.CutPrefix(part, "sha256="); ok && len(sum) == 64 {
			l.Hashes = append(l.Hashes, "sha256:"+strings.ToLower(sum))
		}
	}
}

// hashes reads the options that follow a requirement.
func hashes(text string) (sums []string, problem, fix string) {
	for _, o := range strings.Split(text, " -")[1:] {
		m := hashOption().FindStringSubmatch("-" + strings.TrimSpace(o))
		if m == nil {
			return nil, "only `--hash` is supported after a requirement", "write `--hash=sha256:` and 64 hex digits, or nothing"
		}
		if algorithm := strings.ToLower(m[1]); algorithm == "sha256" && len(m[2]) == 64 {
			sums = append(sums, algorithm+":"+strings.ToLower(m[2]))
		}
	}
	if len(sums) == 0 {
		return nil, "none of its hashes is a sha256", "write `--hash=sha256:` and 64 hex digits"
	}
	return sums, "", ""
}
