// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// showProgram is a program that shows what the image of mainProject must hold.
const showProgram = `
import os, sys
import numpy, pandas, requests, pydantic, sklearn
import greeting
print(os.getuid(), os.getcwd(), os.environ["API_URL"], os.environ["LATE"], greeting.WORD, os.stat("/app").st_uid)
print(int(pandas.DataFrame({"a": numpy.arange(5)}).a.sum()), sklearn.__name__, pydantic.BaseModel.__name__)
`

// mainProject is a project with real requirements and source.
func mainProject(t *testing.T, e env, more string) string {
	t.Helper()
	return project(t, `
settings:
  docker:
    parent_image: `+e.parent("debian")+`
    requirements: [numpy, pandas, requests, pydantic, scikit-learn]
    environment: {API_URL: "http://127.0.0.1/it's?a=1,2"}
    runtime_environment: {LATE: "yes"}
    labels: {com.example.team: ml}
    build_config:
      dockerignore: ignored
`+more, map[string]string{
		"ignored":              "ignored\ninlay.yaml\n**/*.log\n!keep.log\n",
		"greeting/__init__.py": "WORD = 'hello'\n",
		"show.py":              showProgram,
		"drop.log":             "not in the image",
		"keep.log":             "in the image",
	})
}

func TestE2EMainJob(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	address, _ := e.registry(t)
	for _, user := range []struct{ settings, uid string }{{"", "0"}, {"    user: \"1000\"\n", "1000"}, {"    user: www-data\n", "33"}} {
		dir := mainProject(t, e, user.settings)
		ref := address + "/team/app:u" + user.uid
		built := e.inlay(t, "build", "--push", "-t", ref, dir)
		pinned := strings.TrimSpace(built.stdout)
		if !strings.HasPrefix(pinned, address+"/team/app@sha256:") {
			t.Fatalf("build printed %q, want the reference by digest and nothing else", built.stdout)
		}
		got := e.podman(t, pinned, "python3", "show.py")
		want := user.uid + " /app http://127.0.0.1/it's?a=1,2 yes hello " + user.uid + "\n10 sklearn BaseModel\n"
		if got.err != nil || got.stdout != want {
			t.Errorf("as user %q the image prints %q (%v %s), want %q", user.uid, got.stdout, got.err, got.stderr, want)
		}
	}
	image := address + "/team/app:u0"
	e.rootless(t, image)
	for _, check := range []struct {
		args []string
		want string
	}{
		{[]string{"python3", "-m", "pip", "check"}, "No broken requirements found."},
		{[]string{"sh", "-c", "ls /app"}, "greeting\nkeep.log\nshow.py"},
		{[]string{"f2py", "-v"}, ""},
		{[]string{"normalizer", "--version"}, "Charset-Normalizer"},
		{[]string{"head", "-1", "/usr/local/bin/f2py"}, "#!/usr/bin/python3"},
	} {
		got := e.podman(t, image, check.args...)
		if got.err != nil || !strings.HasPrefix(got.stdout, check.want) {
			t.Errorf("%s prints %q (%v %s), want %q", strings.Join(check.args, " "), got.stdout, got.err, got.stderr, check.want)
		}
	}
}

// rootless runs the image by the podman of a user who is not root.
func (e env) rootless(t *testing.T, image string) {
	t.Helper()
	if os.Getuid() != 0 {
		return // all of this test's podmans are
	}
	dir, err := os.MkdirTemp("", "inlay-e2e-") //nolint:usetesting // only its owner may enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	script := filepath.Join(dir, "run.sh")
	write(t, script, read(t, filepath.Join(e.scripts, "run.sh")))
	for _, p := range []string{dir, script} {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got := must(t, nil, "runuser", "-u", "e2e", "--", script, image, "--", "python3", "show.py")
	if want := "0 /app "; !strings.HasPrefix(got.stdout, want) {
		t.Errorf("run by a user who is not root the image prints %q, want %q first", got.stdout, want)
	}
}

func TestE2EJudges(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	address, _ := e.registry(t)
	dir := mainProject(t, e, "")
	out := t.TempDir()
	ref := address + "/team/app:latest"
	built := e.inlay(t, "build", "-t", ref, "-o", "registry", "-o", "oci:"+out+"/layout:v1",
		"-o", "oci-archive:"+out+"/oci.tar", "-o", "docker-archive:"+out+"/docker.tar", dir)
	lines := strings.Fields(built.stdout)
	if len(lines) == 0 {
		t.Fatal("build printed nothing")
	}
	_, digest, _ := strings.Cut(lines[0], "@")

	img, err := remote.Image(mustRef(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	valid(t, "the registry's image", img)
	if d, _ := img.Digest(); d.String() != digest {
		t.Errorf("the registry holds %s, build printed %s", d, digest)
	}
	index, err := layout.ImageIndexFromPath(out + "/layout")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("validate.Index of the layout: %v", err)
	}

	must(t, nil, "skopeo", "copy", "--src-tls-verify=false", "docker://"+ref, "oci:"+out+"/copied:v1")
	must(t, nil, "skopeo", "copy", "oci-archive:"+out+"/oci.tar", "oci:"+out+"/unpacked:v1")
	must(t, nil, "skopeo", "copy", "docker-archive:"+out+"/docker.tar", "dir:"+out+"/dir")
	must(t, nil, "umoci", "unpack", "--image", out+"/layout:v1", out+"/bundle")
	for _, f := range []string{"app/show.py", "usr/local/bin/f2py", "usr/local/lib/python3.11/dist-packages/numpy/__init__.py"} {
		if _, err := os.Stat(filepath.Join(out, "bundle/rootfs", f)); err != nil {
			t.Errorf("umoci unpack: %v", err)
		}
	}
	must(t, e.store(), filepath.Join(e.scripts, "run.sh"), "--load", filepath.Join(out, "docker.tar"))
	for _, archive := range []string{"oci.tar", "docker.tar"} {
		got := e.podman(t, filepath.Join(out, archive), "python3", "-c", "import numpy; print(numpy.arange(4).sum())")
		if got.err != nil || got.stdout != "6\n" {
			t.Errorf("podman with %s: %q, %v %s", archive, got.stdout, got.err, got.stderr)
		}
	}
	history(t, img)
}

func mustRef(t *testing.T, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func valid(t *testing.T, what string, img v1.Image) {
	t.Helper()
	if err := validate.Image(img); err != nil {
		t.Errorf("validate.Image of %s: %v", what, err)
	}
}

// history checks what an image says of itself.
func history(t *testing.T, img v1.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config.WorkingDir; got != "/app" {
		t.Errorf("the working directory is %q, want /app", got)
	}
	if got := config.Config.Labels["com.example.team"]; got != "ml" {
		t.Errorf("the label is %q, want ml", got)
	}
	if got := manifest.Annotations["org.opencontainers.image.base.digest"]; !strings.HasPrefix(got, "sha256:") {
		t.Errorf("the base's digest is %q, want one", got)
	}
	ours := 0
	for _, h := range config.History {
		if strings.HasPrefix(h.CreatedBy, "inlay: ") {
			ours++
		}
	}
	if ours == 0 || len(config.RootFS.DiffIDs) != ours+1 {
		b, _ := json.Marshal(config.History)
		t.Errorf("the history is %s, want an entry of inlay's for each of %d layers", b, len(config.RootFS.DiffIDs)-1)
	}
}
