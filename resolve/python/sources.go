// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"inlay/cache/disk"
	"inlay/layers/pattern"
	"inlay/resolve/index"
	"inlay/resolve/plan"
	"inlay/resolve/python/pack"
)

// Repositories get what repositories of sources have; *git.Git does.
type Repositories interface {
	// Commit returns the commit that the revision of r is now.
	Commit(ctx context.Context, r Repository) (string, error)
	// CheckOut lays a commit into the directory dir, which isn't there yet.
	CheckOut(ctx context.Context, r Repository, commit, dir string) error
	// Version returns the version that the history at dir says, "" if there is
	// none.
	Version(ctx context.Context, dir string) (string, error)
}

// A Repository is where sources are, and which of them are meant.
type Repository struct {
	URL            string // without user, password and revision
	User, Password string
	Revision       string // a branch, a tag or a commit; "": what the server says
	Subdirectory   string // in which the project is
}

// WithLogin returns the URL with user and password.
func (r Repository) WithLogin() string {
	u, err := url.Parse(r.URL)
	if err != nil || r.User == "" && r.Password == "" {
		return r.URL
	}
	u.User = url.User(r.User)
	if r.Password != "" {
		u.User = url.UserPassword(r.User, r.Password)
	}
	return u.String()
}

// at is the URL of what r has at a commit, as plans name it.
func (r Repository) at(commit string) string {
	raw := gitScheme + r.URL + "@" + commit
	if r.Subdirectory != "" {
		raw += "#subdirectory=" + r.Subdirectory
	}
	return raw
}

const gitScheme = "git+"

// newRepository reads git+SCHEME://USER:PASSWORD@HOST/PATH@REVISION#subdirectory=PATH.
// set may know who may read it.
func newRepository(raw string, set *index.Set) (Repository, error) {
	u, err := url.Parse(strings.TrimPrefix(raw, gitScheme))
	if err != nil {
		return Repository{}, err
	}
	var r Repository
	if i := strings.LastIndex(u.Path, "@"); i > 0 {
		u.Path, r.Revision, u.RawPath = u.Path[:i], u.Path[i+1:], ""
	}
	if fragment, err := url.ParseQuery(u.Fragment); err == nil {
		r.Subdirectory = fragment.Get("subdirectory")
	}
	if r.Subdirectory != "" && !filepath.IsLocal(r.Subdirectory) {
		return r, fmt.Errorf("%q leads out of the repository", r.Subdirectory)
	}
	if u.User != nil && u.Scheme != "ssh" { // whose user is no secret
		r.User = u.User.Username()
		r.Password, _ = u.User.Password()
		u.User = nil
	}
	u.Fragment, u.RawFragment = "", ""
	r.URL = u.String()
	if r.User == "" && r.Password == "" {
		r.User, r.Password = set.Login(gitScheme + r.URL)
	}
	return r, nil
}

// readSources describes the sources of this machine that groups name, by their
// URLs. As of wheels, the content says what they are.
func (r *Resolver) readSources(ctx context.Context, groups []Group) (map[string]source, error) {
	all := map[string]source{}
	for _, g := range groups {
		for _, l := range slices.Concat(g.Lines, g.Constraints) {
			if _, ok := all[l.URL]; ok || !l.Sources || l.Path() == "" {
				continue
			}
			s, err := r.readSource(ctx, l)
			if err != nil {
				return nil, err
			}
			if len(l.Hashes) > 0 && !slices.Contains(l.Hashes, s.Digest) {
				return nil, &HashError{Package: s.Package, File: s.File, Digest: s.Digest, Want: l.Hashes}
			}
			all[l.URL] = s
		}
	}
	return all, nil
}

func (r *Resolver) readSource(ctx context.Context, l Line) (s source, err error) {
	s = source{Package: Package{Name: l.Name}, Source: plan.Source{File: packed(l.Name), URL: l.URL}}
	sum := sha256.New()
	if l.Tree {
		err = r.pack(ctx, l.Path(), l.Name, sum)
	} else {
		base := path.Base(filepath.ToSlash(l.Path()))
		s.Package, s.File = sdistPackage(l.Name, base), base
		err = copyFrom(l.Path(), sum)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return s, l.Refuse("there is no file "+l.Path(), "name a project or an archive of sources by its path")
	}
	s.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return s, err
}

func copyFrom(name string, to hash.Hash) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(to, f)
	return err
}

// packed is the file name of the archive that is made of a project.
func packed(name string) string { return name + ".tar" }

// pack writes the archive of the project at dir.
func (r *Resolver) pack(ctx context.Context, dir, name string, to io.Writer) (err error) {
	p := pack.Project{Dir: dir, Name: name}
	if r.Repositories != nil && pack.ByHistory(dir) {
		if p.Version, err = r.Repositories.Version(ctx, dir); err != nil {
			return err
		}
	}
	return pack.Write(ctx, p, to)
}

// sourceOf returns the sources that a line names by their URL.
func (r *Resolver) sourceOf(ctx context.Context, req Request, set *index.Set, l Line) (source, error) {
	if l.Path() != "" {
		return req.trees[l.URL], nil
	}
	if l.Tree {
		return r.commit(ctx, req, set, l)
	}
	raw, _, _ := strings.Cut(l.URL, "#")
	u, err := url.Parse(raw)
	if err != nil {
		return source{}, err
	}
	return newSource(sdistPackage(l.Name, path.Base(u.Path)), set.Public(raw), l.Hashes[0])
}

