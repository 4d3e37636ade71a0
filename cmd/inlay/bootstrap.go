// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"inlay/assemble"
	"inlay/resolve"
	"inlay/resolve/settings"
	"inlay/resolve/source"
)

func bootstrapCommand(common []cli.Flag) *cli.Command {
	return &cli.Command{
		Name:      "bootstrap",
		Usage:     "make an image of Debian packages alone",
		ArgsUsage: "SUITE",
		Description: examples("Chooses the essential packages of a suite, apt, and those that --package names, and installs them into an\n"+
			"image without a parent: no registry is needed. The archive and its keys are those that this machine's apt uses,\n"+
			"unless flags name others. `apt:SUITE+PACKAGE…` as a parent image does the same.",
			"inlay bootstrap --package python3 --package ca-certificates -o oci:parent bookworm",
			"inlay bootstrap --platform linux/arm64 -o oci-archive:trixie.tar trixie"),
		Flags:        bootstrapFlags(common),
		OnUsageError: usageProblem,
		Action:       bootstrap,
	}
}

// bootstrapFlags are those of build that have to do with packages and outputs.
func bootstrapFlags(common []cli.Flag) []cli.Flag {
	used := []string{
		"tag", "push", "output", "set", "refresh", "offline", "no-cache", "jobs", "platform", "compression", "apt-mirror", "keyring",
		"insecure-registry", "registry-mirror", "cache-dir", "progress", "quiet",
	}
	flags := slices.DeleteFunc(slices.Clone(common), func(f cli.Flag) bool { return !slices.Contains(used, f.Names()[0]) })
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "package", Usage: "install the package `NAME` too; may be given several times"},
	}, flags...)
}

func bootstrap(c *cli.Context) error {
	root, err := rootOf(c)
	if err != nil {
		return err
	}
	j, err := bootstrapJob(c)
	if err != nil {
		return err
	}
	defer j.show.Close()
	defer j.close()
	if _, ok := j.pushes(); ok && c.Bool("offline") {
		return &usageError{"--offline leaves no network to push the image", "leave it out, or write a file: --output oci-archive:FILE"}
	}
	if all := j.settings.Platforms; len(all) > 0 {
		return &usageError{"bootstrap makes an image for one platform, not for " + strings.Join(all, ", "), "build on `--parent-image apt:" + root.Suite + "` for several, or give --platform " + all[0]}
	}
	if root.Platform, err = source.Platform(cmp.Or(j.settings.Platform, "linux/"+runtime.GOARCH)); err != nil {
		return err
	}
	b, err := j.bootstrap(c.Context, root)
	if err != nil {
		return err
	}
	tools := j.tools(b.Plan)
	tools.Context = texts(b.Files)
	o, err := j.options(c, tools)
	if err != nil {
		return err
	}
	img, err := assemble.Build(c.Context, b.Plan, o)
	if err != nil {
		return err
	}
	if err := j.keep(img.Digest, b); err != nil {
		return err
	}
	j.show.Close()
	return j.tell(c, img)
}

// rootOf reads what the image is to be made of.
func rootOf(c *cli.Context) (resolve.Root, error) {
	if c.NArg() != 1 {
		return resolve.Root{}, &usageError{fmt.Sprintf("bootstrap takes one SUITE, not %d arguments", c.NArg()), "name a suite of Debian: `inlay bootstrap bookworm`"}
	}
	ref, err := source.Parse(source.Apt + ":" + c.Args().First())
	if err != nil {
		return resolve.Root{}, err
	}
	suite, packages := ref.Root()
	return resolve.Root{Suite: suite, Packages: append(packages, c.StringSlice("package")...)}, nil
}

// bootstrapJob is a job without a settings file.
func bootstrapJob(c *cli.Context) (*job, error) {
	if err := checkFlags(c); err != nil {
		return nil, err
	}
	s, warnings, err := settings.Load("the flags", nil, settings.Options{Lookup: os.LookupEnv, Overrides: overrides(c)})
	if err != nil {
		return nil, err
	}
	j := &job{settings: s, context: ".", show: display(c)}
	for _, w := range warnings {
		j.show.Note("warning: " + w.String())
	}
	if err := j.ready(c); err != nil {
		j.close()
		j.show.Close()
		return nil, err
	}
	return j, nil
}
