// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"inlay/assemble"
	"inlay/assemble/output"
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
		e.Code = j.fetched
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

// tell prints what a build made for several platforms: the names of the index on
// standard output.
func (f *family) tell(c *cli.Context) error {
	lead := f.jobs[0]
	switch {
	case lead.show.Event != nil:
		e, err := f.event()
		if err != nil {
			return err
		}
		lead.show.Event(e)
	case !c.Bool("quiet"):
		f.summary(c.App.ErrWriter)
	}
	for _, d := range f.made.Delivered {
		fmt.Fprintln(c.App.Writer, d.Reference)
	}
	return nil
}

// summary says in a few lines what a build did.
func (f *family) summary(w io.Writer) {
	for _, j := range f.jobs {
		made := made(j.made)
		all := len(j.made.Layers)
		fmt.Fprintf(w, "%s: %s: %d made, %d reused\n", j.heading(), count(all, "layer"), made, all-made)
	}
	lead := f.jobs[0]
	fmt.Fprintf(w, "an index of %s%s\n", count(len(f.jobs), "image"), lead.show.Took())
	for i, d := range f.made.Delivered {
		fmt.Fprintln(w, lead.outputs[i].said(d))
	}
	lead.tellCode(w)
}

// event gathers what programs are told.
func (f *family) event() (resultEvent, error) {
	lead := f.jobs[0]
	e := resultEvent{Event: "result", Digest: f.made.Digest.String(), Layers: []layerEvent{}, Delivered: deliveredEvents(f.made.Delivered), Code: lead.fetched}
	if lead.several {
		e.Image, e.Steps = lead.of.Name(), lead.of.Steps
	}
	e.Code = lead.fetched
	for _, j := range f.jobs {
		one, err := newResultEvent(j.made)
		if err != nil {
			return e, err
		}
		e.Platforms = append(e.Platforms, platformEvent{j.plan.Platform, one.Digest, one.Layers})
	}
	return e, nil
}

// summary says in a few lines what a build did.
func summary(w io.Writer, img *assemble.Result, j *job) {
	made := made(img)
	fmt.Fprintf(w, "%s: %d made, %d reused%s\n", count(len(img.Layers), "layer"), made, len(img.Layers)-made, j.show.Took())
	for i, d := range img.Delivered {
		fmt.Fprintln(w, j.outputs[i].said(d))
	}
	j.tellCode(w)
}

// made counts the layers that were not there.
func made(img *assemble.Result) (n int) {
	for _, l := range img.Layers {
		if !l.Reused {
			n++
		}
	}
	return n
}

// A resultEvent is what a build tells programs in the end: docs/progress.md.
type resultEvent struct {
	Event     string           `json:"event"`           // "result"
	Image     string           `json:"image,omitempty"` // the key of one of several: "train.orchestrator"
	Steps     []string         `json:"steps,omitempty"` // of the pipeline that run in it
	Digest    string           `json:"digest"`
	Layers    []layerEvent     `json:"layers"`              // those on top of the parent, lowest first
	Delivered []deliveredEvent `json:"delivered"`           // one for each output
	Platforms []platformEvent  `json:"platforms,omitempty"` // of an index, which has no layers itself
	Code      *codePlace       `json:"code,omitempty"`
}

// A platformEvent tells of one image of an index.
type platformEvent struct {
	Platform string       `json:"platform"`
	Digest   string       `json:"digest"`
	Layers   []layerEvent `json:"layers"`
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
	e := resultEvent{Event: "result", Digest: img.Digest.String(), Layers: []layerEvent{}, Delivered: deliveredEvents(img.Delivered)}
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
	return e, nil
}

func deliveredEvents(delivered []output.Delivered) []deliveredEvent {
	all := []deliveredEvent{}
	for _, d := range delivered {
		all = append(all, deliveredEvent{d.Reference, d.Bytes, d.Moved, d.Mounted, d.Present})
	}
	return all
}
