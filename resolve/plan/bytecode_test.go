// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"bytes"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
)

// withBytecode is demo with its wheel compiled.
func withBytecode() plan.Stage {
	s := demo().Image()
	s.Steps = append(s.Steps, plan.Step{Name: "bytecode", Bytecode: &plan.Bytecode{
		Python: *s.Steps[1].Python, Compiler: "3.11.2", Env: []string{"LD_LIBRARY_PATH=/opt/lib"},
	}})
	return s
}

// TestBytecode holds that the key of bytecode covers the wheels, where they are
// and the version of the Python, and nothing else of the image.
func TestBytecode(t *testing.T) {
	tests := []struct {
		change string
		edit   func(*plan.Stage, *plan.Bytecode)
		since  []string // nil: the key stays
	}{
		{"the parent", func(s *plan.Stage, _ *plan.Bytecode) { s.Parent.Digest = "sha256:ff" }, nil},
		{"the layers below", func(s *plan.Stage, _ *plan.Bytecode) { s.Steps = s.Steps[2:] }, nil},
		{"where a wheel comes from", func(_ *plan.Stage, b *plan.Bytecode) { b.Wheels[0].URL = "https://mirror.example" }, nil},
		{"where libraries are", func(_ *plan.Stage, b *plan.Bytecode) { b.Env = nil }, nil},
		{"a directory elsewhere", func(_ *plan.Stage, b *plan.Bytecode) {
			b.Dirs = append(b.Dirs, plan.Dir{Path: "/opt/other", Mode: fs.FileMode(0o700)})
		}, nil},
		{"a directory of modules", func(_ *plan.Stage, b *plan.Bytecode) {
			b.Dirs = append(b.Dirs, plan.Dir{Path: "/lib/x", Mode: fs.FileMode(0o700)})
		}, []string{plan.ParentChanged}},
		{"a wheel", func(_ *plan.Stage, b *plan.Bytecode) { b.Wheels[0].Digest = "sha256:ff" }, []string{"numpy 2.1.0 is another file"}},
		{"where modules are", func(_ *plan.Stage, b *plan.Bytecode) { b.Scheme.Purelib = "/x" }, []string{"the parent's Python moved to /bin/python3"}},
		{"the Python", func(_ *plan.Stage, b *plan.Bytecode) { b.Compiler = "3.11.3" }, []string{"python 3.11.2 → 3.11.3"}},
	}
	for _, tt := range tests {
		t.Run(tt.change, func(t *testing.T) {
			before, now := withBytecode(), withBytecode()
			last := now.Steps[len(now.Steps)-1].Bytecode
			last.Wheels = append([]plan.Wheel(nil), last.Wheels...)
			tt.edit(&now, last)
			keys := now.Keys()
			if got := keys[len(keys)-1] != before.Key(3, nil); got != (tt.since != nil) {
				t.Errorf("the key changes: %v", got)
			}
			if diff := cmp.Diff(tt.since, plan.Diff(before, now)[len(keys)-1]); diff != "" {
				t.Errorf("Diff (-want +got):\n%s", diff)
			}
		})
	}
	if got := plan.Diff(demo().Image(), withBytecode())[3]; !cmp.Equal(got, []string{"new"}) {
		t.Errorf("Diff of new bytecode = %q", got)
	}
	p := demo()
	p.Stages[0] = withBytecode()
	var b bytes.Buffer
	if err := p.Encode(&b); err != nil {
		t.Fatal(err)
	}
	back, err := plan.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, back); diff != "" {
		t.Errorf("decoding gives another plan (-encoded +decoded):\n%s", diff)
	}
	if s := p.Stages[0].Steps[3]; s.Kind() != "bytecode" || !cmp.Equal(s.Wheels(), p.Stages[0].Steps[1].Wheels()) || p.Stages[0].Steps[2].Wheels() != nil {
		t.Errorf("of kind %q it takes %v", s.Kind(), s.Wheels())
	}
}
