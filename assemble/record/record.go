// SPDX-License-Identifier: Apache-2.0

// Package record remembers which plan gave which image, so that the next build
// can say what changed since. It keeps neither the URLs nor the values of
// variables and labels that were in the plan.
package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"inlay/resolve/plan"
)

// Values keeps records by name; *disk.Values is one.
type Values interface {
	Get(name string) ([]byte, error) // an error that is fs.ErrNotExist if absent
	Put(name string, b []byte) error
}

// A Record is one finished build.
type Record struct {
	ID     string    `json:"-"`      // the digest of the plan, for Save; "" if that isn't known
	Plan   plan.Plan `json:"plan"`   // of Last: without URLs, and with hashes of values
	Digest string    `json:"digest"` // of the image's manifest
}

// Store keeps the last record of each build.
type Store struct{ Values Values }

// Last returns the last record that was saved for the build of that name, and
// whether there is one. A record that can't be read counts as none: an older
// program wrote it, and it only helps to explain.
func (s *Store) Last(name string) (Record, bool, error) {
	b, err := s.Values.Get(file(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Record{}, false, nil
	case err != nil:
		return Record{}, false, fmt.Errorf("reading the record of the last build: %w", err)
	}
	r, ok := decode(b)
	return r, ok, nil
}

func decode(b []byte) (Record, bool) {
	var r Record
	_, text, ok := bytes.Cut(b, []byte("\n"))
	if err := json.Unmarshal(text, &r); !ok || err != nil || r.Plan.Version != plan.Version || len(r.Plan.Stages) == 0 {
		return Record{}, false
	}
	return r, true
}

// Save makes r the last record of the build of that name. It writes nothing if
// it is already: the first line of the file says so where the ID does, which has
// no part in the code that isn't in the image.
func (s *Store) Save(name string, r Record) error {
	head := fmt.Appendf(nil, "%s %s %s\n", r.ID, r.Digest, names(r.Plan))
	old, err := s.Values.Get(file(name))
	if err == nil && r.ID != "" && r.Plan.Code == nil && bytes.HasPrefix(old, head) {
		return nil
	}
	r.Plan = withoutURLs(r.Plan).Veiled()
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("recording the build: %w", err)
	}
	if b = append(head, b...); bytes.Equal(old, b) {
		return nil
	}
	if err := s.Values.Put(file(name), b); err != nil {
		return fmt.Errorf("recording the build: %w", err)
	}
	return nil
}

// names returns a hash of what p calls parents and commands: the ID doesn't cover
// that, and the next build is explained by it.
func names(p plan.Plan) string {
	sum := sha256.New()
	for _, stage := range p.Stages {
		fmt.Fprintf(sum, "%q\n", stage.Parent.Image)
		for _, s := range stage.Steps {
			if s.Run != nil {
				fmt.Fprintf(sum, "%q\n", s.Run.Setting)
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// file turns the name of a build, which may be a path, into a file name.
func file(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// withoutURLs returns p without where its wheels come from: that explains
// nothing later, and a signature in a URL is as good as a password.
func withoutURLs(p plan.Plan) plan.Plan {
	p.Stages = slices.Clone(p.Stages)
	for i := range p.Stages {
		steps := slices.Clone(p.Stages[i].Steps)
		for j, s := range steps {
			if s.Python != nil {
				python := *s.Python
				python.Wheels = wheelsWithoutURLs(python.Wheels)
				steps[j].Python = &python
			}
			if s.Bytecode != nil {
				bytecode := *s.Bytecode
				bytecode.Wheels = wheelsWithoutURLs(bytecode.Wheels)
				steps[j].Bytecode = &bytecode
			}
		}
		p.Stages[i].Steps = steps
	}
	return p
}

func wheelsWithoutURLs(all []plan.Wheel) []plan.Wheel {
	all = slices.Clone(all)
	for i := range all {
		all[i].URL, all[i].Source.URL = "", ""
	}
	return all
}
