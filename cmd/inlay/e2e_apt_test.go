// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unpacked finds the packages that a build says it left unpacked.
var unpacked = regexp.MustCompile(`(?m)^apt: (\S+): \S+ NOT run`)

// TestE2EApt puts Debian packages, a wheel and source on a Debian parent: dpkg
// and apt find nothing wrong with it, and go on from there.
func TestE2EApt(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	dir := project(t, `
settings:
  docker:
    parent_image: `+e.parent("debian")+`
    apt_packages: [git, curl, libsm6, libxext6]
    requirements: [six]
`, map[string]string{"show.py": "import six\nprint(six.__name__)\n"})
	out := filepath.Join(t.TempDir(), "image")
	cold := e.inlay(t, "build", "--no-cache", "-o", "oci:"+out, dir) // not what an older program left there
	for _, tt := range []struct{ cache, umask, env string }{
		{e.cache, "022", "GOMAXPROCS=8"},
		{e.cache, "077", "TZ=Pacific/Apia"},
		{t.TempDir(), "002", "GOMAXPROCS=1"}, // where nothing was ever unpacked
	} {
		script := `umask "$1" && shift && exec "$@"`
		again := must(t, []string{"INLAY_CACHE_DIR=" + tt.cache, tt.env}, "sh", "-c", script, "sh", tt.umask, e.program, "build", "--no-cache", "-o", "oci:"+out, dir)
		if again.stdout != cold.stdout {
			t.Errorf("with %s and the umask %s the image is %s, not %s", tt.env, tt.umask, again.stdout, cold.stdout)
		}
	}
	warm := e.inlay(t, "build", "--offline", "-o", "oci:"+out, dir)
	if warm.stdout != cold.stdout || !strings.Contains(warm.stderr, "3 layers: 0 made, 3 reused") {
		t.Errorf("a build with no change says %s%s", warm.stderr, warm.stdout)
	}
	e.report(t, "24 Debian packages, a wheel and source: the first build %.1f s, with no change %.2f s", cold.wall.Seconds(), warm.wall.Seconds())
	for _, check := range []struct {
		script string
		want   string // the beginning of what it prints
		whole  bool   // it prints nothing else
	}{
		{"git --version", "git version 2.", false},
		{"curl --version", "curl 7.", false},
		{"git init -q /tmp/r && cd /tmp/r && git -c user.name=a -c user.email=b commit -q --allow-empty -m c && git log --oneline | cut -c9-", "c\n", true},
		{"python3 show.py", "six\n", true},
		{"python3 -c 'import ctypes; ctypes.CDLL(\"libSM.so.6\"); ctypes.CDLL(\"libXext.so.6\")'", "", true},
		{"dpkg --audit", "", true},
		{"dpkg --verify", "", true},
		{"dpkg -s git | grep Status", "Status: install ok installed\n", true},
		{"ldconfig -p | grep -c libSM.so.6", "1\n", true},
	} {
		got := e.podman(t, out, "sh", "-c", check.script)
		if got.err != nil || !strings.HasPrefix(got.stdout, check.want) || check.whole && got.stdout != check.want {
			t.Errorf("%s prints %q (%v %s), want %q", check.script, got.stdout, got.err, got.stderr, check.want)
		}
	}
}

// TestE2EAptSandbox has dpkg configure packages in the sandbox, as root and as a
// user who is not: the image is the same, and its programs find what their
// scripts made.
func TestE2EAptSandbox(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	dir, inlay := e.asUser(t)
	write(t, filepath.Join(dir, "src/main.py"), "")
	args := []string{
		"build", "-q", "--no-cache", "--parent-image", "oci:" + dir + "/parent", "--apt-package", "libgdk-pixbuf-2.0-0",
		"--set", "apt.scripts=sandbox", filepath.Join(dir, "src"),
	}
	byRoot := e.inlay(t, append(args[:len(args)-1:len(args)-1], "-o", "oci:"+dir+"/root", args[len(args)-1])...)
	byUser := inlay(nil, append(args[:len(args)-1:len(args)-1], "-o", "oci:"+dir+"/user/image", args[len(args)-1])...)
	if _, theirs, _ := strings.Cut(byRoot.stdout, "@"); theirs == "" || !strings.HasSuffix(byUser.stdout, "@"+theirs) {
		t.Errorf("built by root the image is %s, by a user %s", byRoot.stdout, byUser.stdout)
	}
	const script = "dpkg --audit; grep -c '^\"/usr/lib.*loader' /usr/lib/*/gdk-pixbuf-2.0/2.10.0/loaders.cache; test -s /usr/share/mime/mime.cache && echo mime"
	if got := e.podman(t, dir+"/root", "sh", "-c", script); got.err != nil || !regexp.MustCompile(`^[1-9]\d*\nmime\n$`).MatchString(got.stdout) {
		t.Errorf("the image prints %q, %v %s", got.stdout, got.err, got.stderr)
	}
}

