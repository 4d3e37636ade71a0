// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// usersDockerfile is one as users write them.
const usersDockerfile = `# syntax=docker/dockerfile:1
ARG BASE
FROM ${BASE} AS base
ARG DEBIAN_FRONTEND=noninteractive
ENV APP_HOME=/srv/app \
    PIP_NO_CACHE_DIR=1
RUN apt-get update && \
    apt-get install -y --no-install-recommends tree \
    && rm -rf /var/lib/apt/lists/*
WORKDIR $APP_HOME
COPY requirements.txt ./
RUN python3 -m pip install --break-system-packages -r requirements.txt

FROM base
ARG VERSION=dev
ENV VERSION=${VERSION}
RUN groupadd -g 1234 app && useradd -m -u 1234 -g app app && rm -f /usr/share/doc/tree/README* && chmod 0711 /opt
COPY --chown=app:app src ./src
COPY --chmod=755 start.sh /usr/local/bin/start
USER app
RUN echo "$VERSION $(id -un) $(pwd)" > ~/who && mkdir -m 0750 ~/data && ln -s data ~/link
EXPOSE 8080
HEALTHCHECK --interval=30s CMD curl -f localhost:8080
ENTRYPOINT ["start"]
CMD ["src/main.py"]
`

// recipeDifferences lists how our tree may differ from the one that buildah
// leaves, and why. A path matches a pattern as a whole.
var recipeDifferences = []struct{ path, reason string }{
	{`var/log/.*`, "says when something happened"},
	{`var/cache/(apt|ldconfig|debconf|man)/.*`, "holds times and inodes"},
	{`var/lib/(dpkg|apt)/.*-old|var/lib/apt/extended_states`, "may be left by a run before"},
	{`(.*/)?__pycache__(/.*)?`, "bytecode: ours is valid by its source's hash, and imports leave none"},
	{`etc/group-`, "has the size and the time that it had before, by which buildah takes it for unchanged"},
	{`etc/shadow-?`, "has the day when the account was made"},
	{`etc/(hosts|hostname|resolv\.conf|mtab)|run(/.*)?|dev(/.*)?|proc(/.*)?|sys(/.*)?|\.`, "is the engine's"},
}

// TestE2EDockerfile builds a Dockerfile with inlay and with buildah, from the
// same parent, and compares the files and what both images say.
func TestE2EDockerfile(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	dir := project(t, `
settings:
  docker:
    dockerfile: docker/Dockerfile
    build_context_root: docker
    allow_including_files_in_images: false
    parent_image_build_config:
      build_options: {build_args: {VERSION: "1.5", BASE: "`+e.parent("debian")+`"}}
`, map[string]string{
		"docker/Dockerfile":       usersDockerfile,
		"docker/requirements.txt": "six==1.17.0\n",
		"docker/src/main.py":      "import os, six\nprint(os.getuid(), os.getcwd(), os.environ['VERSION'], six.__version__, open(os.path.expanduser('~/who')).read().strip())\n",
		"docker/start.sh":         "#!/bin/sh\nexec python3 \"$@\"\n",
		"docker/.dockerignore":    "Dockerfile\n",
	})
	out := t.TempDir()
	e.inlay(t, "build", "-o", "oci:"+out+"/image", dir)
	again := e.inlay(t, "build", "--offline", "-o", "oci:"+out+"/image", dir)
	if !strings.Contains(again.stderr, " 0 made, ") {
		t.Errorf("the second build says\n%s", again.stderr)
	}
	theirs := e.buildah(t, filepath.Join(dir, "docker"), "VERSION=1.5")
	images := map[string]string{"inlay": out + "/image", "buildah": theirs}
	trees := map[string]map[string]node{}
	for name, image := range images {
		got := e.podman(t, image)
		if want := "1234 /srv/app 1.5 1.17.0 1.5 app /srv/app\n"; got.err != nil || got.stdout != want {
			t.Errorf("the image of %s prints %q (%v %s), want %q", name, got.stdout, got.err, got.stderr, want)
		}
		trees[name] = treeOf(t, append(e.store(), "RUN_ARGS=-u 0 --entrypoint tar"), filepath.Join(e.scripts, "run.sh"), image, "--",
			"-C", "/", "--sort=name", "--one-file-system", "--numeric-owner", "-cf", "-", ".")
	}
	allowed := withBuildah.compare(t, trees["buildah"], trees["inlay"])
	e.report(t, "%d paths, %d allowed differences", len(trees["buildah"]), allowed)
}

// TestE2EDockerfileRefused runs commands that ask for what they may not have, and
// that leave a secret.
func TestE2EDockerfileRefused(t *testing.T) {
	t.Parallel()
	e := e2e(t)
	for _, tt := range []struct{ run, want string }{
		{`python3 -c "import urllib.request as u; u.urlopen('https://files.example.com/x')"`, "give `--allow-host files.example.com`"},
		{`echo $MY_TOKEN >/kept`, "the build argument MY_TOKEN is in /kept of layer"},
	} {
		dir := project(t, "settings: {docker: {dockerfile: Dockerfile}}\n", map[string]string{
			"Dockerfile": "FROM " + e.parent("debian") + "\nARG MY_TOKEN\nRUN " + tt.run + "\n",
		})
		r := command(t, []string{"INLAY_CACHE_DIR=" + e.cache}, e.program, "build", "-o", "oci:"+dir+"/out", "--build-arg", "MY_TOKEN=s3cr3t-t0k3n-0f-m1ne", dir)
		if r.err == nil || !strings.Contains(r.stderr, tt.want) || strings.Contains(r.stderr, "s3cr3t") {
			t.Errorf("RUN %s gave %v, and said\n%swant %s", tt.run, r.err, r.stderr, tt.want)
		}
	}
}

// buildah builds a context's Dockerfile on the parent, and returns the layout.
func (e env) buildah(t *testing.T, context, arg string) string {
	t.Helper()
	work, err := os.MkdirTemp("", "inlay-dockerfile-") //nolint:usetesting // buildah makes a name of the path, and refuses capitals in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command(t, nil, "buildah", "unshare", "rm", "-rf", work); os.RemoveAll(work) })
	if err := os.Symlink(strings.TrimPrefix(e.parent("debian"), "oci:"), filepath.Join(work, "base")); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--root", work + "/store", "--runroot", work + "/run", "--storage-driver", "vfs"}
	must(t, nil, "buildah", append(flags, "bud", "--isolation", "chroot", "--network", "host", "--format", "oci", "--layers=false",
		"--volume", "/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro", // of an index that only this machine trusts
		"--build-arg", "BASE=oci:"+work+"/base", "--build-arg", arg, "-f", filepath.Join(context, "Dockerfile"), "-t", "made", context)...)
	must(t, nil, "buildah", append(flags, "push", "-q", "made", "oci:"+work+"/out:latest")...)
	return work + "/out"
}

// withBuildah compares with what buildah builds, owners too.
var withBuildah = comparison{
	with: "buildah", least: 1000,
	same: func(want, got node) bool { return sameNode(want, got) && want.Owner == got.Owner },
	may: func(p string, _, _ node) bool {
		return slices.ContainsFunc(recipeDifferences, func(d struct{ path, reason string }) bool {
			return regexp.MustCompile("^(?:" + d.path + ")$").MatchString(strings.TrimPrefix(p, "./"))
		})
	},
}
