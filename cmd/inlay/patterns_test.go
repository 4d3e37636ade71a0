// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPatterns compiles every expression that is given to pattern.New: those
// of the program are compiled when they are needed, which may be never in the
// tests.
func TestPatterns(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "ls-files", "*.go", ":!*_test.go").Output()
	if err != nil {
		t.Skip("no list of the files: ", err)
	}
	compiled := 0
	for name := range strings.Lines(string(out)) {
		text, err := os.ReadFile(filepath.Join("../..", strings.TrimSpace(name)))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "pattern.New(") {
			compiled += compilePatterns(t, strings.TrimSpace(name), text)
		}
	}
	if compiled < 100 {
		t.Errorf("only %d expressions were found", compiled)
	}
}

func compilePatterns(t *testing.T, name string, text []byte) (compiled int) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	consts := map[string]ast.Expr{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, v := range n.Values {
				consts[n.Names[i].Name] = v
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "New" || ident(f.X) != "pattern" {
				return true
			}
			if _, err := regexp.Compile(constant(t, consts, n.Args[0])); err != nil {
				t.Errorf("%v: %v", files.Position(n.Pos()), err)
			}
			compiled++
		}
		return true
	})
	return compiled
}

func ident(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// constant returns the value of an expression of literals, constants of its
// file, and QuoteMeta of anything, which always is an expression.
func constant(t *testing.T, consts map[string]ast.Expr, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		return s
	case *ast.BinaryExpr:
		return constant(t, consts, e.X) + constant(t, consts, e.Y)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "QuoteMeta" {
			return "x"
		}
	case *ast.Ident:
		if v, ok := consts[e.Name]; ok {
			return constant(t, consts, v)
		}
	}
	t.Fatalf("%T is not a constant here", e)
	return ""
}
