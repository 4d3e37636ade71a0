// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"inlay/cache/fetch"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// A maker makes wheels as a build would, running nothing. It notes for what.
type maker struct {
	made  []string
	name  string // of the wheel; "" is as it should be
	fails error
}

func (m *maker) Command(file string) string { return "build " + file }

func (m *maker) Build(_ context.Context, b python.Build, out string) (string, error) {
	content, err := io.ReadAll(b.Source)
	if err != nil {
		return "", err
	}
	m.made = append(m.made, fmt.Sprintf("%s of %s over %s", b.Package, b.File, b.Inventory.Digest))
	if len(content) == 0 || m.fails != nil {
		return "", m.fails
	}
	name := m.name
	if name == "" {
		name = b.Package.Name + "-" + b.Package.Version + "-py3-none-any.whl"
	}
	_, wheel := pythontest.Wheel(b.Package.Name+"-"+b.Package.Version+"-py3-none-any.whl", "beta")
	return "an index", os.WriteFile(filepath.Join(out, name), wheel, 0o644)
}

func sumOf(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// builds runs a test with uv and with pip.
func builds(t *testing.T, test func(t *testing.T, r *python.Resolver, installer string)) {
	t.Run("uv", func(t *testing.T) { test(t, ask(t), "uv") })
	t.Run("pip", func(t *testing.T) { test(t, askPip(t), "pip") })
}

// What has no wheel is built, once for a parent: then its requirements count.
func TestBuild(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		m := &maker{}
		r.Builder, r.Files = m, &fetch.Store{Dir: t.TempDir()}
		req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "static", "dynamic"), Index: at(t, ix.url()), Installer: installer}
		got, err := r.Resolve(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, w := range got.Wheels {
			names = append(names, w.Name+" "+w.Source.File+" "+w.Source.Command)
			if built := w.Source != (plan.Source{}); built && (w.URL != "" || !strings.HasPrefix(w.Digest, "sha256:") || w.Size == 0 || !strings.HasPrefix(w.Source.URL, ix.URL)) {
				t.Errorf("a built wheel is %+v", w)
			}
		}
		want := []string{"beta  ", "dynamic dynamic-1.0.tar.gz build dynamic-1.0.tar.gz", "static static-1.0.tar.gz build static-1.0.tar.gz"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("Resolve (-want +got):\n%s", diff)
		}
		if len(m.made) != 2 {
			t.Errorf("built were %q, want two", m.made)
		}
		req.Refresh = true
		again, err := r.Resolve(t.Context(), req)
		if err != nil || len(m.made) != 2 || cmp.Diff(got.Wheels, again.Wheels) != "" {
			t.Errorf("once more: %+v, %v, built were %q, want the same as before and nothing built", again, err, m.made)
		}
		req.Refresh, req.Inventory = false, pythontest.Debian()
		req.Inventory.Digest = "sha256:d2"
		if _, err := r.Resolve(t.Context(), req); err != nil || len(m.made) != 4 || !strings.HasSuffix(m.made[3], "sha256:d2") {
			t.Errorf("over another parent: %v, built were %q, want two more", err, m.made)
		}
		r.Files = &fetch.Store{Dir: t.TempDir()} // the wheels are gone
		if _, err := r.Resolve(t.Context(), req); err != nil || len(m.made) != 6 {
			t.Errorf("without the wheels: %v, built were %q, want two more", err, m.made)
		}
	})
}

// Hashes are those of what a wheel is built of.
func TestBuildHashes(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		r.Builder, r.Files = &maker{}, &fetch.Store{Dir: t.TempDir()}
		resolve := func(sum string) error {
			_, err := r.Resolve(t.Context(), python.Request{
				Inventory: pythontest.Debian(), View: view(t, nil), Index: at(t, ix.url()), Installer: installer,
				Groups: group(t, "dynamic==1.0 --hash=sha256:"+sum, "beta==1.5 --hash=sha256:"+sumOf(ix.files["beta-1.5-py3-none-any.whl"])),
			})
			return err
		}
		if err := resolve(sumOf(ix.files["dynamic-1.0.tar.gz"])); err != nil {
			t.Errorf("the right hash: %v", err)
		}
		if err := resolve(sumA); err == nil {
			t.Error("the wrong hash: no error")
		}
	})
}

