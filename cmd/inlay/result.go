// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"inlay/assemble"
)

// tell prints what a build made: its name on standard output, and to whoever
// watches what was done for it.
func (j *job) tell(c *cli.Context, img *assemble.Result) error {
	switch {
	case j.show.Event != nil:
		e, err := newResultEvent(img)
		if err != nil {
			return err
		}
		if j.several {
			e.Image, e.Steps = j.of.Name(), j.of.Steps
		}
		j.show.Event(e)
	case !c.Bool("quiet"):
		if j.several {
			fmt.Fprintln(c.App.ErrWriter, j.heading())
		}
		summary(c.App.ErrWriter, img, j)
	}
	for _, d := range img.Delivered {
		fmt.Fprintln(c.App.Writer, d.Reference)
	}
	return nil
}

// summary says in a few lines what a build did.
func summary(w io.Writer, img *assemble.Result, j *job) {
	made := 0
	for _, l := range img.Layers {
		if !l.Reused {
			made++
		}
	}
	fmt.Fprintf(w, "%s: %d made, %d reused%s\n", count(len(img.Layers), "layer"), made, len(img.Layers)-made, j.show.Took())
	for i, d := range img.Delivered {
		fmt.Fprintln(w, j.outputs[i].said(d))
	}
}

// A resultEvent is what a build tells programs in the end: docs/progress.md.
type resultEvent struct {
	Event     string           `json:"event"`           // "result"
	Image     string           `json:"image,omitempty"` // the key of one of several: "train.orchestrator"
	Steps     []string         `json:"steps,omitempty"` // of the pipeline that run in it
	Digest    string           `json:"digest"`
	Layers    []layerEvent     `json:"layers"`    // those on top of the parent, lowest first
	Delivered []deliveredEvent `json:"delivered"` // one for each output
}

type layerEvent struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes, compressed
	Reused bool   `json:"reused"`
	// Report says what was left undone in the packages of the layer.
	Report []string `json:"report,omitempty"`
}

type deliveredEvent struct {
	Reference string `json:"reference"`
	Bytes     int64  `json:"bytes"` // that had to move
	Moved     int    `json:"moved"` // blobs
	Mounted   int    `json:"mounted"`
	Present   int    `json:"present"`
}

func newResultEvent(img *assemble.Result) (resultEvent, error) {
	e := resultEvent{Event: "result", Digest: img.Digest.String(), Layers: []layerEvent{}, Delivered: []deliveredEvent{}}
	for _, l := range img.Layers {
		digest, err := l.Digest()
		if err != nil {
			return e, fmt.Errorf("reading layer %q: %w", l.Name, err)
		}
		size, err := l.Size()
		if err != nil {
			return e, fmt.Errorf("reading layer %q: %w", l.Name, err)
		}
		e.Layers = append(e.Layers, layerEvent{l.Name, digest.String(), size, l.Reused, l.Report})
	}
	for _, d := range img.Delivered {
		e.Delivered = append(e.Delivered, deliveredEvent{d.Reference, d.Bytes, d.Moved, d.Mounted, d.Present})
	}
	return e, nil
}
