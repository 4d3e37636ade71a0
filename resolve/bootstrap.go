// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"inlay/cache/fetch"
	"inlay/resolve/apt"
	"inlay/resolve/apt/setup"
	"inlay/resolve/plan"
)

// A Root says what an image is made of that has no parent.
type Root struct {
	Suite    string   // "bookworm"
	Packages []string // besides the essential ones and apt
	Platform string
	Locked   *apt.Resolved // what it is made of; nil: that is to be decided
}

// A Bootstrapped is the plan of such an image. Files are those of its last step,
// which are apt's own configuration: they come from no context.
type Bootstrapped struct {
	Plan     plan.Plan         `json:"plan"`
	Files    map[string]string `json:"files"`
	Packages *apt.Resolved     `json:"packages"`
}

// Where things are in an image, for apt.
const (
	aptDir         = "/etc/apt"
	sourcesFile    = "sources.list.d/debian.sources"
	keyringFile    = "keyrings/bootstrap"
	debianKeyring  = "/usr/share/keyrings/debian-archive-keyring.gpg"
	keyringPackage = "debian-archive-keyring"
)

// Debian 12 wants one of the two: a program that makes /bin a link, or a word
// that it is one.
const (
	usrMerge    = "usrmerge"
	usrIsMerged = "usr-is-merged"
)

// Bootstrap returns the plan of an image without a parent: all essential
// packages of a suite, apt, and those that are asked for. Archive and keys are
// those of the settings, else those that this machine's apt uses.
func Bootstrap(ctx context.Context, req Request, root Root) (*Bootstrapped, error) {
	q, from, err := rootRequest(req, root)
	if err != nil {
		return nil, err
	}
	tree, words, r := plan.Tree(nil), root.words(), root.Locked
	if r == nil {
		r, err = recalled(req, q, tree, words, func() (*apt.Resolved, error) { return resolveRoot(ctx, req, q, from, words) })
	}
	if err != nil {
		return nil, fmt.Errorf("resolving the packages of %s: %w", root.Suite, err)
	}
	step := aptStep(req.Settings.Apt, r, tree, req.Created)
	step.Name = rootName(root, len(r.Packages))
	b := &Bootstrapped{Packages: r, Files: aptFiles(req, q, from, r)}
	b.Plan = plan.Plan{Version: plan.Version, Platform: root.Platform, Created: req.Created, Stages: []plan.Stage{{
		Parent: plan.Parent{Image: plan.Scratch},
		Steps:  append(append([]plan.Step{step}, configureSteps(step)...), plan.Step{Name: "sources of apt", Files: aptStepFiles(b.Files, req.Created)}),
		Config: plan.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"bash"}},
	}}}
	return b, nil
}

// words are what is asked for beside the essential packages.
func (r Root) words() []string { return append([]string{"apt"}, r.Packages...) }

func rootName(root Root, n int) string {
	name := "apt: " + root.Suite
	if len(root.Packages) > 0 {
		name += " with " + list(root.Packages)
	}
	return fmt.Sprintf("%s (%d packages)", name, n)
}

// resolveRoot asks for the packages. Not every mirror has updates.
func resolveRoot(ctx context.Context, req Request, q apt.Request, from trusted, words []string) (*apt.Resolved, error) {
	r, err := req.Packages.Resolve(ctx, q, words)
	if isMissing(err) && len(from.more) > 0 {
		req.note("note: the mirror lacks %s: they are left out", from.moreNames())
		q.Sources = slices.Concat(from.main, q.Sources[len(from.main)+len(from.more):])
		r, err = req.Packages.Resolve(ctx, q, words)
	}
	if err == nil && slices.ContainsFunc(r.Packages, func(p apt.Package) bool { return p.Name == usrMerge }) {
		return req.Packages.Resolve(ctx, q, append(slices.Clone(words), usrIsMerged))
	}
	return r, err
}

func isMissing(err error) bool {
	var status *fetch.StatusError
	return errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusGone) || errors.Is(err, fs.ErrNotExist)
}

