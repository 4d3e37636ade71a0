// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// A Key names the inputs of a layer: equal keys, equal layers.
type Key = [sha256.Size]byte

// Keys returns the key of each step of s. A key covers what decides the bytes
// of the layer and nothing else: not the step's name, not where a file comes
// from, not the parent, except for an Apt step. So a layer is shared by all images
// that want the same content. That of a Run step covers the parent and the keys
// of all steps before it. Where the directories of a step are known, Key is the
// more exact one.
func (s Stage) Keys() []Key {
	keys := make([]Key, len(s.Steps))
	for i := range s.Steps {
		keys[i] = s.Key(i, nil)
	}
	return keys
}

// Contents returns the key of what s holds, wherever a parent's links lead it
// and however it is compressed.
func (s Step) Contents() Key {
	s = s.inputs()
	s.Compression = ""
	if s.Python != nil {
		py := *s.Python
		py.Base = Base{}
		s.Python = &py
	}
	return s.hash()
}

// Key returns the key of the step i, whose files lie in the directories dirs, given
// before links are followed: of what the step says of the parent it covers only
// what decides about them. So the layer is found again on a parent that differs
// elsewhere. Nil stands for directories that are not known yet, and covers all.
//
// A Python step needs dirs only for what isn't in purelib and platlib; whatever
// is known of those counts.
func (s Stage) Key(i int, dirs []string) Key {
	st := s.Steps[i].inputs()
	if st.Python != nil && dirs != nil {
		py := *st.Python
		py.Base = py.For([]string{py.Scheme.Purelib, py.Scheme.Platlib}, dirs)
		st.Python = &py
	}
	return st.over(s.Steps[:i], st.hash())
}

// Keys returns the keys of the steps of each stage.
func (p Plan) Keys() [][]Key {
	keys := make([][]Key, len(p.Stages))
	for i, s := range p.Stages {
		keys[i] = s.Keys()
	}
	return keys
}

// Digest identifies p, whose keys are given: equal digests, equal images. Where
// files come from is not part of it.
func (p Plan) Digest(keys [][]Key) Key {
	type stage struct {
		Parent string
		Names  []string
		Keys   []Key
		Config Config
	}
	stages := make([]stage, len(p.Stages))
	for i, s := range p.Stages {
		stages[i] = stage{Parent: s.Parent.Digest, Keys: keys[i], Config: s.Config}
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
		py := s.Python.inputs()
		s.Python = &py
	}
	if s.Bytecode != nil {
		b := s.Bytecode.inputs()
		s.Bytecode = &b
	}
	if s.Apt != nil {
		apt := *s.Apt
		apt.Parent = fmt.Sprintf("%s, installed by version %d", apt.Parent, AptVersion)
		apt.Debs = make([]Deb, len(s.Apt.Debs))
		for i, d := range s.Apt.Debs {
			apt.Debs[i] = Deb{Name: d.Name, Arch: d.Arch, Digest: d.Digest, Auto: d.Auto}
		}
		s.Apt = &apt
	}
	if s.Files != nil {
		files := *s.Files
		files.From = "" // and hashFiles leaves out which of them they are there
		s.Files = &files
	}
	if s.Run != nil {
		run := *s.Run
		run.Setting, run.Hosts = "", nil
		s.Run = &run
	}
	return s
}

func (p Python) inputs() Python {
	wheels := make([]Wheel, len(p.Wheels))
	for i, w := range p.Wheels {
		wheels[i] = Wheel{File: w.File, Digest: w.Digest} // the file name decides where headers go
	}
	p.Wheels = wheels
	return p
}

// hash returns the digest of s. Its files, of which there may be thousands, are not
// written as JSON: that took longer than finding them.
func (s Step) hash() Key {
	if s.Files == nil {
		return hash(s)
	}
	files := *s.Files
	files.Files = nil
	sum := hashFiles(s.Files.Files)
	s.Files = &files
	return hash(s, sum)
}

// hashFiles returns the digest of what files are, each text framed by its length.
// Where they come from has no part in it.
func hashFiles(files []File) Key {
	h := sha256.New()
	var b []byte
	for _, f := range files {
		b = b[:0]
		for _, text := range []string{f.Path, f.Link, f.Digest, f.Text} {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
		b = binary.AppendVarint(binary.AppendUvarint(b, uint64(f.Mode)), f.Size)
		_, _ = h.Write(b) // a hash takes everything
	}
	return Key(h.Sum(nil))
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
