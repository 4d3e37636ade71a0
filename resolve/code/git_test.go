// SPDX-License-Identifier: Apache-2.0

package code_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/code"
	"inlay/resolve/python"
)

// at is what the stack calls the repository of the tests; the remote of the
// checkout is a directory, which git is told is the same.
const at = "https://git.example/team/project.git"

// environ is that of git in tests: it knows no user's configuration.
func environ(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=protocol.file.allow", "GIT_CONFIG_VALUE_0=always", "GIT_CONFIG_KEY_1=init.defaultBranch", "GIT_CONFIG_VALUE_1=main",
	}
}

// A checkout is one of a repository that is a directory beside it.
type checkout struct {
	t   *testing.T
	dir string // of the checkout
	git code.Git
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git on this machine")
	}
	top := t.TempDir()
	c := &checkout{t: t, dir: filepath.Join(top, "checkout")}
	if err := os.MkdirAll(filepath.Join(c.dir, "training"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.git = code.Git{LookPath: exec.LookPath, Runner: python.Exec{}, Env: append(environ(top), "GIT_DIR=/nowhere"), Dir: filepath.Join(c.dir, "training")}
	c.run("init", "-q", "--bare", "../repository.git")
	c.run("init", "-q")
	c.write("training/main.py", "1")
	c.write("README", "")
	c.run("add", "-A")
	c.run("commit", "-q", "-m", "one")
	c.run("remote", "add", "up", "git@git.example:team/project.git")
	c.run("config", "remote.up.pushurl", filepath.Join(top, "repository.git"))
	// What `git remote -v` tells is the name of the repository, what it is asked
	// by is this program.
	c.run("config", "core.sshCommand", "f() { shift; exec sh -c \"git-upload-pack '"+filepath.Join(top, "repository.git")+"'\"; }; f")
	c.run("push", "-q", "up", "main")
	return c
}

func (c *checkout) run(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = c.dir, environ(filepath.Dir(c.dir))
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c *checkout) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		c.t.Fatal(err)
	}
}

