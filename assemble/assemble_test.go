// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble"
	"inlay/assemble/output"
	"inlay/assemble/step"
	"inlay/cache"
	"inlay/cache/disk"
	"inlay/resolve/plan"
)

// parents has one parent for every plan.
type parents struct {
	img v1.Image
	err error
}

func (p parents) Parent(context.Context, plan.Parent, string) (v1.Image, error) { return p.img, p.err }

// recorder is an output that remembers what it was given.
type recorder struct {
	got []v1.Image
	err error
}

func (r *recorder) Begin() (output.Delivery, error)     { return r, nil }
func (r *recorder) Add(context.Context, v1.Layer) error { return nil }
func (r *recorder) Complete(_ context.Context, img v1.Image) error {
	r.got = append(r.got, img)
	return r.err
}

func (r *recorder) Publish(context.Context) (output.Delivered, error) {
	return output.Delivered{Reference: "here"}, nil
}
func (r *recorder) Close() {}

// source is the context of all plans below.
var source = fstest.MapFS{"a": {Data: []byte("1")}, "b": {Data: []byte("2")}}

// files is a step that copies one file of the context.
func files(name string) plan.Step {
	sum := sha256.Sum256(source[name].Data)
	return plan.Step{Name: name, Files: &plan.Files{
		Target: "/" + name,
		Files:  []plan.File{{Path: name, Mode: 0o644, Size: 1, Digest: "sha256:" + hex.EncodeToString(sum[:])}},
	}}
}

func demo(steps ...plan.Step) plan.Plan {
	return plan.Plan{Version: plan.Version, Platform: "linux/amd64", Stages: []plan.Stage{{
		Steps: steps, Config: plan.Config{Env: []string{"A=1"}},
	}}}
}

// options returns those of a build with its cache in dir.
func options(t *testing.T, dir string, out ...assemble.Output) assemble.Options {
	t.Helper()
	parent, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return assemble.Options{Images: parents{img: parent}, Cache: c, Dirs: disk.Values{Dir: filepath.Join(dir, "inventories")}, Tools: step.Tools{Context: source}, Outputs: out, Jobs: 2}
}

func TestBuild(t *testing.T) {
	var out recorder
	o := options(t, t.TempDir(), &out)
	r, err := assemble.Build(t.Context(), demo(files("a"), files("b")), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(r.Image); err != nil {
		t.Error(err)
	}
	if len(out.got) != 1 || len(r.Delivered) != 1 || r.Delivered[0].Reference != "here" {
		t.Errorf("the image was delivered %d times (%v), want once", len(out.got), r.Delivered)
	}
	config, err := r.Image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var history []string
	for _, h := range config.History[len(config.History)-2:] {
		history = append(history, h.CreatedBy)
	}
	if diff := cmp.Diff([]string{"inlay: a", "inlay: b"}, history); diff != "" {
		t.Errorf("the history (-want +got):\n%s", diff)
	}
}

// A layer compressed otherwise is another layer of the same content, and both
// are kept.
func TestCompression(t *testing.T) {
	o := options(t, t.TempDir())
	zstd := files("a")
	zstd.Compression = plan.Zstd
	for i, s := range []plan.Step{files("a"), zstd, files("a"), zstd} {
		r, err := assemble.Build(t.Context(), demo(s), o)
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+zstd"}[i%2]
		if l, err := o.Cache.Get(t.Context(), r.Layers[0].Key); err != nil || must(l.Digest()) != m.Layers[2].Digest {
			t.Errorf("build %d: the cache has %v, %v for the layer's key", i, l, err)
		}
		if got := string(m.Layers[2].MediaType); got != want || r.Layers[0].Reused != (i > 1) {
			t.Errorf("build %d: the layer is %s, reused %v, want %s", i, got, r.Layers[0].Reused, want)
		}
		config, err := r.Image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if id := config.RootFS.DiffIDs[2].String(); id != filesDiffID {
			t.Errorf("build %d: the layer's DiffID is %s, want %s", i, id, filesDiffID)
		}
	}
}

func must(h v1.Hash, err error) v1.Hash {
	if err != nil {
		panic(err)
	}
	return h
}

const filesDiffID = "sha256:7beddd62ac9e281a596a60db0c3f4d20593a93ae7b66ecc438a88bfc3e90e214"

func TestBuildAgain(t *testing.T) {
	dir := t.TempDir()
	o := options(t, dir)
	first, err := assemble.Build(t.Context(), demo(files("a"), files("b")), o)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		steps  []plan.Step
		anew   bool
		reused []bool
	}{
		{"the same", []plan.Step{files("a"), files("b")}, false, []bool{true, true}},
		{"the same without the cache", []plan.Step{files("a"), files("b")}, true, []bool{false, false}},
		{"in another order", []plan.Step{files("b"), files("a")}, false, []bool{true, true}},
		{"with one more", []plan.Step{files("a"), {Name: "gone", Remove: &plan.Remove{Paths: []string{"/gone"}}}}, false, []bool{true, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o.Anew = tt.anew
			r, err := assemble.Build(t.Context(), demo(tt.steps...), o)
			if err != nil {
				t.Fatal(err)
			}
			var reused []bool
			for _, l := range r.Layers {
				reused = append(reused, l.Reused)
			}
			if diff := cmp.Diff(tt.reused, reused); diff != "" {
				t.Errorf("which layers are reused (-want +got):\n%s", diff)
			}
			if same := slices.EqualFunc(tt.steps, []string{"a", "b"}, func(s plan.Step, n string) bool { return s.Name == n }); same != (r.Digest == first.Digest) {
				t.Errorf("the digest is that of the first build: %v, want %v", !same, same)
			}
		})
	}
}

