// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"inlay/layers"
	"inlay/resolve/sandbox"
)

// epoch is the time of what commands of these tests make.
const epoch = 1_600_000_000

// capable is the value of security.capability for cap_net_raw=ep.
const capable = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// change changes the layer that giveAway made, in all ways that there are.
func change([]string) int {
	old := time.Unix(1_500_000_000, 0)
	return status(errors.Join(
		os.WriteFile("/etc/kept", []byte("changed"), 0o644),
		os.WriteFile("/etc/new", []byte("new"), 0o600), os.Chown("/etc/new", 33, 44),
		os.Remove("/etc/gone"),
		os.RemoveAll("/dir"), os.Mkdir("/dir", 0o755), os.WriteFile("/dir/c", nil, 0o644),
		os.Chtimes("/other/x", old, old), // no change: its content is the same
		os.Rename("/other/y", "/other/z"), os.Chtimes("/other/z", old, old),
		os.Symlink("nowhere", "/link"),
		os.MkdirAll("/made/empty", 0o700), os.Chmod("/made", 0o755|os.ModeSticky),
		os.WriteFile("/made/one", []byte("twice"), 0o644), os.Link("/made/one", "/made/two"),
		os.WriteFile("/made/setuid", nil, 0o644), os.Chmod("/made/setuid", 0o755|os.ModeSetuid),
		os.WriteFile("/made/cap", nil, 0o755), unix.Setxattr("/made/cap", "security.capability", []byte(capable), 0),
		os.WriteFile("/made/attribute", nil, 0o644), unix.Setxattr("/made/attribute", "user.x", []byte("y"), 0),
		syscall.Mkfifo("/made/pipe", 0o644),
		os.Remove("/turn/dir/in"), os.Remove("/turn/dir"), os.WriteFile("/turn/dir", nil, 0o644),
		os.Remove("/turn/file"), os.Mkdir("/turn/file", 0o755), os.WriteFile("/turn/file/in", nil, 0o644),
	))
}

// changed is what a layer says of change.
const changed = `
dir 755 0:0 dir/
file 644 0:0 dir/.wh.a
file 644 0:0 dir/.wh.b
file 644 0:0 dir/c ""
dir 755 0:0 etc/
file 644 0:0 etc/.wh.gone
file 644 7:8 etc/kept "changed"
file 600 33:44 etc/new "new"
symlink 777 0:0 link -> nowhere
dir 1755 0:0 made/
file 644 0:0 made/attribute ""
file 755 0:0 made/cap "" capable
dir 700 0:0 made/empty/
file 644 0:0 made/one "twice"
file 4755 0:0 made/setuid ""
link 644 0:0 made/two -> made/one
dir 755 0:0 other/
file 644 0:0 other/.wh.y
file 644 0:0 other/z "y" of 1500000000
dir 755 0:0 turn/
file 644 0:0 turn/dir ""
dir 755 0:0 turn/file/
file 644 0:0 turn/file/in ""
`

// TestDiff shows that every rung finds the same changes, and writes the same
// bytes where it has the same ids.
func TestDiff(t *testing.T) {
	digests := map[string][]string{}
	eachRung(t, func(t *testing.T, b box) {
		root := b.root(t)
		layer, digest := b.changes(t, root)
		want := changed
		oneID := strings.HasSuffix(b.Owners, "-one")
		if oneID {
			want = strings.NewReplacer(" 7:8 ", " 0:0 ", " 33:44 ", " 0:0 ").Replace(want)
		}
		if diff := cmp.Diff(strings.TrimSpace(want), list(t, layer)); diff != "" {
			t.Errorf("the layer (-want +got):\n%s", diff)
		}
		key := fmt.Sprint("one id: ", oneID)
		digests[key] = append(digests[key], digest)
		for _, d := range digests[key] {
			if d != digest {
				t.Errorf("the layer has the digest %s, that of another rung %s", digest, d)
			}
		}
		if other := os.Getenv(rootsDigest); other != "" && other != digest {
			t.Errorf("the layer has the digest %s, where there are namespaces %s", digest, other)
		}
	})
}