// desktops are two that come to over a thousand packages.
var desktops = []string{"gnome-core", "kde-plasma-desktop"}

// TestE2EAptMemory installs over a thousand packages, which takes minutes: with
// nothing kept from before, and then with all of them unpacked. It takes little
// memory either way.
func TestE2EAptMemory(t *testing.T) {
	e := e2e(t)
	if os.Getenv("INLAY_APT_MEMORY") == "" {
		t.Skip("INLAY_APT_MEMORY is not set: `just apt-memory` measures it")
	}
	e.cache = t.TempDir()
	args := []string{"build", "--parent-image", "apt:bookworm", "--platform", "linux/amd64"}
	for _, name := range desktops {
		args = append(args, "--apt-package", name)
	}
	src := project(t, "", map[string]string{"main.py": ""})
	var images []string
	for _, how := range [][]string{{"--refresh"}, {"--no-cache", "--refresh"}} {
		got := e.inlay(t, append(slices.Concat(args, how), src)...)
		said := regexp.MustCompile(`(?m)^apt: (\d+) packages`).FindAllStringSubmatch(got.stderr, -1)
		if said == nil {
			t.Fatalf("the build doesn't say how many packages it installed:\n%s", got.stderr)
		}
		m := said[len(said)-1] // the first may be those of the parent
		if n, err := strconv.Atoi(m[1]); err != nil || n < 1000 {
			t.Errorf("%d packages were installed, want 1000 or more", n)
		}
		e.report(t, "%s packages with %s: at most %d MB of memory, %.0f s of wall time, %.0f of CPU",
			m[1], strings.Join(how, " "), got.rss/1e6, got.wall.Seconds(), got.cpu.Seconds())
		if got.rss >= 200e6 {
			t.Errorf("it took %d MB of memory, want less than 200", got.rss/1e6)
		}
		images = append(images, got.stdout)
	}
	if images[0] != images[1] {
		t.Errorf("made twice, the image is %s and %s", images[0], images[1])
	}
}

// TestE2EAptPython installs wheels for a Python that a package brings, which the
// parent lacks.
func TestE2EAptPython(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	dir := project(t, `
settings:
  docker:
    parent_image: apt:bookworm
    apt_packages: [python3, openssh-client]
    requirements: [numpy]
    user: www-data
`, map[string]string{"show.py": "import os, numpy\nprint(numpy.arange(3).sum(), os.getuid(), os.stat('/app').st_uid)\n"})
	out := filepath.Join(t.TempDir(), "image")
	cold := e.inlay(t, "build", "--platform", "linux/amd64", "-o", "oci:"+out, dir)
	if warm := e.inlay(t, "build", "--offline", "--platform", "linux/amd64", "-o", "oci:"+out, dir); warm.stdout != cold.stdout {
		t.Errorf("built twice, the image is %s and %s", cold.stdout, warm.stdout)
	}
	if got := e.podman(t, out, "python3", "show.py"); got.err != nil || got.stdout != "3 33 33\n" {
		t.Errorf("the program prints %q (%v %s)", got.stdout, got.err, got.stderr)
	}
	if got := e.podman(t, out, "ssh", "-V"); got.err != nil || !strings.HasPrefix(got.stderr, "OpenSSH") {
		t.Errorf("ssh -V prints %q (%v)", got.stderr, got.err)
	}
}

