// SPDX-License-Identifier: Apache-2.0

package dpkg_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"inlay/assemble/deb"
	"inlay/assemble/dpkg"
	"inlay/assemble/overlay"
	"inlay/layers"
)

// sets are what the trees are compared for. Those that are quick are compared in
// every run, the others if INLAY_APT_TREES is "all": a chroot with many packages
// takes apt-get a minute.
var sets = []struct {
	packages string
	quick    bool
	before   string // packages that the parent has beside its own
	gone     string // those of them that have to go
}{
	{packages: "git curl libsm6 libxext6", quick: true},
	{packages: "build-essential", quick: false},
	{packages: "ffmpeg", quick: false},
	{packages: "libgl1", quick: false},
	{packages: "nginx", quick: true},
	{packages: "openjdk-17-jre-headless", quick: false},
	{packages: "postgresql-client", quick: false},
	{packages: "imagemagick", quick: false},
	{packages: "gdal-bin", quick: false},
	{packages: "fonts-dejavu fonts-liberation", quick: false},
	{packages: "openssh-client rsync", quick: true},
	{packages: "locales", quick: true},
	{packages: "busybox-syslogd", quick: true, before: "rsyslog", gone: "rsyslog"},
}

// maxPeak bounds the memory that installing a set may take, in bytes.
const maxPeak = 200 << 20

// TestE2ESameTree installs each set with apt-get in a chroot and with this
// package, and compares the trees path by path.
func TestE2ESameTree(t *testing.T) {
	dir := os.Getenv("INLAY_E2E")
	if dir == "" {
		t.Skip("INLAY_E2E is not set")
	}
	if os.Getuid() != 0 {
		t.Skip("chroot takes root")
	}
	e := newChroots(t, filepath.Join(dir, "apt"))
	var left []string
	for _, s := range sets {
		set := s.packages
		if !s.quick && os.Getenv("INLAY_APT_TREES") != "all" {
			left = append(left, set)
			continue
		}
		t.Run(set, func(t *testing.T) {
			begun := time.Now()
			e := e.with(t, s.before)
			want, debs, when := e.reference(t, set)
			t.Logf("apt-get: %.1f s", time.Since(begun).Seconds())
			begun = time.Now()
			got, report := e.ours(t, set, debs, dpkg.Options{Scripts: dpkg.Native, Time: when, Remove: strings.Fields(s.gone)})
			t.Logf("this package, dpkg's and apt's own checks: %.1f s", time.Since(begun).Seconds())
			for _, line := range report.Lines() {
				t.Log(line)
			}
			missing, allowed := compareTrees(t, want, got, differences)
			t.Logf("%d paths, %d differences, %d of them allowed", len(want), missing+allowed, allowed)
		})
	}
	if len(left) > 0 {
		t.Logf("left out, since they take minutes (INLAY_APT_TREES=all compares them too): %s", strings.Join(left, "; "))
	}
}

// chroots makes trees for the comparison in dir, which later runs reuse.
type chroots struct {
	dir    string
	parent string // tar.gz
}

func newChroots(t *testing.T, dir string) *chroots {
	t.Helper()
	out := filepath.Join(dir, "parent")
	cmd := exec.Command("../../testdata/e2e/parent.sh", out)
	cmd.Env = append(os.Environ(), "INCLUDE=apt", "GZIP_LEVEL=1")
	must(t, os.MkdirAll(dir, 0o755))
	run(t, cmd)
	return &chroots{dir: dir, parent: layersOf(t, out)[0]}
}

// with returns e with a parent in which packages were installed by apt-get.
func (e *chroots) with(t *testing.T, packages string) *chroots {
	t.Helper()
	if packages == "" {
		return e
	}
	grown := &chroots{dir: e.dir, parent: filepath.Join(e.dir, "with-"+strings.ReplaceAll(packages, " ", "+")+".tar.gz")}
	if _, err := os.Stat(grown.parent); err == nil {
		return grown
	}
	root := e.online(t)
	chroot(t, root, append([]string{"apt-get", "install", "-y", "--no-install-recommends"}, strings.Fields(packages)...)...)
	chroot(t, root, "apt-get", "clean")
	made := filepath.Join(t.TempDir(), "parent")
	run(t, exec.Command("tar", "-C", root, "--xattrs", "--exclude=./dev/*", "--exclude=./var/lib/apt/lists/*_*", "-I", "gzip -1", "-cf", made, "."))
	run(t, exec.Command("mv", made, grown.parent))
	return grown
}

