// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// A session is one resolution with uv.
type session struct {
	*cells
	uv        UV
	common    []string // of the environment of all calls
	flags     []string // of all calls
	decides   []string // arguments of the user for the call that decides
	both      []string // and for that and the one that looks files up
	overrides []Line
	cache     string // uv's
	dir       string // holds what lives as long as the session
	remove    func() // removes it
	skeleton  *skeleton
	index     *index.Set
	links     links
	torch     bool  // builds of torch come from an index of uv's own
	store     Store // keeps what is known of files
	offline   bool
	target    string         // what a wheel must fit, in words
	tags      map[string]int // and by its tags, each with its rank
	secrets   []string       // that what uv says may hold
	locals    map[string]plan.Wheel
	offered   offered
}

// A choice is what uv would do with a group of requirements.
type choice struct {
	add      []change
	remove   []Package
	files    map[string]string // by "NAME==VERSION": the file that was chosen
	warnings []string          // of a release that was withdrawn, an extra that isn't there
	counted  bool              // as many are listed as uv says there are
}

// A change is a distribution that is to be installed.
type change struct {
	Package        // the version is "" for a URL that uv has not downloaded yet
	pin     string // what to ask the second call for
	direct  bool   // the requirement names the file's URL
	from    string // that URL, as uv prints it
}

// decide says what `uv pip install` of g would change of the skeleton.
func (s *session) decide(ctx context.Context, g Group, refresh bool) (*delta, error) {
	c, err := s.install(ctx, g, refresh)
	if err != nil {
		return nil, err
	}
	d := &delta{remove: c.remove, warnings: c.warnings, direct: map[string]string{}}
	c.takeLocals(d, g, s.locals)
	c.takeOffered(d, &s.offered)
	if err := c.takeLinks(ctx, d, g, s.links); err != nil {
		return nil, err
	}
	if len(c.add) == 0 {
		return d, nil
	}
	lock, err := s.lock(ctx, c, g, refresh)
	if err != nil {
		return nil, err
	}
	wheels, err := lock.wheels(c, g, s.tags, s.target)
	if err != nil {
		return nil, err
	}
	for i := range wheels {
		w := &wheels[i]
		w.URL = s.index.Public(w.URL)
		if slices.ContainsFunc(c.add, func(a change) bool { return a.direct && a.Name == w.Name }) {
			d.direct[w.Name] = w.URL
		}
	}
	d.add = append(d.add, wheels...)
	return d, nil
}

// change shows uv what groups changed of the parent.
func (s *session) change(gone, come []parent.Dist, files []installedFiles) error {
	return s.skeleton.change(gone, come, files)
}

// hide keeps secrets out of what uv says.
func (s *session) hide(secrets []string) { s.secrets = append(s.secrets, secrets...) }

// install asks uv what `uv pip install` of g would do to the skeleton.
func (s *session) install(ctx context.Context, g Group, refresh bool) (*choice, error) {
	if err := s.tell(s.skeleton, s.index, slices.Concat(g.Lines, g.Constraints)); err != nil {
		return nil, err
	}
	file, err := s.write("requirements.txt", s.inside(s.offered.allow(g.Lines)))
	if err != nil {
		return nil, err
	}
	args := []string{"pip", "install", "--verbose", "--dry-run", "--break-system-packages", "--requirements", file}
	if len(g.Constraints) > 0 {
		bounds, err := s.write("constraints.txt", s.inside(s.offered.allow(g.Constraints)))
		if err != nil {
			return nil, err
		}
		args = append(args, "--constraint", bounds)
	}
	if len(s.overrides) > 0 {
		file, err := s.write("overrides.txt", s.inside(s.overrides))
		if err != nil {
			return nil, err
		}
		args = append(args, "--override", file)
	}
	own := ownArguments(g, "uv")
	args = slices.Concat(args, onceEach(s.decides, own.Flags), onceEach(s.both, own.Both), s.offered.arguments(), s.links.arguments(s))
	if refresh {
		args = append(args, "--refresh")
	}
	log := &logWriter{keep: relevant}
	exit, err := s.run(ctx, log, log, args...)
	if err != nil {
		return nil, err
	}
	if exit != 0 {
		return nil, s.failure(log.String(), g)
	}
	if text := log.String(); !log.full {
		if c := readChoice(s.inside(direct(g)), s.clean(text)); c.counted {
			return c, nil
		}
	}
	return nil, fmt.Errorf("uv %s says what it would install for %s in a way that this program doesn't understand", s.uv.Version, g.Name)
}

