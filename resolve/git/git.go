// SPDX-License-Identifier: Apache-2.0

// Package git gets commits of repositories, by the git of this machine. Of what
// a repository holds nothing is run: no hook, no filter that isn't the user's,
// no transport but https, http, ssh and files.
package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/python"
	"inlay/resolve/python/reqfile"
)

// A Git is the git of this machine.
type Git struct {
	// LookPath finds a program on the user's PATH, as exec.LookPath does.
	LookPath func(name string) (string, error)
	Runner   python.Runner
	Env      []string // the user's environment as KEY=VALUE
}

var (
	full  = pattern.New(`^[0-9a-f]{40}$`)
	short = pattern.New(`^[0-9a-f]{4,39}$`)
	// passed are the variables that git sees.
	passed = pattern.New(`^(?:PATH|HOME|USER|LOGNAME|LANG|TMPDIR|XDG_\w+|(?i:(?:https?|all|no)_proxy)|SSL_CERT_(?:FILE|DIR)|SSH_\w+|GIT_(?:SSH\w*|ASKPASS|SSL_\w+|PROXY_\w+|CONFIG_GLOBAL|CONFIG_SYSTEM))=`)
)

// Commit returns the commit that the revision of r is now.
func (g *Git) Commit(ctx context.Context, r python.Repository) (string, error) {
	if full().MatchString(r.Revision) {
		return r.Revision, nil
	}
	refs := []string{"HEAD"}
	if rev := r.Revision; strings.HasPrefix(rev, "refs/") {
		refs = []string{rev + "^{}", rev}
	} else if rev != "" {
		refs = []string{"refs/tags/" + rev + "^{}", "refs/tags/" + rev, "refs/heads/" + rev}
	}
	out, err := g.run(ctx, r, "", append([]string{"ls-remote", r.URL}, refs...)...)
	if err != nil {
		return "", err
	}
	commits := map[string]string{}
	for line := range strings.Lines(out) {
		commit, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		commits[ref] = commit
	}
	for _, ref := range refs {
		if full().MatchString(commits[ref]) {
			return commits[ref], nil
		}
	}
	if short().MatchString(r.Revision) {
		return g.long(ctx, r)
	}
	return "", &Error{Repository: r.URL, Problem: fmt.Sprintf("it has no branch and no tag %q", r.Revision), Fix: "check the name after the @, or name a commit by its 40 hex digits"}
}

// long returns the commit that begins with the revision of r, which takes all of
// its history.
func (g *Git) long(ctx context.Context, r python.Repository) (string, error) {
	dir, err := os.MkdirTemp("", "inlay-git-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := g.run(ctx, r, dir, "clone", "--quiet", "--bare", "--template=", "--filter=tree:0", r.URL, "r"); err != nil {
		return "", err
	}
	out, err := g.run(ctx, r, filepath.Join(dir, "r"), "rev-parse", "--verify", "--quiet", r.Revision+"^{commit}")
	if err != nil {
		return "", &Error{Repository: r.URL, Problem: fmt.Sprintf("it has no branch, tag or commit %q", r.Revision), Fix: "name a commit by its 40 hex digits"}
	}
	return strings.TrimSpace(out), nil
}

// CheckOut lays a commit of r, with its submodules, into the directory dir, which
// must not be there.
func (g *Git) CheckOut(ctx context.Context, r python.Repository, commit, dir string) error {
	if !full().MatchString(commit) {
		return &Error{Repository: r.URL, Problem: fmt.Sprintf("%q is no commit", commit), Fix: "name a commit by its 40 hex digits"}
	}
	if _, err := g.run(ctx, r, "", "clone", "--quiet", "--no-checkout", "--template=", "--filter=blob:none", r.URL, dir); err != nil {
		return err
	}
	if _, err := g.run(ctx, r, dir, "cat-file", "-e", commit+"^{commit}"); err != nil {
		if _, err := g.run(ctx, r, dir, "fetch", "--quiet", "origin", commit); err != nil {
			return err
		}
	}
	if _, err := g.run(ctx, r, dir, "checkout", "--quiet", "--detach", commit); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(dir, ".gitmodules")); err != nil {
		return nil //nolint:nilerr // it has none
	}
	_, err := g.run(ctx, r, dir, "submodule", "--quiet", "update", "--init", "--recursive")
	return err
}