func TestReusedLayerNeedsNothing(t *testing.T) {
	o := options(t, t.TempDir())
	if _, err := assemble.Build(t.Context(), demo(files("a")), o); err != nil {
		t.Fatal(err)
	}
	o.Tools = step.Tools{} // it could make nothing
	if _, err := assemble.Build(t.Context(), demo(files("a")), o); err != nil {
		t.Errorf("a build whose layers are all cached: %v", err)
	}
}

func TestDamagedLayerIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	var out recorder
	o := options(t, dir)
	first, err := assemble.Build(t.Context(), demo(files("a")), o)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, dir)
	o.Outputs = []assemble.Output{&reader{recorder: &out}}
	r, err := assemble.Build(t.Context(), demo(files("a")), o)
	if err != nil {
		t.Fatalf("a build with a damaged layer in the cache: %v", err)
	}
	if r.Digest != first.Digest {
		t.Errorf("the digest is %s, want %s", r.Digest, first.Digest)
	}
	if err := validate.Image(r.Image); err != nil {
		t.Error(err)
	}
}

// reader is an output that reads all layers, as real ones do.
type reader struct {
	*recorder
	begun atomic.Int32
}

func (r *reader) Begin() (output.Delivery, error) {
	r.begun.Add(1)
	return r, nil
}

func (r *reader) Complete(ctx context.Context, img v1.Image) error {
	ls, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range ls {
		if err := r.Add(ctx, l); err != nil {
			return err
		}
	}
	return r.recorder.Complete(ctx, img)
}

func (r *reader) Add(_ context.Context, l v1.Layer) error {
	rc, err := l.Compressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.Copy(io.Discard, rc)
	return err
}

// damage flips a bit of every blob in the cache.
func damage(t *testing.T, dir string) {
	t.Helper()
	blobs, err := filepath.Glob(filepath.Join(dir, "layers", "blobs", "sha256", "*"))
	if err != nil || len(blobs) == 0 {
		t.Fatalf("no blobs to damage: %v", err)
	}
	for _, name := range blobs {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		edit func(*assemble.Options)
		want string
	}{
		{"no parent", func(o *assemble.Options) { o.Images = parents{err: broken} }, "broken"},
		{"a file that changed", func(o *assemble.Options) { o.Tools.Context = fstest.MapFS{"a": {Data: []byte("9")}} }, `making layer "a": source file a changed during the build`},
		{"an output", func(o *assemble.Options) { o.Outputs = []assemble.Output{&recorder{err: broken}} }, "broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			o := options(t, dir)
			tt.edit(&o)
			if _, err := assemble.Build(t.Context(), demo(files("a")), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Build = %v, want %s", err, tt.want)
			}
			tmp, err := filepath.Glob(filepath.Join(dir, "layers", "blobs", "sha256", ".*"))
			if err != nil || len(tmp) > 0 {
				t.Errorf("Build left %v (%v), want nothing half made", tmp, err)
			}
		})
	}
}

func foresee(t *testing.T, p plan.Plan, last *plan.Plan, o assemble.Options) ([]assemble.Forecast, error) {
	t.Helper()
	return assemble.Foresee(t.Context(), p, p.Keys(), last, o)
}