// commit returns the sources of the commit that a line names, or that the branch
// or tag which it names is now.
func (r *Resolver) commit(ctx context.Context, req Request, set *index.Set, l Line) (s source, err error) {
	repo, err := newRepository(l.URL, set)
	if err != nil {
		return s, l.Refuse(err.Error(), "write `NAME @ git+https://HOST/REPOSITORY@REVISION#subdirectory=PATH`")
	}
	commit := repo.Revision
	if !wholeCommit().MatchString(commit) {
		if r.Repositories == nil || req.Offline {
			return s, &OfflineError{Missing: l.Shown + " was not resolved before"}
		}
		if commit, err = r.Repositories.Commit(ctx, repo); err != nil {
			return s, fmt.Errorf("getting %s: %w", l.Name, err)
		}
	}
	s = source{Package: Package{Name: l.Name}, Source: plan.Source{File: packed(l.Name), URL: repo.at(commit)}}
	name := fmt.Sprintf("commit-%x", sha256.Sum256([]byte(l.Name+" "+s.URL)))
	if b, err := r.Store.Get(name); err == nil && json.Unmarshal(b, &s.Digest) == nil {
		return s, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if req.Offline {
		return s, &OfflineError{Missing: s.URL + " is not in the cache"}
	}
	if s.Digest, err = r.materialise(ctx, set, s); err != nil {
		return s, err
	}
	b, err := json.Marshal(s.Digest)
	if err != nil {
		return s, err
	}
	return s, r.Store.Put(name, b)
}

// gather makes sure that the archive of sources that are none elsewhere is in the
// store.
func (r *Resolver) gather(ctx context.Context, set *index.Set, s source) error {
	if !s.made() || r.Files.Has(fileOf(plan.Wheel{File: s.File, Digest: s.Digest}).Digest) {
		return nil
	}
	digest, err := r.materialise(ctx, set, s)
	if err == nil && digest != s.Digest {
		err = &ChangedError{Package: s.Package, URL: s.URL}
	}
	return err
}

// from names s for people.
func (s source) from() string {
	if s.made() {
		return s.URL
	}
	return s.File
}

var wholeCommit = pattern.New(`^[0-9a-f]{40}$`)

// Sources returns the digests of the sources of this machine that groups name,
// by their URLs.
func (r *Resolver) Sources(ctx context.Context, groups []Group) (map[string]string, error) {
	all, err := r.readSources(ctx, groups)
	return digests(all), err
}

// made reports whether the archive of s is made by this program.
func (s source) made() bool {
	return strings.HasPrefix(s.URL, gitScheme) || strings.HasPrefix(s.URL, "file:") && s.File == packed(s.Name)
}

// materialise makes the archive of s, puts it into the store and returns its
// digest.
func (r *Resolver) materialise(ctx context.Context, set *index.Set, s source) (digest string, err error) {
	dir, remove, err := disk.Scratch(ctx, r.Temp)
	if err != nil {
		return "", err
	}
	defer remove()
	tree := (Line{URL: s.URL}).Path()
	if strings.HasPrefix(s.URL, gitScheme) {
		if r.Progress != nil {
			_, done := r.Progress("check out "+s.Name, 0)
			defer func() { done(err) }()
		}
		if tree, err = r.checkOut(ctx, set, s, filepath.Join(dir, "tree")); err != nil {
			return "", err
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "archive"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if err := r.pack(ctx, tree, s.Name, io.MultiWriter(f, sum)); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	kept, err := r.local().Open(ctx, fileOf(plan.Wheel{File: s.File, URL: f.Name(), Digest: digest}))
	if err != nil {
		return "", err
	}
	return digest, kept.Close()
}

// checkOut lays the sources of a commit into dir, and returns where the project
// is there.
func (r *Resolver) checkOut(ctx context.Context, set *index.Set, s source, dir string) (string, error) {
	repo, err := newRepository(s.URL, set)
	if err != nil {
		return "", err
	}
	if r.Repositories == nil {
		return "", &OfflineError{Missing: s.URL + " is not in the cache"}
	}
	if err := r.Repositories.CheckOut(ctx, repo, repo.Revision, dir); err != nil {
		return "", fmt.Errorf("getting %s: %w", s.Name, err)
	}
	if repo.Subdirectory == "" {
		return dir, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Lstat(filepath.FromSlash(repo.Subdirectory))
	if err != nil || !info.IsDir() {
		return "", &ChangedError{Package: s.Package, URL: s.URL, Problem: "there is no directory " + repo.Subdirectory + " in it"}
	}
	// No link leads out of it: root has followed each.
	return filepath.EvalSymlinks(filepath.Join(dir, filepath.FromSlash(repo.Subdirectory)))
}

// A ChangedError reports sources that aren't what they were.
type ChangedError struct {
	Package Package
	URL     string
	Problem string // "": they differ from what was resolved
}

func (e *ChangedError) Error() string {
	if e.Problem != "" {
		return fmt.Sprintf("the sources of %s at %s can't be built: %s", e.Package.Name, e.URL, e.Problem)
	}
	return fmt.Sprintf("the sources of %s at %s are not what they were when they were resolved", e.Package.Name, e.URL)
}

// Hint says what to do.
func (e *ChangedError) Hint() string {
	if e.Problem != "" {
		return "check what follows `#subdirectory=`"
	}
	return "build again; with a lock file, write it anew with `inlay lock`"
}
