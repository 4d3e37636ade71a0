// SPDX-License-Identifier: Apache-2.0

package step_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb"
	"inlay/assemble/deb/debtest"
	"inlay/assemble/step"
	"inlay/layers"
	"inlay/resolve/plan"
)

// words returns text of a size that can be compressed, and differs by seed.
func words(seed uint64, size int) string {
	r := rand.New(rand.NewPCG(seed, 0))
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, "%d ", r.IntN(1000))
	}
	return b.String()[:size]
}

// TestAptContents writes files of all sizes, of which layers take some over as
// they are kept, and reads them back from either kind of layer.
func TestAptContents(t *testing.T) {
	want := map[string]string{}
	d := debtest.Deb{Name: "many", Files: []debtest.File{{Name: "./"}, {Name: "./srv/"}}}
	for i, size := range []int{0, 1, 100, 16<<10 - 1, 16 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20, 7, 15 << 10, 3<<20 + 5} {
		name := fmt.Sprintf("srv/%02d", i)
		want[name] = words(uint64(i), size)
		d.Files = append(d.Files, debtest.File{Name: "./" + name, Body: want[name]})
	}
	want["srv/hard"] = want["srv/08"]
	d.Files = append(d.Files, debtest.File{Name: "./srv/hard", Hard: "./srv/08"})
	dir := t.TempDir()
	s, tools := aptStep(t, dir, d)
	for _, compression := range []string{"", plan.Zstd} {
		s.Compression = compression
		var b bytes.Buffer
		if _, err := step.Write(t.Context(), &b, s, tools); err != nil {
			t.Fatal(err)
		}
		ix, err := layers.Scan(t.Context(), &b, func(layers.Entry) func(io.Reader) ([]byte, error) { return io.ReadAll })
		if err != nil {
			t.Fatal(err)
		}
		view, err := layers.Stack(ix)
		if err != nil {
			t.Fatal(err)
		}
		for name, body := range want {
			if got, err := fs.ReadFile(view, name); err != nil || string(got) != body {
				t.Errorf("compressed with %q, %s holds %d bytes, %v; want those %d of the package", compression, name, len(got), err, len(body))
			}
		}
	}
}

// TestAptDamage writes the layer of a package that was damaged in the store: that
// is told, and the next time it is unpacked anew.
func TestAptDamage(t *testing.T) {
	dir := t.TempDir()
	s, tools := aptStep(t, dir, debtest.Deb{Name: "many", Files: []debtest.File{{Name: "./"}, {Name: "./a", Body: words(1, 3<<20)}}})
	first, err := step.Write(t.Context(), io.Discard, s, tools)
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, strings.TrimPrefix(s.Apt.Debs[0].Digest, "sha256:"))
	b, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 0xff
	if err := os.Chmod(kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, b, 0o600); err != nil {
		t.Fatal(err)
	}
	tools.Debs = deb.NewStore(dir, 2)
	if _, err := step.Write(t.Context(), io.Discard, s, tools); err == nil || !strings.Contains(err.Error(), "reading the unpacked package many: it is damaged: build again") {
		t.Errorf("Write with a package that is damaged = %v", err)
	}
	if again, err := step.Write(t.Context(), io.Discard, s, tools); err != nil || again.Digest != first.Digest {
		t.Errorf("Write after that = %v, %v, want the layer %v", again.Digest, err, first.Digest)
	}
}

