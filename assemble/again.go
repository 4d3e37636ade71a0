// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/assemble/output"
	"inlay/resolve/plan"
)

// Again delivers an image that an earlier build made of p to every output, and
// makes nothing. It becomes visible everywhere once all outputs are complete.
// A secret in it is a *leak.Error, as one that Build makes.
func Again(ctx context.Context, p plan.Plan, img v1.Image, o Options) (*Result, error) {
	r, err := earlier(p, img)
	if err != nil {
		return nil, err
	}
	if err := checkImage(img, o.Tools.Secrets); err != nil {
		return nil, err
	}
	var deliveries []output.Delivery
	defer func() {
		for _, d := range deliveries {
			d.Close()
		}
	}()
	for _, out := range o.Outputs {
		d, err := out.Begin()
		if err != nil {
			return nil, err
		}
		deliveries = append(deliveries, d)
		if err := d.Complete(ctx, img); err != nil {
			return nil, err
		}
	}
	for _, d := range deliveries {
		delivered, err := d.Publish(ctx)
		if err != nil {
			return nil, err
		}
		r.Delivered = append(r.Delivered, delivered)
	}
	return r, nil
}

// earlier describes an image as if it had been made of p just now: of its
// layers, the last are those of p's steps.
func earlier(p plan.Plan, img v1.Image) (*Result, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("reading an image of an earlier build: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading an image of an earlier build: %w", err)
	}
	r := &Result{Image: img, Digest: digest, Platform: p.Platform}
	steps := p.Image().Steps
	if len(layers) < len(steps) {
		return nil, fmt.Errorf("the image of an earlier build, %s, has fewer layers than its plan", digest)
	}
	keys := p.Image().Keys()
	for i, l := range layers[len(layers)-len(steps):] {
		r.Layers = append(r.Layers, Layer{Layer: l, Name: steps[i].Name, Key: keys[i], Reused: true})
	}
	return r, nil
}
