// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"inlay/cache"
	"inlay/cmd/inlay/progress"
	"inlay/layers"
	"inlay/resolve/parent"
	"inlay/resolve/source"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "list an image's layers, packages and configuration, and where each came from",
		ArgsUsage: "IMAGE",
		Description: examples("IMAGE is a reference in a registry, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE.\n"+
			"The first time, its layers are read once, as a stream; nothing is unpacked.",
			"inlay inspect python:3.12-slim",
			"inlay inspect --format json oci:image:v1"),
		Flags:        imageFlags(),
		OnUsageError: usageProblem,
		Action:       inspect,
	}
}

// imageFlags are those of commands that look at images.
func imageFlags(more ...cli.Flag) []cli.Flag {
	flags := append(more,
		&cli.StringFlag{Name: "platform", Usage: "of an image for several, take that for `OS/ARCH`"},
		&cli.StringFlag{Name: "python", Usage: "list the packages of the interpreter at `PATH` in the image"},
		choice("format", "print as `FORMAT`", "text", "text", "json"),
		&cli.BoolFlag{Name: "offline", Usage: "use what the cache has, and no network"})
	return append(append(flags, registryFlags()...), globalFlags()...)
}

// An imageReport is what inspect prints; its JSON is for programs.
type imageReport struct {
	Reference  string            `json:"reference"`
	Digest     string            `json:"digest"`
	Platform   string            `json:"platform"`
	Index      string            `json:"index,omitempty"`     // by digest, that the image was chosen from
	Platforms  []string          `json:"platforms,omitempty"` // of the index
	Base       baseReport        `json:"base"`
	Created    string            `json:"created"` // RFC 3339
	User       string            `json:"user"`
	WorkDir    string            `json:"workDir"`
	Entrypoint []string          `json:"entrypoint"`
	Cmd        []string          `json:"cmd"`
	Env        []string          `json:"env"`
	Labels     map[string]string `json:"labels"`
	Python     string            `json:"python"` // version and path, "" if there is none
	Layers     []layerReport     `json:"layers"`
	Packages   []packageReport   `json:"packages"`       // distributions of Python
	System     []packageReport   `json:"systemPackages"` // of dpkg or apk
}

// A baseReport is what the image's annotations say of its parent.
type baseReport struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

type layerReport struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes, compressed
	From   string `json:"from"` // "inlay" or "parent"
	Holds  string `json:"holds"`
	// Report is what the build that made the layer told of it.
	Report []string `json:"report,omitempty"`
}

type packageReport struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Layer     int      `json:"layer"`               // from 1
	From      string   `json:"from"`                // "inlay" or "parent"
	Installer string   `json:"installer,omitempty"` // what its INSTALLER says
	Tags      []string `json:"tags,omitempty"`      // of its wheel
}

func inspect(c *cli.Context) error {
	if c.NArg() != 1 {
		return &usageError{fmt.Sprintf("inspect takes one IMAGE, not %d arguments", c.NArg()), "write inlay inspect IMAGE"}
	}
	show := display(c)
	defer show.Close()
	s, err := open(c, show, nil, nil)
	if err != nil {
		return err
	}
	defer s.close()
	img, err := s.image(c, c.Args().First())
	if err != nil {
		return err
	}
	inv, err := s.look(c.Context, c, img, show)
	if err != nil {
		return err
	}
	r, err := newReport(c.Context, img, inv)
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

// A named image is one that somebody wrote the name of.
type namedImage struct {
	*source.Image
	name string
}

// image opens the image of that name.
func (s *site) image(c *cli.Context, name string) (namedImage, error) {
	ref, err := source.Parse(name)
	if err != nil {
		return namedImage{}, err
	}
	img, err := s.images.Open(c.Context, ref, c.String("platform"))
	return namedImage{img, name}, err
}

// look lists what an image holds.
func (s *site) look(ctx context.Context, c *cli.Context, img namedImage, show progress.Display) (*parent.Inventory, error) {
	return parent.Inspect(ctx, parent.Options{
		Image: img, Name: img.name, Reference: img.Reference, Platform: c.String("platform"), Python: c.String("python"),
		Store: values(s.cache, cache.Inventories), Progress: layersOf(show),
	})
}

// layersOf shows the reading of layers, which are no parent's here.
func layersOf(show progress.Display) func(string, int64) (func(int64), func(error)) {
	return func(task string, total int64) (func(int64), func(error)) {
		return show.Start(strings.Replace(task, "parent layer", "layer", 1), total)
	}
}

func newReport(ctx context.Context, img namedImage, inv *parent.Inventory) (*imageReport, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of %s: %w", img.name, err)
	}
	c := inv.Config.Config
	r := &imageReport{
		Reference: inv.Reference, Digest: inv.Digest, Platform: inv.Platform, Index: img.Index, Platforms: img.Platforms,
		Base: baseReport{m.Annotations["org.opencontainers.image.base.name"], m.Annotations["org.opencontainers.image.base.digest"]},
		User: c.User, WorkDir: c.WorkingDir, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, Labels: c.Labels,
		Layers: layerReports(inv), Packages: []packageReport{}, System: []packageReport{},
	}
	if created := inv.Config.Created; !created.IsZero() {
		r.Created = created.UTC().Format("2006-01-02T15:04:05Z")
	}
	view, err := inv.View(ctx)
	if err != nil {
		return nil, err
	}
	if inv.Python != nil {
		r.Python = fmt.Sprintf("%s at %s", inv.Python.Version, inv.Python.Interpreter)
		for _, d := range inv.Python.Dists {
			if err := r.distribution(view, d); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range inv.Packages {
		i, err := view.Layer(strings.TrimPrefix(p.Path, "/"))
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", p.Name, err)
		}
		r.System = append(r.System, packageReport{Name: p.Name, Version: p.Version, Layer: i + 1, From: r.Layers[i].From})
	}
	return r, nil
}

// distribution adds a distribution with what its metadata says of its wheel.
func (r *imageReport) distribution(view *layers.View, d parent.Dist) error {
	dir := strings.TrimPrefix(d.Path, "/")
	i, err := view.Layer(dir)
	if err != nil {
		return fmt.Errorf("looking for %s: %w", d.Name, err)
	}
	p := packageReport{Name: d.Name, Version: d.Version, Layer: i + 1, From: r.Layers[i].From}
	installer, _ := view.Kept(dir + "/INSTALLER")
	p.Installer = strings.TrimSpace(string(installer))
	wheel, _ := view.Kept(dir + "/WHEEL")
	for line := range strings.Lines(string(wheel)) {
		if tag, ok := strings.CutPrefix(line, "Tag:"); ok {
			p.Tags = append(p.Tags, strings.TrimSpace(tag))
		}
	}
	r.Packages = append(r.Packages, p)
	return nil
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
			out[i].Report = strings.FieldsFunc(said[i].Comment, func(r rune) bool { return r == '\n' })
		}
	}
	return out
}