// TestCommit holds when a checkout is one that containers can download, and what
// is said where not: each reason in its own words.
func TestCommit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		edit func(*checkout)
		want string // of the error, "" for the commit
	}{
		{"clean and pushed", func(*checkout) {}, ""},
		{"a local change", func(c *checkout) { c.write("training/main.py", "2") }, "it has local changes: training/main.py"},
		{"a staged change", func(c *checkout) { c.write("x y", "2"); c.run("add", "x y") }, "it has local changes: x y"},
		{"a removed file", func(c *checkout) { c.run("rm", "-q", "README") }, "it has local changes: README"},
		{"untracked files", func(c *checkout) {
			for _, name := range []string{"a", "b", "c", "d"} {
				c.write(name, "")
			}
		}, "it has local changes: a, b, c and 1 more"},
		{"untracked files that don't count", func(c *checkout) { c.write("a", ""); c.git.IgnoreUntracked = true }, ""},
		{"an ignored file", func(c *checkout) {
			c.write(".git/info/exclude", "*.log\n")
			c.write("a.log", "")
		}, ""},
		{"what the build writes", func(c *checkout) { c.write("training/out/index.json", ""); c.git.Written = []string{"out"} }, ""},
		{"an unpushed commit", func(c *checkout) { c.run("commit", "-q", "--allow-empty", "-m", "two") }, "of the branch main is not what up has of it"},
		{"a branch that is not pushed", func(c *checkout) { c.run("checkout", "-q", "-b", "own") }, "up has no branch own"},
		{"behind the remote", func(c *checkout) {
			c.run("commit", "-q", "--allow-empty", "-m", "two")
			c.run("push", "-q", "up", "main")
			c.run("reset", "-q", "--hard", "HEAD~")
		}, "of the branch main is not what up has of it"},
		{"detached at what a branch is", func(c *checkout) { c.run("checkout", "-q", "--detach") }, ""},
		{"detached before what a branch is", func(c *checkout) {
			c.run("commit", "-q", "--allow-empty", "-m", "two")
			c.run("push", "-q", "up", "main")
			c.run("checkout", "-q", "HEAD~")
		}, ""},
		{"detached at a tag", func(c *checkout) {
			c.run("commit", "-q", "--allow-empty", "-m", "two")
			c.run("tag", "v1")
			c.run("push", "-q", "up", "v1")
			c.run("reset", "-q", "--hard", "HEAD~")
			c.run("checkout", "-q", "v1")
		}, ""},
		{"detached and unpushed", func(c *checkout) {
			c.run("checkout", "-q", "--detach")
			c.run("commit", "-q", "--allow-empty", "-m", "two")
		}, "no branch or tag of up has commit"},
		{"another remote", func(c *checkout) { c.run("remote", "set-url", "up", "https://git.example/team/other") }, "no remote of the checkout is " + at},
		{"no remote", func(c *checkout) { c.run("remote", "remove", "up") }, "no remote of the checkout is " + at},
		{"a remote that doesn't answer", func(c *checkout) { c.run("config", "core.sshCommand", "false") }, "up can't be asked: `git ls-remote` says: "},
		{"offline", func(c *checkout) {
			c.run("config", "core.sshCommand", "false")
			c.run("update-ref", "refs/remotes/up/main", "HEAD")
			c.git.Offline = true
		}, ""},
		{"a submodule", func(c *checkout) {
			c.run("update-index", "--add", "--cacheinfo", "160000,"+c.run("rev-parse", "HEAD")+",training/sub")
			c.run("commit", "-q", "-m", "two")
			c.run("push", "-q", "up", "main")
			if err := os.Mkdir(filepath.Join(c.dir, "training", "sub"), 0o755); err != nil {
				c.t.Fatal(err)
			}
		}, "sub is a submodule, which a download of the repository lacks"},
		{"no checkout", func(c *checkout) { c.git.Dir = c.t.TempDir() }, "it is in no checkout of git"},
		{"no commit", func(c *checkout) {
			c.git.Dir = c.t.TempDir()
			c.dir = c.git.Dir
			c.run("init", "-q")
			c.run("remote", "add", "up", at)
		}, "the checkout has no commit yet"},
		{"no git", func(c *checkout) {
			c.git.LookPath = func(string) (string, error) { return "", exec.ErrNotFound }
		}, "there is no git on this machine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCheckout(t)
			tt.edit(c)
			before := c.state()
			got, err := c.git.Commit(t.Context(), at)
			if after := c.state(); after != before {
				t.Errorf("it changes the checkout:\n%s", cmp.Diff(before, after))
			}
			if tt.want != "" {
				var unusable *code.UnusableError
				if !errors.As(err, &unusable) || !strings.Contains(err.Error(), tt.want) || unusable.Fix == "" {
					t.Fatalf("Commit = %+v, %v, want an UnusableError with %q", got, err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if head := c.run("rev-parse", "HEAD"); got.ID != head || got.URL != at || got.Subdirectory != "training" {
				t.Errorf("Commit = %+v, want %s of %s", got, head, at)
			}
		})
	}
}

// state is all that git keeps of a checkout.
func (c *checkout) state() string {
	var all []string
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				all = append(all, path+" "+info.ModTime().String())
			}
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// TestCommitEnds holds that a build which is stopped is no unusable checkout.
func TestCommitEnds(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.git.Commit(ctx, at); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit of a stopped build = %v, want context.Canceled", err)
	}
}

// TestFiles holds what an upload lists: all that git tracks or doesn't ignore,
// whatever it is called.
func TestFiles(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.write("training/.gitignore", "*.log\n/out\n")
	for _, name := range []string{"a b.py", "é/ü.py", "quote\".py", "line\nbreak", "deep/er/x", "drop.log", "deep/drop.log", "out/x", "kept.log"} {
		c.write("training/"+name, "")
	}
	c.run("add", "-f", "training/kept.log")
	c.write("beside.py", "")
	c.write("module/lib.py", "")
	other := c.dir
	c.dir = filepath.Join(c.dir, "module")
	c.run("init", "-q")
	c.run("add", "-A")
	c.run("commit", "-q", "-m", "lib")
	c.dir = other
	c.run("submodule", "--quiet", "add", "./module", "training/lib")
	got, err := c.git.Files(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".gitignore", "a b.py", "deep/er/x", "kept.log", "lib/lib.py", "line\nbreak", "main.py", "quote\".py", "é/ü.py"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
	c.git.Dir = t.TempDir()
	if _, err := c.git.Files(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Files of no checkout: %v, want fs.ErrNotExist", err)
	}
	if err := os.MkdirAll(filepath.Join(c.git.Dir, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.dir = c.git.Dir
	c.run("init", "-q")
	c.write(".gitignore", "src\n")
	c.write("src/main.py", "")
	c.git.Dir = filepath.Join(c.dir, "src")
	if got, err := c.git.Files(t.Context()); err != nil || got == nil || len(got) > 0 {
		t.Errorf("Files of an ignored directory = %#v, %v, want an empty list", got, err)
	}
}