// TestAptParts holds that a layer of a package's large files, and the layer of the
// installation above it, leave the tree that one layer leaves, and that no large
// file is in both unless it has to be.
func TestAptParts(t *testing.T) {
	large := func(name string, seed uint64) debtest.File {
		return debtest.File{Name: "./" + name, Body: words(seed, 20<<10)}
	}
	files := []debtest.File{
		{Name: "./"},
		{Name: "./etc/"},
		large("etc/conf", 1),
		{Name: "./srv/"},
		large("srv/plain", 2), large("srv/changed", 3), large("srv/gone", 4),
		large("srv/moved", 5), large("srv/several", 6),
		{Name: "./srv/other", Hard: "./srv/several"},
		{Name: "./srv/small", Body: "small"},
		{Name: "./srv/away/"},
		large("srv/away/a", 7),
		{Name: "./srv/replaced/"},
		large("srv/replaced/b", 8), large("bin/tool", 9), large("old/kept", 10),
	}
	d := debtest.Deb{Name: "many", Files: files, Control: map[string]string{
		"conffiles": "/etc/conf\n",
		"postinst":  "#!/bin/sh\nset -e\nchmod 700 /srv/changed\nrm /srv/gone\nmv /srv/moved /srv/there\nrm -r /srv/away /srv/replaced\nln -s other /srv/replaced\n",
	}}
	s, tools := aptStep(t, t.TempDir(), d)
	made := func(apt plan.Apt) *layers.Index {
		var b bytes.Buffer
		w, err := step.Write(t.Context(), &b, plan.Step{Name: "x", Apt: &apt}, tools)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range w.Report {
			if strings.Contains(line, "NOT run") {
				t.Fatal(line)
			}
		}
		ix, err := layers.Scan(t.Context(), &b, func(layers.Entry) func(io.Reader) ([]byte, error) { return io.ReadAll })
		if err != nil {
			t.Fatal(err)
		}
		return ix
	}
	whole := *s.Apt
	part, above := whole, whole
	part.Part, above.Below = true, []string{whole.Debs[0].Digest}
	parent := aptParent(t)
	one, two := treeOf(t, parent, made(whole)), treeOf(t, parent, made(part), made(above))
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("two layers leave another tree (-one +two):\n%s", diff)
	}
	if len(one) < 20 || one["srv/there"] == "" || one["srv/gone"] != "" {
		t.Fatalf("the tree can't be right: %q", one)
	}
	upper := treeOf(t, made(above))
	for name, want := range map[string]bool{
		"srv/plain": false, "usr/bin/tool": false, "old/kept": false, "srv/small": true, "srv/changed": true, "srv/several": true, "srv/other": true, "etc/conf": true, "srv/there": true,
	} {
		if _, in := upper[name]; in != want {
			t.Errorf("%s in the upper layer: %v, want %v", name, in, want)
		}
	}
}

// treeOf describes the tree that layers make, by path.
func treeOf(t *testing.T, ixs ...*layers.Index) map[string]string {
	t.Helper()
	view, err := layers.Stack(ixs...)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	err = fs.WalkDir(view, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := view.Lstat(name)
		if err != nil {
			return err
		}
		e := info.Sys().(layers.Entry)
		sum := ""
		if info.Mode().IsRegular() {
			b, _ := view.Kept(name)
			sum = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		out[name] = fmt.Sprintf("%v %d:%d %d %s %s", e.Mode, e.UID, e.GID, e.Size, e.Link, sum)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// aptParent is the layer of a parent with dpkg and the programs of a script.
func aptParent(t *testing.T) *layers.Index {
	t.Helper()
	files := []debtest.File{
		{Name: "bin", Link: "usr/bin"},
		{Name: "usr/"},
		{Name: "usr/bin/"},
		{Name: "old/", Mode: 0o700},
		{Name: "var/"},
		{Name: "var/lib/"},
		{Name: "var/lib/dpkg/"},
		{Name: "var/lib/dpkg/info/"},
		{Name: "var/lib/dpkg/status"},
	}
	for _, name := range []string{"rm", "mv", "ln", "chmod"} {
		files = append(files, debtest.File{Name: "usr/bin/" + name, Body: "\x7fELF", Mode: 0o755})
	}
	ix, err := layers.Scan(t.Context(), bytes.NewReader(debtest.Tar(files)), step.Keep)
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

// aptStep is a step that installs a package, which is kept in dir.
func aptStep(t *testing.T, dir string, d debtest.Deb) (plan.Step, step.Tools) {
	t.Helper()
	ix, raw := aptParent(t), d.Bytes()
	sum := sha256.Sum256(raw)
	tools := step.Tools{
		Debs:   deb.NewStore(dir, 2),
		Parent: func(context.Context) (*layers.View, error) { return layers.Stack(ix) },
		Deb: func(context.Context, plan.Deb) (*os.File, error) {
			name := filepath.Join(t.TempDir(), "x.deb")
			if err := os.WriteFile(name, raw, 0o600); err != nil {
				return nil, err
			}
			return os.Open(name)
		},
	}
	return plan.Step{Name: d.Name, Apt: &plan.Apt{Scripts: "native", Debs: []plan.Deb{
		{Name: d.Name, Version: "1", Arch: "all", File: "x.deb", Digest: "sha256:" + hex.EncodeToString(sum[:])},
	}}}, tools
}
