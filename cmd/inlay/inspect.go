// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"inlay/cache"
	"inlay/cmd/inlay/progress"
	"inlay/resolve/parent"
	"inlay/resolve/source"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "list an image's layers and Python packages, and where each came from",
		ArgsUsage: "IMAGE",
		Description: examples("IMAGE is a reference in a registry, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE.\n"+
			"The first time, its layers are read once, as a stream; nothing is unpacked.",
			"inlay inspect python:3.12-slim",
			"inlay inspect --format json oci:image:v1"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "platform", Usage: "of an image for several, take that for `OS/ARCH`"},
			&cli.StringFlag{Name: "python", Usage: "list the packages of the interpreter at `PATH` in the image"},
			choice("format", "print as `FORMAT`", "text", "text", "json"),
			&cli.BoolFlag{Name: "offline", Usage: "use what the cache has, and no network"},
		}, append(registryFlags(), globalFlags()...)...),
		OnUsageError: usageProblem,
		Action:       inspect,
	}
}

// An imageReport is what inspect prints; its JSON is for programs.
type imageReport struct {
	Reference  string            `json:"reference"`
	Digest     string            `json:"digest"`
	Platform   string            `json:"platform"`
	User       string            `json:"user"`
	WorkDir    string            `json:"workDir"`
	Entrypoint []string          `json:"entrypoint"`
	Cmd        []string          `json:"cmd"`
	Env        []string          `json:"env"`
	Labels     map[string]string `json:"labels"`
	Python     string            `json:"python"` // version and path, "" if there is none
	Layers     []layerReport     `json:"layers"`
	Packages   []packageReport   `json:"packages"`
}

type layerReport struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes, compressed
	From   string `json:"from"` // "inlay" or "parent"
	Holds  string `json:"holds"`
}

type packageReport struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Layer   int    `json:"layer"` // from 1
	From    string `json:"from"`  // "inlay" or "parent"
}

func inspect(c *cli.Context) error {
	if c.NArg() != 1 {
		return &usageError{fmt.Sprintf("inspect takes one IMAGE, not %d arguments", c.NArg()), "write inlay inspect IMAGE"}
	}
	show := display(c)
	defer show.Close()
	s, err := open(c.Context, c, show, nil)
	if err != nil {
		return err
	}
	defer s.close()
	ref, err := source.Parse(c.Args().First())
	if err != nil {
		return err
	}
	img, err := s.images.Open(c.Context, ref, c.String("platform"))
	if err != nil {
		return err
	}
	inv, err := parent.Inspect(c.Context, parent.Options{
		Image: img, Name: c.Args().First(), Reference: img.Reference, Platform: c.String("platform"), Python: c.String("python"),
		Store: values(s.cache, cache.Inventories), Progress: layersOf(show),
	})
	if err != nil {
		return err
	}
	r, err := newReport(c.Context, inv)
	if err != nil {
		return err
	}
	show.Close()
	if c.String("format") == "json" {
		return printJSON(c.App.Writer, r)
	}
	r.print(c.App.Writer)
	return nil
}

// layersOf shows the reading of layers, which are no parent's here.
func layersOf(show progress.Display) func(string, int64) (func(int64), func(error)) {
	return func(task string, total int64) (func(int64), func(error)) {
		return show.Start(strings.Replace(task, "parent layer", "layer", 1), total)
	}
}

func newReport(ctx context.Context, inv *parent.Inventory) (*imageReport, error) {
	c := inv.Config.Config
	r := &imageReport{
		Reference: inv.Reference, Digest: inv.Digest, Platform: inv.Platform,
		User: c.User, WorkDir: c.WorkingDir, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, Labels: c.Labels,
		Layers: layerReports(inv),
	}
	if inv.Python == nil {
		return r, nil
	}
	r.Python = fmt.Sprintf("%s at %s", inv.Python.Version, inv.Python.Interpreter)
	if len(inv.Python.Dists) == 0 {
		return r, nil
	}
	view, err := inv.View(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range inv.Python.Dists {
		i, err := view.Layer(strings.TrimPrefix(d.Path, "/"))
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", d.Name, err)
		}
		r.Packages = append(r.Packages, packageReport{Name: d.Name, Version: d.Version, Layer: i + 1, From: r.Layers[i].From})
	}
	return r, nil
}

// layerReports tells of each layer what the history says of it.
func layerReports(inv *parent.Inventory) []layerReport {
	said := make([]v1.History, 0, len(inv.Layers))
	for _, h := range inv.Config.History {
		if !h.EmptyLayer {
			said = append(said, h)
		}
	}
	out := make([]layerReport, len(inv.Layers))
	for i, l := range inv.Layers {
		out[i] = layerReport{Digest: l.Digest, Size: l.Size, From: "parent"}
		if i >= len(said) {
			continue
		}
		holds, ours := strings.CutPrefix(said[i].CreatedBy, "inlay: ")
		out[i].Holds = holds
		if ours {
			out[i].From = "inlay"
		}
	}
	return out
}

func (r *imageReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", r.Reference)
	var about, ls, packages table
	for _, row := range [][2]string{
		{"platform", r.Platform},
		{"user", r.User},
		{"workdir", r.WorkDir},
		{"entrypoint", strings.Join(r.Entrypoint, " ")},
		{"cmd", strings.Join(r.Cmd, " ")},
		{"python", r.Python},
	} {
		if row[1] != "" {
			about.row(row[0], row[1])
		}
	}
	about.print(w)
	var sum int64
	ls.row("\nLAYER", "SIZE", "FROM", "HOLDS")
	for i, l := range r.Layers {
		ls.row(strconv.Itoa(i+1), inBytes(l.Size), l.From, oneLine(l.Holds))
		sum += l.Size
	}
	ls.row("in all", inBytes(sum))
	ls.print(w)
	if len(r.Packages) > 0 {
		packages.row("\nPACKAGE", "VERSION", "LAYER", "FROM")
	}
	for _, p := range r.Packages {
		packages.row(p.Name, p.Version, strconv.Itoa(p.Layer), p.From)
	}
	packages.print(w)
}

// oneLine cuts what a history says to what fits on a line.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 72 {
		return string(r[:71]) + "…"
	}
	return s
}
