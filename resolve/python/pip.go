// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"inlay/layers"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// targetScript runs pip as if it were the parent's.
//
//go:embed target.py
var targetScript string

// A target is what targetScript reads: the parent, as pip is to see it.
type target struct {
	Pip     string            `json:"pip"` // the wheel of pip, "" for the installed one
	Markers map[string]string `json:"markers"`
	Version []int             `json:"version"` // of Python
	Tags    []string          `json:"tags"`    // best first
	Libs    []string          `json:"libs"`    // where packages are installed
	Report  string            `json:"report"`  // the file that pip writes
	Builds  string            `json:"builds"`  // a file that names what pip wanted to build
}

// A pipSession is one resolution with pip.
type pipSession struct {
	*cells
	pip       Pip
	common    []string // of the environment of all calls
	cache     string
	arguments []string // of the user, for the call that decides
	index     *index.Set
	links     links
	dir       string // holds what lives as long as the session
	remove    func() // removes it
	skeleton  *skeleton
	target    target
	fits      string        // what a wheel must fit, in words
	dists     []parent.Dist // what is installed and would be replaced
	secrets   []string      // that what pip says may hold
	locals    map[string]plan.Wheel
	offered   offered
}

// aptLib is where Debian's own packages are, which pip counts as installed and
// does not remove. uv doesn't look there.
const aptLib = "/usr/lib/python3/dist-packages"

// pipSession prepares a resolution: it finds pip and lays out what the parent
// says of its packages.
func (r *Resolver) pipSession(ctx context.Context, req Request) (s *pipSession, err error) {
	if req.Offline { // pip asks the index even for what it has cached
		return nil, &OfflineError{Missing: "pip has not resolved these requirements before"}
	}
	pip, err := r.Pip(ctx)
	if err != nil {
		return nil, err
	}
	at, err := r.room(ctx, req, r.PipDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			at.leave()
		}
	}()
	s = &pipSession{
		cells: at.cells, pip: pip, dir: at.dir, remove: at.leave, cache: at.cache, fits: req.target(), locals: req.locals,
		skeleton: &skeleton{root: filepath.Join(at.dir, "root"), purelib: req.Inventory.Python.Scheme.Purelib},
		dists:    slices.Clone(req.Inventory.Python.Dists),
		offered:  offered{dir: filepath.Join(at.dir, "built"), hashes: true},
	}
	if err := s.lay(req.Inventory, at.parent); err != nil {
		return nil, err
	}
	s.arguments = slices.Concat(req.Arguments.Flags, req.Arguments.Both)
	s.common = pick(r.Env, hostPythonEnv(), append(slices.Clone(req.Arguments.Env), "PIP_CONFIG_FILE="+os.DevNull, "TMPDIR="+filepath.Join(at.dir, tempDir), "NO_COLOR=1")...)
	if err := s.settle(ctx, r.Runner); err != nil {
		return nil, err
	}
	return s, nil
}

// change shows pip what groups changed of the parent.
func (s *pipSession) change(gone, come []parent.Dist, files []installedFiles) error {
	s.dists = slices.DeleteFunc(s.dists, func(d parent.Dist) bool { return slices.Contains(gone, d) })
	s.dists = append(s.dists, come...)
	return s.skeleton.change(gone, come, files)
}

// offer lets pip choose a wheel that no index has.
func (s *pipSession) offer(w plan.Wheel, f *os.File) (string, error) { return s.offered.add(w, f) }

// sources returns what pip said of what has no wheel.
func (s *pipSession) sources(ctx context.Context, lacks *SdistError) ([]source, error) {
	for i, x := range lacks.sources {
		raw, _, _ := strings.Cut(x.URL, "#")
		local, ok, err := s.links.sources(ctx, x.Package)
		if err != nil {
			return nil, err
		}
		if ok && strings.HasPrefix(raw, "file:") {
			lacks.sources[i] = local
			continue
		}
		if lacks.sources[i], err = newSource(x.Package, s.index.Public(raw), x.Digest); err != nil {
			return nil, err
		}
	}
	return lacks.sources, nil
}

// hide keeps secrets out of what pip says.
func (s *pipSession) hide(secrets []string) { s.secrets = append(s.secrets, secrets...) }

// decide says what `pip install` of g would change of the skeleton.
func (s *pipSession) decide(ctx context.Context, g Group, _ bool) (*delta, error) {
	report, log, err := s.install(ctx, g)
	if err != nil {
		return nil, err
	}
	d := &delta{warnings: pipWarnings(log), direct: map[string]string{}}
	if err := report.take(ctx, d, g, s); err != nil {
		return nil, err
	}
	for _, w := range d.add {
		for _, i := range s.dists {
			if i.Name == w.Name {
				d.remove = append(d.remove, Package{Name: i.Name, Version: i.Version})
			}
		}
	}
	return d, nil
}

// ask makes what follows ask the indexes of set, by pip's environment.
func (s *pipSession) ask(ctx context.Context, set *index.Set, g Group, l links) error {
	s.index, s.links = set, l
	s.hide(set.Hidden())
	cache := cacheOf(s.cache, set)
	return s.enter(ctx, set, g, l, cache, append(slices.Clone(s.common), "PIP_CACHE_DIR="+cache), set.PipEnv())
}

