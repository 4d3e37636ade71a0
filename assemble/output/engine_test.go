// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/output"
)

// An engine does what the programs docker and ctr do with the commands that
// output gives them. TestE2EEngines asks the real ones.
type engine struct {
	dir string

	mu     sync.Mutex
	loads  int
	images map[string]v1.Image // by what the engine prints or was told
	tags   map[string]string
	calls  []string
	fail   func(command string) error // nil: nothing fails
}

func newEngine(t *testing.T) *engine {
	return &engine{dir: t.TempDir(), images: map[string]v1.Image{}, tags: map[string]string{}}
}

func (e *engine) run(ctx context.Context, c output.Call) error {
	command := c.Program + " " + strings.Join(c.Args, " ")
	e.mu.Lock()
	e.calls = append(e.calls, command)
	fail := e.fail
	e.mu.Unlock()
	if fail != nil {
		if err := fail(command); err != nil {
			fmt.Fprintf(c.Stderr, "warning\n%v\n", err)
			return errors.New("exit status 1")
		}
	}
	switch {
	case strings.Contains(command, " load"):
		return e.load(ctx, c, func(file string) (v1.Image, string, error) {
			img, err := tarball.ImageFromPath(file, nil)
			if err != nil {
				return nil, "", err
			}
			id, err := img.ConfigName()
			return img, id.String(), err
		})
	case strings.HasSuffix(command, " import -"):
		return e.load(ctx, c, func(file string) (v1.Image, string, error) {
			dir := file + ".layout"
			if err := unpack(file, dir); err != nil {
				return nil, "", err
			}
			index, err := layout.ImageIndexFromPath(dir)
			if err != nil {
				return nil, "", err
			}
			m, err := index.IndexManifest()
			if err != nil {
				return nil, "", err
			}
			img, err := firstImage(dir)
			return img, m.Manifests[0].Annotations["io.containerd.image.name"], err
		})
	case strings.Contains(command, " tag "):
		return e.tag(c.Args[len(c.Args)-2], c.Args[len(c.Args)-1])
	}
	return nil
}

// load keeps the image in an archive that ends where it should.
func (e *engine) load(ctx context.Context, c output.Call, open func(string) (v1.Image, string, error)) error {
	e.mu.Lock()
	e.loads++
	file := filepath.Join(e.dir, fmt.Sprint(e.loads))
	e.mu.Unlock()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, c.Stdin); err != nil {
		return err
	}
	if err := errors.Join(f.Close(), ctx.Err()); err != nil {
		return err
	}
	img, id, err := open(file)
	if err != nil {
		return err
	}
	if err := validate.Image(img); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images[id] = img
	_, err = fmt.Fprintf(c.Stdout, "Loaded image ID: %s\n", id)
	return err
}

func (e *engine) tag(id, tag string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.images[id] == nil {
		return fmt.Errorf("no image %s", id)
	}
	e.tags[tag] = id
	return nil
}

func (e *engine) tagged(tag string) (v1.Image, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if img := e.images[e.tags[tag]]; img != nil {
		return img, nil
	}
	return nil, fmt.Errorf("no image %s", tag)
}

func enginePlace(t *testing.T, kind string) place {
	e := newEngine(t)
	named := map[string]string{"docker": "team/app:1", "containerd": "docker.io/team/app:1"}[kind]
	return place{
		func(p output.Progress) (output.Delivery, error) {
			return output.Engine{Name: kind, Tags: tags(t, "team/app:1"), Run: e.run, Progress: p}.Begin()
		},
		func() (v1.Image, error) { return e.tagged(named) },
		false,
	}
}

