// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"inlay/assemble"
	"inlay/layers/leak"
	"inlay/resolve/plan"
)

const password = "s3cr3t-passw0rd"

// leaking is a step whose only file holds the password.
func leaking() (plan.Step, fstest.MapFS) {
	const text = "password = " + password
	sum := sha256.Sum256([]byte(text))
	return plan.Step{Name: "source", Files: &plan.Files{Target: "/app", Files: []plan.File{
		{Path: "pip.conf", Mode: 0o644, Size: int64(len(text)), Digest: "sha256:" + hex.EncodeToString(sum[:])},
	}}}, fstest.MapFS{"pip.conf": {Data: []byte(text)}}
}

// Wherever a secret would get into the image, the build fails, names the place,
// and neither keeps nor delivers what holds it.
func TestLeaks(t *testing.T) {
	step, context := leaking()
	parentWith := func(c v1.Config) func(*assemble.Options) {
		return func(o *assemble.Options) {
			p := o.Images.(parents)
			img, err := mutate.Config(p.img, c)
			if err != nil {
				t.Fatal(err)
			}
			o.Images = parents{img: img}
		}
	}
	tests := []struct {
		name string
		plan func(*plan.Plan)
		edit func(*assemble.Options)
		want string
	}{
		{"a source file", func(p *plan.Plan) { p.Stages[0].Steps = []plan.Step{step} }, nil, `/app/pip.conf of layer "source"`},
		{"a variable", func(p *plan.Plan) { p.Stages[0].Config.Env = []string{"A=" + password} }, nil, "the image's variable A"},
		{"a label", func(p *plan.Plan) { p.Stages[0].Config.Labels = map[string]string{"a": password} }, nil, "the image's label a"},
		{"an annotation", func(p *plan.Plan) { p.Stages[0].Config.Annotations = map[string]string{"a": password} }, nil, "the image's annotation a"},
		{"the name of a layer", func(p *plan.Plan) {
			p.Stages[0].Steps = []plan.Step{{Name: password, Remove: &plan.Remove{Paths: []string{"/x"}}}}
		}, nil, "plan.stages[0].steps[0].name"},
		{"the parent's variables", nil, parentWith(v1.Config{Env: []string{"PIP_INDEX_URL=https://ann:" + password + "@h/"}}), "the image's configuration.config.Env[0]"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		var out recorder
		o := options(t, dir, &out)
		o.Tools.Context = context
		o.Tools.Secrets = leak.New([]leak.Secret{{User: "ann", Value: password, Of: "corp"}})
		p := demo(plan.Step{Name: "gone", Remove: &plan.Remove{Paths: []string{"/gone"}}})
		if tt.plan != nil {
			tt.plan(&p)
		}
		if tt.edit != nil {
			tt.edit(&o)
		}
		_, err := assemble.Build(t.Context(), p, o)
		var found *leak.Error
		if !errors.As(err, &found) || found.In != tt.want {
			t.Errorf("%s: Build = %v, want a *leak.Error in %s", tt.name, err, tt.want)
		}
		if len(out.got) != 0 {
			t.Errorf("%s: the image was delivered", tt.name)
		}
		if tt.name == "a source file" {
			nothingKept(t, filepath.Join(dir, "layers"))
		}
	}
}

// nothingKept fails for every file with content below dir.
func nothingKept(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if b, err := os.ReadFile(path); err != nil || len(b) > 0 {
			t.Errorf("%s is left with %d bytes, %v", path, len(b), err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A layer of source files that an earlier build made is searched for the
// secrets of this one.
func TestLeakInReusedLayer(t *testing.T) {
	step, context := leaking()
	dir := t.TempDir()
	o := options(t, dir)
	o.Tools.Context = context
	if _, err := assemble.Build(t.Context(), demo(step), o); err != nil {
		t.Fatal(err)
	}
	o.Tools.Secrets = leak.New([]leak.Secret{{User: "ann", Value: "another-passw0rd", Of: "corp"}})
	r, err := assemble.Build(t.Context(), demo(step), o)
	if err != nil || !r.Layers[0].Reused {
		t.Errorf("with another secret: Build = %+v, %v, want the layer of before", r, err)
	}
	o.Tools.Secrets = leak.New([]leak.Secret{{User: "ann", Value: password, Of: "corp"}})
	_, err = assemble.Build(t.Context(), demo(step), o)
	if want := `the password or token of corp is in /app/pip.conf of layer "source"`; err == nil || err.Error() != want {
		t.Errorf("Build = %v, want %s", err, want)
	}
}
