// SPDX-License-Identifier: Apache-2.0

package script

import "mvdan.cc/sh/v3/syntax"

// maxGrowth bounds how many times longer variables may become between two
// commands: at each command their length is checked.
const maxGrowth = 4096

// endless says what of a script could compute without end although no command
// is run, or "". Commands are counted when they run.
func endless(file *syntax.File) (needs string) {
	growth := 1
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			if len(n.Args) > 0 {
				growth = 1
			}
		case *syntax.Assign:
			growth *= max(len(params(n)), 1)
		case *syntax.WhileClause:
			if !runs(n.Cond) {
				needs = "a loop whose condition runs no command"
			}
		case *syntax.ForClause:
			if !runs(n.Do) && doubles(n) {
				needs = "a loop in which variables grow"
			}
		}
		if growth > maxGrowth {
			needs = "assignments in which variables grow"
		}
		return needs == ""
	})
	return needs
}

// params returns the variables whose values n puts together.
func params(n syntax.Node) (names []string) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if p, ok := n.(*syntax.ParamExp); ok && p.Param != nil {
			names = append(names, p.Param.Value)
		}
		return true
	})
	return names
}

// runs reports whether a command is among stmts.
func runs(stmts []*syntax.Stmt) (found bool) {
	for _, s := range stmts {
		syntax.Walk(s, func(n syntax.Node) bool {
			if c, ok := n.(*syntax.CallExpr); ok && len(c.Args) > 0 {
				found = true
			}
			return !found
		})
	}
	return found
}

// doubles reports whether an assignment in the loop puts together two values
// that the loop itself makes.
func doubles(loop *syntax.ForClause) (found bool) {
	made := map[string]bool{}
	syntax.Walk(loop, func(n syntax.Node) bool {
		if a, ok := n.(*syntax.Assign); ok && a.Name != nil {
			made[a.Name.Value] = true
		}
		return true
	})
	syntax.Walk(loop, func(n syntax.Node) bool {
		a, ok := n.(*syntax.Assign)
		if !ok {
			return true
		}
		own := 0
		for _, name := range params(a) {
			if made[name] {
				own++
			}
		}
		found = found || own > 1
		return !found
	})
	return found
}
