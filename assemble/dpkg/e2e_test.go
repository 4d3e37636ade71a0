// SPDX-License-Identifier: Apache-2.0

package dpkg_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb"
	"inlay/assemble/dpkg"
	"inlay/assemble/overlay"
	"inlay/layers"
)

// sets are what the trees are compared for.
var sets = []string{
	"git curl libsm6 libxext6",
	"build-essential",
	"ffmpeg",
	"libgl1",
	"nginx",
	"openjdk-17-jre-headless",
	"postgresql-client",
	"imagemagick",
	"gdal-bin",
	"fonts-dejavu fonts-liberation",
	"openssh-client rsync",
	"locales",
}

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
	for _, set := range sets {
		t.Run(set, func(t *testing.T) {
			want, debs, when := e.reference(t, set)
			got, report := e.ours(t, set, debs, when)
			for _, line := range report.Lines() {
				t.Log(line)
			}
			missing, allowed := compareTrees(t, want, got, report)
			t.Logf("%d paths, %d differences, %d of them allowed", len(want), missing+allowed, allowed)
		})
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
	var index, manifest struct {
		Manifests, Layers []struct{ Digest string }
	}
	blob := func(digest string) string {
		return filepath.Join(out, "blobs", strings.Replace(digest, ":", "/", 1))
	}
	must(t, json.Unmarshal(readFile(t, filepath.Join(out, "index.json")), &index))
	must(t, json.Unmarshal(readFile(t, blob(index.Manifests[0].Digest)), &manifest))
	return &chroots{dir: dir, parent: blob(manifest.Layers[0].Digest)}
}

// A node is what a tree has at a path.
type node struct {
	Mode     fs.FileMode
	UID, GID uint32
	Link     string
	Digest   string
	Body     string // of small text files
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
		root := e.root(t, "")
		shared := filepath.Join(e.dir, "lists")
		must(t, os.MkdirAll(shared, 0o755))
		run(t, exec.Command("cp", "/etc/resolv.conf", filepath.Join(root, "etc/resolv.conf")))
		if list, err := filepath.Glob(shared + "/*Packages*"); err == nil && len(list) > 0 {
			run(t, exec.Command("cp", "-a", shared+"/.", filepath.Join(root, "var/lib/apt/lists")))
		} else {
			chroot(t, root, "apt-get", "update")
			run(t, exec.Command("cp", "-a", filepath.Join(root, "var/lib/apt/lists")+"/.", shared))
		}
		must(t, syscall.Mount("proc", root+"/proc", "proc", 0, "")) // Java asks it where it is
		unmount := func() { _ = syscall.Unmount(root+"/proc", syscall.MNT_DETACH) }
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
	root, err := os.MkdirTemp("", "inlay-apt-") //nolint:usetesting // its owner is root, its mode 0755
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	must(t, os.Chmod(root, 0o755))
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
func (e *chroots) ours(t *testing.T, set string, debs []string, when int64) (map[string]node, *dpkg.Report) {
	t.Helper()
	layer, report := e.install(t, set, debs, dpkg.Options{Scripts: dpkg.Native, Time: when})
	root := e.root(t, layer)
	tree := walk(t, root)
	audit(t, root)
	return tree, report
}

// audit asks dpkg and apt what they think.
func audit(t *testing.T, root string) {
	t.Helper()
	for _, command := range [][]string{{"dpkg", "--audit"}, {"dpkg", "--verify"}, {"apt-get", "check"}} {
		cmd := exec.Command("chroot", append([]string{root}, command...)...)
		out, err := cmd.CombinedOutput()
		text := regexp.MustCompile(`(?m)^(Reading package lists|Building dependency tree|Reading state information).*\n`).ReplaceAllString(string(out), "")
		if err != nil || strings.TrimSpace(text) != "" {
			t.Errorf("%s: %v\n%s", strings.Join(command, " "), err, text)
		}
	}
}

func (e *chroots) install(t *testing.T, set string, debs []string, o dpkg.Options) (string, *dpkg.Report) {
	t.Helper()
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
	return file, report
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
	store := deb.NewStore(dir)
	var out []dpkg.Package
	for _, file := range debs {
		b := readFile(t, file)
		sum := sha256.Sum256(b)
		p, err := store.Package(t.Context(), filepath.Base(file), hex.EncodeToString(sum[:]), func(context.Context) (*os.File, error) { return os.Open(file) })
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

// walk lists a tree.
func walk(t *testing.T, root string) map[string]node {
	t.Helper()
	out := map[string]node{}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, p)
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		n := node{Mode: info.Mode(), UID: st.Uid, GID: st.Gid}
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			n.Link, err = os.Readlink(p)
		case info.Mode().IsRegular():
			var b []byte
			if b, err = os.ReadFile(p); err == nil {
				sum := sha256.Sum256(b)
				n.Digest = hex.EncodeToString(sum[:])
				if len(b) < 4096 && !bytes.Contains(b, []byte{0}) || strings.HasSuffix(p, "/extended_states") || strings.HasSuffix(p, "/status") {
					n.Body = string(b)
				}
				if name == "etc/ld.so.cache" {
					var out []byte
					out, err = exec.Command("chroot", root, "ldconfig", "-p").Output()
					n.Body = string(out)
				}
				if xattr := make([]byte, 64); err == nil {
					if k, _ := syscall.Getxattr(p, "security.capability", xattr); k > 0 {
						n.Digest += fmt.Sprintf(" cap %x", xattr[:k])
					}
				}
			}
		}
		out[name] = n
		return err
	}))
	return out
}

