// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"inlay/resolve/plan"
)

// noise is more than the limits of the tests below let through.
func noise() string {
	b := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}

// shell runs the program by a script, in which "$@" is its command line. The
// script sees to it that it prints what a failed build leaves.
func (s *scene) shell(t *testing.T, unshare bool, script string, args ...string) outcome {
	t.Helper()
	inlay := s.command(t.Context(), args...)
	words := append([]string{"sh", "-c", script, "sh"}, inlay.Args...)
	if unshare {
		how := []string{"unshare", "-m"}
		if os.Getuid() != 0 {
			how = []string{"unshare", "-Urm"}
		}
		if out, err := exec.CommandContext(t.Context(), how[0], append(how[1:], "mount", "-t", "tmpfs", "none", t.TempDir())...).CombinedOutput(); err != nil {
			t.Skipf("this test needs a file system of its own, which %q can't give: %v\n%s", how, err, out)
		}
		words = append(how, words...)
	}
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Env = inlay.Dir, inlay.Env
	return finish(cmd)
}

// limited runs a build that may write no file of 300 kB; what it makes was made
// before if warm is set.
func limited(warm bool, output string) func(*testing.T, *scene) outcome {
	return func(t *testing.T, s *scene) outcome {
		t.Helper()
		write(t, filepath.Join(s.dir, "src", "noise"), noise())
		args := []string{"build", "--parent-image", "oci:parent", "src", "-o"}
		if warm {
			mustRun(t, s.command(t.Context(), append(args, "oci:before")...))
		}
		return s.shell(t, false, `ulimit -f 400; "$@"`, append(args, output)...)
	}
}

// fullDisk runs a build with little room in the directory small.
func fullDisk(warm bool, args ...string) func(*testing.T, *scene) outcome {
	return func(t *testing.T, s *scene) outcome {
		t.Helper()
		write(t, filepath.Join(s.dir, "src", "noise"), noise())
		if err := os.Mkdir(filepath.Join(s.dir, "small"), 0o755); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"build", "--parent-image", "oci:parent", "src"}, args...)
		if warm {
			mustRun(t, s.command(t.Context(), "build", "--parent-image", "oci:parent", "src", "-o", "oci:before"))
		}
		return s.shell(t, true, `mount -t tmpfs -o size=200k none small && "$@"; status=$?
			find small -name 'out*' -o -name '.tmp-*' -o -name 'scratch-*'
			test ! -e small/cache || inlay cache verify --cache-dir small/cache >small/said 2>&1 || echo the cache is damaged
			exit $status`, args...)
	}
}

var diskFaults = []fault{
	{"disk cache limit", limited(false, "oci:out")},
	{"disk layout limit", limited(true, "oci:out")},
	{"disk OCI archive limit", limited(true, "oci-archive:out")},
	{"disk docker archive limit", limited(true, "docker-archive:out")},
	{"disk wheel limit", func(t *testing.T, s *scene) outcome {
		w := s.wheel(t, serve(t, s.index), "demo", "demo.py="+noise())
		return s.shell(t, false, `ulimit -f 400; "$@"`, "build", "--plan", s.plan(t, []plan.Wheel{w}), "-o", "oci:out", "src")
	}},
	{"disk cache full", fullDisk(false, "--cache-dir", "small/cache", "-o", "oci:out")},
	{"disk layout full", fullDisk(true, "-o", "oci:small/out")},
	{"disk OCI archive full", fullDisk(true, "-o", "oci-archive:small/out.tar")},
	{"disk docker archive full", fullDisk(true, "-o", "docker-archive:small/out.tar")},
}

// mustRun runs a command that has to succeed.
func mustRun(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	r := finish(cmd)
	if r.err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), r.err, r.stderr)
	}
	return r
}

// again builds, changes the cache, and builds once more: the digest is the same
// if the second build succeeds.
func again(change func(t *testing.T, s *scene), script string, more ...string) func(*testing.T, *scene) outcome {
	return func(t *testing.T, s *scene) outcome {
		t.Helper()
		w := s.wheel(t, serve(t, s.index), "demo", "demo.py=print(1)\n")
		args := []string{"build", "--plan", s.plan(t, []plan.Wheel{w}), "src", "-o"}
		if slices.Contains(more, "--parent-image") {
			args = []string{"build", "src", "-o"}
		}
		first := mustRun(t, s.command(t.Context(), append(append(args, "oci:before"), more...)...))
		change(t, s)
		var r outcome
		if script == "" {
			r = s.run(t, append(append(args, "oci:out"), more...)...)
		} else {
			r = s.shell(t, true, script, append(append(args, "oci:out"), more...)...)
		}
		if r.err == nil && digestOf(t, r.stdout) != digestOf(t, first.stdout) {
			t.Errorf("the second build gave %s, the first %s", r.stdout, first.stdout)
		}
		return r
	}
}

