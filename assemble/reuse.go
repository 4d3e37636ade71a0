// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"context"
	"errors"

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
func Foresee(ctx context.Context, p plan.Plan, last *plan.Plan, c Cache) ([]Forecast, error) {
	stage := p.Image()
	reasons := make([][]string, len(stage.Steps))
	if last != nil {
		reasons = plan.Diff(last.Image(), stage)
	}
	out := make([]Forecast, len(stage.Steps))
	for i, key := range stage.Keys() {
		l, err := c.Get(ctx, key)
		if err != nil && !errors.Is(err, cache.ErrMiss) {
			return nil, err
		}
		out[i] = Forecast{Step: stage.Steps[i], Layer: l, Reason: reasons[i]}
	}
	return out, nil
}
