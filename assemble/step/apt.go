// SPDX-License-Identifier: Apache-2.0

package step

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"inlay/assemble/deb"
	"inlay/assemble/dpkg"
	"inlay/assemble/overlay"
	"inlay/layers"
	"inlay/layers/leak"
	"inlay/resolve/plan"
)

// unpacking bounds the packages of one layer that are fetched and decompressed
// at a time. Large ones are decompressed in parts by themselves.
const unpacking = 4

// Keep says which files of the parent an Apt step has to have at hand.
func Keep(e layers.Entry) func(io.Reader) ([]byte, error) { return dpkg.Keep(e) }

// KeepForm grows when Keep keeps other files.
const KeepForm = dpkg.KeepForm

// epoch is the time of what an Apt step writes that comes from no package.
func epoch(created int64) time.Time {
	if created > packaged.Unix() {
		return time.Unix(created, 0)
	}
	return packaged
}

// packages installs the packages of a, and tells what was not done as dpkg
// would.
func (l *layer) packages(ctx context.Context, a plan.Apt) error {
	if len(a.Debs)+len(a.Gone) == 0 {
		return nil
	}
	unpacked, err := l.unpack(ctx, a.Debs)
	if err != nil {
		return err
	}
	view, err := l.tools.Parent(ctx)
	if err != nil {
		return err
	}
	if a.Part {
		tree, err := part(view, a, unpacked[0])
		if err != nil {
			return err
		}
		return l.writeTree(ctx, tree, nil, unpacked)
	}
	tree := overlay.New(view)
	o := dpkg.Options{Scripts: a.Scripts, Unconfigured: a.Unconfigured, Time: a.Created}
	for _, g := range a.Gone {
		o.Remove = append(o.Remove, g.Name)
	}
	report, err := dpkg.Install(ctx, tree, unpacked, o)
	if err != nil {
		return err
	}
	for _, line := range report.Lines() {
		l.report = append(l.report, "apt: "+line)
	}
	below, err := parts(view, a, unpacked)
	if err != nil {
		return err
	}
	return l.writeTree(ctx, tree, below, unpacked)
}

// parts returns the trees of the packages of which there are parts below.
func parts(view *layers.View, a plan.Apt, unpacked []dpkg.Package) (below []*overlay.Tree, err error) {
	for i, d := range a.Debs {
		if !slices.Contains(a.Below, d.Digest) {
			continue
		}
		tree, err := part(view, a, unpacked[i])
		if err != nil {
			return nil, err
		}
		below = append(below, tree)
	}
	return below, nil
}

// part returns the tree of a layer that holds only the large files of a package.
func part(view *layers.View, a plan.Apt, p dpkg.Package) (*overlay.Tree, error) {
	tree := overlay.New(view)
	return tree, dpkg.Lay(tree, p, dpkg.Options{Time: a.Created})
}

// writeTree writes what changed in a tree, but for what is in trees below.
func (l *layer) writeTree(ctx context.Context, tree *overlay.Tree, below []*overlay.Tree, unpacked []dpkg.Package) error {
	if err := tree.Write(ctx, named{l}, below...); err != nil {
		return l.blameStore(ctx, unpacked, err)
	}
	return nil
}

// blameStore returns what is wrong with the packages that were unpacked, if that
// is why writing their files failed with err.
func (l *layer) blameStore(ctx context.Context, unpacked []dpkg.Package, err error) error {
	var found *leak.Error
	if ctx.Err() != nil || errors.As(err, &found) {
		return err
	}
	all := make([]*deb.Package, len(unpacked))
	for i, p := range unpacked {
		all[i] = p.Deb
	}
	if damage := l.tools.Debs.Recheck(ctx, all); damage != nil {
		return damage
	}
	return err
}

// named notes which file is being written, for errors.
type named struct{ *layer }

func (n named) Add(e layers.Entry, body io.Reader) error {
	n.at = "/" + e.Path
	return n.w.Add(e, body)
}

func (n named) Splice(e layers.Entry, s layers.Deflated) error {
	n.at = "/" + e.Path
	return n.w.Splice(e, s)
}

func (n named) Link(e layers.Entry, target string) error { return n.w.Link(e, target) }

func (n named) Remove(path string) error { return n.w.Remove(path) }

// unpack brings the packages into the store.
func (l *layer) unpack(ctx context.Context, debs []plan.Deb) ([]dpkg.Package, error) {
	out := make([]dpkg.Package, len(debs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(unpacking)
	for _, i := range bySize(debs) {
		g.Go(func() error {
			d := debs[i]
			hex, ok := strings.CutPrefix(d.Digest, "sha256:")
			if !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
				return fmt.Errorf("package %s has the digest %q, which is no sha256", d.Name, d.Digest)
			}
			p, err := l.tools.Debs.Package(ctx, d.Name, hex, func(ctx context.Context) (*os.File, error) { return l.tools.Deb(ctx, d) })
			if err != nil {
				return err
			}
			out[i] = dpkg.Package{Name: d.Name, Version: d.Version, Arch: d.Arch, Auto: d.Auto, Deb: p}
			return nil
		})
	}
	return out, g.Wait()
}

// bySize returns the places of debs, the largest first: no processor is left with
// a large one at the end while the others have nothing to do.
func bySize(debs []plan.Deb) []int {
	order := make([]int, len(debs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(debs[b].Size, debs[a].Size) })
	return order
}
