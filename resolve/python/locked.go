// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"inlay/resolve/plan"
)

// locked returns the answer of a lock file with what depends on the parent's
// files, as it was found out before.
func (r *Resolver) locked(ctx context.Context, req Request) (*Resolution, error) {
	req.View = req.open()
	question, err := json.Marshal(req.Locked)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("locked-%x", sha256.Sum256(append(question, req.Inventory.Digest...)))
	if built := sourcesIn(req.Locked.Wheels); req.NoBuild && len(built) > 0 {
		return nil, &SdistError{Packages: built, Target: req.target()}
	}
	a, err := r.recall(name)
	recalled := err == nil && r.holds(a, req)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !recalled {
		a = &answer{Resolution: *req.Locked}
		a.Torch = describeTorch(a.Wheels)
		if err = r.rebuild(ctx, req, a); err == nil {
			err = a.finish(ctx, req)
		}
		if err == nil {
			err = r.remember(name, a)
		}
	}
	if err != nil {
		return nil, err
	}
	a.Recalled = recalled || len(sourcesIn(a.Wheels)) == 0
	return &a.Resolution, nil
}

// sourcesIn returns what of wheels no index has.
func sourcesIn(wheels []plan.Wheel) (built []Package) {
	for _, w := range wheels {
		if w.Source != (plan.Source{}) {
			built = append(built, Package{Name: w.Name, Version: w.Version})
		}
	}
	return built
}

// rebuild builds the wheels of a that no index has, unless they are known: a lock
// file names their sources, and each machine has its own wheels of them.
func (r *Resolver) rebuild(ctx context.Context, req Request, a *answer) error {
	a.Wheels = slices.Clone(a.Wheels)
	for i, w := range a.Wheels {
		if w.Source == (plan.Source{}) {
			continue
		}
		p := Package{Name: w.Name, Version: w.Version}
		if r.Builder == nil {
			return &SdistError{Packages: []Package{p}, Target: req.target()}
		}
		made, err := r.build(ctx, req, req.indexes[0], source{Package: p, Source: w.Source})
		var none *NoBuildError
		if errors.As(err, &none) {
			return &SdistError{Packages: []Package{p}, Target: req.target(), Why: none.Err}
		}
		if err != nil {
			return err
		}
		a.Warnings = append(a.Warnings, made.Note)
		if made.Wheel.Digest != w.Digest {
			a.Warnings = append(a.Warnings, fmt.Sprintf("%s is another wheel than where it was locked, of the same sources: its layer is another too", w.File))
		}
		a.Wheels[i] = made.Wheel
	}
	return nil
}