// Where nothing can be built, or nothing is to be, what isn't built is named and
// why; a package's own mistakes are its own.
func TestBuildErrors(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		r.Files = &fetch.Store{Dir: t.TempDir()}
		for _, tt := range []struct {
			name    string
			m       *maker
			noBuild bool
			as      any
			want    string
		}{
			{"no sandbox", &maker{fails: &python.NoBuildError{Err: errors.New("no wall holds")}}, false, new(*python.SdistError), "dynamic==1.0 has no wheel for Python 3.11 on x86_64 with glibc 2.36, only sources that must be built: no wall holds"},
			{"no builds", &maker{}, true, new(*python.SdistError), "dynamic==1.0 has no wheel"},
			{"a failure", &maker{fails: errors.New("no gcc")}, false, new(*python.BuildError), "building dynamic==1.0 from its sources with `build dynamic-1.0.tar.gz`: no gcc"},
			{"another wheel", &maker{name: "other-1.0-py3-none-any.whl"}, false, new(*python.BuildError), `"other-1.0-py3-none-any.whl"`},
			{"no wheel", &maker{name: "dynamic.zip"}, false, new(*python.BuildError), "it made 0 wheels"},
			{"a wheel for another Python", &maker{name: "dynamic-1.0-cp39-cp39-linux_x86_64.whl"}, false, new(*python.BuildError), "doesn't fit Python 3.11"},
		} {
			r.Builder = tt.m
			_, err := r.Resolve(t.Context(), python.Request{
				Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "dynamic"), Index: at(t, ix.url()), Installer: installer, NoBuild: tt.noBuild,
			})
			if err == nil || !errors.As(err, tt.as) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want a %T with %q", tt.name, err, tt.as, tt.want)
			}
		}
	})
}

// That something has to be built is known the next time without asking, as long
// as nothing is to be.
func TestBuildIsRemembered(t *testing.T) {
	r := ask(t)
	ix := newIndex(t, packages())
	r.Builder, r.Files = &maker{}, &fetch.Store{Dir: t.TempDir()}
	req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "dynamic"), Index: at(t, ix.url()), NoBuild: true}
	var lacks *python.SdistError
	if _, err := r.Resolve(t.Context(), req); !errors.As(err, &lacks) {
		t.Fatalf("Resolve = %v, want a *SdistError", err)
	}
	uv := r.UV
	r.UV = func(context.Context) (python.UV, error) { return python.UV{}, errors.New("asked again") }
	if _, err := r.Resolve(t.Context(), req); !errors.As(err, &lacks) || lacks.Packages[0].String() != "dynamic==1.0" {
		t.Errorf("again = %v, want the same *SdistError", err)
	}
	r.UV, req.NoBuild = uv, false
	if got, err := r.Resolve(t.Context(), req); err != nil || len(got.Wheels) != 2 {
		t.Errorf("with builds = %+v, %v", got, err)
	}
	r.UV, req.NoBuild = nil, true
	if _, err := r.Resolve(t.Context(), req); !errors.As(err, &lacks) || lacks.Packages[0].String() != "dynamic==1.0" {
		t.Errorf("without builds once more = %v, want the same *SdistError", err)
	}
}