// Which engine is taken, what it is told, and what is said if there is none.
func TestEngineIsFound(t *testing.T) {
	absent := func(programs ...string) output.Run {
		e := newEngine(t)
		return func(ctx context.Context, c output.Call) error {
			for _, p := range programs {
				if c.Program == p {
					return fmt.Errorf("%s: %w", p, exec.ErrNotFound)
				}
			}
			return e.run(ctx, c)
		}
	}
	silent := func(ctx context.Context, c output.Call) error {
		if c.Program != "docker" {
			return exec.ErrNotFound
		}
		fmt.Fprintln(c.Stderr, "Cannot connect to the Docker daemon.")
		return errors.New("exit status 1")
	}
	tests := []struct {
		name, named string
		run         output.Run
		engine, err string
	}{
		{"all", "", absent(), "docker", ""},
		{"named", "containerd", absent(), "containerd", ""},
		{"no docker", "", absent("docker"), "podman", ""},
		{"no docker, no podman", "", absent("docker", "podman"), "containerd", ""},
		{
			"none", "", silent, "", "delivering to an engine: no container engine can be used: docker: Cannot connect to the Docker daemon.; " +
				"podman: there is no program podman; containerd: there is no program ctr",
		},
		{"not the one named", "docker", absent("docker"), "", "delivering to an engine: no container engine can be used: docker: there is no program docker"},
	}
	for _, tt := range tests {
		out := output.Engine{Name: tt.named, Tags: tags(t, "app:1"), Run: tt.run}
		err := out.Reach(t.Context())
		var d output.Delivered
		if err == nil {
			d, err = out.Write(t.Context(), makeImage(t, "a"))
		}
		if tt.err == "" && (err != nil || d.Engine != tt.engine) || tt.err != "" && (err == nil || err.Error() != tt.err) {
			t.Errorf("%s: %+v, %v, want the engine %q, error %q", tt.name, d, err, tt.engine, tt.err)
		}
	}
	if diff := cmp.Diff([]string{"docker", "podman", "containerd"}, output.Engines()); diff != "" {
		t.Errorf("Engines (-want +got):\n%s", diff)
	}
}

func TestEngineCommands(t *testing.T) {
	id, err := makeImage(t, "a").ConfigName()
	check(t, err)
	digest, err := makeImage(t, "a").Digest()
	check(t, err)
	full := "docker.io/library/app@" + digest.String()
	tests := map[string][]string{
		"docker": {
			"docker version --format {{.Server.Version}}", "docker load",
			"docker tag " + id.String() + " app:1", "docker tag " + id.String() + " example.com/app:2",
		},
		"containerd": {
			"ctr --connect-timeout 3s version", "ctr images import -",
			"ctr images tag --force " + full + " docker.io/library/app:1", "ctr images tag --force " + full + " example.com/app:2",
		},
	}
	for kind, want := range tests {
		e := newEngine(t)
		_, err := output.Engine{Name: kind, Tags: tags(t, "app:1", "example.com/app:2"), Run: e.run}.Write(t.Context(), makeImage(t, "a"))
		check(t, err)
		if diff := cmp.Diff(want, e.calls); diff != "" {
			t.Errorf("%s was told (-want +got):\n%s", kind, diff)
		}
	}
}

// An engine that fails while it loads has no new tag; one that fails between two
// tags has each old or new. Its own words are in the error.
func TestEngineFails(t *testing.T) {
	for _, tt := range []struct {
		failing, want string
		moved         []bool
	}{
		{"docker load", "delivering to an engine: docker load: exit status 1: no space left on device", []bool{false, false, false}},
		{"app:2", " app:2: exit status 1: no space left on device", []bool{true, false, false}},
	} {
		e := newEngine(t)
		names := tags(t, "app:1", "app:2", "app:3")
		out := output.Engine{Name: "docker", Tags: names, Run: e.run}
		before, err := out.Write(t.Context(), makeImage(t, "old"))
		check(t, err)
		e.fail = func(command string) error {
			if strings.HasSuffix(command, tt.failing) {
				return errors.New("no space left on device")
			}
			return nil
		}
		_, err = out.Write(t.Context(), makeImage(t, "new"))
		if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("with %q failing: %v, want …%s", tt.failing, err, tt.want)
		}
		var moved []bool
		for _, n := range names {
			moved = append(moved, e.tags[familiar(n)] != before.Reference)
		}
		if diff := cmp.Diff(tt.moved, moved); diff != "" {
			t.Errorf("with %q failing the tags that moved (-want +got):\n%s", tt.failing, diff)
		}
	}
}

func familiar(t name.Tag) string {
	return strings.TrimPrefix(t.RepositoryStr(), "library/") + ":" + t.TagStr()
}
