// SPDX-License-Identifier: Apache-2.0

package reqfile

import (
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"inlay/layers/pattern"
)

var (
	egg      = pattern.New(`(?:^|&)egg=([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)`)
	setupCfg = pattern.New(`(?ms)^\[metadata\]\s*$(?:[^\[]*?)^name\s*=\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*$`)
)

// repository reads the URL of a repository of git, as pip has it:
// git+SCHEME://HOST/PATH@REVISION#subdirectory=PATH&egg=NAME.
func repository(l *Line, raw string) (problem, fix string) {
	const example = "write `NAME @ git+https://HOST/REPOSITORY@REVISION`"
	u, err := url.Parse(strings.TrimPrefix(raw, "git+"))
	switch {
	case err != nil:
		return "what follows the git+ is not a URL", example
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh" && u.Scheme != "file":
		return "git is asked by https, http, ssh and file URLs only", example
	case u.Host == "" && u.Scheme != "file":
		return "the URL has no host", example
	case strings.Trim(u.Path, "/") == "":
		return "the URL names no repository", example
	}
	l.URL, l.Sources, l.Tree = raw, true, true
	return "", ""
}

// maxProject bounds a file that describes a project.
const maxProject = 4 << 20

// projectName returns the name that a project has, "" if it doesn't say one
// without being run.
func (p *parser) projectName(l *Line, u *url.URL) string {
	if l.Path() == "" {
		if m := egg().FindStringSubmatch(u.Fragment); m != nil {
			return m[1]
		}
		return ""
	}
	var described struct {
		Project struct{ Name string }
		Tool    struct{ Poetry struct{ Name string } }
	}
	if text := p.read(filepath.Join(l.Path(), "pyproject.toml")); text != "" {
		if _, err := toml.Decode(text, &described); err != nil {
			return "" // who builds it says what is wrong
		}
	}
	for _, name := range []string{described.Project.Name, described.Tool.Poetry.Name} {
		if m := named().FindStringSubmatch(name); m != nil && m[1] == name {
			return name
		}
	}
	if m := setupCfg().FindStringSubmatch(p.read(filepath.Join(l.Path(), "setup.cfg"))); m != nil {
		return m[1]
	}
	return ""
}

// read returns a file, "" if it can't be read.
func (p *parser) read(name string) string {
	f, err := p.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, maxProject))
	if err != nil {
		return ""
	}
	return string(b)
}
