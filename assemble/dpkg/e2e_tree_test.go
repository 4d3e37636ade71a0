// SPDX-License-Identifier: Apache-2.0

package dpkg_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A node is what a tree has at a path.
type node struct {
	Mode     fs.FileMode
	UID, GID uint32
	Link     string
	Digest   string
	Body     string // of small text files
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
					if k, _ := unix.Getxattr(p, "security.capability", xattr); k > 0 {
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
func compareTrees(t *testing.T, want, got map[string]node, differences []difference) (bad, allowed int) {
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
		if mayDiffer(differences, p, w, g) {
			allowed++
			continue
		}
		bad++
		if bad <= 60 {
			t.Errorf("%s: the reference has %s, we left %s", p, describe(w, inWant), describe(g, inGot))
			if inWant && inGot && w.Body != "" && g.Body != "" {
				t.Errorf("its content (-reference +ours):\n%s", cmp.Diff(strings.Split(w.Body, "\n"), strings.Split(g.Body, "\n")))
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

func mayDiffer(differences []difference, p string, want, got node) bool {
	for _, d := range differences {
		if regexp.MustCompile("^(?:"+d.path+")$").MatchString(p) && (d.same == nil || d.same(want, got)) {
			return true
		}
	}
	return false
}

// A difference is one that is allowed.
type difference struct {
	path, reason string
	same         func(apt, ours node) bool // nil: whatever the difference is
}

// differences lists how our tree may differ from the one apt-get leaves, and
// why. A path matches a pattern as a whole.
var differences = []difference{
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