var described = pattern.New(`^(.*?)(\d+(?:\.\d+)*(?:[a-z.]+\d+)?)-(\d+)-g([0-9a-f]+)$`)

// Version returns the version that the tags of the repository at dir say, as
// setuptools-scm does: that of a tag, or the next one's with the number of commits
// since. "" if it is no repository.
func (g *Git) Version(ctx context.Context, dir string) (string, error) {
	none := python.Repository{}
	head, err := g.run(ctx, none, dir, "rev-parse", "--short", "HEAD")
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", nil //nolint:nilerr // it is no repository, or has no commit
	}
	out, err := g.run(ctx, none, dir, "describe", "--tags", "--long", "--match", "*[0-9]*", "HEAD")
	if m := described().FindStringSubmatch(strings.TrimSpace(out)); err == nil && m != nil {
		return versionOf(m[2], m[3], m[4]), nil
	}
	count, err := g.run(ctx, none, dir, "rev-list", "--count", "HEAD")
	if err != nil {
		return "", err
	}
	return "0.1.dev" + strings.TrimSpace(count) + "+g" + strings.TrimSpace(head), nil
}

var lastNumber = pattern.New(`\d+$`)

// versionOf returns the version of what is some commits after a tag.
func versionOf(tag, commits, head string) string {
	if commits == "0" {
		return tag
	}
	next := lastNumber().ReplaceAllStringFunc(tag, func(n string) string {
		var i int
		_, _ = fmt.Sscan(n, &i) // digits
		return fmt.Sprint(i + 1)
	})
	return next + ".dev" + commits + "+g" + head
}

// run runs git for a repository and returns what it prints. Credentials are in
// its environment, where only this user reads them.
func (g *Git) run(ctx context.Context, r python.Repository, dir string, args ...string) (string, error) {
	program, err := g.LookPath("git")
	if err != nil {
		return "", &Error{Repository: r.URL, Problem: "git is not on the PATH", Fix: "install git"}
	}
	safe := []string{
		"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never", "-c", "core.autocrlf=false", "-c", "gc.auto=0",
	}
	var out, said strings.Builder
	exit, err := g.Runner.Run(ctx, python.Command{
		Path: program, Args: append(safe, args...), Dir: dir, Env: g.environ(r), Stdout: &out, Stderr: &said,
	})
	if err != nil {
		return "", err
	}
	if exit != 0 {
		return "", g.failure(r, said.String(), exit)
	}
	return out.String(), nil
}

func (g *Git) environ(r python.Repository) []string {
	env := slices.DeleteFunc(slices.Clone(g.Env), func(kv string) bool { return !passed().MatchString(kv) })
	env = append(env, "GIT_TERMINAL_PROMPT=0", "GIT_LFS_SKIP_SMUDGE=1", "GIT_ALLOW_PROTOCOL=https:http:ssh:file", "LC_ALL=C")
	if with := r.WithLogin(); with != r.URL {
		env = append(env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+with+".insteadOf", "GIT_CONFIG_VALUE_0="+r.URL)
	}
	return env
}

// failure turns what git says into an error.
func (g *Git) failure(r python.Repository, said string, exit int) error {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	text := strings.TrimPrefix(strings.TrimPrefix(lines[len(lines)-1], "fatal: "), "error: ")
	if text == "" {
		text = fmt.Sprintf("git ends with status %d", exit)
	}
	text = reqfile.Redact(reqfile.Hide(text, []string{r.Password}))
	return &Error{Repository: r.URL, Problem: text, Fix: "check the URL, and that `git ls-remote` of it works here without asking"}
}

// An Error reports a repository that can't be had.
type Error struct {
	Repository string // its URL, "" if it is a directory
	Problem    string
	Fix        string
}

func (e *Error) Error() string { return fmt.Sprintf("git: %s: %s", e.Repository, e.Problem) }

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }
