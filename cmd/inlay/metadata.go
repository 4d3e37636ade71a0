// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/assemble"
	"inlay/assemble/output"
	"inlay/cache/disk"
	"inlay/resolve/plan"
)

// metadata is what --metadata-file holds: docs/outputs.md. The names with a dot
// are those that docker buildx writes, for programs that read its files.
type metadata struct {
	BuildxDigest     string        `json:"containerimage.digest"`
	BuildxConfig     string        `json:"containerimage.config.digest"`
	BuildxDescriptor v1.Descriptor `json:"containerimage.descriptor"`
	BuildxName       string        `json:"image.name,omitempty"` // all names, with commas

	Image     string           `json:"image,omitempty"` // the key of one of several: "train.orchestrator"
	Steps     []string         `json:"steps,omitempty"` // of the pipeline that run in it
	Digest    string           `json:"digest"`          // of the manifest
	Config    string           `json:"config"`          // the configuration's digest
	Platform  string           `json:"platform"`
	Names     []string         `json:"names"`   // what the image is called
	Outputs   []outputData     `json:"outputs"` // in the order of the command line
	Parent    plan.Parent      `json:"parent"`
	Layers    []layerData      `json:"layers"`         // those on top of the parent, lowest first
	Plan      string           `json:"plan"`           // the plan's digest
	Code      *codePlace       `json:"code,omitempty"` // where the source is, if containers fetch it
	Inlay     string           `json:"inlay"`          // the version of the program
	Installer *installer       `json:"installer,omitempty"`
	Seconds   map[string]phase `json:"seconds"`
}

type outputData struct {
	deliveredEvent
	Digest string `json:"digest"` // of the manifest there
	Engine string `json:"engine,omitempty"`
}

type layerData struct {
	layerEvent
	DiffID    string `json:"diffId"`
	MediaType string `json:"mediaType"`
	Key       string `json:"key"` // that the cache knows it by
}

// An installer is the program that resolved requirements in this run.
type installer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A phase is how long a part of the build took, in seconds.
type phase float64

// checkMetadata refuses a place for the metadata that is no file's.
func (j *job) checkMetadata() error {
	if info, err := os.Stat(j.metadata); j.metadata != "" && err == nil && !info.Mode().IsRegular() {
		return &usageError{fmt.Sprintf("--metadata-file %s is no file", j.metadata), "name a file"}
	}
	return nil
}

// writeMetadata describes what was built in the file that the flag names: the
// image, or a list of several. A file that is there is replaced.
func (b *batch) writeMetadata() error {
	if len(b.jobs) == 0 || b.jobs[0].metadata == "" {
		return nil
	}
	all, err := b.metadata()
	if err != nil {
		return err
	}
	text := all[0]
	if b.jobs[0].several {
		text = map[string]any{"images": all}
	}
	out, err := json.MarshalIndent(text, "", "  ")
	if err != nil {
		return err
	}
	for _, j := range b.jobs {
		if s := j.tools(j.plan).Secrets; s != nil {
			if err := s.Document("the metadata", out); err != nil {
				return err
			}
		}
	}
	if err := replaceFile(b.jobs[0].metadata, append(out, '\n')); err != nil {
		return fmt.Errorf("writing the metadata: %w", err)
	}
	return nil
}

