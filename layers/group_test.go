// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/layers"
)

const mb = 1_000_000

// named returns Group's answer in names.
func named(items []layers.Item, limit int) [][]string {
	var out [][]string
	for _, g := range layers.Group(items, limit) {
		var names []string
		for _, i := range g {
			names = append(names, items[i].Name)
		}
		out = append(out, names)
	}
	return out
}

func TestGroup(t *testing.T) {
	// The last hex digits of the sha256 of the names: idna 1, attrs and scipy 2,
	// six 4, urllib3 5, certifi, click and pandas 6, torch 7, numpy and requests c.
	items := []layers.Item{
		{Name: "urllib3", Size: 1},
		{Name: "torch", Size: 500 * mb},
		{Name: "six", Size: 2*mb - 1},
		{Name: "requests", Size: 1},
		{Name: "numpy", Size: 2 * mb},
		{Name: "idna", Size: 1},
		{Name: "click", Size: 0},
		{Name: "certifi", Size: 1},
		{Name: "scipy", Size: 30 * mb},
		{Name: "attrs", Size: 1},
		{Name: "pandas", Size: 12 * mb},
	}
	all := [][]string{{"attrs", "certifi", "click", "idna", "numpy", "pandas", "requests", "scipy", "six", "torch", "urllib3"}}
	tests := []struct {
		limit int
		want  [][]string
	}{
		{64, [][]string{{"numpy"}, {"pandas"}, {"scipy"}, {"torch"}, {"idna"}, {"attrs"}, {"six"}, {"urllib3"}, {"certifi", "click"}, {"requests"}}},
		{1000, [][]string{{"numpy"}, {"pandas"}, {"scipy"}, {"torch"}, {"idna"}, {"attrs"}, {"six"}, {"urllib3"}, {"certifi", "click"}, {"requests"}}},
		{18, [][]string{{"scipy"}, {"torch"}, {"idna"}, {"attrs"}, {"six"}, {"urllib3"}, {"certifi", "click", "pandas"}, {"numpy", "requests"}}},
		{17, [][]string{{"torch"}, {"idna"}, {"attrs", "scipy"}, {"six"}, {"urllib3"}, {"certifi", "click", "pandas"}, {"numpy", "requests"}}},
		{16, [][]string{{"numpy"}, {"pandas"}, {"scipy"}, {"torch"}, {"idna"}, {"attrs"}, {"requests", "six"}, {"urllib3"}, {"certifi", "click"}}},
		{4, [][]string{{"scipy"}, {"torch"}, {"attrs", "certifi", "click", "numpy", "pandas", "requests", "six"}, {"idna", "urllib3"}}},
		{2, [][]string{{"torch"}, {"attrs", "certifi", "click", "idna", "numpy", "pandas", "requests", "scipy", "six", "urllib3"}}},
		{1, all},
		{0, all},
		{-5, all},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, named(items, tt.limit)); diff != "" {
			t.Errorf("Group with limit %d (-want +got):\n%s", tt.limit, diff)
		}
	}
	if got := layers.Group(nil, 64); len(got) != 0 {
		t.Errorf("Group of nothing = %v", got)
	}
}

// lock returns a lock of n wheels, every third of them large.
func lock(n int) []layers.Item {
	items := make([]layers.Item, n)
	for i := range items {
		items[i] = layers.Item{Name: fmt.Sprintf("dist-%d", i), Size: int64(i) * 1000}
		if i%3 == 0 {
			items[i].Size = 4*mb + int64(i/6)*mb // some of the same size
		}
	}
	return items
}

func TestGroupTakesEachItemOnce(t *testing.T) {
	items := lock(200)
	for limit := 1; limit <= 100; limit++ {
		got := layers.Group(items, limit)
		if len(got) > limit || len(got) > 64 {
			t.Errorf("Group with limit %d returned %d groups", limit, len(got))
		}
		seen := slices.Concat(got...)
		slices.Sort(seen)
		for i := range items {
			if i >= len(seen) || seen[i] != i {
				t.Fatalf("Group with limit %d holds the items %v", limit, seen)
			}
		}
		if slices.ContainsFunc(got, func(g []int) bool { return len(g) == 0 }) {
			t.Errorf("Group with limit %d returned an empty group", limit)
		}
	}
}

// How many of the large items have layers of their own: the largest.
func TestGroupLimits(t *testing.T) {
	items := lock(200)
	var large []int64
	for _, it := range items {
		if it.Size >= 4*mb {
			large = append(large, -it.Size)
		}
	}
	slices.Sort(large)
	for limit, want := range map[int]int{1000: 48, 64: 48, 63: 47, 40: 24, 32: 16, 20: 4, 17: 1, 16: 8, 15: 11, 8: 4, 4: 2, 3: 2, 2: 1, 1: 0} {
		got := []int64{}
		for _, g := range layers.Group(items, limit) {
			if len(g) == 1 && items[g[0]].Size >= 4*mb {
				got = append(got, -items[g[0]].Size)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(large[:want], got); diff != "" {
			t.Errorf("Group with limit %d gives layers of their own to others than the %d largest (-want +got):\n%s", limit, want, diff)
		}
	}
}

func TestGroupDoesNotDependOnOrder(t *testing.T) {
	items := lock(150)
	for _, limit := range []int{64, 40, 17, 9, 1} {
		want := named(items, limit)
		r := rand.New(rand.NewPCG(1, 2))
		for range 5 {
			shuffled := slices.Clone(items)
			r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if diff := cmp.Diff(want, named(shuffled, limit)); diff != "" {
				t.Fatalf("Group with limit %d depends on the order (-want +got):\n%s", limit, diff)
			}
		}
	}
}

// A new item or a new size touches no other layer than its own.
func TestGroupIsStable(t *testing.T) {
	items := lock(100) // 34 are large
	before := named(items, 64)
	after := named(append(slices.Clone(items), layers.Item{Name: "new", Size: 100}), 64)
	changed := 0
	for _, g := range after {
		if !slices.ContainsFunc(before, func(b []string) bool { return slices.Equal(b, g) }) {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("a new small item changes %d layers, want 1", changed)
	}
}
