// SPDX-License-Identifier: Apache-2.0

package changes_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"inlay/layers"
	"inlay/resolve/sandbox/changes"
)

// TestMarks reads layers whose marks are files, as they are where the kernel has
// no others.
func TestMarks(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{"below/gone", "below/dir/in", "below/dir/stays", "below/opaque/old", "above/.wh.gone", "above/dir/.wh.in", "above/opaque/.wh..wh..opq", "above/opaque/new"} {
		p = filepath.Join(dir, p)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	whole := filepath.Join(dir, "whole")
	if err := os.Mkdir(whole, 0o755); err != nil {
		t.Fatal(err)
	}
	stack := changes.Stack{filepath.Join(dir, "above"), filepath.Join(dir, "below")}
	if err := stack.Copy(whole); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := fs.WalkDir(os.DirFS(whole), ".", func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			got = append(got, p)
		}
		return err
	})
	if err != nil || !slices.Equal(got, []string{"dir/stays", "opaque/new"}) {
		t.Errorf("the copy holds %q, %v", got, err)
	}
	// A file of such a name that a command makes is no mark, unless the program
	// made it that refuses them to commands.
	if err := os.WriteFile(filepath.Join(whole, "dir/.wh.stays"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for fuse, want := range map[bool]string{false: "+dir +dir/.wh.stays", true: ""} {
		var w list
		if err := (changes.Comparison{Lower: stack, Upper: whole, Copy: true, Fuse: fuse}).Write(&w); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(w, " "); got != want {
			t.Errorf("with marks of a program %v the changes are %q, want %q", fuse, got, want)
		}
	}
}

// A list takes the names of changes.
type list []string

func (l *list) Add(e layers.Entry, _ io.Reader) error {
	*l = append(*l, "+"+e.Path)
	return nil
}

func (l *list) Link(e layers.Entry, _ string) error {
	*l = append(*l, "="+e.Path)
	return nil
}

func (l *list) Remove(p string) error {
	*l = append(*l, "-"+p)
	return nil
}
