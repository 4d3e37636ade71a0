// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"cmp"
	"crypto/sha256"
	"math/bits"
	"slices"
)

// An Item is something that a layer can hold together with others: a wheel.
type Item struct {
	Name string // normalised name of the distribution, without version
	Size int64  // bytes of the wheel
}

const (
	aloneFrom  = 2_000_000 // bytes from which on an item may have its own layer
	mostAlone  = 48
	mostShared = 16 // layers that the others share, by name; a power of two
)

// Group says which items go into which layer: for each of at most limit layers
// the indexes of its items, which are at least one. A limit below 1 counts as 1.
//
// Items of at least 2 MB have a layer of their own, at most the 48 largest; the
// others share 16, chosen by name. So a new version of one moves few bytes, and
// the layers of all others stay as they are. With fewer than 64 layers only the
// limit-16 largest have their own; with 16 or fewer, half of the layers, rounded
// down to a power of two, are shared. The rule needs no memory of builds before:
// equal items are grouped alike, whatever their order.
//
// Layers of a single large item come first, by name, then the shared ones, by
// number; items in a layer stand by name.
func Group(items []Item, limit int) [][]int {
	alone, shared := split(max(limit, 1))
	bySize := make([]int, len(items))
	for i := range bySize {
		bySize[i] = i
	}
	byName := func(a, b int) int { return cmp.Compare(items[a].Name, items[b].Name) }
	slices.SortStableFunc(bySize, func(a, b int) int {
		return cmp.Or(cmp.Compare(items[b].Size, items[a].Size), byName(a, b))
	})
	large := 0
	for large < min(alone, len(items)) && items[bySize[large]].Size >= aloneFrom {
		large++
	}
	own, rest := bySize[:large], bySize[large:]
	slices.SortStableFunc(own, byName)
	slices.SortStableFunc(rest, byName)

	groups := make([][]int, large+shared)
	for i, item := range own {
		groups[i] = []int{item}
	}
	for _, item := range rest {
		b := large + bucket(items[item].Name, shared)
		groups[b] = append(groups[b], item)
	}
	return slices.DeleteFunc(groups, func(g []int) bool { return len(g) == 0 })
}

// split divides a number of layers into those for one item and those for many.
func split(limit int) (alone, shared int) {
	shared = mostShared
	if limit <= mostShared {
		shared = max(1<<bits.Len(uint(limit))>>2, 1)
	}
	return min(limit-shared, mostAlone), shared
}

// bucket returns which of n layers, a power of two, a name belongs to.
func bucket(name string, n int) int {
	sum := sha256.Sum256([]byte(name))
	return int(sum[len(sum)-1]) & (n - 1)
}
