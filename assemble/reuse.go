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

	"inlay/assemble/step"
	"inlay/cache"
	"inlay/resolve/plan"
)

// A Forecast says what a build would do for one step.
type Forecast struct {
	Step   plan.Step
	Layer  v1.Layer // in the cache; nil if it has to be made
	Reason []string // why it isn't the layer of the last build; nil if it is
	Report []string // what a user should know of Layer
	Aside  bool     // the image doesn't have the layer: others copy from it
	found  Layer
	full   plan.Key // covers all of Step
}

// Foresee says for each step of p, of all stages, whether its layer is there, and
// what changed since the last build, if there was one. The keys are p's. It makes
// nothing.
func Foresee(ctx context.Context, p plan.Plan, keys [][]plan.Key, last *plan.Plan, o Options) ([]Forecast, error) {
	var reasons [][]string
	if last != nil {
		reasons = p.Since(*last)
	}
	var out []Forecast
	for n, stage := range p.Stages {
		for i, s := range stage.Steps {
			l, err := o.layer(ctx, stage, i, keys[n][i])
			if err != nil {
				return nil, err
			}
			f := Forecast{Step: s, Layer: l.Layer, Report: l.Report, found: l, full: keys[n][i], Aside: !slices.Contains(p.Chain(), n)}
			if reasons != nil {
				f.Reason = reasons[len(out)]
			}
			if l.Layer != nil && slices.Equal(f.Reason, []string{plan.ParentChanged}) {
				f.Reason = nil // in directories that are none of the layer's
			}
			out = append(out, f)
		}
	}
	return out, nil
}

// layer returns what there is of step i, whose whole key is given: nothing if its
// layer isn't there.
func (o Options) layer(ctx context.Context, stage plan.Stage, i int, full plan.Key) (Layer, error) {
	if l, ok := o.Recent.find(stage.Steps[i], full, o.Cache); ok {
		return l, nil
	}
	l, err := find(ctx, stage, i, o.Cache, o.Dirs)
	if errors.Is(err, cache.ErrMiss) {
		err = nil
	}
	return l, err
}

// find returns the layer of step i with its key and report, or cache.ErrMiss. One
// that lost its report is a miss too: what it says can't be left out.
func find(ctx context.Context, stage plan.Stage, i int, c Cache, dirs Values) (Layer, error) {
	s := stage.Steps[i]
	key, err := keyOf(stage, i, dirs)
	if err != nil {
		return Layer{}, err
	}
	l, err := c.Get(ctx, key)
	if err != nil {
		return Layer{}, err
	}
	out := Layer{Layer: l, Name: s.Name, Key: key, Reused: true}
	if reports(s) {
		if err := recall(dirs, reportName(key), &out.Report); err != nil {
			return Layer{}, err
		}
	}
	if s.Run != nil {
		if err := recall(dirs, askedName(key), &out.Asked); err != nil && !errors.Is(err, cache.ErrMiss) {
			return Layer{}, err
		}
	}
	return out, nil
}

// keyOf returns the key of step i, or cache.ErrMiss. Wheels that were installed
// before are known by the directories they touch: of the parent these are all
// that matters.
func keyOf(stage plan.Stage, i int, dirs Values) (cache.Key, error) {
	if stage.Steps[i].Python == nil {
		return stage.Key(i, nil), nil
	}
	known := []string{}
	if err := recall(dirs, dirsName(stage.Steps[i]), &known); err != nil {
		return cache.Key{}, err
	}
	return stage.Key(i, known), nil
}

// recall reads what was kept by a name, or returns cache.ErrMiss.
func recall(dirs Values, name string, to *[]string) error {
	b, err := dirs.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return cache.ErrMiss
	}
	if err != nil {
		return fmt.Errorf("looking for a cached layer: %w", err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		return cache.ErrMiss
	}
	return nil
}

// remember keeps what the layer made of s doesn't tell itself.
func remember(s plan.Step, key cache.Key, made step.Made, dirs Values) error {
	name, value := "", []string{}
	switch {
	case s.Python != nil:
		name, value = dirsName(s), made.Dirs
	case reports(s):
		name, value = reportName(key), append(value, made.Report...)
	case s.Run != nil:
		name, value = askedName(key), append(value, made.Asked...)
	default:
		return nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := dirs.Put(name, b); err != nil {
		return fmt.Errorf("caching what is known of a layer: %w", err)
	}
	return nil
}

// reports reports whether there is something to be known of the layer of s.
func reports(s plan.Step) bool { return s.Apt != nil || s.Run != nil && s.Run.Configure }

func dirsName(s plan.Step) string { return fmt.Sprintf("dirs-%x", s.Contents()) }

func askedName(k cache.Key) string { return fmt.Sprintf("asked-%x", k) }

func reportName(k cache.Key) string { return fmt.Sprintf("report-%x", k) }
