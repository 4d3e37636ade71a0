// SPDX-License-Identifier: Apache-2.0

package code

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"inlay/resolve/plan"
	"inlay/resolve/python"
)

// A Git asks the git of this machine about the checkout that a directory is in.
type Git struct {
	LookPath func(name string) (string, error)
	Runner   python.Runner
	Env      []string // of this process; what points git elsewhere is left out
	Dir      string   // of the source
	// IgnoreUntracked makes files that git doesn't know no change.
	IgnoreUntracked bool
	// Written are paths in Dir that are no part of the source, whatever changes
	// there.
	Written []string
	Offline bool // what the remote has is what this machine knows of it
}

// errNoCheckout says that no git repository is around the source.
var errNoCheckout = errors.New("it is in no checkout of git")

// A gitError is a command that failed.
type gitError struct {
	command string
	stderr  string
}

func (e *gitError) Error() string { return fmt.Sprintf("`git %s` says: %s", e.command, e.stderr) }

// maxOutput bounds what git may print: a million paths.
const maxOutput = 256 << 20

// run runs git in the source and returns what it prints.
func (g Git) run(ctx context.Context, args ...string) (string, error) {
	program, err := g.LookPath("git")
	if err != nil {
		return "", &gitError{args[0], "there is no git on this machine"}
	}
	stdout, stderr := &bounded{limit: maxOutput}, &bounded{limit: 4 << 10, drop: true}
	exit, err := g.Runner.Run(ctx, python.Command{
		// Hooks and monitors of the checkout are programs, and nobody asked for them.
		Path: program, Args: append([]string{"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, args...),
		Dir: g.Dir, Env: g.environ(), Stdout: stdout, Stderr: stderr,
	})
	if err != nil {
		return "", err
	}
	if exit != 0 {
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", &gitError{args[0], redact(said)}
	}
	return stdout.String(), nil
}

// environ is git's environment: nothing of it leads to another checkout, asks
// questions or writes to this one.
func (g Git) environ() []string {
	env := slices.DeleteFunc(slices.Clone(g.Env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{
			"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
			"LC_ALL", "GIT_TERMINAL_PROMPT", "GIT_OPTIONAL_LOCKS",
		}, name)
	})
	return append(env, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0")
}

// redact takes logins out of URLs in a message.
func redact(s string) string {
	words := strings.Split(s, " ")
	for i, w := range words {
		before, after, found := strings.Cut(w, "://")
		if _, host, login := strings.Cut(after, "@"); found && login {
			words[i] = before + "://****@" + host
		}
	}
	return strings.Join(words, " ")
}

// prefix returns the path of the source in its checkout.
func (g Git) prefix(ctx context.Context) (string, error) {
	out, err := g.run(ctx, "rev-parse", "--show-prefix")
	var failed *gitError
	if errors.As(err, &failed) && strings.Contains(failed.stderr, "not a git repository") {
		return "", errNoCheckout
	}
	return strings.TrimSuffix(strings.TrimSuffix(out, "\n"), "/"), err
}

// Commit returns the commit that containers can download from the repository at
// url in place of the source: that of a checkout without changes which the
// repository has. Else the error is an *UnusableError.
func (g Git) Commit(ctx context.Context, url string) (plan.Commit, error) {
	prefix, err := g.prefix(ctx)
	if err != nil {
		return plan.Commit{}, unusable(ctx, err, "clone the repository, and build there")
	}
	remote, err := g.remote(ctx, url)
	if err != nil {
		return plan.Commit{}, unusable(ctx, err, "add the repository as a remote: git remote add origin "+url)
	}
	if err := g.clean(ctx); err != nil {
		return plan.Commit{}, unusable(ctx, err, "commit and push all changes")
	}
	id, err := g.run(ctx, "rev-parse", "--verify", "--quiet", "HEAD")
	if err != nil {
		return plan.Commit{}, unusable(ctx, errors.New("the checkout has no commit yet"), "commit and push the source")
	}
	c := plan.Commit{URL: url, ID: strings.TrimSpace(id), Subdirectory: prefix}
	if err := g.pushed(ctx, remote, c.ID); err != nil {
		return plan.Commit{}, unusable(ctx, err, "push the commit: git push")
	}
	return c, nil
}

// unusable says what is wrong with a checkout, and what to do about it, unless the
// build has been stopped.
func unusable(ctx context.Context, err error, fix string) error {
	var own *UnusableError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &own):
		return own
	}
	return &UnusableError{err.Error(), fix}
}

// remote returns the name of the remote that is the repository at url.
func (g Git) remote(ctx context.Context, url string) (string, error) {
	out, err := g.run(ctx, "remote", "-v")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		name, rest, _ := strings.Cut(line, "\t")
		at, _, fetch := strings.Cut(rest, " (fetch)")
		if fetch && sameRepository(at, url) {
			return name, nil
		}
	}
	return "", fmt.Errorf("no remote of the checkout is %s", url)
}

