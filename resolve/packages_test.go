// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/resolve"
	"inlay/resolve/apt"
	"inlay/resolve/plan"
	"inlay/resolve/python"
)

// memory is a store in memory.
type memory struct{ sync.Map }

func (m *memory) Get(name string) ([]byte, error) {
	if b, ok := m.Load(name); ok {
		return b.([]byte), nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Put(name string, b []byte) error {
	m.Store(name, b)
	return nil
}

// debs is a resolver of packages that has one answer.
type debs struct {
	names   []string
	sizes   map[string]int64 // of those that aren't small
	indexes []apt.Index
	fail    []error // the first answers

	asked []apt.Request
	words []string
	seen  map[string]string // content of the parent's files
}

func (d *debs) Resolve(_ context.Context, req apt.Request, words []string) (*apt.Resolved, error) {
	d.asked, d.words, d.seen = append(d.asked, req), words, map[string]string{}
	for _, name := range []string{"var/lib/dpkg/status", "etc/apt/sources.list", "usr/share/keyrings/a.gpg", "etc/apt/preferences.d/pin", "usr/lib/other"} {
		if f, err := req.Parent.Open(name); err == nil {
			b, _ := io.ReadAll(f)
			d.seen[name] = string(b)
		}
	}
	if len(d.fail) > 0 {
		err := d.fail[0]
		d.fail = d.fail[1:]
		return nil, err
	}
	r := &apt.Resolved{Arch: req.Arch, Indexes: d.indexes}
	for _, name := range d.names {
		r.Packages = append(r.Packages, apt.Package{
			Name: name, Version: "1", Arch: "all", Size: max(d.sizes[name], 7), SHA256: strings.Repeat("0", 64), Filename: "pool/" + name + "_1_all.deb",
			Archive: "http://a.example/debian/", Auto: !slices.Contains(words, name), Why: apt.Why{Requested: slices.Contains(words, name)},
		})
	}
	return r, nil
}

const dpkgStatus = "var/lib/dpkg/status=Package: dpkg\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"

// packagesRequest is one for packages in a parent with dpkg, with or without a
// Python.
func packagesRequest(t *testing.T, yaml string, files ...string) (resolve.Request, *debs) {
	t.Helper()
	req, im := request(t, "settings:\n  docker:\n    parent_image: base\n    apt_packages: [git]\n"+yaml)
	im.files = slices.Concat([]string{dpkgStatus, "etc/apt/sources.list=deb x", "usr/share/keyrings/a.gpg=key", "etc/apt/preferences.d/pin=pins", "usr/lib/other=b"}, im.files, files)
	d := &debs{names: []string{"git", "libgit"}}
	req.Packages, req.Answers, req.Now = d, &memory{}, time.Unix(1e9, 0)
	return req, d
}

var withPython = []string{"usr/bin/python3.11=" + minimalELF, "usr/lib/python3.11/os.py="}

// TestLargePackages holds that large packages get layers of their own, and not too
// many.
func TestLargePackages(t *testing.T) {
	req, d := packagesRequest(t, "    compression: zstd\n")
	d.sizes = map[string]int64{"git": 8<<20 - 1}
	for i := range 10 {
		name := fmt.Sprintf("large%d", i)
		d.names, d.sizes[name] = append(d.names, name), int64(8<<20+i)
	}
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range r.Plan.Image().Steps {
		if s.Apt == nil {
			continue
		}
		names = append(names, s.Name)
		if s.Compression != plan.Zstd || s.Apt.Part != (len(names) <= 8) || !s.Apt.Part && (len(s.Apt.Below) != 8 || len(s.Apt.Debs) != 12) {
			t.Errorf("the step %q is %+v", s.Name, s)
		}
	}
	var want []string
	for i := 2; i < 10; i++ {
		want = append(want, fmt.Sprintf("apt: large files of large%d 1", i))
	}
	if diff := cmp.Diff(append(want, "apt: git 1 and 11 more"), names); diff != "" {
		t.Errorf("the steps (-want +got):\n%s", diff)
	}
}

// TestPackages holds that packages are asked for in the parent, once for each
// question, and are the first step.
func TestPackages(t *testing.T) {
	req, d := packagesRequest(t, "    requirements: [six]\n    python: /usr/bin/python3.11\n    apt: {recommends: true, mirror: http://m.example/debian, scripts: none, accept_unconfigured: [b, a]}\n", withPython...)
	req.Python = &answers{Resolution: python.Resolution{Wheels: []plan.Wheel{{Name: "six", Version: "1", Digest: "sha256:02"}}}}
	req.Created = 7
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, s := range r.Plan.Image().Steps {
		kinds = append(kinds, s.Kind())
	}
	if diff := cmp.Diff([]string{"apt", "python", "files"}, kinds); diff != "" {
		t.Errorf("the kinds of the steps (-want +got):\n%s", diff)
	}
	deb := func(name string, auto bool) plan.Deb {
		return plan.Deb{
			Name: name, Version: "1", Arch: "all", File: name + "_1_all.deb", URL: "http://a.example/debian/pool/" + name + "_1_all.deb",
			Digest: "sha256:" + strings.Repeat("0", 64), Size: 7, Auto: auto,
		}
	}
	want := plan.Step{Name: "apt: git 1 and 1 more", Apt: &plan.Apt{
		Parent: plan.Tree([]string{r.Parent.Layers[0].DiffID}), Scripts: "none", Unconfigured: []string{"a", "b"}, Created: 7,
		Debs: []plan.Deb{deb("git", false), deb("libgit", true)},
	}}
	if diff := cmp.Diff(want, r.Plan.Image().Steps[0]); diff != "" {
		t.Errorf("the step (-want +got):\n%s", diff)
	}
	q := d.asked[0]
	if q.Arch != "amd64" || q.Mirror != "http://m.example/debian" || !q.Recommends || !q.Now.Equal(req.Now) || !slices.Equal(d.words, []string{"git"}) {
		t.Errorf("asked for %q with %+v", d.words, q)
	}
	seen := map[string]string{
		"var/lib/dpkg/status": strings.TrimPrefix(dpkgStatus, "var/lib/dpkg/status="), "etc/apt/sources.list": "deb x",
		"usr/share/keyrings/a.gpg": "key", "etc/apt/preferences.d/pin": "pins",
	}
	if diff := cmp.Diff(seen, d.seen); diff != "" {
		t.Errorf("what could be read of the parent (-want +got):\n%s", diff)
	}

	for _, again := range []struct {
		edit func(*resolve.Request)
		more int // questions asked
	}{
		{func(*resolve.Request) {}, 0},
		{func(r *resolve.Request) { r.Offline = true }, 0},
		{func(r *resolve.Request) { r.Refresh = true }, 1},
		{func(r *resolve.Request) { s := *r.Settings; s.Apt.Recommends = false; r.Settings = &s }, 1},
	} {
		before, next := len(d.asked), req
		again.edit(&next)
		if _, err := resolve.Resolve(t.Context(), next); err != nil || len(d.asked)-before != again.more {
			t.Errorf("resolving again asked %d times, %v, want %d", len(d.asked)-before, err, again.more)
		}
	}
}

// TestPackagesDecideMore holds that what packages bring decides about what comes
// above them: a Python, or a user.
func TestPackagesDecideMore(t *testing.T) {
	const requirements = "    requirements: [six]\n    python: /usr/bin/python3.11\n"
	tests := []struct {
		name, yaml string
		parent     []string // files
		brings     []string // files that packages bring
		debs       []string
		made       int
	}{
		{"nothing", requirements, withPython, nil, []string{"git"}, 0},
		{"a Python", requirements, nil, withPython, []string{"git"}, 1},
		{"another Python", requirements, withPython, []string{"usr/lib/python3.11/EXTERNALLY-MANAGED="}, []string{"git", "libpython3.11-stdlib"}, 1},
		{"a Python that nobody asks for", "", nil, withPython, []string{"python3"}, 0},
		{"a user", "    user: bob\n", nil, []string{"etc/passwd=bob:x:7:8::/:\n"}, []string{"git"}, 1},
		{"a user that was there", "    user: alice\n", nil, nil, []string{"git"}, 0},
	}
	for _, tt := range tests {
		req, d := packagesRequest(t, tt.yaml, tt.parent...)
		d.names = tt.debs
		answer := &answers{Resolution: python.Resolution{Wheels: []plan.Wheel{{Name: "six", Version: "1", Digest: "sha256:02"}}}}
		req.Python = answer
		made := 0
		req.Make = func(ctx context.Context, p plan.Plan) (v1.Image, error) {
			made++
			if got := p.Image().Steps; len(got) != 1 || got[0].Apt == nil {
				t.Errorf("%s: an image of %+v is made", tt.name, got)
			}
			grown := &images{files: slices.Concat(req.Images.(*images).files, tt.brings)}
			img, err := grown.Open(ctx, req.Images.(*images).asked, "")
			return img, err
		}
		r, err := resolve.Resolve(t.Context(), req)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if made != tt.made {
			t.Errorf("%s: %d images were made, want %d", tt.name, made, tt.made)
		}
		if steps := r.Plan.Image().Steps; steps[0].Apt == nil || steps[0].Apt.Parent != plan.Tree([]string{r.Parent.Layers[0].DiffID}) {
			t.Errorf("%s: the first step is %+v", tt.name, steps[0])
		}
		if strings.Contains(tt.yaml, "requirements") && (answer.request.Inventory != r.Base || r.Base.Python == nil) {
			t.Errorf("%s: requirements were not resolved for what there is below them", tt.name)
		}
		if strings.Contains(tt.yaml, "bob") && r.Plan.Image().Steps[1].Files.UID != 7 {
			t.Errorf("%s: the source belongs to %d", tt.name, r.Plan.Image().Steps[1].Files.UID)
		}
	}
}