// asAnother changes the cache and has it forget which layers the last build of the
// image had: another image with the same layers has to read their entries.
func asAnother(change func(*testing.T, *scene)) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(s.dir, "cache/inventories/recent-*"))
		if err != nil || len(names) != 1 {
			t.Fatalf("the cache has %v, %v, want what one build remembers", names, err)
		}
		if err := os.Remove(names[0]); err != nil {
			t.Fatal(err)
		}
		change(t, s)
	}
}

// edit changes the files of the cache below dir.
func edit(dir string, change func([]byte) []byte) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		t.Helper()
		n := 0
		err := filepath.WalkDir(filepath.Join(s.dir, "cache", dir), func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(name)
			n++
			return errors.Join(err, os.WriteFile(name, change(b), 0o644))
		})
		if err != nil || n == 0 {
			t.Fatalf("changing %d files of the cache: %v", n, err)
		}
	}
}

func unchanged(*testing.T, *scene) {}

func older(b []byte) []byte {
	return bytes.Replace(b, []byte("inlay-value 1 "), []byte("inlay-value 0 "), 1)
}

const readOnly = `mount --bind cache cache && mount -o remount,bind,ro cache && exec "$@"`

var cacheFaults = []fault{
	{"cache read-only, warm", again(unchanged, readOnly)},
	{"cache read-only, cold", again(func(t *testing.T, s *scene) {
		if err := os.RemoveAll(filepath.Join(s.dir, "cache", "layers")); err != nil {
			t.Fatal(err)
		}
	}, readOnly)},
	{"cache of an older version", again(func(t *testing.T, s *scene) {
		edit("layers/keys", older)(t, s)
		edit("inventories", older)(t, s)
		edit("records", older)(t, s)
	}, "")},
	{"cache of a newer version", again(edit("CACHEDIR.TAG", func(b []byte) []byte {
		return bytes.Replace(b, []byte("# cache of inlay\n"), []byte("# cache of inlay, form 2\n"), 1)
	}), "")},
	{"cache of another program", again(edit("CACHEDIR.TAG", func(b []byte) []byte {
		return bytes.Replace(b, []byte("inlay"), []byte("pip"), 1)
	}), "")},
	{"cache layer damaged", again(edit("layers/blobs", flipped), "")},
	{"cache layer cut", again(edit("layers/blobs", shorter), "")},
	{"cache key damaged", again(asAnother(edit("layers/keys", flipped)), "")},
	{"cache wheel damaged", again(edit("wheels", flipped), "", "--no-cache")},
	{"cache inventory damaged", again(edit("inventories", flipped), "", "--parent-image", "oci:parent")},
	{"cache two pushes of one tag", twoPushes},
}

// twoPushes pushes two images to one tag at once. Both succeed, both are there by
// their digests, and the tag is one of them.
func twoPushes(t *testing.T, s *scene) outcome {
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	host := serve(t, images.ServeHTTP)
	results := make(chan outcome)
	for _, label := range []string{"a", "b"} {
		go func() {
			results <- finish(s.command(t.Context(), "build", "--parent-image", "oci:parent", "--label", "l="+label, "--push", "-t", host+"/team/app:v1", "src"))
		}()
	}
	get := func(ref string) string {
		rec := httptest.NewRecorder()
		images.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v2/team/app/manifests/"+ref, nil))
		return rec.Header().Get("Docker-Content-Digest")
	}
	one, two := <-results, <-results
	if one.err != nil || two.err != nil {
		return outcome{err: errors.Join(one.err, two.err), stderr: one.stderr + two.stderr}
	}
	a, b := digestOf(t, one.stdout), digestOf(t, two.stdout)
	if a == b || get(a) != a || get(b) != b || get("v1") != a && get("v1") != b {
		t.Errorf("pushed %s and %s: there are %q and %q, and the tag is %q", a, b, get(a), get(b), get("v1"))
	}
	return two
}

// A raw is a member of a zip as it stands there.
type raw struct {
	name string
	body string
	size uint64 // that the zip says, if not the body's
	crc  uint32 // added to the right one
	mode fs.FileMode
}

