// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"testing"

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