// aptFiles returns apt's configuration in the image, by the path below aptDir.
func aptFiles(req Request, q apt.Request, from trusted, r *apt.Resolved) map[string]string {
	files := map[string]string{}
	signedBy := strings.Join(from.paths, " ")
	if slices.ContainsFunc(r.Packages, func(p apt.Package) bool { return p.Name == keyringPackage }) {
		signedBy = debianKeyring
	}
	if key := q.Keyrings[ownKeyring]; req.Settings.Apt.Keyring != "" {
		name := keyringFile + ".gpg"
		if bytes.Contains(key, []byte("-----BEGIN PGP")) {
			name = keyringFile + ".asc"
		}
		files[name], signedBy = string(key), aptDir+"/"+name
	}
	files[sourcesFile] = stanzas(r.Indexes, signedBy)
	return files
}

// stanzas returns a file of sources (sources.list(5)): a stanza for each archive.
func stanzas(indexes []apt.Index, signedBy string) string {
	suites, components := map[string][]string{}, map[string][]string{}
	var archives []string
	add := func(list []string, s string) []string {
		if slices.Contains(list, s) {
			return list
		}
		return append(list, s)
	}
	for _, x := range indexes {
		archives = add(archives, x.Archive)
		suites[x.Archive] = add(suites[x.Archive], x.Suite)
		components[x.Archive] = add(components[x.Archive], x.Component)
	}
	text := make([]string, len(archives))
	for i, a := range archives {
		text[i] = fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n",
			a, strings.Join(suites[a], " "), strings.Join(components[a], " "), signedBy)
	}
	return strings.Join(text, "\n")
}

// aptStepFiles is the step that writes files into aptDir.
func aptStepFiles(files map[string]string, created int64) *plan.Files {
	f := &plan.Files{Target: aptDir, ModTime: created}
	for name, text := range files {
		dir, _, _ := strings.Cut(name, "/")
		f.Files = append(f.Files, plan.File{Path: dir, Mode: fs.ModeDir | 0o755},
			plan.File{Path: name, Mode: 0o644, Size: int64(len(text)), Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))})
	}
	slices.SortFunc(f.Files, func(a, b plan.File) int { return strings.Compare(a.Path, b.Path) })
	return f
}

// ownKeyring is the path by which sources name the keyring of the settings.
const ownKeyring = "settings/apt.keyring"

// trusted are the sources of an image without a parent.
type trusted struct {
	main, more []setup.Source // more are updates, which a mirror may lack
	paths      []string       // of this machine's keyrings, as the image will have them
}

func (t trusted) moreNames() string {
	names := make([]string, len(t.more))
	for i, s := range t.more {
		names[i] = s.Suite
	}
	return strings.Join(names, " and ")
}

// rootRequest says where the packages come from, and whose signatures count.
func rootRequest(req Request, root Root) (q apt.Request, from trusted, err error) {
	if q, err = packageRequest(req, root.Platform); err != nil {
		return q, from, err
	}
	if root.Locked != nil && (known[root.Suite] != nil || req.Settings.Apt.Keyring != "") {
		return q, trusted{paths: []string{debianKeyring}}, ownKey(req, &q) // neither an archive nor a signature is asked
	}
	host := &setup.Setup{}
	if a := req.Settings.Apt; req.Host != nil && (a.Mirror == "" || a.Keyring == "") {
		if host, err = req.Host(); err != nil {
			return q, from, &HostError{err}
		}
	}
	if from, err = findSources(req.Settings.Apt.Mirror, root.Suite, host.Sources); err != nil {
		return q, from, err
	}
	if err := from.sign(req, root.Suite, host, &q); err != nil {
		return q, from, err
	}
	q.Mirror, q.Parent, q.Essential = "", empty{}, true
	q.Sources = slices.Concat(from.main, from.more, q.Sources)
	return q, from, nil
}

// A HostError reports that this machine's apt is set up in a way that can't be
// read.
type HostError struct{ Err error }

func (e *HostError) Error() string {
	return "reading how apt is set up on this machine: " + e.Err.Error()
}

// Unwrap returns what can't be read.
func (e *HostError) Unwrap() error { return e.Err }

