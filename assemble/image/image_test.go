// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/assemble/image"
	"inlay/resolve/plan"
)

var created = time.Date(2024, 5, 6, 7, 8, 9, 0, time.FixedZone("", 7200))

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// makeLayer returns a layer with one file.
func makeLayer(t *testing.T, file string, mt types.MediaType) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	check(t, w.WriteHeader(&tar.Header{Name: file, Mode: 0o644}))
	check(t, w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}, tarball.WithMediaType(mt))
	check(t, err)
	return l
}

// A parent is one of two layers with a raw configuration; its layers can be
// forbidden to be read.
type parent struct {
	v1.Image
	raw    []byte
	layers []v1.Layer
}

func (p *parent) RawConfigFile() ([]byte, error)      { return p.raw, nil }
func (p *parent) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(p) }
func (p *parent) Layers() ([]v1.Layer, error)         { return p.layers, nil }
func (p *parent) LayerByDigest(v1.Hash) (v1.Layer, error) {
	return nil, errors.New("not of the parent")
}

type unread struct{ v1.Layer }

func (unread) Compressed() (io.ReadCloser, error) { return nil, errors.New("a parent's layer is read") }

func (unread) Uncompressed() (io.ReadCloser, error) {
	return nil, errors.New("a parent's layer is read")
}

const parentConfig = `{
  "architecture": "arm", "os": "linux", "variant": "v7", "author": "somebody", "created": "2020-01-01T00:00:00Z",
  "container": "abc", "container_config": {"Cmd": ["x"]}, "docker_version": "20.10", "moby.buildkit.cache.v0": "e30=",
  "config": {
    "Env": ["PATH=/usr/bin", "A=1", "B=1", "A=2"], "Cmd": ["bash"], "Entrypoint": ["/entry"], "User": "app", "WorkingDir": "/",
    "Labels": {"a": "parent", "b": "parent"}, "Healthcheck": {"Test": ["CMD", "true"], "StartInterval": 5}, "NewField": {"x": 1},
    "ExposedPorts": {"80/tcp": {}}
  },
  "history": %s,
  "rootfs": {"type": "layers", "diff_ids": %s}
}`

const parentHistory = `[{"created_by":"ADD a","created":"2019-01-01T00:00:00Z"},{"created_by":"ENV A=1","empty_layer":true},{"created_by":"RUN b"}]`

// makeParent returns an image of two layers in Docker's or OCI's format.
func makeParent(t *testing.T, docker bool, history string) *parent {
	t.Helper()
	img, layer := mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCILayer
	if docker {
		img, layer = empty.Image, types.DockerLayer
	}
	ls := []v1.Layer{makeLayer(t, "a", layer), makeLayer(t, "b", layer)}
	img, err := mutate.AppendLayers(img, ls...)
	check(t, err)
	img = mutate.Annotations(img, map[string]string{"of": "the parent"}).(v1.Image)
	c, err := img.ConfigFile()
	check(t, err)
	ids, err := json.Marshal(c.RootFS.DiffIDs)
	check(t, err)
	return &parent{img, fmt.Appendf(nil, parentConfig, history, ids), ls}
}

func layersOf(t *testing.T, mt types.MediaType, files ...string) (ls []image.Layer) {
	t.Helper()
	for _, f := range files {
		ls = append(ls, image.Layer{Layer: makeLayer(t, f, mt), CreatedBy: "inlay: " + f})
	}
	return ls
}

func TestStack(t *testing.T) {
	const ociManifest, dockerManifest = "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"
	const ociConfig, dockerConfig = "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"
	const zstdLayer = "application/vnd.oci.image.layer.v1.tar+zstd"
	const ociLayer, dockerLayer = "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"
	for _, tt := range []struct {
		name                    string
		docker                  bool
		made                    types.MediaType // of the new layers
		manifest, config, layer types.MediaType
		top                     types.MediaType // of the new layers in the manifest
	}{
		{"OCI on OCI", false, ociLayer, ociManifest, ociConfig, ociLayer, ociLayer},
		{"Docker on OCI", false, dockerLayer, ociManifest, ociConfig, ociLayer, ociLayer},
		{"OCI on Docker", true, ociLayer, dockerManifest, dockerConfig, dockerLayer, dockerLayer},
		{"Docker on Docker", true, dockerLayer, dockerManifest, dockerConfig, dockerLayer, dockerLayer},
		{"zstd on OCI", false, zstdLayer, ociManifest, ociConfig, ociLayer, zstdLayer},
		{"zstd on Docker", true, zstdLayer, ociManifest, ociConfig, ociLayer, zstdLayer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := makeParent(t, tt.docker, parentHistory)
			img, err := image.Stack(p, layersOf(t, tt.made, "c", "d"), plan.Config{Annotations: map[string]string{"of": "the child"}}, created)
			check(t, err)
			if err := validate.Image(img); err != nil {
				t.Errorf("validate.Image: %v", err)
			}
			m, err := img.Manifest()
			check(t, err)
			got := []types.MediaType{m.MediaType, m.Config.MediaType}
			for _, l := range m.Layers {
				got = append(got, l.MediaType)
			}
			want := []types.MediaType{tt.manifest, tt.config, tt.layer, tt.layer, tt.top, tt.top}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("media types (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]string{"of": "the child"}, m.Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
			ls, err := img.Layers()
			check(t, err)
			if tt.top != zstdLayer && (ls[0] != p.layers[0] || ls[1] != p.layers[1]) {
				t.Error("the parent's layers are not those of the parent")
			}
		})
	}
}