// bad builds with a wheel that has more members.
func bad(change func([]byte) []byte, members ...raw) func(*testing.T, *scene) outcome {
	return func(t *testing.T, s *scene) outcome {
		t.Helper()
		var buf bytes.Buffer
		zw := zip.NewWriter(&buf)
		const info = "demo-1.0.dist-info/"
		if len(members) == 0 || members[0].name != info+"METADATA" {
			members = append(members, raw{name: info + "METADATA", body: "Name: demo\nVersion: 1.0\n"})
		}
		for _, m := range append(members, raw{name: info + "WHEEL", body: "Wheel-Version: 1.0\n"}, raw{name: info + "RECORD"}) {
			var packed bytes.Buffer
			fw, _ := flate.NewWriter(&packed, 6)
			_, _ = io.WriteString(fw, m.body)
			_ = fw.Close()
			h := &zip.FileHeader{
				Name: m.name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(m.body)) + m.crc,
				CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(m.body)),
			}
			if m.size > 0 {
				h.UncompressedSize64 = m.size
			}
			if m.mode != 0 {
				h.SetMode(m.mode)
			}
			w, err := zw.CreateRaw(h)
			if err == nil {
				_, err = w.Write(packed.Bytes())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		w := s.put(serve(t, s.index), "demo", change(buf.Bytes()))
		return s.run(t, "build", "--plan", s.plan(t, []plan.Wheel{w}), "-o", "oci:out", "src")
	}
}

func same(b []byte) []byte { return b }

var wheelFaults = []fault{
	{"wheel is a page", bad(page)},
	{"wheel cut off", bad(shorter)},
	{"wheel escapes", bad(same, raw{name: "../../../../etc/cron.d/x", body: "x"})},
	{"wheel link", bad(same, raw{name: "demo/l", body: "/etc", mode: fs.ModeSymlink | 0o777})},
	{"wheel name twice", bad(same, raw{name: "demo/x", body: "1"}, raw{name: "demo/x", body: "2"})},
	{"wheel names differ in case", bad(same, raw{name: "demo/x", body: "1"}, raw{name: "demo/X", body: "2"})},
	{"wheel bomb", bad(same, raw{name: "demo/x", body: "x", size: 1 << 30})},
	{"wheel large bomb", bad(same, raw{name: "demo/x", body: "x", size: 1 << 40})},
	{"wheel small lie", bad(same, raw{name: "demo/x", body: strings.Repeat("x", 5000), size: 40})},
	{"wheel member changed", bad(same, raw{name: "demo/x", body: strings.Repeat("x", 50_000), crc: 1})},
	{"wheel large METADATA", bad(same, raw{name: "demo-1.0.dist-info/METADATA", body: strings.Repeat("x", 17<<20)})},
	{"wheel odd", bad(func(b []byte) []byte { return append(b, 0, 0) })},
}

// An item is an entry of a tar.
type item struct {
	kind byte
	name string
	link string
	size int64
}

// onLayer builds on a parent whose only layer is a tar of the items.
func onLayer(change func([]byte) []byte, items ...item) func(*testing.T, *scene) outcome {
	return func(t *testing.T, s *scene) outcome {
		t.Helper()
		var buf bytes.Buffer
		tw := tar.NewWriter(&buf)
		for _, it := range items {
			if err := tw.WriteHeader(&tar.Header{Typeflag: it.kind, Name: it.name, Linkname: it.link, Size: it.size, Mode: 0o755}); err != nil {
				t.Fatal(err)
			}
		}
		_ = tw.Close() // which may miss the content that was promised
		if err := writeParentOf(filepath.Join(s.dir, "odd"), change(buf.Bytes())); err != nil {
			t.Fatal(err)
		}
		return s.run(t, "build", "--parent-image", "oci:odd", "-o", "oci:out", "src")
	}
}

var layerFaults = []fault{
	{"layer is no tar", onLayer(func([]byte) []byte { return bytes.Repeat([]byte("hello"), 500) })},
	{"layer cut off", onLayer(same, item{tar.TypeReg, "a", "", 5000})},
	{"layer escapes", onLayer(same, item{tar.TypeReg, "../../etc/passwd", "", 0})},
	{"layer hard link to outside", onLayer(same, item{tar.TypeLink, "a", "../../etc/shadow", 0})},
	{"layer hard link to nothing", onLayer(same, item{tar.TypeLink, "a", "b", 0})},
	{"layer link to outside", onLayer(same, item{tar.TypeSymlink, "app", "../../../../tmp", 0})},
	{"layer links in a circle", onLayer(same, item{tar.TypeSymlink, "app", "b", 0}, item{tar.TypeSymlink, "b", "app", 0})},
	{"layer hides everything", onLayer(same, item{tar.TypeDir, "etc/", "", 0}, item{tar.TypeReg, ".wh..wh..opq", "", 0})},
	{"layer hides nothing", onLayer(same, item{tar.TypeReg, "etc/.wh.", "", 0})},
	{"layer names of any bytes", onLayer(same, item{tar.TypeDir, "usr/\xff\x80/", "", 0}, item{tar.TypeReg, "usr/\xff\x80/\xfe", "", 0})},
	{"layer bomb", onLayer(same, item{tar.TypeReg, "a", "", 2 << 40})},
}
