// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryPlatform checks the types of the code as each platform sees it that
// inlay is for: the files that it has there, with all they call. That takes
// seconds where compiling all dependencies takes minutes.
func TestEveryPlatform(t *testing.T) {
	if testing.Short() {
		t.Skip("nothing runs here that could race")
	}
	for _, platform := range []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"} {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			os, arch, _ := strings.Cut(platform, "/")
			checked := map[string]*types.Package{"unsafe": types.Unsafe}
			ours := 0
			for _, p := range dependencies(t, os, arch) {
				p.check(t, arch, checked)
				if p.ours() {
					ours++
				}
			}
			if ours < 50 {
				t.Errorf("only %d packages of ours were checked", ours)
			}
		})
	}
}

// A dependency is a package as `go list` tells of it.
type dependency struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
	Module          *struct {
		Main      bool
		GoVersion string
	}
}

func (p dependency) ours() bool { return p.Module != nil && p.Module.Main }

// dependencies lists our packages and all that they need, each after those that
// it imports.
func dependencies(t *testing.T, goos, goarch string) (all []dependency) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Module", module+"...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p dependency
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath != "unsafe" {
			all = append(all, p)
		}
	}
}

// check checks the types of a package, inside functions too if it is ours, and
// adds it to those that others can import.
func (p dependency) check(t *testing.T, goarch string, checked map[string]*types.Package) {
	t.Helper()
	files := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	config := types.Config{
		IgnoreFuncBodies: !p.ours(),
		Importer:         importer{p.ImportMap, checked},
		Sizes:            types.SizesFor("gc", goarch),
		Error:            func(err error) { t.Error(err) },
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	checked[p.ImportPath], _ = config.Check(p.ImportPath, files, parsed, nil)
}

// An importer finds what was checked before. The names are those that a package
// knows others by: of the standard library some are vendored.
type importer struct {
	names   map[string]string
	checked map[string]*types.Package
}

func (i importer) Import(path string) (*types.Package, error) {
	if name := i.names[path]; name != "" {
		path = name
	}
	if p := i.checked[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s is not listed before what imports it", path)
}
