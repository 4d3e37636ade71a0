// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// A pipReport is what this program reads of pip's installation report, version
// 1, with the sizes that targetScript adds.
type pipReport struct {
	Version string    `json:"version"`
	Install []pipItem `json:"install"`
}

type pipItem struct {
	Download struct {
		URL     string `json:"url"`
		Archive struct {
			Hashes struct {
				SHA256 string `json:"sha256"`
			} `json:"hashes"`
		} `json:"archive_info"`
	} `json:"download_info"`
	Metadata struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"metadata"`
	Direct bool  `json:"is_direct"` // a requirement gives the URL
	Size   int64 `json:"size"`
}

// reportName is the file that has it, in outDir.
const reportName = "report.json"

func (s *pipSession) readReport() (*pipReport, error) {
	b, err := left(s.dir, reportName)
	if err != nil {
		return nil, err
	}
	r := new(pipReport)
	if err := json.Unmarshal([]byte(s.Outside(string(b))), r); err != nil {
		return nil, err
	}
	if r.Version != "1" {
		return nil, fmt.Errorf("a report of version %q, want 1", r.Version)
	}
	return r, nil
}

// take puts the files of r into d. Packages without a wheel are a *SdistError
// that names them all.
func (r *pipReport) take(ctx context.Context, d *delta, g Group, s *pipSession) error {
	var sources []Package
	for _, item := range r.Install {
		w := item.wheel()
		from := w.URL
		built, ok := s.offered.at(from)
		switch {
		case ok:
			w = built
		case !strings.HasSuffix(w.File, ".whl"):
			sources = append(sources, Package{Name: w.Name, Version: w.Version})
			continue
		default:
			var err error
			if w, err = item.settle(ctx, w, g, s); err != nil {
				return err
			}
			from = w.URL
		}
		if item.Direct {
			d.direct[w.Name] = from
		}
		d.add = append(d.add, w)
	}
	if len(sources) > 0 {
		return &SdistError{Packages: sources, Target: s.fits}
	}
	return nil
}

// settle says which file w is: of a directory of wheels, of this machine, or of
// an index, whose digest must be one that g allows.
func (i pipItem) settle(ctx context.Context, w plan.Wheel, g Group, s *pipSession) (plan.Wheel, error) {
	linked, ok, err := s.links.wheel(ctx, w.File, Package{Name: w.Name, Version: w.Version}, hashes(g, w.Name))
	if err != nil {
		return w, err
	}
	if ok && !i.Direct && strings.HasPrefix(w.URL, "file:") {
		return linked, nil
	}
	if local, ok := (change{Package: Package{Name: w.Name}, from: w.URL}).local(g, s.locals); ok {
		w.URL, w.Digest, w.Size = local.URL, local.Digest, local.Size
		return w, nil
	}
	if err := checkWheel(w, hashes(g, w.Name)); err != nil {
		return w, err
	}
	w.URL = s.index.Public(w.URL)
	return w, nil
}

func (i pipItem) wheel() plan.Wheel {
	w := plan.Wheel{Name: reqfile.Normalise(i.Metadata.Name), Version: i.Metadata.Version, Size: i.Size}
	w.URL, _, _ = strings.Cut(i.Download.URL, "#")
	if u, err := url.Parse(w.URL); err == nil {
		w.File = path.Base(u.Path)
	}
	if sum := i.Download.Archive.Hashes.SHA256; sum != "" {
		w.Digest = "sha256:" + strings.ToLower(sum)
	}
	return w
}

// unbuilt names what pip wanted to build. It gives up at the first.
func (s *pipSession) unbuilt() error {
	b, err := left(s.dir, buildsName)
	if err != nil {
		return fmt.Errorf("pip %s wants to build a package: %w", s.pip.Version, err)
	}
	var told struct{ Name, File, URL, SHA256 string }
	if err := json.Unmarshal([]byte(s.Outside(string(b))), &told); err != nil {
		return fmt.Errorf("pip %s wants to build a package: %w", s.pip.Version, err)
	}
	p := sdistPackage(told.Name, told.File)
	x := source{Package: p, Source: plan.Source{URL: told.URL}}
	if told.SHA256 != "" {
		x.Digest = "sha256:" + strings.ToLower(told.SHA256)
	}
	return &SdistError{Packages: []Package{p}, Target: s.fits, sources: []source{x}}
}

// sdistPackage reads the version in the name of an sdist, whose package may be
// known.
func sdistPackage(name, file string) Package {
	stem := file
	for _, ext := range []string{".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz"} {
		stem = strings.TrimSuffix(stem, ext)
	}
	if n := len(name); name != "" && len(stem) > n+1 && reqfile.Normalise(stem[:n]) == reqfile.Normalise(name) {
		return Package{Name: reqfile.Normalise(name), Version: stem[n+1:]}
	}
	at := strings.LastIndexByte(stem, '-')
	if at < 0 {
		return Package{Name: cmp.Or(reqfile.Normalise(name), stem)}
	}
	return Package{Name: cmp.Or(reqfile.Normalise(name), reqfile.Normalise(stem[:at])), Version: stem[at+1:]}
}

var (
	pipYanked   = pattern.New(`yanked version: '([^']+)' candidate \(version (\S+) at [^\n]*\nReason for being yanked: ([^\n]*)`)
	pipWarning  = pattern.New(`(?m)^WARNING: (.+)$`)
	pipError    = pattern.New(`(?m)^ERROR: (.+)$`)
	pipProblem  = pattern.New(`(?m)^ERROR: (.+(?:\n[ \t]+\S.*)*)`) // with the lines that say what it is about
	pipNoise    = pattern.New(`^(?:Retrying |Ignoring |Cache entry |Running pip as |The candidate selected |Connection |Attempting to resume )`)
	pipConflict = pattern.New(`(?s)The conflict is caused by:\n(.*?)(?:\n\s*\nTo fix this|\z)`)
	pipLine     = pattern.New(` ?\(from line (\d+) of [^)]*\)`)
	pipBadLine  = pattern.New(`^Invalid requirement: (?:'([^']*)': )?(.*)`)
	pipBadMark  = pattern.New(`InvalidMarker: (.+)\n    (.+)\n`) // of pip 25.3
	pipAbsent   = pattern.New(`(?m)^ERROR: Could not find a version that satisfies the requirement ([A-Za-z0-9._-]+)[^\n]*\(from versions: none\)`)
	pipBroken   = pattern.New(`(?m)^(\S+) (\S+) ((?:requires|has requirement) .+?)\.?$`)
	pipVersions = pattern.New(`\(from versions: ([^)]*)\)`)

	// How pip and targetScript say that a server can't be reached.
	pipUnreached = []func() *regexp.Regexp{
		pattern.New(`(?m)^UNREACHED: (.+)$`),
		pattern.New(`(?m)^error: (?:connection|ssl|proxy|incomplete)-[\w-]+\n\n× (.+\n(?:╰─> .+)?)`),
		pattern.New(`(?m)^ERROR: Could not install packages due to an OSError: (.+)$`),
		pattern.New(`(?m)^ERROR: (HTTP error .+)$`),
	}
)

