// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"inlay/resolve"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/settings"
	"inlay/resolve/source"
)

// images has one image of every name.
type images struct {
	files []string // of the image: "path=content", a link as "path->target"
	env   []string
	asked source.Reference

	entrypoint, cmd []string
}

func (im *images) Open(_ context.Context, ref source.Reference, _ string) (*source.Image, error) {
	im.asked = ref
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range im.files {
		path, body, _ := strings.Cut(f, "=")
		h := &tar.Header{Name: path, Mode: 0o755, Size: int64(len(body))}
		if name, target, ok := strings.Cut(path, "->"); ok {
			h = &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777}
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(tw, body); err != nil {
			return nil, err
		}
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", RootFS: rootFS(img), Config: v1.Config{Env: im.env, Entrypoint: im.entrypoint, Cmd: im.cmd},
	})
	return &source.Image{Image: img, Reference: "registry.example/base@sha256:00", Platform: "linux/amd64"}, err
}

func rootFS(img v1.Image) v1.RootFS {
	c, err := img.ConfigFile()
	if err != nil {
		return v1.RootFS{}
	}
	return c.RootFS
}

// answers is a resolver that has one answer.
type answers struct {
	python.Resolution
	got     []python.Group
	given   *python.Resolution // by a lock file
	request python.Request
}

func (a *answers) Sources(context.Context, []python.Group) (map[string]string, error) {
	return nil, nil
}

func (a *answers) Resolve(_ context.Context, req python.Request) (*python.Resolution, error) {
	a.got, a.given, a.request = req.Groups, req.Locked, req
	return &a.Resolution, nil
}

// request is one for a parent with an account and a linked /app.
func request(t *testing.T, yaml string) (resolve.Request, *images) {
	t.Helper()
	s, _, err := settings.Load("inlay.yaml", strings.NewReader(yaml), settings.Options{})
	if err != nil {
		t.Fatal(err)
	}
	im := &images{files: []string{"etc/passwd=alice:x:1000:100::/:\n", "srv/app/keep=", "app->/srv/app"}}
	return resolve.Request{
		Settings: s,
		Context:  t.TempDir(),
		Source:   fstest.MapFS{"main.py": {Data: []byte("1"), Mode: 0o644}},
		Images:   im,
		Default:  func() (string, string) { return "", "" },
		Jobs:     1,
	}, im
}

func TestResolve(t *testing.T) {
	req, im := request(t, `
settings:
  docker:
    parent_image: registry.example/base:v1
    environment: {A: "1", B: "2"}
    runtime_environment: {A: "3"}
    user: alice
    labels: {team: ml}
    annotations: {note: hello}
    entrypoint: [python, main.py]
`)
	req.Created = 7
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := im.asked.String(), "registry.example/base:v1"; got != want {
		t.Errorf("the parent asked for is %s, want %s", got, want)
	}
	want := plan.Plan{
		Version: plan.Version, Platform: "linux/amd64", Created: 7,
		Stages: []plan.Stage{{
			Parent: plan.Parent{Image: "registry.example/base@sha256:00", Digest: r.Parent.Digest},
			Steps: []plan.Step{{Name: "source", Files: &plan.Files{
				Base:   plan.Base{Links: []plan.Link{{Path: "/app", Target: "/srv/app"}}},
				Target: "/app", Mode: 0o666, UID: 1000, GID: 100, ModTime: 7,
				Files: []plan.File{{
					Path: "main.py", Mode: 0o666, Size: 1,
					Digest: "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
				}},
			}}},
			Config: plan.Config{
				Env: []string{"A=1", "B=2", "A=3"}, User: "alice", WorkDir: "/app", Entrypoint: []string{"python", "main.py"},
				Labels: map[string]string{"team": "ml"},
				Annotations: map[string]string{
					"org.opencontainers.image.base.name": "registry.example/base:v1", "org.opencontainers.image.base.digest": r.Parent.Digest,
					"note": "hello",
				},
			},
		}},
	}
	if diff := cmp.Diff(want, r.Plan); diff != "" {
		t.Errorf("the plan (-want +got):\n%s", diff)
	}
}