// compareTrees fails the test for each difference that isn't allowed.
func compareTrees(t *testing.T, want, got map[string]node, report *dpkg.Report) (bad, allowed int) {
	t.Helper()
	if len(want) < 1000 {
		t.Fatalf("the reference holds %d paths: it can't be right", len(want))
	}
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, p := range slices.Sorted(maps.Keys(all)) {
		w, inWant := want[p]
		g, inGot := got[p]
		same := w
		same.Body = g.Body
		if inWant && inGot && same == g {
			continue
		}
		if mayDiffer(p, w, g) {
			allowed++
			continue
		}
		bad++
		if bad <= 60 {
			t.Errorf("%s: apt-get left %s, we left %s", p, describe(w, inWant), describe(g, inGot))
			if inWant && inGot && w.Body != "" && g.Body != "" {
				t.Errorf("its content (-apt-get +ours):\n%s", cmp.Diff(strings.Split(w.Body, "\n"), strings.Split(g.Body, "\n")))
			}
		}
	}
	return bad, allowed
}

func describe(n node, there bool) string {
	if !there {
		return "nothing"
	}
	return fmt.Sprintf("%v %d:%d %s %.12s %.300q", n.Mode, n.UID, n.GID, n.Link, n.Digest, n.Body)
}

func mayDiffer(p string, want, got node) bool {
	for _, d := range differences {
		if regexp.MustCompile("^(?:"+d.path+")$").MatchString(p) && (d.same == nil || d.same(want, got)) {
			return true
		}
	}
	return false
}

// differences lists how our tree may differ from the one apt-get leaves, and
// why. A path matches a pattern as a whole.
var differences = []struct {
	path, reason string
	same         func(apt, ours node) bool // nil: whatever the difference is
}{
	{`dev(/.*)?|etc/resolv\.conf`, "the test's own", nil},
	{`var/log(/.*)?`, "logs tell the time of the build", nil},
	{`var/cache/(apt|ldconfig|debconf|man)(/.*)?`, "caches are made when they are used", nil},
	{`var/lib/apt/(lists|periodic)(/.*)?`, "the index is apt's, and is not in an image", nil},
	{`var/lib/dpkg/(status-old|diversions-old|statoverride-old|available|lock|lock-frontend|triggers/Lock|triggers/Unincorp)`, "backups and locks", nil},
	{`etc/(passwd|group|shadow|gshadow|subuid|subgid)-`, "backups", nil},
	{`run/adduser`, "a lock", nil},
	{`etc/rc[0-6S]\.d(/.*)?|etc/systemd/system(/.*)?|var/lib/systemd(/.*)?`, "services are not started in a container", onlyApt},
	{`(.*/)?__pycache__(/.*)?`, "compiled Python is made when it is used", onlyApt},
	{`usr/share/mime/.*|var/cache/fontconfig(/.*)?|.*/gschemas\.compiled|.*/giomodule\.cache`, "caches, named in the report", onlyApt},
	{`.*/gdk-pixbuf-2\.0/2\.10\.0/loaders\.cache`, "the cache of a program that was skipped, named in the report: without it the file is empty", isEmpty},
	{`etc/ssl/certs/java(/.*)?|tmp/hsperfdata_root`, "Java's own store is written by Java", onlyApt},
	{`var/lib/ca-certificates-java/fresh`, "what Java has still to do, when somebody runs it", nil},
	{`etc/ld\.so\.cache`, "the strings stand in another order", sameBody},
	{`var/lib/apt/extended_states`, "apt writes it in the order of a hash table", sameParagraphs},
	{`var/lib/dpkg/triggers/File`, "apt unpacks in another order", sameLines},
}

// onlyApt allows what apt-get leaves and we don't.
func onlyApt(_, ours node) bool { return ours == node{} }

// isEmpty allows a file of ours that holds nothing.
func isEmpty(apt, ours node) bool { return ours.Mode == apt.Mode && ours.Digest == emptyFile }

// emptyFile is the digest of no bytes.
const emptyFile = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func sameBody(apt, ours node) bool {
	return apt.Mode == ours.Mode && apt.Body == ours.Body && ours.Body != ""
}

func sameLines(apt, ours node) bool { return sameSplit(apt, ours, "\n") }

func sameParagraphs(apt, ours node) bool { return sameSplit(apt, ours, "\n\n") }

func sameSplit(apt, ours node, sep string) bool {
	a, b := strings.Split(apt.Body, sep), strings.Split(ours.Body, sep)
	slices.Sort(a)
	slices.Sort(b)
	return apt.Mode == ours.Mode && slices.Equal(a, b)
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
