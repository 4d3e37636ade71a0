// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestE2EPlatforms builds one image for three platforms: each has the wheels of
// its processor, what they share is fetched once, the registry and the layout get
// the same index, and podman and skopeo find in it the image that they need.
func TestE2EPlatforms(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	address, _ := e.registry(t)
	foreigns := []foreign{{"linux/arm64", elf.EM_AARCH64, 64, "3.12.11", "2.36"}, {"linux/arm/v7", elf.EM_ARM, 32, "3.12.11", "2.36"}}
	dir, out := project(t, `
settings:
  docker:
    parent_image: `+e.parentIndex(t, "debian", foreigns)+`
    platforms: [linux/amd64, linux/arm64, linux/arm/v7]
    requirements: [pydantic==2.11.7]
`, map[string]string{"main.py": "import pydantic, platform; print(pydantic.VERSION, platform.machine())\n"}), t.TempDir()
	ref := address + "/team/platforms:v1"
	cold := []string{"INLAY_CACHE_DIR=" + t.TempDir(), "PATH=/usr/bin:/bin"}
	built := must(t, cold, e.program, "build", "--progress", "plain", "-t", ref, "--push", "-o", "oci:"+out+"/image:v1", "-o", "oci-archive:"+out+"/image.tar", dir)
	digest := regexp.MustCompile(`@(sha256:[0-9a-f]{64})`).FindAllStringSubmatch(built.stdout, -1)
	if len(digest) != 3 || digest[0][1] != digest[1][1] || digest[0][1] != digest[2][1] {
		t.Fatalf("build printed %s, want the same digest three times", built.stdout)
	}
	// Files that uv asked for are kept, and not fetched again either.
	fetched := regexp.MustCompile(`(?m)^download (\S+)`).FindAllStringSubmatch(built.stderr, -1)
	seen := map[string]int{}
	for _, f := range fetched {
		if seen[f[1]]++; seen[f[1]] > 1 {
			t.Errorf("%s was fetched %d times", f[1], seen[f[1]])
		}
	}
	index, err := remote.Index(mustRef(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("validate.Index: %v", err)
	}
	for _, f := range foreigns {
		e.onlyFor(t, index, f)
	}
	if got := e.podman(t, address+"/team/platforms@"+digest[0][1], "python3", "main.py"); got.stdout != "2.11.7 x86_64\n" {
		t.Errorf("podman prints %q (%v %s)", got.stdout, got.err, got.stderr)
	}
	for _, from := range []string{"oci:" + out + "/image:v1", "oci-archive:" + out + "/image.tar:v1", "docker://" + ref} {
		args := []string{"--override-arch", "arm", "--override-variant", "v7", "inspect", "--format", "{{.Architecture}}", from}
		if strings.HasPrefix(from, "docker:") {
			args = slices.Insert(args, 5, "--tls-verify=false")
		}
		if got := must(t, nil, "skopeo", args...); strings.TrimSpace(got.stdout) != "arm" {
			t.Errorf("skopeo finds %q in %s", got.stdout, from)
		}
	}
}

// parentIndex writes an index of a parent and of foreign ones, and returns its
// name.
func (e env) parentIndex(t *testing.T, name string, foreigns []foreign) string {
	t.Helper()
	adds := []mutate.IndexAddendum{{Add: onlyImage(t, e.parent(name)), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}}}
	for _, f := range foreigns {
		p, err := v1.ParsePlatform(f.platform)
		if err != nil {
			t.Fatal(err)
		}
		adds = append(adds, mutate.IndexAddendum{Add: onlyImage(t, f.parent(t)), Descriptor: v1.Descriptor{Platform: p}})
	}
	dir := filepath.Join(t.TempDir(), "parents")
	where, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := where.ReplaceIndex(mutate.AppendManifests(empty.Index, adds...), match.Name("latest")); err != nil {
		t.Fatal(err)
	}
	return "oci:" + dir
}

// onlyImage returns the image of a layout that has one.
func onlyImage(t *testing.T, name string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(strings.TrimPrefix(name, "oci:"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// onlyFor checks that all machine code of an index's image is that of its
// platform.
func (e env) onlyFor(t *testing.T, index v1.ImageIndex, f foreign) {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(m.Manifests, func(d v1.Descriptor) bool { return d.Platform != nil && d.Platform.String() == f.platform })
	if i < 0 {
		t.Fatalf("the index has no image for %s", f.platform)
	}
	img, err := index.Image(m.Manifests[i].Digest)
	if err != nil {
		t.Fatal(err)
	}
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	count, modules := map[string]int{}, 0
	for _, l := range ls {
		modules += countELF(t, l, count)
	}
	class := map[int]elf.Class{32: elf.ELFCLASS32, 64: elf.ELFCLASS64}[f.bits]
	if len(count) != 1 || count[fmt.Sprint(f.machine, " ", class)] == 0 || modules == 0 {
		t.Errorf("the image for %s holds ELF files for %v", f.platform, count)
	}
}