// online makes a root in which apt-get can fetch packages.
func (e *chroots) online(t *testing.T) string {
	t.Helper()
	root, shared := e.root(t, ""), filepath.Join(e.dir, "lists")
	must(t, os.MkdirAll(shared, 0o755))
	run(t, exec.Command("cp", "/etc/resolv.conf", filepath.Join(root, "etc/resolv.conf")))
	if list, err := filepath.Glob(shared + "/*Packages*"); err == nil && len(list) > 0 {
		run(t, exec.Command("cp", "-a", shared+"/.", filepath.Join(root, "var/lib/apt/lists")))
	} else {
		chroot(t, root, "apt-get", "update")
		run(t, exec.Command("cp", "-a", filepath.Join(root, "var/lib/apt/lists")+"/.", shared))
	}
	return root
}

// reference installs a set with apt-get, and returns the tree, the packages and
// the time: adduser notes the day.
func (e *chroots) reference(t *testing.T, set string) (map[string]node, []string, int64) {
	t.Helper()
	kept := filepath.Join(e.dir, strings.ReplaceAll(set, " ", "+"))
	file := filepath.Join(kept, "tree.json")
	tree := map[string]node{}
	if b, err := os.ReadFile(file); err == nil {
		must(t, json.Unmarshal(b, &tree))
	} else {
		must(t, os.MkdirAll(kept, 0o755))
		root := e.online(t)
		run(t, exec.Command("mount", "-t", "proc", "proc", root+"/proc")) // Java asks it where it is
		unmount := func() { _ = exec.Command("umount", "-l", root+"/proc").Run() }
		t.Cleanup(unmount)
		chroot(t, root, append([]string{"apt-get", "install", "-y", "--no-install-recommends"}, strings.Fields(set)...)...)
		debs, err := filepath.Glob(filepath.Join(root, "var/cache/apt/archives/*.deb"))
		must(t, err)
		run(t, exec.Command("cp", append(debs, kept)...))
		unmount()
		tree = walk(t, root)
		b, err := json.Marshal(tree)
		must(t, err)
		must(t, os.WriteFile(file, b, 0o644))
	}
	debs, err := filepath.Glob(filepath.Join(kept, "*.deb"))
	must(t, err)
	if len(debs) == 0 {
		t.Fatalf("apt-get installed nothing for %s", set)
	}
	info, err := os.Stat(file)
	must(t, err)
	return tree, debs, info.ModTime().Unix()
}

// root unpacks the parent, and a layer on top of it, into a new directory.
func (e *chroots) root(t *testing.T, layer string) string {
	t.Helper()
	root := newRoot(t)
	run(t, exec.Command("tar", "-C", root, "--xattrs", "-xzf", e.parent))
	if layer != "" {
		apply(t, root, layer)
	}
	must(t, os.MkdirAll(root+"/dev", 0o755))
	for name, minor := range map[string]int{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		_ = syscall.Mknod(filepath.Join(root, "dev", name), syscall.S_IFCHR|0o666, 1<<8|minor)
		must(t, os.Chmod(filepath.Join(root, "dev", name), 0o666))
	}
	return root
}

// apply removes what the layer's whiteouts name, and unpacks the rest.
func apply(t *testing.T, root, layer string) {
	t.Helper()
	f, err := os.Open(layer)
	must(t, err)
	defer f.Close()
	zr, err := gzip.NewReader(f)
	must(t, err)
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		dir, base := path.Split(h.Name)
		if name, ok := strings.CutPrefix(base, ".wh."); ok {
			must(t, os.RemoveAll(filepath.Join(root, dir, name)))
			continue
		}
		at, err := os.Lstat(filepath.Join(root, h.Name))
		if err == nil && (!at.IsDir() || h.Typeflag != tar.TypeDir) {
			must(t, os.RemoveAll(filepath.Join(root, h.Name)))
		}
	}
	run(t, exec.Command("tar", "-C", root, "--xattrs", "--xattrs-include=*", "--exclude=.wh.*", "-xzf", layer))
}

