// SPDX-License-Identifier: Apache-2.0

package plan

import "fmt"

// BytecodeVersion is part of the key of a Bytecode step. It grows when the same
// modules are compiled in another way.
const BytecodeVersion = 1

// Bytecode compiles the modules that wheels install, so that no container has to:
// by the parent's Python, into files that are never compared with their sources
// (PEP 552, "unchecked-hash"). Of the parent, only the version of its Python
// decides about their bytes: so the layer is shared as that of the wheels is.
type Bytecode struct {
	Python // what is compiled: what such a step installs

	Compiler string   `json:"compiler"`      // the version of the Python: "3.11.2", "3.13.1t" if it is free-threaded
	Env      []string `json:"env,omitempty"` // KEY=VALUE: what it needs to start
}

func (b Bytecode) inputs() Bytecode {
	b.Python = b.Python.inputs()
	b.Base = b.For([]string{b.Scheme.Purelib, b.Scheme.Platlib}, nil)
	b.Compiler = fmt.Sprintf("%s, in the way of version %d", b.Compiler, BytecodeVersion)
	b.Env = nil
	return b
}

// since compares with all that old compiled.
func (b *Bytecode) since(old Stage) []string {
	var compiled Stage
	before := b.Compiler
	for _, o := range old.Steps {
		if o.Bytecode != nil {
			compiled.Steps = append(compiled.Steps, Step{Python: &o.Bytecode.Python})
			before = o.Bytecode.Compiler
		}
	}
	out := b.Python.since(compiled)
	if before != b.Compiler {
		out = append(out, "python "+before+" → "+b.Compiler)
	}
	return out
}

// Wheels returns the wheels that making s takes.
func (s Step) Wheels() []Wheel {
	switch {
	case s.Python != nil:
		return s.Python.Wheels
	case s.Bytecode != nil:
		return s.Bytecode.Wheels
	default:
		return nil
	}
}
