// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"inlay/layers/pattern"
)

// minor finds a Python's X.Y.
var minor = pattern.New(`\b3\.\d+`)

// defaultParent names the parent where the settings name none: ZenML's image if
// they say which version, else the official image, and of both the one of the
// Python that the project, else this machine, uses.
func defaultParent(ctx context.Context, dir, zenml string) (image, why string) {
	for _, from := range []struct {
		why  string
		find func() string
	}{
		{".python-version", func() string { return pythonVersion(filepath.Join(dir, ".python-version")) }},
		{"requires-python in pyproject.toml", func() string { return requiresPython(filepath.Join(dir, "pyproject.toml")) }},
		{"python3 on this machine", func() string { return hostPython(ctx) }},
	} {
		if v := minor().FindString(from.find()); v != "" {
			if zenml != "" {
				return fmt.Sprintf("zenmldocker/zenml:%s-py%s", zenml, v), fmt.Sprintf("ZenML's own of version %s; Python %s is that of %s", zenml, v, from.why)
			}
			return fmt.Sprintf("python:%s-slim", v), fmt.Sprintf("the settings name none; Python %s is that of %s", v, from.why)
		}
	}
	return "", ""
}

// pythonVersion returns the first line of a .python-version file.
func pythonVersion(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

// requiresPython returns the project's requires-python (PEP 621), whose first
// version is the oldest that the project is for.
func requiresPython(path string) string {
	var file struct {
		Project struct {
			RequiresPython string `toml:"requires-python"`
		}
	}
	if _, err := toml.DecodeFile(path, &file); err != nil {
		return ""
	}
	return file.Project.RequiresPython
}

func hostPython(ctx context.Context) string {
	program, err := lookPath("python3")
	if err != nil {
		return ""
	}
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return ""
	}
	return string(out)
}