func (s *session) write(name string, lines []string) (string, error) {
	return writeLines(s.dir, name, lines)
}

func writeLines(dir, name string, lines []string) (string, error) {
	file := filepath.Join(dir, name)
	return file, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600) //nolint:forbidigo // uv has not started
}

// run runs uv with args, the interpreter and the flags of every call.
func (s *session) run(ctx context.Context, stdout, stderr io.Writer, args ...string) (int, error) {
	return s.Run(ctx, Command{
		Path: s.uv.Path, Args: slices.Concat(args, []string{"--python", s.skeleton.python}, s.flags),
		Dir: s.dir, Env: s.Env(), Stdout: stdout, Stderr: stderr,
	})
}

// relevant tells the lines of uv's verbose log that say what it chose, or that
// are not its verbose log at all.
func relevant(line []byte) bool {
	if bytes.HasPrefix(line, []byte("DEBUG Selecting: ")) {
		return true
	}
	for _, level := range []string{"TRACE ", "DEBUG ", "INFO ", "WARN "} {
		if bytes.HasPrefix(line, []byte(level)) {
			return false
		}
	}
	return true
}

var (
	// changeLine is " + NAME==VERSION", perhaps with " (from URL)", or
	// " + NAME @ URL"; "-" for what goes away, "~" for what is replaced by itself.
	changeLine  = pattern.New(`(?m)^ ([-+~]) ([A-Za-z0-9._-]+)(?:==(\S+)(?: \(from (\S+)\))?| @ (\S+))$`)
	countLine   = pattern.New(`(?m)^Would (?:(install|uninstall) (\d+) packages?|make no changes)$`)
	warningLine = pattern.New(`(?m)^warning: (.+)$`)
	selectLine  = pattern.New(`(?m)^DEBUG Selecting: (\S+==\S+) (?:\[[\w-]+\] )?\((\S+)\)$`)
)

// choice reads the log of a dry run; direct are the requirements that give a URL.
// Builds within it print what they choose too, so a file is looked up by what is
// to be installed, not taken in turn.
func readChoice(direct []string, log string) *choice {
	out := &choice{files: map[string]string{}}
	for _, m := range selectLine().FindAllStringSubmatch(log, -1) {
		out.files[m[1]] = m[2]
	}
	for _, m := range warningLine().FindAllStringSubmatch(log, -1) {
		out.warnings = append(out.warnings, m[1])
	}
	for _, m := range changeLine().FindAllStringSubmatch(log, -1) {
		p := Package{Name: reqfile.Normalise(m[2]), Version: m[3]}
		if m[1] != "+" {
			out.remove = append(out.remove, p)
		}
		if m[1] == "-" {
			continue
		}
		a := change{Package: p, pin: p.String(), direct: m[4]+m[5] != "", from: m[4] + m[5]}
		if a.direct {
			a.pin = strings.Join(slices.DeleteFunc(slices.Clone(direct), func(l string) bool { return nameOf(l) != p.Name }), "\n") // as written: uv masks what it prints
		}
		out.add = append(out.add, a)
	}
	out.counted = out.agrees(log)
	return out
}

// agrees compares c with the numbers that uv gives, so that a change that is
// printed in another way isn't lost.
func (c *choice) agrees(log string) bool {
	said := map[string]int{}
	counts := countLine().FindAllStringSubmatch(log, -1)
	for _, m := range counts {
		said[m[1]], _ = strconv.Atoi(m[2]) // "" if nothing changes
	}
	return len(counts) > 0 && said["install"] == len(c.add) && said["uninstall"] == len(c.remove)
}

// failure turns what uv says when it fails into an error.
func (s *session) failure(log string, g Group) error {
	r := parseReport(s.clean(log))
	return s.refused(denied(s.index, strings.Join(slices.Concat([]string{r.headline}, r.causes, r.hints), " "), s.explain(r, g)))
}

// explain is failure without what credentials have to do with it.
func (s *session) explain(r report, g Group) error {
	all := strings.Join(append([]string{r.headline}, r.causes...), ": ")
	switch {
	case s.offline && (strings.Contains(all, "Network connectivity is disabled") ||
		strings.Contains(strings.Join(r.hints, " "), "network was disabled")):
		return &OfflineError{Missing: sentence(strings.Join(r.causes, ": "))}
	case strings.HasPrefix(r.headline, "No solution found"):
		return &UnsatisfiableError{Source: g.Name, Explanation: sentence(strings.Join(r.causes, ": ")), Advice: r.hints}
	case failedBuild().MatchString(r.headline):
		return &SdistError{Packages: s.unbuilt(r.headline), Target: s.target}
	case parseFailed().MatchString(r.headline):
		at, _ := strconv.Atoi(parseFailed().FindStringSubmatch(r.headline)[1]) // digits; too many are a position beyond the end
		return syntaxError(g, s.inside(g.Lines), at, sentence(r.detail))
	case unreachable().MatchString(all):
		return &IndexError{Message: sentence(all)}
	default:
		return &InstallerError{"uv", s.uv.Version, g.Name, sentence(all)}
	}
}

