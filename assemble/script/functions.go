// SPDX-License-Identifier: Apache-2.0

package script

import (
	"runtime"
	"slices"

	"mvdan.cc/sh/v3/syntax"
)

// maxStack bounds how deep the interpreter may be in itself, in frames: a full
// stack ends a Go program.
const maxStack = 4000

// functions are those that a script has declared, by what they call. One may
// call itself, which ends when the stack is full, but not from a shell of its
// own or by way of another: that need not end.
type functions struct {
	calls   map[string][]string
	dynamic map[syntax.Pos]bool // where a function calls what a variable names
}

// learn adds the functions of a text.
func (f *functions) learn(file *syntax.File) error {
	if f.calls == nil {
		f.calls, f.dynamic = map[string][]string{}, map[syntax.Pos]bool{}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		if d, ok := n.(*syntax.FuncDecl); ok {
			f.body(d)
		}
		return true
	})
	for name := range f.calls {
		if f.reaches(name, name, map[string]bool{}) {
			return &UnsupportedError{"a function that calls itself, " + name}
		}
	}
	return nil
}

func (f *functions) body(d *syntax.FuncDecl) {
	name := d.Name.Value
	f.calls[name] = slices.Clone(f.calls[name])
	shells := shellsOf(d.Body)
	syntax.Walk(d.Body, func(n syntax.Node) bool {
		c, ok := n.(*syntax.CallExpr)
		if !ok || len(c.Args) == 0 {
			return true
		}
		switch callee := c.Args[0].Lit(); {
		case callee == "":
			f.dynamic[c.Pos()] = true
		case callee == name && !shells[c]: // the stack ends it
		default:
			f.calls[name] = append(f.calls[name], callee)
		}
		return true
	})
}

// shellsOf returns the calls in a body that may run in a shell of their own,
// with a stack of its own.
func shellsOf(body syntax.Node) map[*syntax.CallExpr]bool {
	calls := map[*syntax.CallExpr]bool{}
	syntax.Walk(body, func(n syntax.Node) bool {
		own := false
		switch n := n.(type) {
		case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst:
			own = true
		case *syntax.BinaryCmd:
			own = n.Op == syntax.Pipe || n.Op == syntax.PipeAll
		}
		if own {
			syntax.Walk(n, func(n syntax.Node) bool {
				if c, ok := n.(*syntax.CallExpr); ok {
					calls[c] = true
				}
				return true
			})
		}
		return true
	})
	return calls
}

// reaches reports whether from calls to, over others.
func (f *functions) reaches(from, to string, seen map[string]bool) bool {
	for _, callee := range f.calls[from] {
		if callee == to {
			return true
		}
		if f.calls[callee] != nil && !seen[callee] {
			seen[callee] = true
			if f.reaches(callee, to, seen) {
				return true
			}
		}
	}
	return false
}

// names reports whether a text calls one of the functions.
func (f *functions) names(file *syntax.File) (found bool) {
	syntax.Walk(file, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CallExpr); ok && len(c.Args) > 0 {
			callee := c.Args[0].Lit()
			found = found || callee == "" && len(f.calls) > 0 || f.calls[callee] != nil
		}
		return !found
	})
	return found
}

// deep reports whether the stack is full.
func deep() bool {
	var pc [1]uintptr
	return runtime.Callers(maxStack, pc[:]) > 0
}
