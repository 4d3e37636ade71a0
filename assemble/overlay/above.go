// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"path"
	"slices"
	"strings"
)

// above returns what a layer of t says on top of layers of the trees below: files
// that these have as they are in t are left out, and what they have and t has not
// is removed.
func (t *Tree) above(changes []change, below []*Tree) ([]change, error) {
	if len(below) == 0 {
		return changes, nil
	}
	there, err := filesOf(below)
	if err != nil {
		return nil, err
	}
	names := map[*node]int{}
	for _, c := range changes {
		names[c.node]++
	}
	changes = slices.DeleteFunc(changes, func(c change) bool {
		return !c.removed && names[c.node] == 1 && isSame(c.node, there[c.path])
	})
	said := map[string]bool{}
	for _, c := range changes {
		said[c.path] = true
	}
	for p := range there {
		if changes, err = t.hide(changes, p, said); err != nil {
			return nil, err
		}
	}
	inOrder(changes)
	return changes, nil
}

// filesOf returns the files that layers of trees have, the last tree on top.
func filesOf(trees []*Tree) (map[string]*node, error) {
	there := map[string]*node{}
	for _, b := range trees {
		changes, err := b.changes()
		if err != nil {
			return nil, err
		}
		for _, c := range changes {
			if !c.removed && !c.node.isDir() {
				there[c.path] = c.node
			}
		}
	}
	return there, nil
}

// isSame reports whether two nodes are one file, or equal ones.
func isSame(a, b *node) bool {
	return b != nil && a.File == b.File && a.Mode.IsRegular() && a.body != nil && a.body == b.body
}

// hide adds the removal of p, which a layer below has, if it isn't in t any more:
// of that directory on the way to it that is missing, where one is. What lies
// behind something else than a directory is hidden by that.
func (t *Tree) hide(changes []change, p string, said map[string]bool) ([]change, error) {
	var way []change
	at, n := ".", t.root
	for elem := range strings.SplitSeq(p, "/") {
		if !n.isDir() {
			return changes, nil
		}
		if err := t.load(n); err != nil {
			return nil, err
		}
		way = append(way, change{path: at, node: n})
		at = path.Join(at, elem)
		if n = n.children[elem]; n == nil {
			way = append(way, change{path: at, removed: true})
			break
		}
	}
	if n != nil {
		return changes, nil // what is there says what it is itself
	}
	for _, c := range way[1:] {
		if !said[c.path] {
			said[c.path] = true
			changes = append(changes, c)
		}
	}
	return changes, nil
}
