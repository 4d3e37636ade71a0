// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"inlay/resolve/parent"
	"inlay/resolve/plan"
)

// storeFormat is part of the name under which an answer is stored. It grows
// when the same question may get another answer from this program.
const storeFormat = 5

// storeName names all that decides what uv answers, but for the index's content
// and uv's own version: an answer stays what it is until it is refreshed.
func (req Request) storeName(groups []Group) (string, error) {
	py := *req.Inventory.Python
	py.Dists = slices.SortedFunc(slices.Values(py.Dists), func(a, b parent.Dist) int { return cmp.Compare(a.Path, b.Path) })
	lines, keys, realms := make([][2][]string, len(groups)), make([][]string, len(groups)), make([]string, len(groups))
	var found [][]string
	for i, g := range groups {
		l, err := linksOf(g)
		if err != nil {
			return "", err
		}
		if key := l.key(); len(key) > 0 {
			found = append(found, append(key, g.Name))
		}
		set := req.indexes[i]
		lines[i] = [2][]string{slices.Concat(public(set, g.Lines), Decisive(g)), public(set, g.Constraints)}
		keys[i], realms[i] = set.Key(), set.Realm()
	}
	question, err := json.Marshal(struct {
		Format    int
		Installer string
		Groups    [][2][]string
		Indexes   [][]string
		Realms    []string
		Libc      parent.Libc
		Python    parent.Python
		Locals    map[string]plan.Wheel
		Trees     map[string]string `json:",omitempty"` // digests of sources
		Links     [][]string        `json:",omitempty"` // of groups that have some
		Parent    string
		Arguments [][]string
	}{
		storeFormat, cmp.Or(req.Installer, "uv"), lines, keys, realms, req.Inventory.Libc, py, req.locals, digests(req.trees), found, req.parentSeen(),
		[][]string{req.Arguments.Flags, req.Arguments.Both, texts(req.Arguments.Overrides), {req.Arguments.Torch, string(wantedTorch(req.Inventory))}, req.buildArguments(), texts(req.Arguments.BuildConstraints)},
	})
	if err != nil {
		panic(err) // strings, numbers and booleans
	}
	sum := sha256.Sum256(question)
	return "python-" + hex.EncodeToString(sum[:]), nil
}

func digests(sources map[string]source) map[string]string {
	all := map[string]string{}
	for name, s := range sources {
		all[name] = s.Digest
	}
	return all
}

// parentSeen names the parent if the installer sees more of it than its Python.
func (req Request) parentSeen() string {
	if req.Installer == installerPip && req.Inventory.Python.Kind == "debian" { // what apt has installed
		return req.Inventory.Digest
	}
	return ""
}

// An answer is a resolution as it is stored. Paths and notes depend on the
// parent's files, the rest only on what storeName covers.
type answer struct {
	Parent   string   `json:"parent"`             // the digest of the image that finish has seen, "" before that
	Warnings []string `json:"warnings,omitempty"` // of uv
	// Unbuilt is what lacks a wheel, where nothing was to be built: then there is
	// no resolution.
	Unbuilt []Package `json:"unbuilt,omitempty"`
	Resolution
}

// lacks returns what had to be built for a, or would have to be.
func (a *answer) lacks() []Package { return append(sourcesIn(a.Wheels), a.Unbuilt...) }

// holds reports whether a stored answer still is one to req. What was built over
// another image is another wheel, and what was built may be gone; that something
// has to be is known all the same.
func (r *Resolver) holds(a *answer, req Request) bool {
	if req.NoBuild || len(a.Unbuilt) > 0 {
		return req.NoBuild
	}
	return !slices.ContainsFunc(a.Wheels, func(w plan.Wheel) bool {
		return w.Source != plan.Source{} && (a.Parent != req.Inventory.Digest || !r.has(w))
	})
}

// lacks stores that wheels are lacking where nothing was to be built, so that
// the same question is answered without asking. It returns err.
func (r *Resolver) lacks(name string, req Request, err error) error {
	var lacks *SdistError
	if !req.NoBuild || !errors.As(err, &lacks) {
		return err
	}
	if failed := r.remember(name, &answer{Unbuilt: lacks.Packages}); failed != nil {
		return failed
	}
	return err
}

// completeFor reports whether a can be given for the image of this digest.
func (a *answer) completeFor(digest string) bool {
	return a.Parent == digest || a.Parent != "" && len(a.Remove) == 0
}

// finish adds what depends on the parent's files.
func (a *answer) finish(ctx context.Context, req Request) error {
	a.Parent = req.Inventory.Digest
	a.Notes = slices.Clone(a.Warnings)
	if req.Inventory.Python.ExternallyManaged && len(a.Wheels) > 0 {
		a.Notes = append(a.Notes, "the parent's Python is externally managed (PEP 668): installing all the same, an image is no host")
	}
	if len(a.Remove) == 0 {
		return nil
	}
	view, err := req.View(ctx)
	if err != nil {
		return err
	}
	paths, notes, err := parent.Removal(view, req.Inventory.Python, a.Remove)
	if err != nil {
		return fmt.Errorf("removing packages of the parent: %w", err)
	}
	a.RemovePaths, a.Notes = paths, append(a.Notes, notes...)
	return nil
}
