// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"inlay/cmd/inlay/progress"
	"inlay/resolve/compare"
	"inlay/resolve/parent"
)

func diffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "say in what two images differ",
		ArgsUsage: "A B",
		Description: examples("Compares distributions, system packages, configuration, files (type, mode, owner, size, content) and layers.\n"+
			"A and B are named as with inspect. Times of files are not compared, nor how layers are compressed. The status\n"+
			"is 0 if nothing differs, 1 if something does, and 2 if that could not be found out, as of diff.",
			"inlay diff registry.example.com/team/app:v1 registry.example.com/team/app:v2",
			"inlay diff --files python:3.12-slim oci:image",
			"inlay diff --format json oci-archive:old.tar docker-archive:new.tar"),
		Flags:        imageFlags(&cli.BoolFlag{Name: "files", Usage: "list every file that differs, not their directories"}),
		OnUsageError: usageProblem,
		Action:       diff,
	}
}

// A diffReport is what diff prints; its JSON is for programs.
type diffReport struct {
	Equal bool   `json:"equal"` // nothing that is compared differs
	A     sideOf `json:"a"`
	B     sideOf `json:"b"`
	*compare.Difference
}

// A sideOf a comparison is one of the two images.
type sideOf struct {
	Reference string            `json:"reference"`
	Digest    string            `json:"digest"`
	Platform  string            `json:"platform"`
	Platforms []string          `json:"platforms,omitempty"` // of the index that it was chosen from
	holds     map[string]string // of layers, by digest
}

func diff(c *cli.Context) error {
	if c.NArg() != 2 {
		return &usageError{fmt.Sprintf("diff takes two images, not %s", count(c.NArg(), "argument")), "write inlay diff A B"}
	}
	show := display(c)
	defer show.Close()
	s, err := open(c, show, nil, nil)
	if err != nil {
		return err
	}
	defer s.close()
	images, invs, err := s.both(c, show)
	if err != nil {
		return err
	}
	d, err := compare.Images(c.Context, invs[0], invs[1])
	if err != nil {
		return err
	}
	show.Close()
	r := &diffReport{A: newSide(images[0], invs[0]), B: newSide(images[1], invs[1]), Difference: d}
	r.Equal = d.Equal() && !r.otherPlatforms()
	if c.String("format") == "json" {
		err = printJSON(c.App.Writer, r)
	} else {
		r.print(c.App.Writer, c.Bool("files"))
	}
	if err == nil && !r.Equal {
		return verdictError(1)
	}
	return err
}

// both lists what the two images of the command line hold.
func (s *site) both(c *cli.Context, show progress.Display) (images [2]namedImage, invs [2]*parent.Inventory, err error) {
	for i, name := range c.Args().Slice() { // a name that is none is told before anything is read
		if images[i], err = s.image(c, name); err != nil {
			return images, invs, err
		}
	}
	// One after the other: layers that both have are read once.
	for i, img := range images {
		if invs[i], err = s.look(c.Context, c, img, show); err != nil {
			return images, invs, err
		}
	}
	return images, invs, nil
}

// otherPlatforms reports whether both are indexes, but not for the same platforms.
func (r *diffReport) otherPlatforms() bool {
	return len(r.A.Platforms) > 0 && len(r.B.Platforms) > 0 && !slices.Equal(r.A.Platforms, r.B.Platforms)
}

func newSide(img namedImage, inv *parent.Inventory) sideOf {
	s := sideOf{inv.Reference, inv.Digest, inv.Platform, img.Platforms, map[string]string{}}
	for _, l := range layerReports(inv) {
		s.holds[l.Digest] = l.Holds
	}
	return s
}
