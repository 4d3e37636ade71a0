// SPDX-License-Identifier: Apache-2.0

package dpkg_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// scripted are packages whose scripts make what only their own programs can
// make: caches of GLib, GTK and the MIME database, Java's certificates. Those that
// are quick are compared in every run, as sets are.
var scripted = []struct {
	packages string
	quick    bool
}{
	{"shared-mime-info ssl-cert", true},
	{"libgtk-3-0 openjdk-17-jre-headless postgresql-common", false},
}

// sandboxed are the differences that are allowed for what dpkg configures in the
// sandbox: none where only a cache of a program was missing.
var sandboxed = []difference{
	{`dev(/.*)?|etc/resolv\.conf`, "the test's own", nil},
	{`var/log(/.*)?`, "logs tell the time of the build", nil},
	{`var/cache/(apt|ldconfig|debconf|man|fontconfig)(/.*)?`, "caches are made when they are used", nil},
	{`var/lib/apt/(lists|periodic)(/.*)?`, "the index is apt's, and is not in an image", nil},
	{`var/lib/dpkg/(status-old|diversions-old|statoverride-old|available|lock|lock-frontend|triggers/Lock|triggers/Unincorp)`, "backups and locks", nil},
	{`etc/(passwd|group|shadow|gshadow|subuid|subgid)-`, "backups", nil},
	{`etc/(passwd|group|shadow|gshadow)`, "accounts of packages that are configured in another order", sameLines},
	{`(run|tmp|var/tmp)(/.*)?`, "empty in an image", nil},
	{`etc/rc[0-6S]\.d(/.*)?|etc/systemd/system(/.*)?|var/lib/systemd(/.*)?`, "services of packages that are not for the sandbox are not started in a container", onlyApt},
	{`(.*/)?__pycache__(/.*)?`, "compiled Python is made when it is used", onlyApt},
	{`etc/machine-id|var/lib/dbus/machine-id`, "identity of a host", onlyApt},
	{`etc/ssl/(certs/ssl-cert-snakeoil\.pem|private/ssl-cert-snakeoil\.key|certs/[0-9a-f]{8}\.0)`, "made at random", nil},
	{`etc/ssl/certs/java/cacerts`, "tells when each certificate was added", sameKind},
	{`etc/ld\.so\.cache`, "the strings stand in another order", sameBody},
	{`var/lib/apt/extended_states`, "apt writes it in the order of a hash table", sameParagraphs},
	{`var/lib/dpkg/(triggers/File|diversions)`, "apt unpacks in another order", sameLines},
}

// sameKind allows another content.
func sameKind(apt, ours node) bool {
	return apt.Mode == ours.Mode && apt.UID == ours.UID && apt.GID == ours.GID
}

// TestE2ESandboxTree installs with apt-get in a chroot and with inlay and its
// sandbox packages that dpkg has to configure, and compares the trees.
func TestE2ESandboxTree(t *testing.T) {
	dir := os.Getenv("INLAY_E2E")
	if dir == "" {
		t.Skip("INLAY_E2E is not set")
	}
	if os.Getuid() != 0 {
		t.Skip("chroot takes root")
	}
	t.Parallel()
	e := newChroots(t, filepath.Join(dir, "apt"))
	for _, s := range scripted {
		if s.quick || os.Getenv("INLAY_APT_TREES") == "all" {
			t.Run(s.packages, func(t *testing.T) { e.sandboxed(t, filepath.Join(dir, "cache"), s.packages) })
		}
	}
}

// sandboxed installs a set both ways, and compares what is there then.
func (e *chroots) sandboxed(t *testing.T, cache, set string) {
	t.Helper()
	want, _, when := e.reference(t, set)
	scratch := t.TempDir()
	out := filepath.Join(scratch, "image")
	must(t, os.Mkdir(filepath.Join(scratch, "src"), 0o755))
	args := []string{"build", "--cache-dir", cache, "--parent-image", "oci:" + filepath.Join(e.dir, "parent"), "--set", "apt.scripts=sandbox", "-o", "oci:" + out}
	for _, p := range strings.Fields(set) {
		args = append(args, "--apt-package", p)
	}
	build := exec.Command("../../bin/inlay", append(args, filepath.Join(scratch, "src"))...)
	build.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", when)) // adduser notes the day
	said, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("inlay: %v\n%s", err, said)
	}
	if report := regexp.MustCompile(`(?m)^apt: configured in the sandbox: .*`).FindString(string(said)); !strings.Contains(report, "ssl-cert") {
		t.Errorf("the build says of the sandbox only %q", report)
	}
	if strings.Contains(string(said), "NOT run") {
		t.Errorf("scripts were not run:\n%s", said)
	}
	root := e.root(t, "")
	for _, layer := range above(t, out) {
		apply(t, root, layer)
	}
	got := walk(t, root)
	audit(t, root)
	bad, allowed := compareTrees(t, want, got, sandboxed)
	t.Logf("%d paths, %d differences, %d of them allowed", len(want), bad+allowed, allowed)
}

// above returns the layers of packages in an image of one parent layer.
func above(t *testing.T, image string) (files []string) {
	t.Helper()
	var index, manifest, config struct {
		Manifests, Layers []struct{ Digest string }
		Config            struct{ Digest string }
		History           []struct {
			CreatedBy  string `json:"created_by"`
			EmptyLayer bool   `json:"empty_layer"`
		}
	}
	blob := func(digest string) string { return filepath.Join(image, "blobs", strings.Replace(digest, ":", "/", 1)) }
	must(t, json.Unmarshal(readFile(t, filepath.Join(image, "index.json")), &index))
	must(t, json.Unmarshal(readFile(t, blob(index.Manifests[0].Digest)), &manifest))
	must(t, json.Unmarshal(readFile(t, blob(manifest.Config.Digest)), &config))
	i := 0
	for _, h := range config.History {
		if h.EmptyLayer {
			continue
		}
		if strings.HasPrefix(h.CreatedBy, "inlay: apt: ") {
			files = append(files, blob(manifest.Layers[i].Digest))
		}
		i++
	}
	if len(files) < 2 {
		t.Fatalf("%s has %d layers of packages", image, len(files))
	}
	return files
}
