// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache"
	"inlay/resolve/plan"
)

// A Forecast says what a build would do for one step.
type Forecast struct {
	Step   plan.Step
	Layer  v1.Layer // in the cache; nil if it has to be made
	Reason []string // why it isn't the layer of the last build; nil if it is
}

// Foresee says for each step of p whether its layer is there, and what changed
// since the last build, if there was one. It makes nothing.
func Foresee(ctx context.Context, p plan.Plan, last *plan.Plan, c Cache, dirs Values) ([]Forecast, error) {
	stage := p.Image()
	reasons := make([][]string, len(stage.Steps))
	if last != nil {
		reasons = plan.Diff(last.Image(), stage)
	}
	out := make([]Forecast, len(stage.Steps))
	for i, s := range stage.Steps {
		l, err := find(ctx, s, c, dirs)
		if err != nil && !errors.Is(err, cache.ErrMiss) {
			return nil, err
		}
		out[i] = Forecast{Step: s, Layer: l, Reason: reasons[i]}
		if l != nil && slices.Equal(reasons[i], []string{plan.ParentChanged}) {
			out[i].Reason = nil // in directories that are none of the layer's
		}
	}
	return out, nil
}

// find returns the layer of s, or cache.ErrMiss.
func find(ctx context.Context, s plan.Step, c Cache, dirs Values) (v1.Layer, error) {
	key, err := keyOf(s, dirs)
	if err != nil {
		return nil, err
	}
	return c.Get(ctx, key)
}

// keyOf returns the key of s, or cache.ErrMiss. Wheels that were installed
// before are known by the directories they touch: of the parent these are all
// that matters.
func keyOf(s plan.Step, dirs Values) (cache.Key, error) {
	if s.Python == nil {
		return s.Key(nil), nil
	}
	b, err := dirs.Get(dirsName(s))
	if errors.Is(err, fs.ErrNotExist) {
		return cache.Key{}, cache.ErrMiss
	}
	if err != nil {
		return cache.Key{}, fmt.Errorf("looking for a cached layer: %w", err)
	}
	known := []string{}
	if err := json.Unmarshal(b, &known); err != nil {
		return cache.Key{}, cache.ErrMiss
	}
	return s.Key(known), nil
}

// remember keeps the directories that the wheels of s touch.
func remember(s plan.Step, touched []string, dirs Values) error {
	if s.Python == nil {
		return nil
	}
	b, err := json.Marshal(touched)
	if err != nil {
		return err
	}
	if err := dirs.Put(dirsName(s), b); err != nil {
		return fmt.Errorf("caching what a layer touches: %w", err)
	}
	return nil
}

func dirsName(s plan.Step) string { return fmt.Sprintf("dirs-%x", s.Contents()) }