// Hint says how to do without.
func (e *HostError) Hint() string {
	return "name the archive with `--apt-mirror URL` and its keys with `--keyring FILE`: then this machine's apt is not asked"
}

// A MirrorError reports that nothing names an archive.
type MirrorError struct{ Suite string }

func (e *MirrorError) Error() string { return "nothing says where the packages of " + e.Suite + " are" }

// Hint says how to name one.
func (e *MirrorError) Hint() string {
	return "name an archive that has the suite with `--apt-mirror URL`: this machine's apt has none"
}

// findSources returns the sources of a suite: of a mirror, else those that this
// machine's apt has for the suite, else what it has for its own, of the other
// suite.
func findSources(mirror, suite string, host []setup.Source) (from trusted, err error) {
	if mirror != "" {
		return mirrorSources(mirror, suite)
	}
	own := suite
	if !slices.ContainsFunc(host, func(s setup.Source) bool { return s.Suite == suite }) {
		i := slices.IndexFunc(host, func(s setup.Source) bool { return known[s.Suite] != nil })
		if i < 0 || known[suite] == nil {
			return from, &MirrorError{suite}
		}
		own = host[i].Suite
	}
	for _, s := range host {
		rest, ok := strings.CutPrefix(s.Suite, own)
		if !ok || rest != "" && rest[0] != '-' {
			continue
		}
		s.Suite = suite + rest
		if rest == "" {
			from.main = append(from.main, s)
		} else {
			from.more = append(from.more, s)
		}
	}
	return from, nil
}

// mirrorSources returns the sources of a suite that a mirror has.
func mirrorSources(mirror, suite string) (from trusted, err error) {
	from.main, err = setup.NewSources(mirror, []string{suite}, []string{"main"}, "", "--apt-mirror")
	if err != nil {
		return from, err
	}
	updates, err := setup.NewSources(mirror, []string{suite + "-updates"}, []string{"main"}, "", "--apt-mirror")
	if err != nil {
		return from, err
	}
	security, err := setup.NewSources(strings.TrimSuffix(mirror, "/")+"-security", []string{suite + "-security"}, []string{"main"}, "", "--apt-mirror")
	from.more = append(updates, security...)
	return from, err
}

// A KeyringError reports that nothing says whose signatures count.
type KeyringError struct{ Suite string }

func (e *KeyringError) Error() string {
	return "there are no keys to check the packages of " + e.Suite + " with"
}

// Hint says how to name some.
func (e *KeyringError) Hint() string {
	return "name the file with the keys of the archive with `--keyring FILE`, such as that of the package " + keyringPackage
}

// sign says by whom the sources must be signed: by the keyring of the settings,
// else by the keys of Debian that are known, as this machine has them, else as
// this machine's apt has it.
func (t *trusted) sign(req Request, suite string, host *setup.Setup, q *apt.Request) error {
	var by []string
	switch {
	case req.Settings.Apt.Keyring != "":
		if err := ownKey(req, q); err != nil {
			return err
		}
		by = []string{"/" + ownKeyring}
	case known[suite] != nil && len(host.Keyrings) > 0:
		for name, b := range host.Keyrings {
			q.Keyrings[name] = b
			by = append(by, "/"+name)
		}
		slices.Sort(by)
		by = append(by, known[suite]...)
		t.paths = []string{debianKeyring}
	case req.Settings.Apt.Mirror == "" && len(t.main) > 0 && len(t.main[0].SignedBy) > 0:
		for name, b := range host.Keyrings {
			q.Keyrings[name] = b
		}
		t.paths = t.main[0].SignedBy
		return nil
	default:
		return &KeyringError{suite}
	}
	for _, list := range [][]setup.Source{t.main, t.more} {
		for i := range list {
			list[i].SignedBy = by
		}
	}
	return nil
}

// ownKey reads the keyring of the settings, if they name one.
func ownKey(req Request, q *apt.Request) (err error) {
	if name := req.Settings.Apt.Keyring; name != "" {
		q.Keyrings[ownKeyring], err = readKey(req, "apt.keyring", name)
	}
	return err
}

// empty is the tree of an image without a parent.
type empty struct{}

// Open finds nothing but the root.
func (empty) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