// What a lock file says was built is built again where it isn't known: from the
// same sources, which may come to another wheel.
func TestBuildLocked(t *testing.T) {
	r := ask(t)
	ix := newIndex(t, packages())
	m := &maker{}
	r.Builder, r.Files = m, &fetch.Store{Dir: t.TempDir()}
	sources := plan.Source{File: "dynamic-1.0.tar.gz", URL: ix.URL + "/files/dynamic-1.0.tar.gz", Digest: "sha256:" + sumOf(ix.files["dynamic-1.0.tar.gz"])}
	req := python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "dynamic"), Index: at(t, ix.url()),
		Locked: &python.Resolution{Wheels: []plan.Wheel{{Name: "dynamic", Version: "1.0", File: "dynamic-1.0-py3-none-any.whl", Digest: "sha256:" + sumA, Source: sources}}},
	}
	got, err := r.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	w := got.Wheels[0]
	if len(m.made) != 1 || w.Digest == "sha256:"+sumA || w.Source.Command == "" || got.Recalled || !strings.Contains(strings.Join(got.Notes, "\n"), "is another wheel than where it was locked") {
		t.Errorf("Resolve = %+v, built were %q", got, m.made)
	}
	again, err := r.Resolve(t.Context(), req)
	if err != nil || len(m.made) != 1 || !again.Recalled || again.Wheels[0] != w {
		t.Errorf("again = %+v, %v, built were %q", again, err, m.made)
	}
	req.NoBuild = true
	var lacks *python.SdistError
	if _, err := r.Resolve(t.Context(), req); !errors.As(err, &lacks) {
		t.Errorf("without builds: %v, want a *SdistError", err)
	}
	req.NoBuild, r.Builder, r.Files = false, nil, &fetch.Store{Dir: t.TempDir()}
	if _, err := r.Resolve(t.Context(), req); !errors.As(err, &lacks) {
		t.Errorf("without a builder: %v, want a *SdistError", err)
	}
}

// Sources that a requirement names by their URL are built first. So their
// requirements count too, extras and markers stay, and the URL is in no wheel.
func TestBuildURL(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		m := &maker{}
		r.Builder, r.Files = m, &fetch.Store{Dir: t.TempDir()}
		at1 := ix.URL + "/files/dynamic-1.0.tar.gz#sha256=" + sumOf(ix.files["dynamic-1.0.tar.gz"])
		req := python.Request{
			Inventory: pythontest.Debian(), View: view(t, nil), Index: at(t, ix.url()), Installer: installer,
			Groups: append(group(t, at1, `static @ `+ix.URL+`/files/static-1.0.tar.gz ; python_version > "3" --hash=sha256:`+sumOf(ix.files["static-1.0.tar.gz"])), group(t, "beta<1.5")...),
		}
		for try := range 2 {
			got, err := r.Resolve(t.Context(), req)
			if err != nil {
				t.Fatalf("try %d: %v", try, err)
			}
			want := []string{"beta-1.0-py3-none-any.whl", "dynamic-1.0-py3-none-any.whl", "static-1.0-py3-none-any.whl"}
			if diff := cmp.Diff(want, names(got)); diff != "" || len(m.made) != 2 {
				t.Errorf("try %d (-want +got):\n%s\nbuilt were %q", try, diff, m.made)
			}
			if w := got.Wheels[1]; w.URL != "" || w.Source.URL != strings.Split(at1, "#")[0] {
				t.Errorf("try %d: the wheel is %+v", try, w)
			}
			if len(got.Broken) > 0 {
				t.Errorf("try %d: broken is %q", try, got.Broken)
			}
			req.Refresh = true
		}
		req.Groups = group(t, strings.Replace(at1, "sha256=", "sha256=00", 1)[:len(at1)])
		if _, err := r.Resolve(t.Context(), req); err == nil {
			t.Error("with another digest: no error")
		}
	})
}

// Two who need the same wheel at once build it once.
func TestBuildAtOnce(t *testing.T) {
	r := ask(t)
	ix := newIndex(t, packages())
	m := &maker{}
	r.Builder, r.Files = m, &fetch.Store{Dir: t.TempDir()}
	var g errgroup.Group
	for range 2 {
		g.Go(func() error {
			_, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "dynamic"), Index: at(t, ix.url())})
			return err
		})
	}
	if err := g.Wait(); err != nil || len(m.made) != 1 {
		t.Errorf("Resolve = %v, built were %q, want one", err, m.made)
	}
}

// A wheel that was built is a wheel: where the arguments want none it isn't taken,
// and the error says so.
func TestBuildNoBinary(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		m := &maker{}
		r.Builder, r.Files = m, &fetch.Store{Dir: t.TempDir()}
		req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "dynamic"), Index: at(t, ix.url()), Installer: installer}
		req.Arguments.Both = []string{"--no-binary=dynamic"}
		_, err := r.Resolve(t.Context(), req)
		var lacks *python.SdistError
		if !errors.As(err, &lacks) || !strings.Contains(err.Error(), "don't let it take that") || len(m.made) != 1 {
			t.Errorf("Resolve = %v, built were %q", err, m.made)
		}
	})
}