// pipWarnings returns what pip warns of, as far as it concerns the result.
func pipWarnings(log string) (warnings []string) {
	for _, m := range pipYanked().FindAllStringSubmatch(log, -1) {
		warnings = append(warnings, fmt.Sprintf("`%s==%s` is yanked (reason: %s)", m[1], m[2], m[3]))
	}
	for _, m := range pipWarning().FindAllStringSubmatch(log, -1) {
		if !pipNoise().MatchString(m[1]) {
			warnings = append(warnings, m[1])
		}
	}
	return warnings
}

// failure turns what pip says when it fails into an error.
func (s *pipSession) failure(out, log string, g Group) error {
	return s.refused(denied(s.index, log, s.explain(out, log, g)))
}

// explain is failure without what credentials have to do with it.
func (s *pipSession) explain(out, log string, g Group) error {
	all := pipProblems(log)
	conflict := pipConflict().FindStringSubmatch(out + "\n" + log)
	bad := pipBadLine().FindStringSubmatch(first(pipError(), log))
	mark := pipBadMark().FindStringSubmatch(log)
	down := unreached(log)
	absent := first(pipAbsent(), log)
	switch {
	case bad != nil:
		return s.badLine(g, first(pipLine(), log), bad[1], pipLine().ReplaceAllString(bad[2], ""))
	case mark != nil:
		return s.badLine(g, "", mark[2], mark[1])
	case down != "":
		return &IndexError{Message: down}
	case conflict != nil:
		return &UnsatisfiableError{Source: g.Name, Explanation: oneLine(conflict[1])}
	case absent != "":
		return &UnsatisfiableError{Source: g.Name, Explanation: fmt.Sprintf("%s was not found in the package registry", absent)}
	case strings.Contains(log, "No matching distribution found"), strings.Contains(log, "requires a different Python"):
		return &UnsatisfiableError{Source: g.Name, Explanation: all}
	default:
		return &InstallerError{installerPip, s.pip.Version, g.Name, cmp.Or(all, lastLine(log))}
	}
}

// pipProblems returns the errors in what pip says, without what it repeats.
func pipProblems(log string) string {
	var problems []string
	for _, m := range pipProblem().FindAllStringSubmatch(log, -1) {
		text := oneLine(pipVersions().ReplaceAllStringFunc(pipLine().ReplaceAllString(m[1], ""), latest))
		if !strings.HasPrefix(m[1], "Ignored the following") && !strings.HasPrefix(m[1], "No matching distribution") {
			problems = append(problems, text)
		}
	}
	return strings.Join(problems, ": ")
}

// oneLine puts what pip says in several lines on one.
func oneLine(lines string) string {
	var all []string
	for line := range strings.Lines(lines) {
		if text := words(line); text != "" {
			all = append(all, text)
		}
	}
	return sentence(strings.ReplaceAll(strings.Join(all, "; "), ":;", ":"))
}

// unreached returns what kept pip from a server.
func unreached(log string) string {
	for _, re := range pipUnreached {
		if m := re().FindStringSubmatch(log); m != nil {
			return sentence(strings.ReplaceAll(m[1], "\n╰─> ", ": "))
		}
	}
	return ""
}

// latest shortens pip's list of the versions that there are, which can be long.
func latest(list string) string {
	all := strings.Split(pipVersions().FindStringSubmatch(list)[1], ", ")
	const enough = 4
	if len(all) > enough {
		all = append([]string{"…"}, all[len(all)-enough:]...)
	}
	return "(there are " + strings.Join(all, ", ") + ")"
}

// first returns the first match's first group.
func first(re *regexp.Regexp, text string) string {
	m := re.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}

// badLine names the line that pip can't parse: by its number, for each
// requirement is a line of what pip was given, or by what pip quotes of it.
func (s *pipSession) badLine(g Group, number, quoted, problem string) error {
	n, _ := strconv.Atoi(number)
	for i, l := range g.Lines {
		if n == i+1 || n == 0 && quoted != "" && strings.Contains(l.Text, quoted) {
			return l.Refuse(sentence(problem), fixSyntax)
		}
	}
	return fmt.Errorf("pip %s can't parse %s: %s", s.pip.Version, g.Name, sentence(problem))
}
