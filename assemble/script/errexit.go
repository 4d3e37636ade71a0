// SPDX-License-Identifier: Apache-2.0

package script

import "mvdan.cc/sh/v3/syntax"

// tame rewrites lists such as "a && b" that end an if, a case, a loop or a
// block: with "set -e" the interpreter would end the script where a fails, a
// shell does not. Where nobody asks for the status they become "if a; then b;
// fi". Asked says whether somebody does for the status of the last of stmts.
func tame(stmts []*syntax.Stmt, asked bool) {
	for i, s := range stmts {
		last := i == len(stmts)-1
		inner := last && asked || !last && asksStatus(stmts[i+1]) || s.Negated || len(s.Redirs) > 0
		for _, body := range bodies(s.Cmd) {
			tame(body, inner)
			if len(body) > 0 && !inner {
				unlist(body[len(body)-1])
			}
		}
		if f, ok := s.Cmd.(*syntax.FuncDecl); ok {
			tame([]*syntax.Stmt{f.Body}, true)
		}
	}
}

// bodies returns the lists of a compound command of which the last status is
// its own.
func bodies(c syntax.Command) (all [][]*syntax.Stmt) {
	switch c := c.(type) {
	case *syntax.Block:
		all = append(all, c.Stmts)
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			all = append(all, c.Then)
		}
	case *syntax.WhileClause:
		all = append(all, c.Do)
	case *syntax.ForClause:
		all = append(all, c.Do)
	case *syntax.CaseClause:
		for _, i := range c.Items {
			all = append(all, i.Stmts)
		}
	}
	return all
}

// unlist makes "a && b" an if.
func unlist(s *syntax.Stmt) {
	b, ok := s.Cmd.(*syntax.BinaryCmd)
	if !ok || b.Op != syntax.AndStmt || s.Negated || len(s.Redirs) > 0 {
		return
	}
	s.Cmd = &syntax.IfClause{Position: s.Position, Cond: []*syntax.Stmt{b.X}, Then: []*syntax.Stmt{b.Y}}
}

// asksStatus reports whether n uses the status of what ran before.
func asksStatus(n syntax.Node) (found bool) {
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ParamExp:
			found = found || n.Param != nil && n.Param.Value == "?"
		case *syntax.CallExpr: // "return" and "exit" alone
			found = found || len(n.Args) == 1 && (n.Args[0].Lit() == "return" || n.Args[0].Lit() == "exit")
		}
		return !found
	})
	return found
}
