// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inlay/cache/fetch"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
	"inlay/resolve/python/reqfile"
)

// projects are repositories whose commits are files, and the version of their
// history.
type projects struct {
	branches map[string]string
	asked    []string
}

func (p *projects) Commit(_ context.Context, r python.Repository) (string, error) {
	p.asked = append(p.asked, "commit "+r.WithLogin()+" "+r.Revision)
	if c, ok := p.branches[r.Revision]; ok {
		return c, nil
	}
	return "", errors.New("no such branch")
}

func (p *projects) CheckOut(_ context.Context, r python.Repository, commit, dir string) error {
	p.asked = append(p.asked, "check out "+r.WithLogin()+" "+commit[:4]+" "+r.Subdirectory)
	sub := filepath.Join(dir, r.Subdirectory)
	if r.Subdirectory == "none" {
		sub = dir
	}
	if err := os.MkdirAll(sub, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(sub, "setup.py"), []byte(commit), 0o644)
}

func (p *projects) Version(context.Context, string) (string, error) { return "", nil }

// lines reads requirements of which files are in dir.
func lines(t *testing.T, dir string, text ...string) []python.Group {
	t.Helper()
	r := reqfile.Reader{Dir: dir, Open: func(name string) (io.ReadCloser, error) { return os.Open(name) }}
	g, err := r.Text("requirements.txt", strings.NewReader(strings.Join(text, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return []python.Group{g}
}

// versioned is a maker whose wheels are all of version 1.0.
type versioned struct{ maker }

func (v *versioned) Build(ctx context.Context, b python.Build, out string) (string, error) {
	b.Package.Version = "1.0"
	return v.maker.Build(ctx, b, out)
}

const commitA, commitB = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// A project of this machine is built anew when its content changes, and only
// then; a lock file's is what it was.
func TestProject(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		dir, m := t.TempDir(), &versioned{}
		r.Builder, r.Files = m, &fetch.Store{Dir: t.TempDir()}
		write := func(name, content string) {
			if err := os.MkdirAll(filepath.Join(dir, "lib"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "lib", name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("pyproject.toml", "[project]\nname = 'mine'\n")
		resolve := func(locked *python.Resolution) (*python.Resolution, error) {
			return r.Resolve(t.Context(), python.Request{
				Inventory: pythontest.Debian(), View: view(t, nil), Groups: lines(t, dir, "-e ./lib[x]"), Index: at(t, ix.url()), Installer: installer, Locked: locked,
			})
		}
		got, err := resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		if w := got.Wheels[len(got.Wheels)-1]; w.Name != "mine" || w.Source.URL != "file://"+dir+"/lib" || w.Source.File != "mine.tar" || w.URL != "" {
			t.Errorf("the wheel is %+v", w)
		}
		if notes := strings.Join(got.Notes, "\n"); !strings.Contains(notes, "mine (requirements.txt:1) is installed as a wheel, not for editing") ||
			!strings.Contains(notes, "mine==1.0 was built from file://"+dir+"/lib, in the sandbox") {
			t.Errorf("the notes are %s", notes)
		}
		if again, err := resolve(nil); err != nil || !again.Recalled || len(m.made) != 1 {
			t.Errorf("once more: %+v, %v, built were %q, want nothing", again, err, m.made)
		}
		write("new.py", "1")
		if _, err := resolve(nil); err != nil || len(m.made) != 2 {
			t.Errorf("with another file: %v, built were %q, want one more", err, m.made)
		}
		r.Files = &fetch.Store{Dir: t.TempDir()}
		var changed *python.ChangedError
		if _, err := resolve(got); !errors.As(err, &changed) || changed.Hint() == "" {
			t.Errorf("what was locked before: %v, want a *ChangedError", err)
		}
		if err := os.Remove(filepath.Join(dir, "lib", "new.py")); err != nil {
			t.Fatal(err)
		}
		if _, err := resolve(got); err != nil || len(m.made) != 3 {
			t.Errorf("what was locked: %v, built were %q, want one more", err, m.made)
		}
	})
}

// An archive of this machine is built, if it is what its hash says.
func TestProjectArchive(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		dir, m := t.TempDir(), &maker{}
		r.Builder, r.Files = m, &fetch.Store{Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(dir, "dynamic-1.0.tar.gz"), []byte("sources"), 0o644); err != nil {
			t.Fatal(err)
		}
		for line, fails := range map[string]bool{
			"./dynamic-1.0.tar.gz": false, "./dynamic-1.0.tar.gz --hash=sha256:" + sumOf([]byte("sources")): false, "./dynamic-1.0.tar.gz --hash=sha256:" + sumA: true,
		} {
			got, err := r.Resolve(t.Context(), python.Request{
				Inventory: pythontest.Debian(), View: view(t, nil), Groups: lines(t, dir, line), Index: at(t, ix.url()), Installer: installer,
			})
			var mismatch *python.HashError
			if fails != errors.As(err, &mismatch) || !fails && err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if err == nil && (len(got.Wheels) == 0 || got.Wheels[len(got.Wheels)-1].Source.Digest != "sha256:"+sumOf([]byte("sources"))) {
				t.Errorf("%s: %+v", line, got.Wheels)
			}
		}
		if len(m.made) != 1 {
			t.Errorf("built were %q, want one", m.made)
		}
	})
}

// What a branch names is pinned to a commit, until it is refreshed; a commit is
// checked out once. Credentials reach the repository, and nothing else.
func TestRepository(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		m, p := &versioned{}, &projects{branches: map[string]string{"main": commitA}}
		r.Builder, r.Files, r.Repositories = m, &fetch.Store{Dir: t.TempDir()}, p
		req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Index: at(t, ix.url()), Installer: installer}
		resolve := func(line string) (plan.Wheel, error) {
			req.Groups = lines(t, t.TempDir(), line)
			got, err := r.Resolve(t.Context(), req)
			if err != nil {
				return plan.Wheel{}, err
			}
			if text := fmt.Sprint(got); strings.Contains(text, "s3cret") {
				t.Errorf("the answer holds the password: %s", text)
			}
			return got.Wheels[len(got.Wheels)-1], nil
		}
		const line = "mine @ git+https://ann:s3cret@example.com/mine@main#subdirectory=a"
		for range 2 {
			w, err := resolve(line)
			if want := "git+https://example.com/mine@" + commitA + "#subdirectory=a"; err != nil || w.Source.URL != want || w.Version != "1.0" {
				t.Errorf("the wheel is %+v, %v, want it of %s", w, err, want)
			}
		}
		want := "commit https://ann:s3cret@example.com/mine main, check out https://ann:s3cret@example.com/mine aaaa a"
		if got := strings.Join(p.asked, ", "); got != want || len(m.made) != 1 {
			t.Errorf("asked was %s, and built were %q, want %s and one", got, m.made, want)
		}
		p.branches["main"], p.asked = commitB, nil
		if w, err := resolve(line); err != nil || !strings.Contains(w.Source.URL, commitA) || p.asked != nil {
			t.Errorf("before it is refreshed: %+v, %v, asked was %q", w, err, p.asked)
		}
		req.Refresh = true
		if w, err := resolve(line); err != nil || !strings.Contains(w.Source.URL, commitB) || len(m.made) != 2 {
			t.Errorf("refreshed: %+v, %v, built were %q", w, err, m.made)
		}
		req.Refresh = false
		if _, err := resolve("mine @ git+https://ann:s3cret@example.com/mine@" + commitA + "#subdirectory=a"); err != nil || len(m.made) != 2 {
			t.Errorf("a commit that is known: %v, built were %q, want nothing more", err, m.made)
		}
		if _, err := resolve("mine @ git+https://ann:s3cret@example.com/mine@" + commitA + "#subdirectory=b"); err != nil || len(m.made) != 2 {
			t.Errorf("the same files elsewhere: %v, built were %q, want nothing more", err, m.made)
		}
		for line, want := range map[string]string{
			"mine @ git+https://example.com/mine@other":                                          "getting mine: no such branch",
			"mine @ git+https://example.com/mine@" + commitA + "#subdirectory=none":              "there is no directory none in it",
			"mine @ git+https://example.com/mine@" + commitA + "#subdirectory=../" + "../../etc": "leads out of the repository",
		} {
			if _, err := resolve(line); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", line, err, want)
			}
		}
		req.Offline = true
		var offline *python.OfflineError
		if _, err := resolve("mine @ git+https://example.com/mine@new"); installer == "uv" && !errors.As(err, &offline) {
			t.Errorf("without a network: %v, want an *OfflineError", err)
		}
	})
}
