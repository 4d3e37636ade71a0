// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"inlay/resolve/git"
	"inlay/resolve/python"
)

// here is the git of this machine, for a user with a home of their own.
func here(t *testing.T) (*git.Git, string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git")
	}
	home := t.TempDir()
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_DIR=/nowhere"}
	return &git.Git{LookPath: exec.LookPath, Runner: python.Exec{}, Env: env}, home
}

// do runs git in a directory.
func do(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		cmd.Env = append(cmd.Env, "GIT_"+who+"_NAME=a", "GIT_"+who+"_EMAIL=a@example.com", "GIT_"+who+"_DATE=2020-01-01T00:00:00Z")
	}
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func commit(t *testing.T, dir, file, content string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	do(t, dir, "add", file)
	do(t, dir, "commit", "-q", "-m", content)
	return do(t, dir, "rev-parse", "HEAD")
}

// repository is one with two commits, of which the first has a tag.
func repository(t *testing.T) (dir, first, second string) {
	t.Helper()
	dir = t.TempDir()
	do(t, dir, "init", "-q", "-b", "main")
	first = commit(t, dir, "file", "one")
	do(t, dir, "tag", "-a", "-m", "a tag", "v1.2")
	second = commit(t, dir, "file", "two")
	do(t, dir, "branch", "feature/x")
	return dir, first, second
}

// A revision is a branch, a tag or a commit, and the default where none is named.
func TestCommit(t *testing.T) {
	g, _ := here(t)
	dir, first, second := repository(t)
	for revision, want := range map[string]string{
		"": second, "main": second, "feature/x": second, "v1.2": first, "refs/heads/main": second, first: first, first[:9]: first,
	} {
		got, err := g.Commit(t.Context(), python.Repository{URL: "file://" + dir, Revision: revision})
		if err != nil || got != want {
			t.Errorf("Commit of %q = %q, %v, want %q", revision, got, err, want)
		}
	}
	for _, r := range []python.Repository{{URL: "file://" + dir, Revision: "none"}, {URL: "file://" + dir + "/none"}, {URL: "ext::sh -c true"}} {
		_, err := g.Commit(t.Context(), r)
		var e *git.Error
		if !errors.As(err, &e) || e.Hint() == "" {
			t.Errorf("Commit of %+v: %v, want a *git.Error", r, err)
		}
	}
}

// A commit is laid out as it is, whatever follows it, and no hook is run.
func TestCheckOut(t *testing.T) {
	g, home := here(t)
	dir, first, second := repository(t)
	hooks := filepath.Join(home, "hooks")
	if err := os.Mkdir(hooks, 0o755); err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(home, "ran")
	if err := os.WriteFile(filepath.Join(hooks, "post-checkout"), []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[core]\nhooksPath = "+hooks+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for commit, want := range map[string]string{first: "one", second: "two"} {
		to := filepath.Join(t.TempDir(), "tree")
		if err := g.CheckOut(t.Context(), python.Repository{URL: "file://" + dir}, commit, to); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(to, "file")); err != nil || string(b) != want {
			t.Errorf("at %s the file has %q, %v, want %q", commit, b, err, want)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a hook was run")
	}
	if err := g.CheckOut(t.Context(), python.Repository{URL: "file://" + dir}, strings.Repeat("ab", 20), filepath.Join(t.TempDir(), "tree")); err == nil {
		t.Error("a commit that isn't there was laid out")
	}
}

// Versions are those of tags, or follow them.
func TestVersion(t *testing.T) {
	g, _ := here(t)
	dir, _, second := repository(t)
	for _, step := range []struct {
		args []string
		want string
	}{
		{nil, "1.3.dev1+g" + second[:7]},
		{[]string{"tag", "pkg-2.0rc1"}, "2.0rc1"},
		{[]string{"tag", "-d", "v1.2", "pkg-2.0rc1"}, "0.1.dev2+g" + second[:7]},
	} {
		if step.args != nil {
			do(t, dir, step.args...)
		}
		got, err := g.Version(t.Context(), dir)
		if err != nil || got != step.want {
			t.Errorf("after %q Version = %q, %v, want %q", step.args, got, err, step.want)
		}
	}
	if got, err := g.Version(t.Context(), t.TempDir()); got != "" || err != nil {
		t.Errorf("Version of no repository = %q, %v", got, err)
	}
}

// noting is a Runner that notes what it is given, and says something.
type noting struct {
	args, env []string
	say       string
}

func (n *noting) Run(_ context.Context, c python.Command) (int, error) {
	n.args, n.env = c.Args, c.Env
	_, err := c.Stderr.Write([]byte(n.say))
	return 128, err
}

// Credentials reach git where nobody else can read them, and no error.
func TestCredentials(t *testing.T) {
	n := &noting{say: "fatal: Authentication failed for 'https://ann:s3cr3t%2Fpass@example.com/x'\n"}
	g := &git.Git{LookPath: func(string) (string, error) { return "/bin/git", nil }, Runner: n, Env: []string{"PATH=/bin", "AWS_SECRET=x", "GIT_DIR=/x"}}
	_, err := g.Commit(t.Context(), python.Repository{URL: "https://example.com/x", User: "ann", Password: "s3cr3t/pass"})
	if err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "Authentication failed") {
		t.Errorf("Commit: %v, want what git says, without the password", err)
	}
	if args := strings.Join(n.args, " "); strings.Contains(args, "s3cr3t") || !strings.Contains(args, "core.hooksPath=/dev/null") {
		t.Errorf("the arguments are %s", args)
	}
	env := strings.Join(n.env, " ")
	if !strings.Contains(env, "GIT_CONFIG_KEY_0=url.https://ann:s3cr3t%2Fpass@example.com/x.insteadOf GIT_CONFIG_VALUE_0=https://example.com/x") ||
		strings.Contains(env, "AWS_SECRET") || strings.Contains(env, "GIT_DIR") || !strings.Contains(env, "GIT_TERMINAL_PROMPT=0") {
		t.Errorf("the environment is %s", env)
	}
}