// rootsDigest is the variable with the digest of the layer that root's own rung
// makes of change.
const rootsDigest = "INLAY_TEST_DIGEST"

// digestOfRoot returns it, or "" where that rung doesn't work.
func digestOfRoot(t *testing.T) string {
	t.Helper()
	r, err := sandbox.Choose(t.Context(), openDir(t), sandbox.RungRoot)
	if err != nil {
		t.Log(err)
		return ""
	}
	b := newBox(t, *r)
	_, digest := b.changes(t, b.root(t))
	return digest
}

// changes runs change on root and returns the layer of it and its digest.
func (b box) changes(t *testing.T, root sandbox.Root) (io.Reader, string) {
	t.Helper()
	mounts := []sandbox.Mount{
		{Target: "/run/secrets/token", Content: []byte("secret")},
		{Target: "/mnt/tmp", Tmpfs: true},
		{Target: "/etc/kept.d/x", Content: []byte("x")},
	}
	if out, res := b.act(t, sandbox.Command{Root: root, Mounts: mounts, Dir: "/work"}, "change"); res.Exit != 0 {
		t.Fatalf("change: %s", out)
	}
	var layer bytes.Buffer
	w := layers.NewWriter(&layer, layers.Options{ModTime: time.Unix(epoch, 0)})
	if err := b.Diff(t.Context(), root, epoch, w); err != nil {
		t.Fatalf("Diff: %v", err)
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return &layer, sum.Digest.String()
}

// list prints a layer.
func list(t *testing.T, layer io.Reader) string {
	t.Helper()
	r, err := layers.Uncompress(layer)
	if err != nil {
		t.Fatal(err)
	}
	types := map[byte]string{tar.TypeReg: "file", tar.TypeDir: "dir", tar.TypeSymlink: "symlink", tar.TypeLink: "link"}
	var lines []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(lines, "\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%s %o %d:%d %s", types[h.Typeflag], h.Mode, h.Uid, h.Gid, h.Name)
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		} else if h.Typeflag == tar.TypeReg && !strings.Contains(h.Name, ".wh.") {
			line += fmt.Sprintf(" %q", content)
		}
		if h.PAXRecords["SCHILY.xattr.security.capability"] == capable {
			line += " capable"
		}
		if h.ModTime.Unix() != epoch {
			line += fmt.Sprintf(" of %d", h.ModTime.Unix())
		}
		lines = append(lines, line)
	}
}

// What odd makes: a long path, names that are no UTF-8, on both ends of a link, and a
// file that no pipe holds.
var (
	oddDir    = strings.Repeat(strings.Repeat("d", 200)+"/", 17)
	oddName   = "a\xff\n\"b"
	oddTarget = strings.Repeat("t\xfe", 2047)
	oddSize   = 3<<20 + 1
)

func odd([]string) int {
	return status(errors.Join(
		os.MkdirAll("/"+oddDir, 0o755), os.WriteFile("/"+oddDir+"f", []byte("deep"), 0o644),
		os.Link("/"+oddDir+"f", "/"+oddDir+"g"),
		os.WriteFile("/"+oddName, bytes.Repeat([]byte("\n"), oddSize), 0o644),
		os.Symlink(oddTarget, "/link"),
	))
}

// A notebook writes down the changes it is given, and leaves unread of the content
// of a file what is beyond reads.
type notebook struct {
	reads int64
	lines []string
}

func (n *notebook) Add(e layers.Entry, body io.Reader) error {
	if e.Mode.IsDir() {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(body, n.reads))
	n.lines = append(n.lines, fmt.Sprintf("%q -> %q %d: %d, %d lines", e.Path, e.Link, e.Size, len(content), bytes.Count(content, []byte("\n"))))
	return err
}

func (n *notebook) Link(e layers.Entry, target string) error {
	n.lines = append(n.lines, fmt.Sprintf("%q is %q", e.Path, target))
	return nil
}

