// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"slices"
	"strings"

	"inlay/resolve/parent"
	"inlay/resolve/plan"
)

// bytecodeSteps compiles what the steps of wheels install, in a layer for each
// of theirs: so those stay what they are without bytecode.
func bytecodeSteps(req Request, inv *parent.Inventory, wheels []plan.Step) ([]plan.Step, error) {
	var minor int
	if n, err := fmt.Sscanf(inv.Python.Version, "3.%d", &minor); n == 1 && err == nil && minor < 7 {
		return nil, req.Settings.FieldError("bytecode", fmt.Sprintf("needs Python 3.7 or newer, the parent's is %s", inv.Python.Version), "leave it out")
	}
	var steps []plan.Step
	for _, s := range wheels {
		if s.Python != nil {
			steps = append(steps, plan.Step{
				Name: "bytecode of " + s.Name, Bytecode: &plan.Bytecode{Python: *s.Python, Compiler: compiler(inv.Python), Env: linking(inv)},
			})
		}
	}
	return steps, nil
}

// compiler is what decides which bytecode a Python makes.
func compiler(p *parent.Python) string {
	if p.FreeThreaded {
		return p.Version + "t"
	}
	return p.Version
}

// linking returns the variables of the image that say where a program's
// libraries are: some Pythons don't start without.
func linking(inv *parent.Inventory) []string {
	return slices.DeleteFunc(slices.Clone(inv.Config.Config.Env), func(kv string) bool { return !strings.HasPrefix(kv, "LD_LIBRARY_PATH=") })
}
