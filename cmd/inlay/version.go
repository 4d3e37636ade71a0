// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/urfave/cli/v2"

	"inlay/resolve/plan"
)

// version is that of the program; a release sets it with -ldflags.
var version = "devel"

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:         "version",
		Usage:        "print the version, and the versions of what decides the bytes of layers",
		Description:  examples("Layers are the same bytes wherever these versions are the same.", "inlay version"),
		OnUsageError: usageProblem,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{"version takes no arguments", "write inlay version"}
			}
			return printVersion(c.App.Writer)
		},
	}
}

// printVersion prints the version, and those of what decides the bytes of layers.
func printVersion(w io.Writer) error {
	fmt.Fprintf(w, "inlay %s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "plan %d, apt %d\n", plan.Version, plan.AptVersion)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	fmt.Fprintln(w, info.GoVersion)
	for _, m := range info.Deps {
		if slices.Contains([]string{"github.com/klauspost/compress", "github.com/google/go-containerregistry"}, m.Path) {
			fmt.Fprintln(w, m.Path, m.Version)
		}
	}
	return nil
}

// userAgent names the program to registries.
func userAgent() string { return "inlay/" + version }