// lay writes what pip is to see of the parent.
func (s *pipSession) lay(inv *parent.Inventory, view *layers.View) error {
	py := *inv.Python
	s.target = target{
		Pip: s.pip.Wheel, Markers: markers(&py), Version: versionInfo(py.Version), Tags: ranked(wheelTags(&py, inv.Libc)),
		Report: filepath.Join(s.dir, outDir, reportName), Builds: filepath.Join(s.dir, outDir, buildsName),
	}
	libs := []string{py.Scheme.Purelib, py.Scheme.Platlib}
	if py.Kind == "debian" {
		libs = append(libs, aptLib)
		py.Dists = append(slices.Clone(py.Dists), metadataIn(view, aptLib)...)
	}
	for _, lib := range libs {
		if dir := filepath.Join(s.skeleton.root, filepath.FromSlash(lib)); !slices.Contains(s.target.Libs, dir) {
			s.target.Libs = append(s.target.Libs, dir)
		}
	}
	root, err := writeMetadata(s.skeleton.root, &py, view)
	if err != nil {
		return err
	}
	if err := root.Close(); err != nil {
		return err
	}
	content, err := json.Marshal(s.target)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"target.py": []byte(targetScript), "target.json": content} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil { //nolint:forbidigo // pip has not started
			return err
		}
	}
	return nil
}

// metadataIn lists the distributions in a directory by the names of their
// metadata. What doesn't say its version so is none that pip could read.
func metadataIn(view *layers.View, lib string) (found []parent.Dist) {
	entries, err := view.ReadDir(relative(lib))
	if err != nil {
		return nil // the parent has none
	}
	for _, e := range entries {
		if ext := path.Ext(e.Name()); ext == ".dist-info" || ext == ".egg-info" {
			name, _, _ := strings.Cut(strings.TrimSuffix(e.Name(), ext), "-")
			found = append(found, parent.Dist{Name: reqfile.Normalise(name), Path: path.Join(lib, e.Name())})
		}
	}
	return found
}

// versionInfo returns the numbers of a version of Python: {3, 15, 0} of
// "3.15.0b1".
func versionInfo(version string) []int {
	info := make([]int, 0, 3)
	for _, part := range strings.SplitN(version, ".", 3) {
		digits := len(part) - len(strings.TrimLeft(part, "0123456789"))
		n, _ := strconv.Atoi(part[:digits])
		info = append(info, n)
	}
	return info
}

// ranked returns tags, best first.
func ranked(ranks map[string]int) []string {
	tags := make([]string, 0, len(ranks))
	for tag := range ranks {
		tags = append(tags, tag)
	}
	slices.SortFunc(tags, func(a, b string) int { return ranks[a] - ranks[b] })
	return tags
}

// needsBuild is the exit code of targetScript where pip would run a package's
// own code.
const needsBuild = 86

// install asks pip what `pip install` of g would do.
func (s *pipSession) install(ctx context.Context, g Group) (*pipReport, string, error) {
	if err := s.tell(s.skeleton, s.index, slices.Concat(g.Lines, g.Constraints)); err != nil {
		return nil, "", err
	}
	args := []string{
		"install", "--dry-run", "--report", s.target.Report, "--no-user", "--progress-bar", "off",
	}
	for _, f := range []struct {
		option, name string
		lines        []Line
	}{{"--requirement", "requirements.txt", g.Lines}, {"--constraint", "constraints.txt", g.Constraints}} {
		if len(f.lines) == 0 {
			continue
		}
		file, err := writeLines(s.dir, f.name, s.inside(s.offered.allow(f.lines)))
		if err != nil {
			return nil, "", err
		}
		args = append(args, f.option, file)
	}
	out, log := &logWriter{}, &logWriter{}
	own := ownArguments(g, installerPip)
	exit, err := s.run(ctx, out, log, slices.Concat(args, onceEach(s.arguments, slices.Concat(own.Flags, own.Both)), s.offered.arguments(), s.links.arguments(s))...)
	if err != nil {
		return nil, "", err
	}
	said := s.clean(log.String())
	if exit == needsBuild {
		return nil, "", s.unbuilt()
	}
	if exit != 0 {
		return nil, "", s.failure(s.clean(out.String()), said, g)
	}
	report, err := s.readReport()
	if err != nil {
		return nil, "", fmt.Errorf("reading what pip %s reports: %w", s.pip.Version, err)
	}
	return report, said, nil
}

// run runs pip as the parent's.
func (s *pipSession) run(ctx context.Context, stdout, stderr io.Writer, args ...string) (int, error) {
	python := []string{"-I", "-B", filepath.Join(s.dir, "target.py"), filepath.Join(s.dir, "target.json")}
	pip := []string{"--no-input", "--no-color", "--disable-pip-version-check"}
	return s.Run(ctx, Command{
		Path: s.pip.Python, Args: slices.Concat(python, args[:1], pip, args[1:]), Dir: s.dir, Env: s.Env(), Stdout: stdout, Stderr: stderr,
	})
}

// check lets pip say which requirements don't hold.
func (s *pipSession) check(ctx context.Context, dists []parent.Dist, groups []Group) ([]string, error) {
	who, err := standIns(s, s.skeleton.purelib, dists, groups)
	if err != nil {
		return nil, err
	}
	out, log := &logWriter{}, &logWriter{}
	exit, err := s.run(ctx, out, log, "check")
	if err != nil {
		return nil, err
	}
	found := pipBroken().FindAllStringSubmatch(s.clean(out.String()), -1)
	if exit > 1 || exit == 1 && out.String() == "" {
		return nil, s.failure("", s.clean(log.String()), Group{Name: "what is installed"})
	}
	var broken []string
	for _, m := range found {
		broken = append(broken, cmp.Or(who[reqfile.Normalise(m[1])], m[1]+" "+m[2])+" "+m[3])
	}
	slices.Sort(broken)
	return slices.Compact(broken), nil
}

// clean hides from a log what means nothing to the user, or too much: paths of
// the session and credentials. What is left of a path is the image's.
func (s *pipSession) clean(log string) string {
	log = strings.NewReplacer(s.skeleton.root, "", s.dir+string(filepath.Separator), "").Replace(log)
	return reqfile.Redact(reqfile.Hide(log, s.secrets))
}