func (n *notebook) Remove(path string) error {
	n.lines = append(n.lines, fmt.Sprintf("no %q", path))
	return nil
}

// TestDiffOdd shows that names and contents come as they are, whatever they are,
// and that content is never taken for the next change.
func TestDiffOdd(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		root := b.root(t)
		if out, res := b.act(t, sandbox.Command{Root: root}, "odd"); res.Exit != 0 {
			t.Fatalf("odd: %s", out)
		}
		want := []string{
			fmt.Sprintf("%q -> \"\" %d: %d, %d lines", oddName, oddSize, oddSize, oddSize),
			fmt.Sprintf("%q -> \"\" 4: 4, 0 lines", oddDir+"f"),
			fmt.Sprintf("%q is %q", oddDir+"g", oddDir+"f"),
			fmt.Sprintf("\"link\" -> %q 0: 0, 0 lines", oddTarget),
		}
		got := &notebook{reads: 1 << 62}
		if err := b.Diff(t.Context(), root, epoch, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.lines); diff != "" {
			t.Errorf("the changes (-want +got):\n%s", diff)
		}
		if err := b.Diff(t.Context(), root, epoch, &notebook{reads: int64(oddSize) - 1}); err == nil || !strings.Contains(err.Error(), "left over") {
			t.Errorf("where a byte is not read, Diff = %v", err)
		}
	})
}

// TestLower shows that a later command sees what an earlier one changed, below
// changes of its own, and that only those are its layer.
func TestLower(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		first := b.root(t)
		if out, res := b.act(t, sandbox.Command{Root: first}, "change"); res.Exit != 0 {
			t.Fatalf("change: %s", out)
		}
		second := sandbox.Root{Lower: b.Lower(first), Scratch: b.scratch(t)}
		out, res := b.act(t, sandbox.Command{Root: second}, "sh", `exists /etc/new`, `absent /etc/gone`, `absent /dir/a`, `exists /dir/c`, `remove /etc/new`, `write /dir/a`)
		if res.Exit != 0 {
			t.Fatalf("the second command: %s", out)
		}
		var layer bytes.Buffer
		w := layers.NewWriter(&layer, layers.Options{ModTime: time.Unix(epoch, 0)})
		if err := b.Diff(t.Context(), second, epoch, w); err != nil {
			t.Fatalf("Diff: %v", err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		want := "dir 755 0:0 dir/\nfile 644 0:0 dir/a \"\"\ndir 755 0:0 etc/\nfile 644 0:0 etc/.wh.new"
		if diff := cmp.Diff(want, list(t, &layer)); diff != "" {
			t.Errorf("the layer of the second command (-want +got):\n%s", diff)
		}
	})
}

// TestNothingChanged shows that a command that changes nothing leaves an empty
// layer, whatever was mounted for it.
func TestNothingChanged(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		root := b.root(t)
		b.act(t, sandbox.Command{Root: root, Dir: "/a/b", Mounts: []sandbox.Mount{{Target: "/c/d", Content: []byte{1}}}}, "echo")
		var layer bytes.Buffer
		w := layers.NewWriter(&layer, layers.Options{ModTime: time.Unix(epoch, 0)})
		if err := b.Diff(t.Context(), root, epoch, w); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := list(t, &layer); got != "" {
			t.Errorf("the layer has\n%s", got)
		}
	})
}

// sh does what its arguments say, until one is not so.
func sh(lines []string) int {
	for _, line := range lines {
		verb, p, _ := strings.Cut(line, " ")
		_, err := os.Lstat(p)
		switch {
		case verb == "absent" && err == nil:
			err = errors.New("it is there")
		case verb == "absent":
			err = nil
		case verb == "rename":
			from, to, _ := strings.Cut(p, " ")
			err = os.Rename(from, to)
		case verb == "remove":
			err = os.Remove(p)
		case verb == "write":
			err = os.WriteFile(p, nil, 0o644)
		}
		if err != nil {
			fmt.Printf("%s: %v\n", line, err)
			return 1
		}
	}
	return 0
}
