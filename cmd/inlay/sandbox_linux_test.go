// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"inlay/cache"
	"inlay/resolve/sandbox"
)

// TestChooseKeeps shows that what was found to isolate commands is not tried
// again, and that another name is another question.
func TestChooseKeeps(t *testing.T) {
	dir, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := choose(t.Context(), dir, "")
	if err != nil {
		t.Skipf("no command can be isolated here: %v", err)
	}
	kept := *r
	kept.Why = "it is kept"
	b, err := kept.Memory()
	if err != nil {
		t.Fatal(err)
	}
	if err := values(dir, cache.Resolutions).Put(circumstances(dir, "sandbox", ""), b); err != nil {
		t.Fatal(err)
	}
	if again, err := choose(t.Context(), dir, ""); err != nil || again.Why != kept.Why || again.Owners != r.Owners {
		t.Errorf("choose = %+v, %v, want what is kept: %+v", again, err, kept)
	}
	if other, err := choose(t.Context(), dir, r.Name); err != nil || other.Why != r.Why {
		t.Errorf("choose(%q) = %+v, %v, want what is found: %+v", r.Name, other, err, r)
	}
	for _, damaged := range []string{"", "{}", "x"} {
		if err := values(dir, cache.Resolutions).Put(circumstances(dir, "sandbox", ""), []byte(damaged)); err != nil {
			t.Fatal(err)
		}
		if again, err := choose(t.Context(), dir, ""); err != nil || again.Why != r.Why {
			t.Errorf("where %q is kept choose = %+v, %v, want %+v", damaged, again, err, r)
		}
	}
	if sandbox.Circumstances(dir.Path(cache.Trees)) == "" {
		t.Error("there are no circumstances")
	}
}
