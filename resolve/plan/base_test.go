// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
)

func TestBase(t *testing.T) {
	b := plan.Base{Links: []plan.Link{
		{Path: "/bin", Target: "/usr/bin"},
		{Path: "/loop", Target: "/loop/loop"},
		{Path: "/usr/local/man", Target: "/usr/local/share/man"},
		{Path: "/usr/local/share/man", Target: "/srv/man"},
	}}
	tests := []struct{ path, resolve, place string }{
		{"/usr/bin/x", "/usr/bin/x", "/usr/bin/x"},
		{"/bin/x", "/usr/bin/x", "/usr/bin/x"},
		{"/binary/x", "/binary/x", "/binary/x"},
		{"/bin", "/usr/bin", "/bin"},
		{"/usr/local/man/man1/x.1", "/srv/man/man1/x.1", "/srv/man/man1/x.1"},
		{"/usr/local/man", "/srv/man", "/usr/local/man"},
		{"/", "/", "/"},
	}
	for _, tt := range tests {
		if got := b.Resolve(tt.path); got != tt.resolve {
			t.Errorf("Resolve(%s) = %s, want %s", tt.path, got, tt.resolve)
		}
		if got := b.Place(tt.path); got != tt.place {
			t.Errorf("Place(%s) = %s, want %s", tt.path, got, tt.place)
		}
	}
	b.Resolve("/loop/x") // ends
}

func TestBaseFor(t *testing.T) {
	b := plan.Base{
		Links: []plan.Link{{Path: "/bin", Target: "/usr/bin"}, {Path: "/lib", Target: "/usr/lib"}, {Path: "/usr/lib/p/x", Target: "/srv"}, {Path: "/usr/man", Target: "/usr/share/man"}},
		Dirs:  []plan.Dir{{Path: "/srv"}, {Path: "/usr"}, {Path: "/usr/lib/p/b"}, {Path: "/usr/share/fonts"}, {Path: "/usr/share/man"}},
	}
	tests := []struct {
		name        string
		trees, dirs []string
		links       []string
		want        []string
	}{
		{"nothing", nil, nil, nil, nil},
		{"a directory", nil, []string{"/usr/share/man/man1"}, nil, []string{"/usr", "/usr/share/man"}},
		{"a directory behind a link", nil, []string{"/usr/man/man1"}, []string{"/usr/man"}, []string{"/usr", "/usr/share/man"}},
		{"a tree behind a link", []string{"/lib/p"}, nil, []string{"/lib", "/usr/lib/p/x"}, []string{"/srv", "/usr", "/usr/lib/p/b"}},
		{"a directory nobody knows", nil, []string{"/opt/x"}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.For(tt.trees, tt.dirs)
			var links, dirs []string
			for _, l := range got.Links {
				links = append(links, l.Path)
			}
			for _, d := range got.Dirs {
				dirs = append(dirs, d.Path)
			}
			if diff := cmp.Diff(tt.links, links); diff != "" {
				t.Errorf("the links (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, dirs); diff != "" {
				t.Errorf("the directories (-want +got):\n%s", diff)
			}
		})
	}
}
