// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"inlay/assemble/record"
	"inlay/cache"
)

func buildsCommand() *cli.Command {
	format := choice("format", "print as `FORMAT`", "text", "text", "json")
	return &cli.Command{
		Name:         "builds",
		Usage:        "list, show or delete the records of builds",
		OnUsageError: usageProblem,
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list builds, the newest first",
				Description: examples("Every build leaves a record in the cache: what it made, of what, and where that is. Filters are fields\n"+
					"with a value, or with an operation before it: "+strings.Join(operations, ", ")+".",
					"inlay builds list", "inlay builds list --filter pipeline=training --filter is_local=false", "inlay builds list --filter python_version=startswith:3.11 --format json",
					"inlay builds list --filter created=gte:2026-01-31 --filter duration=gt:60"),
				Flags: append([]cli.Flag{
					&cli.StringSliceFlag{Name: "filter", Usage: "only builds of which `FIELD=VALUE` holds: " + strings.Join(buildFilters, ", ") + "; may be given several times"},
					&cli.IntFlag{Name: "limit", Usage: "list no more than `N`", DefaultText: "all"},
					format,
				}, globalFlags()...),
				OnUsageError: usageProblem, Action: buildsList,
			},
			{
				Name: "show", Usage: "say all that is known of a build", ArgsUsage: "ID",
				Description: examples("An ID may be cut short. What --format json prints, `inlay build --build FILE` takes.",
					"inlay builds show 3f2a91c0d4e7", "inlay builds show --format json 3f2a >build.json"),
				Flags: append([]cli.Flag{format}, globalFlags()...), OnUsageError: usageProblem, Action: buildsShow,
			},
			{
				Name: "delete", Usage: "delete the record of a build", ArgsUsage: "ID...",
				Description: examples("The images stay where they are, but no build reuses them any more.", "inlay builds delete 3f2a91c0d4e7"),
				Flags:       globalFlags(), OnUsageError: usageProblem, Action: buildsDelete,
			},
		},
		Action: noSubcommand,
	}
}

// builds opens the records of the cache; there may be none yet.
func builds(c *cli.Context) (*record.Builds, error) {
	root, err := cacheDir(c)
	if err != nil {
		return nil, err
	}
	dir, err := cache.Open(root)
	if err != nil {
		return nil, err
	}
	return &record.Builds{Values: values(dir, cache.Records)}, nil
}

func buildsList(c *cli.Context) error {
	if c.NArg() > 0 {
		return &usageError{"builds list takes no arguments", helpFor(c.Command.HelpName)}
	}
	s, err := builds(c)
	if err != nil {
		return err
	}
	all, err := s.List()
	if err != nil {
		return err
	}
	if all, err = filtered(all, c.StringSlice("filter")); err != nil {
		return err
	}
	if n := c.Int("limit"); n > 0 && n < len(all) {
		all = all[:n]
	}
	if c.String("format") == "json" {
		return printJSON(c.App.Writer, all)
	}
	var t table
	t.row("id", "created", "pipeline", "images", "code", "python", "where", "took")
	for _, b := range all {
		where := "registry"
		if b.IsLocal {
			where = "local"
		}
		code := "no"
		if b.ContainsCode {
			code = "yes"
		}
		t.row(b.ID, b.Created.Format(time.DateTime), b.Pipeline, strconv.Itoa(len(b.Images)), code, b.PythonVersion, where, fmt.Sprintf("%.1f s", b.Duration))
	}
	t.print(c.App.Writer)
	return nil
}

func buildsShow(c *cli.Context) error {
	if c.NArg() != 1 {
		return &usageError{fmt.Sprintf("builds show takes one ID, not %s", count(c.NArg(), "argument")), "see `inlay builds list`"}
	}
	s, err := builds(c)
	if err != nil {
		return err
	}
	b, err := s.Find(c.Args().First())
	if err != nil {
		return err
	}
	if c.String("format") == "json" {
		return printJSON(c.App.Writer, b)
	}
	var t table
	for _, row := range [][2]string{
		{"id", b.ID},
		{"created", b.Created.Format(time.DateTime)},
		{"pipeline", b.Pipeline},
		{"context", b.Context},
		{"python", b.PythonVersion},
		{"zenml", b.ZenMLVersion},
		{"checksum", b.Checksum},
		{"took", fmt.Sprintf("%.1f s", b.Duration)},
		{"inlay", b.Inlay},
	} {
		if row[1] != "" {
			t.row(row[0], row[1])
		}
	}
	t.print(c.App.Writer)
	for _, im := range b.Images {
		showImage(c, im)
	}
	return nil
}

// showImage prints an image of a build.
func showImage(c *cli.Context, im record.Image) {
	platform := im.Platform
	if !im.Built() {
		platform = "skip_build"
	}
	fmt.Fprintf(c.App.Writer, "image %s (%s)\n", strings.Join(im.Keys, ", "), platform)
	var t table
	if len(im.Steps) > 0 {
		t.row("  steps", strings.Join(im.Steps, ", "))
	}
	for _, ref := range im.References {
		t.row("  at", ref)
	}
	if im.Index != "" {
		t.row("  in", im.Index)
	}
	t.row("  parent", im.Parent.Image)
	if im.Built() {
		t.row("  plan", im.Plan)
	}
	if im.Code != nil {
		t.row("  code", im.Code.Location)
	}
	for _, l := range im.Layers {
		t.row("  layer", l.Name+" ("+inBytes(l.Size)+")")
		for _, a := range l.Asked {
			t.row("    asked", a)
		}
	}
	for _, w := range im.Wheels {
		if w.Source != nil {
			t.row("  built", w.Name+" "+w.Version+" of "+w.Source.File+"; asked "+w.Source.Asked)
		}
	}
	for _, r := range im.Requirements {
		t.row("  requirement", r)
	}
	t.print(c.App.Writer)
}

func buildsDelete(c *cli.Context) error {
	if c.NArg() == 0 {
		return &usageError{"builds delete takes an ID", "see `inlay builds list`"}
	}
	s, err := builds(c)
	if err != nil {
		return err
	}
	for _, id := range c.Args().Slice() {
		b, err := s.Find(id)
		if err != nil {
			return err
		}
		if err := s.Delete(b); err != nil {
			return err
		}
		fmt.Fprintln(c.App.Writer, b.ID)
	}
	return nil
}
