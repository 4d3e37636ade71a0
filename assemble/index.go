// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/assemble/image"
	"inlay/assemble/output"
)

// An IndexOutput is a place that takes indexes; those of package output that are
// no archive of Docker's and no engine are some.
type IndexOutput interface {
	BeginIndex() (output.IndexDelivery, error)
}

// An Index is an image for several platforms in the making: its images are
// built with Outputs, one after the other, and then Finish makes all visible.
type Index struct{ deliveries []output.IndexDelivery }

// An IndexResult is an index that was delivered.
type IndexResult struct {
	Index     *image.Index
	Digest    v1.Hash
	Delivered []output.Delivered
}

// BeginIndex starts the delivery of an index to every output.
func BeginIndex(outputs []IndexOutput) (*Index, error) {
	x := &Index{}
	for _, out := range outputs {
		d, err := out.BeginIndex()
		if err != nil {
			x.Close()
			return nil, err
		}
		x.deliveries = append(x.deliveries, d)
	}
	return x, nil
}

// Outputs are where the images of the index go, which makes none of them
// visible.
func (x *Index) Outputs() []Output {
	all := make([]Output, len(x.deliveries))
	for i, d := range x.deliveries {
		all[i] = d
	}
	return all
}

// Finish delivers the index of images that were built with the outputs of x. It
// becomes visible everywhere once all outputs are complete.
func (x *Index) Finish(ctx context.Context, images []*Result) (*IndexResult, error) {
	if len(images) == 0 {
		return nil, errors.New("an index of no images")
	}
	parts := make([]image.Part, len(images))
	for i, r := range images {
		parts[i] = image.Part{Image: r.Image, Platform: r.Platform}
	}
	r := &IndexResult{}
	var err error
	if r.Index, err = image.Join(parts); err != nil {
		return nil, err
	}
	if r.Digest, err = r.Index.Digest(); err != nil {
		return nil, fmt.Errorf("putting the index together: %w", err)
	}
	for _, d := range x.deliveries {
		if err := d.Complete(ctx, r.Index); err != nil {
			return nil, err
		}
	}
	for _, d := range x.deliveries {
		delivered, err := d.Publish(ctx)
		if err != nil {
			return nil, err
		}
		r.Delivered = append(r.Delivered, delivered)
	}
	return r, nil
}

// Close drops what was not published.
func (x *Index) Close() {
	for _, d := range x.deliveries {
		d.Close()
	}
}