func TestForesee(t *testing.T) {
	o := options(t, t.TempDir())
	last := demo(files("a"))
	if _, err := assemble.Build(t.Context(), last, o); err != nil {
		t.Fatal(err)
	}
	got, err := foresee(t, demo(files("a"), files("b")), &last, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Layer == nil || got[0].Reason != nil || got[1].Layer != nil || !cmp.Equal(got[1].Reason, []string{"new"}) {
		t.Errorf("Foresee = %+v, want the first reused, the second new", got)
	}
	got, err = foresee(t, demo(files("a")), nil, o)
	if err != nil || len(got) != 1 || got[0].Layer == nil || got[0].Reason != nil {
		t.Errorf("Foresee without a last build = %+v, %v, want the layer reused", got, err)
	}
}

// TestReportLost makes a layer of packages anew of which nobody can tell any
// more what was left undone.
func TestReportLost(t *testing.T) {
	dir := t.TempDir()
	p := demo(plan.Step{Name: "apt", Apt: &plan.Apt{}})
	for _, want := range []bool{false, true, false} {
		r, err := assemble.Build(t.Context(), p, options(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		if r.Layers[0].Reused != want {
			t.Errorf("Reused = %v, want %v", r.Layers[0].Reused, want)
		}
		reports, err := filepath.Glob(filepath.Join(dir, "inventories", "report-*"))
		if err != nil || len(reports) != 1 {
			t.Fatalf("the reports are %v, %v; want one", reports, err)
		}
		if want {
			if err := os.Remove(reports[0]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// wheel writes a wheel with a module and a data file, and returns the step that
// installs it on a parent with base, and how to open the wheel.
func wheel(t *testing.T, base plan.Base) (plan.Step, func(context.Context, plan.Wheel) (*os.File, error)) {
	t.Helper()
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	for name, body := range map[string]string{
		"a.py": "a", "a-1.0.data/data/share/a/x": "x",
		"a-1.0.dist-info/METADATA": "Name: a\nVersion: 1.0\n", "a-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\n", "a-1.0.dist-info/RECORD": "",
	} {
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "a-1.0-py3-none-any.whl")
	if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	s := plan.Step{Name: "a 1.0", Python: &plan.Python{
		Base:   base,
		Scheme: plan.Scheme{Purelib: "/usr/lib/p", Platlib: "/usr/lib/p", Scripts: "/usr/bin", Data: "/usr", Headers: "/usr/include", Interpreter: "/usr/bin/python3", Version: "3.11"},
		Wheels: []plan.Wheel{{Name: "a", Version: "1.0", File: filepath.Base(name), Digest: "sha256:00"}},
	}}
	return s, func(context.Context, plan.Wheel) (*os.File, error) { return os.Open(name) }
}

// TestParentChanged checks that a layer of wheels is made again when what it
// reads of the parent changes, and only then.
func TestParentChanged(t *testing.T) {
	tests := []struct {
		name   string
		base   plan.Base
		reused bool
	}{
		{"nothing", plan.Base{}, true},
		{"a link elsewhere", plan.Base{Links: []plan.Link{{Path: "/usr/cuda", Target: "/usr/cuda-12"}}}, true},
		{"a directory elsewhere", plan.Base{Dirs: []plan.Dir{{Path: "/usr/share/fonts", Mode: 0o775}}}, true},
		{"a directory on the way", plan.Base{Dirs: []plan.Dir{{Path: "/usr/share", Mode: 0o775}}}, false},
		{"a link on the way", plan.Base{Links: []plan.Link{{Path: "/usr/share", Target: "/srv/share"}}}, false},
		{"a directory where a link leads", plan.Base{
			Links: []plan.Link{{Path: "/usr/share", Target: "/srv/share"}}, Dirs: []plan.Dir{{Path: "/srv", Mode: 0o700}},
		}, false},
		{"a directory of site-packages", plan.Base{Dirs: []plan.Dir{{Path: "/usr/lib/p/b", Mode: 0o700}}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, t.TempDir())
			s, open := wheel(t, plan.Base{})
			o.Tools.Wheel = open
			last := demo(s)
			if _, err := assemble.Build(t.Context(), last, o); err != nil {
				t.Fatal(err)
			}
			changed := *s.Python
			changed.Base = tt.base
			now := plan.Step{Name: s.Name, Python: &changed}
			forecast, err := foresee(t, demo(now), &last, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := forecast[0].Layer != nil; got != tt.reused || got != (forecast[0].Reason == nil) {
				t.Errorf("Foresee finds a layer: %v, because %q, want %v", got, forecast[0].Reason, tt.reused)
			}
			r, err := assemble.Build(t.Context(), demo(now), o)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Layers[0].Reused; got != tt.reused {
				t.Errorf("the layer is reused: %v, want %v", got, tt.reused)
			}
		})
	}
}
