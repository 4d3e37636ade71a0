// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/json"
)

// A Key names the inputs of a layer: equal keys, equal layers.
type Key = [sha256.Size]byte

// Keys returns the key of each step of s. A key covers what decides the bytes
// of the layer and nothing else: not the step's name, not where a file comes
// from, not the parent. So a layer is shared by all images that want the same
// content, and survives a new parent.
func (s Stage) Keys() []Key {
	keys := make([]Key, len(s.Steps))
	for i, st := range s.Steps {
		keys[i] = hash(st.inputs())
	}
	return keys
}

// Digest identifies p: equal digests, equal images. Where files come from is
// not part of it.
func (p Plan) Digest() Key {
	type stage struct {
		Parent string
		Names  []string
		Keys   []Key
		Config Config
	}
	stages := make([]stage, len(p.Stages))
	for i, s := range p.Stages {
		stages[i] = stage{Parent: s.Parent.Digest, Keys: s.Keys(), Config: s.Config}
		for _, st := range s.Steps {
			stages[i].Names = append(stages[i].Names, st.Name)
		}
	}
	return hash(p.Platform, p.Created, stages)
}

// inputs returns s without what can change while its layer stays the same.
func (s Step) inputs() Step {
	s.Name = ""
	if s.Python != nil {
		py := *s.Python
		py.Wheels = make([]Wheel, len(s.Python.Wheels))
		for i, w := range s.Python.Wheels {
			py.Wheels[i] = Wheel{File: w.File, Digest: w.Digest} // the file name decides where headers go
		}
		s.Python = &py
	}
	return s
}

// hash returns the digest of the JSON of parts, which frames each of them.
func hash(parts ...any) Key {
	h := sha256.New()
	e := json.NewEncoder(h)
	if err := e.Encode(Version); err != nil {
		panic(err) // an integer
	}
	for _, p := range parts {
		if err := e.Encode(p); err != nil {
			panic(err) // plan types hold only strings and numbers
		}
	}
	return Key(h.Sum(nil))
}