// TestSteps checks the order of steps and that the wheels are grouped. The
// parent's Python is a minimal one.
func TestSteps(t *testing.T) {
	req, im := request(t, "settings:\n  docker:\n    parent_image: base\n    requirements: [\"numpy>=2\", six]\n    python: /usr/bin/python3.11\n")
	im.files = append(im.files, "usr/bin/python3.11="+minimalELF, "usr/lib/python3.11/os.py=")
	im.env = []string{"A=1", "LD_LIBRARY_PATH=/opt/lib"}
	answer := &answers{Resolution: python.Resolution{
		Wheels: []plan.Wheel{
			{Name: "numpy", Version: "2.1.0", File: "numpy.whl", Digest: "sha256:01", Size: 16 << 20},
			{Name: "six", Version: "1.17.0", File: "six.whl", Digest: "sha256:02", Size: 1 << 10},
		},
		Remove:      []parent.Dist{{Name: "numpy", Version: "1.0"}},
		RemovePaths: []string{"/usr/lib/python3.11/site-packages/numpy"},
	}}
	req.Python = answer
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var names, kinds []string
	for _, s := range r.Plan.Image().Steps {
		names, kinds = append(names, s.Name), append(kinds, s.Kind())
	}
	if diff := cmp.Diff([]string{"remove numpy 1.0", "numpy 2.1.0", "six 1.17.0", "source"}, names); diff != "" {
		t.Errorf("the steps (-want +got):\n%s", diff)
	}
	answer.Installer = "pip 26.3"
	if r, err = resolve.Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := r.Plan.Image().Steps[1].Name; got != "numpy 2.1.0 (by pip)" {
		t.Errorf("where pip decides the step is %q", got)
	}
	if diff := cmp.Diff([]string{"remove", "python", "python", "files"}, kinds); diff != "" {
		t.Errorf("their kinds (-want +got):\n%s", diff)
	}
	req.Settings.Bytecode = true
	if r, err = resolve.Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	steps := r.Plan.Image().Steps
	if len(steps) != 6 || steps[4].Name != "bytecode of six 1.17.0 (by pip)" || steps[4].Bytecode == nil || !cmp.Equal(steps[4].Bytecode.Python, *steps[2].Python) ||
		steps[4].Bytecode.Compiler != "3.11.0" || !cmp.Equal(steps[4].Bytecode.Env, []string{"LD_LIBRARY_PATH=/opt/lib"}) {
		t.Errorf("with bytecode the steps are %+v", steps)
	}
	want := []python.Group{{Name: "requirements", Lines: []python.Line{
		{Source: "requirements", Number: 1, Shown: "numpy>=2", Text: "numpy>=2", Name: "numpy"},
		{Source: "requirements", Number: 2, Shown: "six", Text: "six", Name: "six"},
	}}}
	if diff := cmp.Diff(want, answer.got); diff != "" {
		t.Errorf("the requirements asked for (-want +got):\n%s", diff)
	}
}

func TestResolveErrors(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"no parent", "", "settings.docker.parent_image: is missing"},
		{"a bad parent", "settings: {docker: {parent_image: \"oci:\"}}", "inlay.yaml:1: settings.docker.parent_image: image \"oci:\": it has no path"},
		{"an unknown user", "settings: {docker: {parent_image: base, user: alce}}", "inlay.yaml:1: settings.docker.user: "},
		{"a missing file of requirements", "settings: {docker: {parent_image: base, requirements: r.txt}}", "inlay.yaml:1: settings.docker.requirements: there is no file r.txt"},
		{"a missing ignore file", "settings: {docker: {parent_image: base, build_config: {dockerignore: x}}}", "inlay.yaml:1: settings.docker.build_config.dockerignore: there is no file x"},
		{"no Python", "settings: {docker: {parent_image: base, requirements: [six]}}", "can't take requirements"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, _ := request(t, tt.yaml)
			_, err := resolve.Resolve(t.Context(), req)
			var hint interface{ Hint() string }
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.As(err, &hint) || hint.Hint() == "" {
				t.Errorf("Resolve = %v, want %q and a hint", err, tt.want)
			}
		})
	}
}