// The image is complete without a look into the parent's layers.
func TestParentIsNotRead(t *testing.T) {
	p := makeParent(t, false, parentHistory)
	for i, l := range p.layers {
		p.layers[i] = unread{l}
	}
	img, err := image.Stack(p, layersOf(t, types.OCILayer, "c"), plan.Config{}, created)
	check(t, err)
	_, err = img.Digest()
	check(t, err)
}

// The configuration byte for byte, but for the DiffIDs: what containers run by
// is inherited, known to this program or not; how the parent was built is not.
func TestConfigurationBytes(t *testing.T) {
	p := makeParent(t, false, parentHistory)
	img, err := image.Stack(p, layersOf(t, types.OCILayer, "c"), plan.Config{
		Env: []string{"B=2", "NEW=x y"}, User: "1000:1000", WorkDir: "/app",
		Entrypoint: []string{"python", "-m", "app"}, Labels: map[string]string{"b": "child", "c": "<child>"},
	}, created)
	check(t, err)
	got, err := img.RawConfigFile()
	check(t, err)
	c, err := img.ConfigFile()
	check(t, err)
	ids, err := json.Marshal(c.RootFS.DiffIDs)
	check(t, err)
	want := `{"created":"2024-05-06T05:08:09Z","author":"somebody","architecture":"arm","variant":"v7","os":"linux",` +
		`"config":{"Entrypoint":["python","-m","app"],"Env":["PATH=/usr/bin","A=1","B=2","A=2","NEW=x y"],"ExposedPorts":{"80/tcp":{}},` +
		`"Healthcheck":{"Test":["CMD","true"],"StartInterval":5},"Labels":{"a":"parent","b":"child","c":"\u003cchild\u003e"},` +
		`"NewField":{"x":1},"User":"1000:1000","WorkingDir":"/app"},"rootfs":{"type":"layers","diff_ids":` + string(ids) + `},` +
		`"history":[{"created":"2019-01-01T00:00:00Z","created_by":"ADD a"},{"created_by":"ENV A=1","empty_layer":true},` +
		`{"created_by":"RUN b"},{"created":"2024-05-06T05:08:09Z","created_by":"inlay: c"}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestConfiguration(t *testing.T) {
	inherited := v1.Config{
		Env: []string{"PATH=/usr/bin", "A=1", "B=1", "A=2"}, Cmd: []string{"bash"}, Entrypoint: []string{"/entry"},
		User: "app", WorkingDir: "/", Labels: map[string]string{"a": "parent", "b": "parent"},
	}
	tests := []struct {
		name   string
		change plan.Config
		want   func(*v1.Config)
	}{
		{"nothing", plan.Config{}, func(*v1.Config) {}},
		{
			"a variable that the parent has twice",
			plan.Config{Env: []string{"A=3", "C=1", "C=2"}},
			func(c *v1.Config) { c.Env = []string{"PATH=/usr/bin", "A=3", "B=1", "C=2"} },
		},
		{
			"a variable with an equals sign and none",
			plan.Config{Env: []string{"B=x=y", "E="}},
			func(c *v1.Config) { c.Env = []string{"PATH=/usr/bin", "A=1", "B=x=y", "A=2", "E="} },
		},
		{
			"the entrypoint drops the command",
			plan.Config{Entrypoint: []string{"run"}},
			func(c *v1.Config) { c.Entrypoint, c.Cmd = []string{"run"}, nil },
		},
		{
			"entrypoint and command",
			plan.Config{Entrypoint: []string{"run"}, Cmd: []string{"it"}},
			func(c *v1.Config) { c.Entrypoint, c.Cmd = []string{"run"}, []string{"it"} },
		},
		{"the command alone", plan.Config{Cmd: []string{"it"}}, func(c *v1.Config) { c.Cmd = []string{"it"} }},
		{"no entrypoint", plan.Config{Entrypoint: []string{}}, func(c *v1.Config) { c.Entrypoint, c.Cmd = nil, nil }},
		{"no command", plan.Config{Cmd: []string{}}, func(c *v1.Config) { c.Cmd = nil }},
		{
			"how engines run it",
			plan.Config{
				Ports: []string{"53/udp"}, Volumes: []string{"/data"}, StopSignal: "SIGINT",
				Healthcheck: &plan.Healthcheck{Test: []string{"CMD", "check"}, Interval: time.Second, Retries: 2},
			},
			func(c *v1.Config) {
				ports := map[string]struct{}{"53/udp": {}}
				maps.Copy(ports, c.ExposedPorts)
				c.ExposedPorts, c.Volumes, c.StopSignal = ports, map[string]struct{}{"/data": {}}, "SIGINT"
				c.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "check"}, Interval: time.Second, Retries: 2}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := image.Stack(makeParent(t, true, parentHistory), nil, tt.change, created)
			check(t, err)
			c, err := img.ConfigFile()
			check(t, err)
			of, err := makeParent(t, true, parentHistory).ConfigFile()
			check(t, err)
			want := inherited
			want.Healthcheck, want.ExposedPorts = of.Config.Healthcheck, of.Config.ExposedPorts
			tt.want(&want)
			if diff := cmp.Diff(want, c.Config); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever the parent's history, the image's has one entry for each layer that
// isn't empty.
func TestHistory(t *testing.T) {
	tests := []struct {
		name, history string
		want          []string // "-" before those of no layer
	}{
		{"right", parentHistory, []string{"ADD a", "-ENV A=1", "RUN b", "inlay: c"}},
		{"none", `null`, []string{"a layer of the parent image", "a layer of the parent image", "inlay: c"}},
		{"too short", `[{"created_by":"ADD a"}]`, []string{"ADD a", "a layer of the parent image", "inlay: c"}},
		{
			"too long", `[{"created_by":"1"},{"created_by":"2"},{"created_by":"3"},{"created_by":"4","empty_layer":true}]`,
			[]string{"1", "2", "-3", "-4", "inlay: c"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := image.Stack(makeParent(t, false, tt.history), layersOf(t, types.OCILayer, "c"), plan.Config{}, created)
			check(t, err)
			c, err := img.ConfigFile()
			check(t, err)
			var got []string
			for _, h := range c.History {
				if h.EmptyLayer {
					h.CreatedBy = "-" + h.CreatedBy
				}
				got = append(got, h.CreatedBy)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeterministic(t *testing.T) {
	digest := func() v1.Hash {
		img, err := image.Stack(makeParent(t, true, parentHistory), layersOf(t, types.OCILayer, "c", "d"), plan.Config{
			Env:         []string{"X=1", "Y=2"},
			Labels:      map[string]string{"e": "5", "d": "4", "c": "3", "b": "2", "a": "1"},
			Annotations: map[string]string{"e": "5", "d": "4", "c": "3", "b": "2", "a": "1"},
		}, created.In(time.UTC))
		check(t, err)
		h, err := img.Digest()
		check(t, err)
		return h
	}
	want := digest()
	for range 20 {
		if got := digest(); got != want {
			t.Fatalf("digest %s, then %s", want, got)
		}
	}
}

func TestErrors(t *testing.T) {
	many := make([]image.Layer, 126)
	for i := range many {
		many[i] = image.Layer{Layer: static.NewLayer([]byte(fmt.Sprint(i)), types.OCILayer)}
	}
	tests := []struct {
		name       string
		ls         []image.Layer
		change     plan.Config
		want, hint string
	}{
		{
			"too many layers", many,
			plan.Config{},
			"the parent's 2 layers and 126 new ones are more than the 127 that engines can stack", "name a parent image with fewer layers",
		},
		{
			"no value", nil,
			plan.Config{Env: []string{"A"}},
			`writing the configuration: environment variable "A" is not of the form NAME=VALUE`, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := image.Stack(makeParent(t, true, parentHistory), tt.ls, tt.change, created)
			if err == nil {
				t.Fatal("no error")
			}
			hint := ""
			var h interface{ Hint() string }
			if errors.As(err, &h) {
				hint = h.Hint()
			}
			if diff := cmp.Diff([]string{tt.want, tt.hint}, []string{err.Error(), hint}); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := image.Stack(makeParent(t, true, parentHistory), many[1:], plan.Config{}, created); err != nil {
		t.Errorf("127 layers: %v", err)
	}
}
