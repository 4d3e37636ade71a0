// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// lazy rewrites expansions such as ${x:-$(command)}: the interpreter would run
// the command even where its output isn't used. They become substitutions that
// ask first. It reports whether there were any.
func lazy(file *syntax.File) (changed bool, err error) {
	syntax.Walk(file, func(n syntax.Node) bool {
		var parts []syntax.WordPart
		switch n := n.(type) {
		case *syntax.Stmt:
			changed = unassign(n) || changed
		case *syntax.Word:
			parts = n.Parts
		case *syntax.DblQuoted:
			parts = n.Parts
		}
		for i, p := range parts {
			if e, ok := p.(*syntax.ParamExp); ok && e.Exp != nil && e.Exp.Word != nil && substitutes(e.Exp.Word) && err == nil {
				parts[i], err = asking(e)
				changed = true
			}
		}
		return err == nil
	})
	return changed, err
}

// unassign makes an if of the statement : "${x:=$(command)}", and reports whether
// s is one.
func unassign(s *syntax.Stmt) bool {
	c, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(c.Args) != 2 || c.Args[0].Lit() != ":" || len(c.Assigns)+len(s.Redirs) > 0 || len(c.Args[1].Parts) != 1 {
		return false
	}
	part := c.Args[1].Parts[0]
	if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
		part = q.Parts[0]
	}
	e, ok := part.(*syntax.ParamExp)
	if !ok || e.Param == nil || e.Exp == nil || e.Exp.Op != syntax.AssignUnsetOrNull || e.Exp.Word == nil || !substitutes(e.Exp.Word) {
		return false
	}
	var word strings.Builder
	if err := syntax.NewPrinter().Print(&word, e.Exp.Word); err != nil {
		return false
	}
	text := fmt.Sprintf("if [ -z \"$%s\" ]; then %s=%s || :; fi", e.Param.Value, e.Param.Value, word.String())
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return false
	}
	s.Cmd = file.Stmts[0].Cmd
	return true
}

// asking returns the substitution that stands for e.
func asking(e *syntax.ParamExp) (syntax.WordPart, error) {
	unknown := &UnsupportedError{"a command in the default of a variable"}
	var word strings.Builder
	if err := syntax.NewPrinter().Print(&word, e.Exp.Word); err != nil || e.Param == nil {
		return nil, unknown
	}
	name, quoted := e.Param.Value, word.String()
	if !slices.ContainsFunc(e.Exp.Word.Parts, func(p syntax.WordPart) bool { _, is := p.(*syntax.DblQuoted); return is }) {
		quoted = `"` + quoted + `"`
	}
	use, set, keep := "", "+", fmt.Sprintf("printf %%s \"$%s\"", name)
	switch e.Exp.Op {
	case syntax.AlternateUnsetOrNull, syntax.DefaultUnsetOrNull:
		set = ":+"
	case syntax.AlternateUnset, syntax.DefaultUnset:
	default:
		return nil, unknown
	}
	use = fmt.Sprintf("inlay_s=0; inlay=%s || inlay_s=$?; printf %%s \"$inlay\"; exit $inlay_s", quoted)
	if e.Exp.Op == syntax.AlternateUnsetOrNull || e.Exp.Op == syntax.AlternateUnset {
		use, keep = ":", use
	}
	text := fmt.Sprintf("x=$(if [ -n \"${%s%sx}\" ]; then %s; else %s; fi)", name, set, keep, use)
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, unknown
	}
	call, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok {
		return nil, unknown
	}
	return call.Assigns[0].Value.Parts[0], nil
}

// substitutes reports whether a command is run for n.
func substitutes(n syntax.Node) (found bool) {
	syntax.Walk(n, func(n syntax.Node) bool {
		_, is := n.(*syntax.CmdSubst)
		found = found || is
		return !found
	})
	return found
}