// metadata describes each image, or the index of one for several platforms.
func (b *batch) metadata() (all []any, err error) {
	for _, j := range b.jobs {
		var one any
		switch {
		case j.family == nil:
			one, err = j.describe()
		case j.leads():
			one, err = j.family.describe()
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// indexData is what --metadata-file holds of an image for several platforms.
type indexData struct {
	BuildxDigest     string        `json:"containerimage.digest"`
	BuildxDescriptor v1.Descriptor `json:"containerimage.descriptor"`
	BuildxName       string        `json:"image.name,omitempty"`

	Image     string           `json:"image,omitempty"`
	Steps     []string         `json:"steps,omitempty"`
	Digest    string           `json:"digest"` // of the index
	Names     []string         `json:"names"`
	Outputs   []outputData     `json:"outputs"`
	Code      *codePlace       `json:"code,omitempty"` // where the source is, if containers fetch it
	Inlay     string           `json:"inlay"`
	Seconds   map[string]phase `json:"seconds"`
	Platforms []*metadata      `json:"platforms"` // the images, in the order of the index
}

// describe gathers what is known of the index and of its images.
func (f *family) describe() (*indexData, error) {
	mt, err := f.made.Index.MediaType()
	if err != nil {
		return nil, err
	}
	size, err := f.made.Index.Size()
	if err != nil {
		return nil, err
	}
	lead, last := f.jobs[0], f.jobs[len(f.jobs)-1]
	m := &indexData{
		BuildxDigest:     f.made.Digest.String(),
		BuildxDescriptor: v1.Descriptor{MediaType: mt, Digest: f.made.Digest, Size: size},
		BuildxName:       strings.Join(lead.names, ","),
		Digest:           f.made.Digest.String(),
		Names:            append([]string{}, lead.names...),
		Outputs:          outputsData(f.made.Delivered),
		Code:             lead.fetched,
		Inlay:            version,
		Seconds:          phases(lead.begun, last.planned),
	}
	if lead.several {
		m.Image, m.Steps = lead.of.Name(), lead.of.Steps
	}
	for _, j := range f.jobs {
		one, err := j.describe()
		if err != nil {
			return nil, err
		}
		m.Platforms = append(m.Platforms, one)
	}
	return m, nil
}

// outputsData describes where something went.
func outputsData(delivered []output.Delivered) []outputData {
	all := []outputData{}
	for i, e := range deliveredEvents(delivered) {
		all = append(all, outputData{e, delivered[i].Digest.String(), delivered[i].Engine})
	}
	return all
}

// phases are how long a build took that was planned at a time.
func phases(begun, planned time.Time) map[string]phase {
	now := time.Now()
	return map[string]phase{"plan": seconds(planned.Sub(begun)), "build": seconds(now.Sub(planned)), "total": seconds(now.Sub(begun))}
}

func replaceFile(name string, b []byte) error {
	f, err := disk.Create(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(b); err != nil {
		return err
	}
	_, err = f.Commit(filepath.Base(name))
	return err
}

// describe gathers what is known of the build.
func (j *job) describe() (*metadata, error) {
	p, img := j.plan, j.made
	manifest, err := img.Image.Manifest()
	if err != nil {
		return nil, err
	}
	size, err := img.Image.Size()
	if err != nil {
		return nil, err
	}
	m := &metadata{
		BuildxDigest:     img.Digest.String(),
		BuildxConfig:     manifest.Config.Digest.String(),
		BuildxDescriptor: v1.Descriptor{MediaType: manifest.MediaType, Digest: img.Digest, Size: size},
		BuildxName:       strings.Join(j.names, ","),
		Digest:           img.Digest.String(),
		Config:           manifest.Config.Digest.String(),
		Platform:         p.Platform,
		Names:            append([]string{}, j.names...),
		Parent:           p.Parent(),
		Plan:             j.planID(),
		Code:             j.fetched,
		Inlay:            version,
		Installer:        j.site.installer.Load(),
		Outputs:          outputsData(img.Delivered),
		Seconds:          phases(j.begun, j.planned),
	}
	if j.several {
		m.Image, m.Steps = j.of.Name(), j.of.Steps
	}
	e, err := newResultEvent(img)
	if err != nil {
		return nil, err
	}
	m.Layers, err = layersData(e, img, manifest)
	return m, err
}

// layersData describes the layers that a build put on top of the parent.
func layersData(e resultEvent, img *assemble.Result, manifest *v1.Manifest) ([]layerData, error) {
	all := make([]layerData, len(img.Layers))
	for i, l := range img.Layers {
		diffID, err := l.DiffID()
		if err != nil {
			return nil, fmt.Errorf("reading layer %q: %w", l.Name, err)
		}
		stands := manifest.Layers[len(manifest.Layers)-len(img.Layers)+i]
		all[i] = layerData{e.Layers[i], diffID.String(), string(stands.MediaType), hex.EncodeToString(l.Key[:])}
	}
	return all, nil
}

func seconds(d time.Duration) phase { return phase(d.Round(time.Millisecond).Seconds()) }
