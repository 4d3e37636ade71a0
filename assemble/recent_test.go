// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/assemble"
	"inlay/cache"
	"inlay/cache/disk"
	"inlay/resolve/plan"
)

// asked is a cache that counts the entries it reads.
type asked struct {
	assemble.Cache
	gets int
}

func (a *asked) Get(ctx context.Context, key cache.Key) (v1.Layer, error) {
	a.gets++
	return a.Cache.Get(ctx, key)
}

// TestRecent finds the layers of the last build of an image, and asks the cache for
// the others and for what it has lost.
func TestRecent(t *testing.T) {
	installed, open := wheel(t, plan.Base{})
	moved := installed
	moved.Python = new(*installed.Python)
	moved.Python.Base = plan.Base{Links: []plan.Link{{Path: "/usr/share", Target: "/srv/share"}}}
	zstd := files("a")
	zstd.Compression = plan.Zstd
	whole := demo(installed, files("a"))
	tests := []struct {
		name   string
		now    plan.Plan
		lose   string // files of the cache
		gets   int
		reused []bool
	}{
		{"the same", whole, "", 0, []bool{true, true}},
		{"in another order", demo(files("a"), installed), "", 0, []bool{true, true}},
		{"another file", demo(installed, files("b")), "", 1, []bool{true, false}},
		{"compressed otherwise", demo(installed, zstd), "", 1, []bool{true, false}},
		{"on another parent", demo(moved, files("a")), "", 1, []bool{false, true}},
		{"without its bytes", whole, "layers/blobs/sha256/*", 2, []bool{false, false}},
		{"without its entries", whole, "layers/keys/*", 2, []bool{false, false}},
		{"without what is known of the wheels", whole, "inventories/dirs-*", 0, []bool{false, true}},
		{"without the value", whole, "inventories/recent-*", 2, []bool{true, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			o := options(t, dir)
			o.Tools.Wheel = open
			counts := &asked{Cache: o.Cache}
			gets := 0
			build := func(p plan.Plan) *assemble.Result {
				var err error
				counts.gets, o.Cache = 0, counts
				o.Recent = assemble.Recall(o.Dirs, "app")
				if o.Foreseen, err = foresee(t, p, nil, o); err != nil {
					t.Fatal(err)
				}
				gets = counts.gets
				r, err := assemble.Build(t.Context(), p, o)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			build(whole)
			lose(t, filepath.Join(dir, tt.lose))
			r := build(tt.now)
			var reused []bool
			for _, l := range r.Layers {
				reused = append(reused, l.Reused)
			}
			if gets != tt.gets || !slices.Equal(reused, tt.reused) {
				t.Errorf("%d entries are read and %v reused, want %d and %v", gets, reused, tt.gets, tt.reused)
			}
			if anew, err := assemble.Build(t.Context(), tt.now, wholly(o)); err != nil || anew.Digest != r.Digest {
				t.Errorf("made anew the image is another, %v", err)
			}
		})
	}
}

// wholly returns options that make all layers.
func wholly(o assemble.Options) assemble.Options {
	o.Anew, o.Recent, o.Foreseen = true, nil, nil
	return o
}

// lose removes the files that a pattern names, "" of a directory none.
func lose(t *testing.T, pattern string) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecentOfCommands holds that what commands make has no part in it: which of
// their layers counts, the cache says.
func TestRecentOfCommands(t *testing.T) {
	o := options(t, t.TempDir())
	o.Recent = assemble.Recall(o.Dirs, "app")
	p := demo(plan.Step{Name: "apt", Apt: &plan.Apt{}}, files("a"))
	if _, err := assemble.Build(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	counts := &asked{Cache: o.Cache}
	o.Cache = counts
	o.Recent = assemble.Recall(o.Dirs, "app")
	forecast, err := foresee(t, p, nil, o)
	if err != nil || counts.gets != 1 || forecast[0].Layer == nil || forecast[1].Layer == nil {
		t.Errorf("Foresee = %+v, %v, and reads %d entries, want both layers and that of the packages read", forecast, err, counts.gets)
	}
}

// unreadable are values that nobody may read.
type unreadable struct{ assemble.Values }

func (unreadable) Get(string) ([]byte, error) { return nil, fs.ErrPermission }

// TestRecentUnreadable goes without what can't be read.
func TestRecentUnreadable(t *testing.T) {
	o := options(t, t.TempDir())
	o.Recent = assemble.Recall(o.Dirs, "app")
	if _, err := assemble.Build(t.Context(), demo(files("a")), o); err != nil {
		t.Fatal(err)
	}
	o.Recent = assemble.Recall(unreadable{o.Dirs}, "app")
	counts := &asked{Cache: o.Cache}
	o.Cache = counts
	if got, err := foresee(t, demo(files("a")), nil, o); err != nil || counts.gets != 1 || got[0].Layer == nil {
		t.Errorf("Foresee = %+v, %v, and reads %d entries, want the layer as the cache has it", got, err, counts.gets)
	}
}

// TestRecentDamaged reads values that no build wrote.
func TestRecentDamaged(t *testing.T) {
	for _, text := range []string{"", "x", "a b c d e f g\n", "\n\n", "00 00 - sha256:00 sha256:00 1 x\n", strings.Repeat("0", 66) + " 00 - sha256:00 sha256:00 1 x\n"} {
		o := options(t, t.TempDir())
		o.Recent = assemble.Recall(o.Dirs, "app")
		if _, err := assemble.Build(t.Context(), demo(files("a")), o); err != nil {
			t.Fatal(err)
		}
		values := o.Dirs.(disk.Values) //nolint:forcetypeassert // those of options
		names, err := filepath.Glob(filepath.Join(values.Dir, "recent-*"))
		if err != nil || len(names) != 1 {
			t.Fatalf("there are %v, %v, want one value", names, err)
		}
		if err := values.Put(filepath.Base(names[0]), []byte(text)); err != nil {
			t.Fatal(err)
		}
		o.Recent = assemble.Recall(o.Dirs, "app")
		if got, err := foresee(t, demo(files("a")), nil, o); err != nil || got[0].Layer == nil {
			t.Errorf("with %q Foresee = %+v, %v, want the layer as the cache has it", text, got, err)
		}
	}
}
