// SPDX-License-Identifier: Apache-2.0

package overlay_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/overlay"
	"inlay/layers"
)

// image returns the tree of one layer. Names that end in "/" are directories,
// those with " -> " links, and bodies are kept except that of "usr/bin/big".
func image(t *testing.T, names ...string) *layers.View {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, n := range names {
		name, link, isLink := strings.Cut(n, " -> ")
		h := &tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(name))}
		switch {
		case isLink:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, link, 0
		case strings.HasSuffix(name, "/"):
			h.Typeflag, h.Mode, h.Size = tar.TypeDir, 0o750, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			_, _ = io.WriteString(w, name)
		}
	}
	_ = w.Close()
	ix, err := layers.Scan(t.Context(), &buf, func(e layers.Entry) func(io.Reader) ([]byte, error) {
		if e.Path == "usr/bin/big" {
			return nil
		}
		return io.ReadAll
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := layers.Stack(ix)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func base(t *testing.T) *layers.View {
	return image(t, "usr/", "usr/bin/", "usr/bin/sh", "usr/bin/big", "bin -> usr/bin", "etc/", "etc/passwd", "etc/old/", "etc/old/a", "etc/old/b",
		"loop -> loop", "out -> ../../../../etc", "var/", "var/run -> /run", "run/")
}

// layer returns a line for each entry that the tree writes.
func layer(t *testing.T, tree *overlay.Tree) []string {
	t.Helper()
	var buf bytes.Buffer
	w := layers.NewWriter(&buf, layers.Options{})
	if err := tree.Write(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(&buf)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(tr)
		line := fmt.Sprintf("%c %04o %s", h.Typeflag, h.Mode, h.Name)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if len(b) > 0 {
			line += fmt.Sprintf(" %q", b)
		}
		if c := h.PAXRecords["SCHILY.xattr.security.capability"]; c != "" {
			line += fmt.Sprintf(" cap %q", c)
		}
		out = append(out, line)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWrite(t *testing.T) {
	tests := []struct {
		name string
		edit func(*testing.T, *overlay.Tree)
		want []string
	}{
		{"nothing", func(*testing.T, *overlay.Tree) {}, []string{}},
		{"through a link", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.WriteFile("/bin/new", []byte("x"), 0o755))
		}, []string{"5 0750 usr/", "5 0750 usr/bin/", `0 0755 usr/bin/new "x"`}},
		{"the content of a link's target", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.Symlink("/etc/passwd", "/bin/p"))
			check(t, tree.WriteFile("/bin/p", []byte("x"), 0o600))
		}, []string{"5 0750 etc/", "5 0750 usr/", "5 0750 usr/bin/", `0 0644 etc/passwd "x"`, "2 0777 usr/bin/p -> /etc/passwd"}},
		{"to and fro", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.WriteFile("/etc/passwd", []byte("x"), 0o644))
			check(t, tree.WriteFile("/etc/passwd", []byte("etc/passwd"), 0o644))
			check(t, tree.Chmod("/etc", 0o700))
			check(t, tree.Chmod("/etc", 0o750))
			check(t, tree.WriteFile("/etc/new", nil, 0o644))
			check(t, tree.Remove("/etc/new"))
		}, []string{}},
		{"removal", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.RemoveAll("/etc/old"))
		}, []string{"5 0750 etc/", "0 0644 etc/.wh.old"}},
		{"a directory anew", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.RemoveAll("/etc/old"))
			check(t, tree.Mkdir("/etc/old", overlay.File{Mode: 0o700}))
			check(t, tree.WriteFile("/etc/old/a", []byte("x"), 0o644))
		}, []string{"5 0750 etc/", "5 0700 etc/old/", "0 0644 etc/old/.wh.b", `0 0644 etc/old/a "x"`}},
		{"a directory becomes a link", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.RemoveAll("/etc/old"))
			check(t, tree.Symlink("new", "/etc/old"))
		}, []string{"5 0750 etc/", "2 0777 etc/old -> new"}},
		{"renaming", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.Rename("/etc/old", "/etc/new"))
		}, []string{"5 0750 etc/", "5 0750 etc/new/", "0 0644 etc/.wh.old", `0 0644 etc/new/a "etc/old/a"`, `0 0644 etc/new/b "etc/old/b"`}},
		{"hard links", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.Put("/etc/b", overlay.File{Mode: 0o600, Size: 1}, strings.NewReader("x")))
			check(t, tree.Put("/etc/a", overlay.File{Mode: 0o600, Size: 1}, strings.NewReader("y")))
			check(t, tree.Link("/etc/b", "/etc/c"))
			check(t, tree.Chmod("/etc/c", 0o640))
		}, []string{"5 0750 etc/", `0 0640 etc/b "x"`, "1 0640 etc/c -> etc/b", `0 0600 etc/a "y"`}},
		{"capabilities", func(t *testing.T, tree *overlay.Tree) {
			check(t, tree.WriteFile("/etc/ping", nil, 0o755))
			check(t, tree.SetCapability("/etc/ping", "\x01\x02"))
		}, []string{"5 0750 etc/", `0 0755 etc/ping cap "\x01\x02"`}},
		{"rolled back", func(t *testing.T, tree *overlay.Tree) {
			tree.Begin()
			check(t, tree.RemoveAll("/etc/old"))
			check(t, tree.WriteFile("/etc/passwd", []byte("x"), 0o644))
			check(t, tree.Rename("/usr/bin", "/usr/lib"))
			check(t, tree.Chmod("/usr", 0o700))
			check(t, tree.MkdirAll("/a/b/c", 0o755))
			tree.Rollback()
		}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := overlay.New(base(t))
			tt.edit(t, tree)
			if diff := cmp.Diff(tt.want, layer(t, tree)); diff != "" {
				t.Errorf("the layer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	tree := overlay.New(base(t))
	var notKept *overlay.NotKeptError
	_, err := tree.ReadFile("/bin/big")
	if !errors.As(err, &notKept) {
		t.Errorf("ReadFile of a file that isn't at hand = %v, want a *NotKeptError", err)
	}
	if err := tree.Chmod("/bin/big", 0o755); !errors.As(err, &notKept) {
		t.Errorf("Chmod of a file that isn't at hand = %v, want a *NotKeptError", err)
	}
	for name, tt := range map[string]struct{ got, want error }{
		"a loop":               {tree.WriteFile("/loop", nil, 0o644), overlay.ErrLoop},
		"a missing directory":  {tree.WriteFile("/no/x", nil, 0o644), fs.ErrNotExist},
		"a file as directory":  {tree.WriteFile("/etc/passwd/x", nil, 0o644), overlay.ErrNotDir},
		"a full directory":     {tree.Remove("/etc"), overlay.ErrNotEmpty},
		"put on a directory":   {tree.Put("/etc", overlay.File{}, nil), overlay.ErrNotEmpty},
		"what is there":        {tree.Mkdir("/etc", overlay.File{}), fs.ErrExist},
		"into itself":          {tree.Rename("/etc", "/etc/old/etc"), fs.ErrInvalid},
		"a link to a folder":   {tree.Link("/etc", "/x"), overlay.ErrIsDir},
		"a file over a folder": {tree.Rename("/etc/passwd", "/etc/old"), overlay.ErrIsDir},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
}

// TestLinksStayInside follows a link that climbs above the root.
func TestLinksStayInside(t *testing.T) {
	tree := overlay.New(base(t))
	for name, want := range map[string]string{"/out/passwd": "etc/passwd", "/var/run/x": "run/x", "../../etc": "etc", "/": ".", "/bin/../bin/sh": "usr/bin/sh"} {
		if got, err := tree.Resolve(name); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestEmptyImage(t *testing.T) {
	tree := overlay.New(nil)
	check(t, tree.MkdirAll("/usr/bin", 0o755))
	check(t, tree.Symlink("usr/bin", "/bin"))
	check(t, tree.WriteFile("/bin/sh", []byte("x"), 0o755))
	want := []string{"5 0755 usr/", "5 0755 usr/bin/", "2 0777 bin -> usr/bin", `0 0755 usr/bin/sh "x"`}
	if diff := cmp.Diff(want, layer(t, tree)); diff != "" {
		t.Errorf("the layer (-want +got):\n%s", diff)
	}
}