// ours installs the packages with this package, and returns the tree after
// dpkg and apt have looked at it.
func (e *chroots) ours(t *testing.T, set string, debs []string, o dpkg.Options) (map[string]node, *dpkg.Report) {
	t.Helper()
	layer, report := e.install(t, set, debs, o)
	root := e.root(t, layer)
	tree := walk(t, root)
	audit(t, root)
	return tree, report
}

// audit asks dpkg and apt what they think. That a configuration file is missing is
// no fault: scripts of packages that were removed move some away.
func audit(t *testing.T, root string) {
	t.Helper()
	for _, command := range [][]string{{"dpkg", "--audit"}, {"dpkg", "--verify"}, {"apt-get", "check"}} {
		cmd := exec.Command("chroot", append([]string{root}, command...)...)
		out, err := cmd.CombinedOutput()
		text := regexp.MustCompile(`(?m)^(Reading package lists|Building dependency tree|Reading state information| *missing +c ).*\n`).ReplaceAllString(string(out), "")
		if err != nil || strings.TrimSpace(text) != "" {
			t.Errorf("%s: %v\n%s", strings.Join(command, " "), err, text)
		}
	}
}

func (e *chroots) install(t *testing.T, set string, debs []string, o dpkg.Options) (string, *dpkg.Report) {
	t.Helper()
	forget(t)
	view := e.view(t)
	tree := overlay.New(view)
	report, err := dpkg.Install(t.Context(), tree, packages(t, filepath.Join(e.dir, "unpacked"), debs, strings.Fields(set)), o)
	must(t, err)
	file := filepath.Join(t.TempDir(), "layer.tar.gz")
	out, err := os.Create(file)
	must(t, err)
	w := layers.NewWriter(out, layers.Options{})
	must(t, tree.Write(t.Context(), w))
	_, err = w.Close()
	must(t, err)
	must(t, out.Close())
	now := peak(t)
	t.Logf("%d packages, at most %d MiB of memory", report.Packages, now>>20)
	if now > maxPeak {
		t.Errorf("it took %d MiB of memory, want %d at most", now>>20, maxPeak>>20)
	}
	return file, report
}

// forget makes the highest use of memory so far the present one.
func forget(t *testing.T) {
	t.Helper()
	debug.FreeOSMemory()
	must(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200))
}

// peak returns the most memory that this process had since then, in bytes.
func peak(t *testing.T) int {
	t.Helper()
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(readFile(t, "/proc/self/status"))
	if m == nil {
		t.Fatal("the kernel does not say how much memory was used")
	}
	n, err := strconv.Atoi(string(m[1]))
	must(t, err)
	return n << 10
}

func (e *chroots) view(t *testing.T) *layers.View {
	t.Helper()
	f, err := os.Open(e.parent)
	must(t, err)
	defer f.Close()
	ix, err := layers.Scan(t.Context(), f, dpkg.Keep)
	must(t, err)
	view, err := layers.Stack(ix)
	must(t, err)
	return view
}

// packages unpacks .debs. Those that nobody asked for are marked.
func packages(t *testing.T, dir string, debs, asked []string) []dpkg.Package {
	t.Helper()
	store := deb.NewStore(dir, 2)
	var out []dpkg.Package
	for _, file := range debs {
		p, err := store.Package(t.Context(), filepath.Base(file), digestOf(t, file), func(context.Context) (*os.File, error) { return os.Open(file) })
		must(t, err)
		field := func(name string) string {
			m := regexp.MustCompile(`(?m)^` + name + `: (.*)$`).FindSubmatch(p.Control["control"])
			if m == nil {
				t.Fatalf("%s has no %s", file, name)
			}
			return string(m[1])
		}
		out = append(out, dpkg.Package{
			Name: field("Package"), Version: field("Version"), Arch: field("Architecture"),
			Auto: !slices.Contains(asked, field("Package")), Deb: p,
		})
	}
	return out
}

func digestOf(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	must(t, err)
	return hex.EncodeToString(sum.Sum(nil))
}

func chroot(t *testing.T, root string, args ...string) {
	t.Helper()
	cmd := exec.Command("chroot", append([]string{root}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	run(t, cmd)
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return b
}