// clean says what of the checkout is not committed, or not in what containers
// would download of it.
func (g Git) clean(ctx context.Context) error {
	untracked := "--untracked-files=normal"
	if g.IgnoreUntracked {
		untracked = "--untracked-files=no"
	}
	out, err := g.run(ctx, "status", "--porcelain=v1", "-z", "--no-renames", untracked)
	if err != nil {
		return err
	}
	changed, err := g.changes(ctx, out)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		return fmt.Errorf("it has local changes: %s", some(changed))
	}
	if out, err = g.run(ctx, "ls-files", "--stage", "-z"); err != nil {
		return err
	}
	for entry := range strings.SplitSeq(out, "\x00") {
		if _, name, found := strings.Cut(entry, "\t"); found && strings.HasPrefix(entry, "160000 ") {
			return &UnusableError{name + " is a submodule, which a download of the repository lacks", "set allow_download_from_code_repository to false"}
		}
	}
	return nil
}

// changes are the paths of a status that count.
func (g Git) changes(ctx context.Context, status string) (changed []string, err error) {
	prefix, err := g.prefix(ctx)
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(status, "\x00") {
		if len(entry) < 4 {
			continue
		}
		name := strings.TrimSuffix(entry[3:], "/") // from the top of the checkout
		if !slices.ContainsFunc(g.Written, func(w string) bool {
			w = path.Join(prefix, filepath.ToSlash(w))
			return name == w || strings.HasPrefix(name, w+"/")
		}) {
			changed = append(changed, name)
		}
	}
	return changed, nil
}

// some names a few of many.
func some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// pushed checks that the remote has the commit: as its branch of the name of this
// one, or where no branch is checked out, which is how CI does it, as anything
// or before anything that it has.
func (g Git) pushed(ctx context.Context, remote, id string) error {
	refs, err := g.refs(ctx, remote)
	if err != nil {
		return &UnusableError{fmt.Sprintf("%s can't be asked: %v", remote, err), "check the network and the login for it"}
	}
	short := id[:min(len(id), 12)]
	branch, err := g.run(ctx, "symbolic-ref", "--quiet", "--short", "HEAD")
	if branch = strings.TrimSpace(branch); err == nil && branch != "" {
		switch refs["refs/heads/"+branch] {
		case id:
			return nil
		case "":
			return fmt.Errorf("%s has no branch %s", remote, branch)
		}
		return fmt.Errorf("commit %s of the branch %s is not what %s has of it", short, branch, remote)
	}
	for _, have := range refs {
		if have == id {
			return nil
		}
	}
	for _, have := range refs {
		// Fails also where the commit of the remote isn't here.
		if _, err := g.run(ctx, "merge-base", "--is-ancestor", id, have); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no branch or tag of %s has commit %s", remote, short)
}

// refs returns the commits that a remote has names for.
func (g Git) refs(ctx context.Context, remote string) (map[string]string, error) {
	args := []string{"ls-remote", "--quiet", remote}
	if g.Offline {
		args = []string{"for-each-ref", "--format=%(objectname)%09%(refname)", "refs/remotes/" + remote, "refs/tags"}
	}
	out, err := g.run(ctx, args...)
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(out) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if g.Offline {
			name = strings.Replace(name, "refs/remotes/"+remote+"/", "refs/heads/", 1)
		}
		refs[name] = id
	}
	return refs, nil
}

// Files lists what an upload of the source holds, as git does: what it tracks,
// submodules included, and what it doesn't ignore. Paths are relative to the
// source, with slashes, sorted; the list is never nil. Where there is no checkout the error is
// fs.ErrNotExist.
func (g Git) Files(ctx context.Context) ([]string, error) {
	if _, err := g.prefix(ctx); err != nil {
		if errors.Is(err, errNoCheckout) {
			return nil, fs.ErrNotExist
		}
		return nil, err
	}
	all := []string{}
	for _, which := range [][]string{{"--cached", "--recurse-submodules"}, {"--others", "--modified"}} {
		// NUL ends each name, so that none is quoted or cut at a space.
		out, err := g.run(ctx, append(append([]string{"ls-files", "-z", "--exclude-standard"}, which...), "--", ".")...)
		if err != nil {
			return nil, err
		}
		for name := range strings.SplitSeq(out, "\x00") {
			if name = strings.TrimSuffix(name, "/"); name != "" {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// bounded takes up to limit bytes. What is more is an error, or dropped.
type bounded struct {
	buf   bytes.Buffer
	limit int
	drop  bool
}

// Write takes some output.
func (b *bounded) Write(p []byte) (int, error) {
	room := b.limit - b.buf.Len()
	if len(p) <= room {
		return b.buf.Write(p)
	}
	if !b.drop {
		return 0, fmt.Errorf("it prints more than %d bytes", b.limit)
	}
	b.buf.Write(p[:room])
	return len(p), nil
}

// String returns what it took.
func (b *bounded) String() string { return b.buf.String() }