// What later requirements break is a warning, each time; or an error.
func TestBroken(t *testing.T) {
	const broken = "first:1 has requirement six<1, but you have six 2"
	req, im := request(t, "settings: {docker: {parent_image: base, python: /usr/bin/python3.11, requirements: [six]}}")
	im.files = append(im.files, "usr/bin/python3.11="+minimalELF, "usr/lib/python3.11/os.py=")
	req.Python = &answers{Resolution: python.Resolution{Broken: []string{broken}, Recalled: true}}
	var notes []string
	req.Note = func(n string) {
		if !strings.HasPrefix(n, "note: ") {
			notes = append(notes, n)
		}
	}
	if _, err := resolve.Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"warning: " + broken}, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	req.Strict = true
	_, err := resolve.Resolve(t.Context(), req)
	if bad := new(python.BrokenError); !errors.As(err, &bad) || !strings.Contains(err.Error(), broken) || bad.Hint() == "" {
		t.Errorf("Resolve, strictly: %v, want a *python.BrokenError with %q and a hint", err, broken)
	}
}

func TestDefaultParent(t *testing.T) {
	req, im := request(t, "")
	req.Default = func() (string, string) { return "python:3.12-slim", "for a reason" }
	var notes []string
	req.Note = func(s string) { notes = append(notes, s) }
	if _, err := resolve.Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(im.asked.Name, "/python") || im.asked.Tag != "3.12-slim" {
		t.Errorf("the parent asked for is %s, want python:3.12-slim", im.asked)
	}
	if diff := cmp.Diff([]string{"parent image python:3.12-slim: for a reason"}, notes); diff != "" {
		t.Errorf("the notes (-want +got):\n%s", diff)
	}
}

// Credentials for package indexes are no part of the image, unless the settings
// insist; what is left out is said, by name and never by value.
func TestSecretsInEnvironment(t *testing.T) {
	const yaml = `
settings:
  docker:
    parent_image: base
    environment:
      A: "1"
      PIP_EXTRA_INDEX_URL: https://u:s3cret@a.example/simple
      PIP_INDEX_URL: https://b.example/simple
    runtime_environment: {UV_INDEX_CORP_PASSWORD: s3cret}
`
	tests := []struct {
		keep       string
		env, notes []string
	}{
		{"", []string{"A=1", "PIP_INDEX_URL=https://b.example/simple"}, []string{
			"warning: inlay.yaml:7: settings.docker.environment.PIP_EXTRA_INDEX_URL: its credentials were used to find packages and are not put into the image; to keep the variable, add `keep_secrets_in_env: true`",
			"warning: inlay.yaml:9: settings.docker.runtime_environment.UV_INDEX_CORP_PASSWORD: its credentials are not put into the image; to keep the variable, add `keep_secrets_in_env: true`",
		}},
		{"    keep_secrets_in_env: true\n", []string{
			"A=1", "PIP_EXTRA_INDEX_URL=https://u:s3cret@a.example/simple", "PIP_INDEX_URL=https://b.example/simple", "UV_INDEX_CORP_PASSWORD=s3cret",
		}, nil},
	}
	for _, tt := range tests {
		req, _ := request(t, yaml+tt.keep)
		var notes []string
		req.Note = func(s string) { notes = append(notes, s) }
		r, err := resolve.Resolve(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.env, r.Plan.Image().Config.Env); diff != "" {
			t.Errorf("%q: the environment (-want +got):\n%s", tt.keep, diff)
		}
		if diff := cmp.Diff(tt.notes, notes); diff != "" {
			t.Errorf("%q: the notes (-want +got):\n%s", tt.keep, diff)
		}
	}
}

func TestEmptySource(t *testing.T) {
	req, _ := request(t, "settings: {docker: {parent_image: base}}")
	req.Source = fstest.MapFS{".": {Mode: fs.ModeDir | 0o755}}
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Plan.Image().Steps); n != 0 {
		t.Errorf("an empty context gives %d steps, want none", n)
	}
}

// minimalELF is the header of a 64-bit x86 program without any segment.
var minimalELF = "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) +
	"\x02\x00\x3e\x00\x01\x00\x00\x00" + strings.Repeat("\x00", 24) + strings.Repeat("\x00", 4) + "\x40\x00\x38\x00\x00\x00\x40\x00\x00\x00\x00\x00"