// TestE2EBootstrap makes parents of Debian packages alone, and goes on from them
// with wheels and with apt itself.
func TestE2EBootstrap(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	dir := project(t, "settings: {docker: {requirements: [six]}}\n", map[string]string{"show.py": "import six, ssl, sqlite3\nprint(six.__name__)\n"})
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "root")
			cold := e.inlay(t, "bootstrap", "--no-cache", "--package", "python3", "--package", "ca-certificates", "--platform", "linux/amd64", "-o", "oci:"+root, suite)
			again := e.inlay(t, "bootstrap", "--no-cache", "--package", "python3", "--package", "ca-certificates", "--platform", "linux/amd64", "-o", "oci:"+root, suite)
			if again.stdout != cold.stdout {
				t.Errorf("made twice, the image is %s and %s", cold.stdout, again.stdout)
			}
			var left []string
			for _, m := range unpacked.FindAllStringSubmatch(again.stderr, -1) {
				left = append(left, m[1])
			}
			e.report(t, "bootstrap of %s with Python: %.1f s of wall time, %.1f of CPU; left unpacked: %s", suite, again.wall.Seconds(), again.cpu.Seconds(), strings.Join(left, " "))

			out := filepath.Join(t.TempDir(), "image")
			e.inlay(t, "build", "--parent-image", "apt:"+suite+"+python3+ca-certificates", "--platform", "linux/amd64", "-o", "oci:"+out, dir)
			warm := e.inlay(t, "build", "--offline", "--parent-image", "apt:"+suite+"+python3+ca-certificates", "--platform", "linux/amd64", "-o", "oci:"+out, dir)
			if warm.cpu > 2*time.Second {
				t.Errorf("a build with no change takes %s of CPU", warm.cpu)
			}
			if got := e.podman(t, out, "python3", "show.py"); got.err != nil || got.stdout != "six\n" {
				t.Errorf("the program prints %q (%v %s)", got.stdout, got.err, got.stderr)
			}
			e.soundRoot(t, root, left)
		})
	}
}

// soundRoot holds that dpkg and apt find nothing wrong but the packages that are
// left unpacked, and can finish these.
func (e env) soundRoot(t *testing.T, root string, left []string) {
	t.Helper()
	for script, want := range map[string]string{
		"dpkg --verify": "", "getent passwd root | cut -d: -f1,3-": "root:0:0:root:/root:/bin/bash\n", "readlink /bin /lib /sbin": "usr/bin\nusr/lib\nusr/sbin\n",
		"dpkg --configure -a >/dev/null && dpkg --audit": "",
		"ls /etc/apt/sources.list.d":                     "debian.sources\n",
	} {
		if got := e.podman(t, root, "sh", "-c", script); got.err != nil || got.stdout != want {
			t.Errorf("%s prints %q (%v %s), want %q", script, got.stdout, got.err, got.stderr, want)
		}
	}
	got := e.podman(t, root, "sh", "-c", "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' | grep -v 'ii $' | cut -d' ' -f1")
	found := strings.Fields(got.stdout)
	slices.Sort(found)
	slices.Sort(left)
	if !slices.Equal(found, slices.Compact(left)) {
		t.Errorf("dpkg says that %q are not configured, the build %q", found, left)
	}
	if got := e.podman(t, root, "apt-get", "check"); got.err != nil {
		t.Errorf("apt-get check: %v %s", got.err, got.stderr)
	}
	online := command(t, append(e.store(), "NETWORK=host"), filepath.Join(e.scripts, "run.sh"), root, "--", "sh", "-c",
		"apt-get update -qq && apt-get install -y -qq --no-install-recommends hello >/dev/null && hello && dpkg --audit")
	if strings.Contains(online.stderr, "resolve") || strings.Contains(online.stderr, "connect") {
		t.Logf("apt-get install was not tried: containers have no network here: %s", online.stderr)
	} else if online.err != nil || online.stdout != "Hello, world!\n" {
		t.Errorf("apt-get install in the image prints %q (%v %s)", online.stdout, online.err, online.stderr)
	}
}

// TestE2EBootstrapForeign makes a parent for another architecture, of which
// nothing can run here.
func TestE2EBootstrapForeign(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	root := filepath.Join(t.TempDir(), "root")
	e.inlay(t, "bootstrap", "--package", "python3", "--platform", "linux/arm64", "-o", "oci:"+root, "bookworm")
	var report struct {
		Platform string
		Python   string
	}
	got := e.inlay(t, "inspect", "--format", "json", "oci:"+root)
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Platform != "linux/arm64" || !strings.HasPrefix(report.Python, "3.11.") {
		t.Errorf("the image is for %s with Python %s", report.Platform, report.Python)
	}
	var layers struct {
		Layers []struct{ Digest string }
	}
	var index struct {
		Manifests []struct{ Digest string }
	}
	blob := func(digest string) string { return filepath.Join(root, "blobs", strings.Replace(digest, ":", "/", 1)) }
	if err := json.Unmarshal([]byte(read(t, filepath.Join(root, "index.json"))), &index); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(read(t, blob(index.Manifests[0].Digest))), &layers); err != nil {
		t.Fatal(err)
	}
	bash := must(t, nil, "tar", "-xOf", blob(layers.Layers[0].Digest), "usr/bin/bash").stdout
	if len(bash) < 20 || bash[:4] != "\x7fELF" || bash[18] != 0xb7 {
		t.Errorf("bash in the image is no program for arm64: %q", bash[:min(len(bash), 20)])
	}
	t.Run("emulated", func(t *testing.T) { e.emulated(t, root) })
}
