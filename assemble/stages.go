// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"context"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/resolve/plan"
)

// stages opens the parents of a plan's stages, of which some are other stages:
// each is made once.
type stages struct {
	Source
	plan plan.Plan
	o    Options

	mu     sync.Mutex
	images map[int]v1.Image
}

// Parent makes the stage that p is, or opens p.
func (s *stages) Parent(ctx context.Context, p plan.Parent, platform string) (v1.Image, error) {
	i, ok := p.Stage()
	if !ok {
		return s.Source.Parent(ctx, p, platform)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if img := s.images[i]; img != nil {
		return img, nil
	}
	img, err := s.make(ctx, i)
	if err != nil {
		return nil, err
	}
	if got, err := img.Digest(); err != nil || got.String() != p.Digest {
		return nil, &StageError{Stage: i, Want: p.Digest, Got: got.String()}
	}
	if s.images == nil {
		s.images = map[int]v1.Image{}
	}
	s.images[i] = img
	return img, nil
}

// make makes stage i, and delivers it nowhere.
func (s *stages) make(ctx context.Context, i int) (v1.Image, error) {
	o := s.o
	o.Outputs, o.Recent = nil, nil
	o.Tools.Note = nil // that is for those who look at the image
	p := s.plan
	p.Stages = p.Stages[:i+1]
	steps := 0
	for _, stage := range p.Stages {
		steps += len(stage.Steps)
	}
	o.Foreseen = o.Foreseen[:min(steps, len(o.Foreseen))]
	r, err := Build(ctx, p, o)
	if err != nil {
		return nil, err
	}
	return r.Image, nil
}

// A StageError reports a stage that came to another image than when the plan
// was made.
type StageError struct {
	Stage     int
	Want, Got string // digests
}

func (e *StageError) Error() string {
	return fmt.Sprintf("stage %d of the plan came to the image %s, and the rest of the plan is for %s", e.Stage, e.Got, e.Want)
}

// Hint says how to get a plan that fits.
func (e *StageError) Hint() string {
	return "its commands give other files here or now: plan the build anew, on this machine"
}