var (
	failedBuild = pattern.New("^Failed to (?:download and )?build `([^`=@ ]+)(?:==([^`]+))?")
	parseFailed = pattern.New("^Couldn't parse requirement in `[^`]*` at position (\\d+)")
	unreachable = pattern.New(`Failed to (?:fetch|download)|Request failed after|error sending request|HTTP status |[Rr]eceived some unexpected |[Uu]nsupported .Content-Type.`)
	sourceDir   = pattern.New(`/sdists-v\d+/(?:pypi|index/[0-9a-f]+)/([^/]+)/([^/]+)/`)
)

// unbuilt names what uv wanted to build: what it says, and before that where
// the script was called. It gives up at the first that fails.
func (s *session) unbuilt(headline string) []Package {
	dirs, err := left(s.dir, buildsName)
	if err != nil {
		dirs = nil // uv failed before it got that far
	}
	var ps []Package
	seen := map[string]bool{}
	called := sourceDir().FindAllStringSubmatch(string(dirs), -1) // in any order
	slices.SortFunc(called, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	for _, m := range append(failedBuild().FindAllStringSubmatch(headline, -1), called...) {
		if p := (Package{Name: reqfile.Normalise(m[1]), Version: m[2]}); !seen[p.Name] {
			seen[p.Name] = true
			ps = append(ps, p)
		}
	}
	return ps
}

// clean hides from a log what means nothing to the user, or too much: paths of
// the session and credentials. What is left of a path is the image's.
func (s *session) clean(log string) string {
	log = strings.NewReplacer(s.skeleton.root, "", s.dir+string(filepath.Separator), "").Replace(log)
	return reqfile.Redact(reqfile.Hide(log, s.secrets))
}

// A report is an error of uv: "error: HEADLINE" and "cause: CAUSE" lines from
// uv 0.12, or a tree of them before.
type report struct {
	headline string
	causes   []string // the outermost first
	hints    []string
	detail   string // the first line of the first cause
}

var (
	reportStart = pattern.New(`(?m)^(?:error: |  × )`)
	reportPart  = pattern.New(`^(?:error: |  × |  cause: |  Caused by: |  [├╰]─▶ |\s*(hint): )`)
)

// parseReport reads the error that ends a log. A log without one is a report
// whose headline is the log.
func parseReport(log string) report {
	var r report
	at := reportStart().FindStringIndex(log)
	if at == nil {
		r.headline = words(log)
		return r
	}
	parts := &r.causes
	for i, line := range strings.Split(log[at[0]:], "\n") {
		text := strings.TrimPrefix(line, "  │")
		m := reportPart().FindStringSubmatch(line)
		switch {
		case m != nil && i == 0:
			r.headline = words(line[len(m[0]):])
			continue
		case m != nil && m[1] != "":
			parts, text = &r.hints, line[len(m[0]):]
			*parts = append(*parts, "")
		case m != nil:
			parts, text = &r.causes, line[len(m[0]):]
			*parts = append(*parts, "")
		}
		if last := len(*parts) - 1; last >= 0 {
			(*parts)[last] += text + "\n"
		} else {
			r.headline += " " + words(text)
		}
	}
	r.finish()
	return r
}

func (r *report) finish() {
	if len(r.causes) > 0 {
		r.detail, _, _ = strings.Cut(r.causes[0], "\n")
	}
	r.headline = words(r.headline)
	for _, parts := range [][]string{r.causes, r.hints} {
		for i, p := range parts {
			p, _, _ = strings.Cut(p, "[stderr]")
			parts[i] = words(p)
		}
	}
}

// words returns text on one line.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// sentence returns text as the text of an error begins and ends.
func sentence(text string) string {
	text = strings.TrimSuffix(words(text), ".")
	if len(text) > 1 && 'A' <= text[0] && text[0] <= 'Z' && 'a' <= text[1] && text[1] <= 'z' {
		return strings.ToLower(text[:1]) + text[1:]
	}
	return text
}
