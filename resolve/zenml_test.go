// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve"
	"inlay/resolve/apt"
	"inlay/resolve/catalog"
	"inlay/resolve/code"
	"inlay/resolve/pipeline"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/settings"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// wheels is a resolver that has a wheel of version 1 for every requirement.
type wheels struct{}

func (wheels) Sources(context.Context, []python.Group) (map[string]string, error) { return nil, nil }

func (wheels) Resolve(_ context.Context, req python.Request) (*python.Resolution, error) {
	r := &python.Resolution{}
	for _, g := range req.Groups {
		for _, l := range g.Lines {
			file := strings.ReplaceAll(l.Name, "-", "_") + "-1-py3-none-any.whl"
			r.Wheels = append(r.Wheels, plan.Wheel{
				Name: l.Name, Version: "1", File: file, URL: "https://index.example/" + file,
				Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(g.Name+l.Text+req.Installer))),
			})
		}
	}
	return r, nil
}

// everyDeb is an archive that has every package, which needs no other.
type everyDeb struct{ *debs }

func (e everyDeb) Resolve(ctx context.Context, req apt.Request, words []string) (*apt.Resolved, error) {
	e.names = words
	return e.debs.Resolve(ctx, req, words)
}

// TestExamplesOfZenML plans the examples of ZenML's documentation about
// containers, and compares the plans of all their images.
func TestExamplesOfZenML(t *testing.T) {
	names, err := filepath.Glob("testdata/zenml/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("there are no examples (%v)", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			golden := strings.TrimSuffix(name, ".yaml") + ".golden"
			got := plans(t, name)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the plans of %s; run `just golden` (-want +got):\n%s", name, diff)
			}
		})
	}
}

// plans returns what a file comes to, image by image.
func plans(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run, warnings, err := settings.LoadRun(filepath.Base(name), f, settings.Options{
		Lookup: func(name string) (string, bool) { return "of the host", name == "HOST_VARIABLE" },
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	o := onStack(t, run.Pipeline)
	o.Downloads = func(s *settings.Docker) bool { return codeOf(t, s, o.Stack).Way == code.Repository }
	images, err := pipeline.Images(run, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, im := range images {
		fmt.Fprintf(&b, "== %s, of %q, called %s\n", strings.Join(im.Keys, ", "), im.Steps, im.Settings.Target)
		if im.Settings.SkipBuild {
			fmt.Fprintf(&b, "as it is: %s\n", im.Settings.ParentImage)
			continue
		}
		if err := planOf(t, im, o.Stack).Encode(&b); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// onStack reads the stack that an example names.
func onStack(t *testing.T, s *settings.Docker) (o pipeline.Options) {
	t.Helper()
	var err error
	if o.Catalog, err = catalog.Default(); err != nil {
		t.Fatal(err)
	}
	if s.Stack == "" {
		return o
	}
	f, err := os.Open(filepath.Join("testdata/zenml", s.Stack))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if o.Stack, err = catalog.LoadStack(s.Stack, f, o.Catalog); err != nil {
		t.Fatal(err)
	}
	return o
}

// codeOf decides how the source gets into containers, from a checkout that is clean
// and pushed.
func codeOf(t *testing.T, s *settings.Docker, stack *catalog.Stack) (c resolve.Code) {
	t.Helper()
	var o code.Offers
	c.Store, o.Store = code.StoreOf(stack, "/project")
	c.Commit.URL, o.Repository = code.RepositoryOf(stack)
	c.Commit.ID, c.Commit.Subdirectory = strings.Repeat("c0ffee", 7)[:40], "training"
	c.Files = func(context.Context) ([]string, error) { return []string{"main.py", "lost.py", "a/.zen/x"}, nil }
	var err error
	if c.Way, err = code.Decide(s, o); err != nil {
		t.Fatal(err)
	}
	return c
}

// planOf resolves an image on a parent with Python and dpkg.
func planOf(t *testing.T, im pipeline.Image, stack *catalog.Stack) plan.Plan {
	t.Helper()
	req, parent := request(t, "")
	parent.files = append([]string{dpkgStatus, "etc/apt/sources.list=deb x"}, append(parent.files, "usr/bin/python3.11="+minimalELF, "usr/bin/python3->python3.11", "usr/lib/python3.11/os.py=")...)
	req.Settings, req.Code = im.Settings, codeOf(t, im.Settings, stack)
	for _, g := range im.Groups {
		req.Groups = append(req.Groups, resolve.Group(g))
	}
	for _, name := range []string{"train.dockerignore", "pyproject.toml"} {
		if err := os.WriteFile(filepath.Join(req.Context, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	req.Python, req.Projects, req.Locals = wheels{}, &exports{text: "numpy==2.3.1\n"}, &locals{text: "six==1.17.0\n"}
	req.Packages, req.Answers, req.Now = everyDeb{&debs{}}, &memory{}, time.Unix(1e9, 0)
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Plan.Image().Steps {
		for i := 0; s.Files != nil && i < len(s.Files.Files); i++ {
			s.Files.Files[i].Text = "" // the digest stands for it
		}
	}
	return r.Plan
}
