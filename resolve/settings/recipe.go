// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"slices"
	"strings"
)

// A Recipe is a user's Dockerfile, and how it is built.
type Recipe struct {
	Dockerfile   string   // its path; "" is none
	Root         string   // directory that it copies files from; "" is none
	Dockerignore string   // path of an ignore file that must exist
	Target       string   // the stage to build
	Args         []string // "NAME=value"
}

// recipeOptions are options of the Dockerfile's build that count for the image.
type recipeOptions struct {
	platforms []string
	labels    map[string]string
}

const recipeSection = "parent_image_build_config"

// recipeFields are the fields about a Dockerfile.
func recipeFields() []field {
	at := func(name string) string { return recipeSection + ".build_options." + name }
	all := []field{
		{Field{
			Name: "dockerfile", Type: "path of a file", Example: "docker/Dockerfile", Flags: []string{"--dockerfile"},
			Doc: "The Dockerfile whose image is the parent, by its path in the context; `parent_image` does not count then.",
		}, "", text(func(l *loader) *string { return &l.docker.Recipe.Dockerfile }, nil)},
		{Field{
			Name: "build_context_root", Type: "path of a directory", Example: "docker",
			Doc: "The directory that `dockerfile` copies files from, by its path in the context; without it there are none.",
		}, "", text(func(l *loader) *string { return &l.docker.Recipe.Root }, nil)},
		{Field{
			Name: recipeSection + ".dockerignore", Type: "string", Default: ".dockerignore", Example: "docker/.dockerignore",
			Doc: "The file that says what of `build_context_root` is left out.",
		}, "", text(func(l *loader) *string { return &l.docker.Recipe.Dockerignore }, nil)},
		{Field{
			Name: at("target"), Type: "string", Example: "runtime", Flags: []string{"--target"},
			Doc: "The stage of `dockerfile` to build: its name or number; the last if none is named.",
		}, "", text(func(l *loader) *string { return &l.docker.Recipe.Target }, nil)},
		{Field{
			Name: at("platform"), Type: "string", Example: "linux/amd64",
			Doc: "The platform of the image, as in `build_config`.",
		}, "", recipePlatform},
		{Field{
			Name: at("labels"), Type: "mapping of strings", Example: "{team: ml}",
			Doc: "Labels of the image, over those of `dockerfile`.",
		}, "", stringMap(func(l *loader) *map[string]string { return &l.recipe.labels })},
		{Field{
			Name: at("pull"), Type: "boolean", Default: "false", Example: "false",
			Doc: "As in `build_config`: the names of images are looked up anew anyway.",
		}, "", func(_ *loader, s setting) error { _, err := s.boolean(); return err }},
	}
	for _, name := range []string{"no_cache", "nocache"} {
		all = append(all, field{
			Field{Name: at(name), Type: "boolean", Default: "false", Example: "false", Doc: "Make every layer anew."},
			"", once(func(l *loader, s setting) error {
				on, err := s.boolean()
				l.docker.NoCache = l.docker.NoCache || on
				return err
			}),
		})
	}
	for _, name := range []string{"build_args", "buildargs"} {
		f := Field{Name: at(name), Type: "mapping of strings", Example: "{VERSION: \"1.2\"}", Doc: "Values of `ARG` in `dockerfile`. No plan and no image holds them, but where the Dockerfile writes them."}
		if name == "build_args" {
			f.Flags = []string{"--build-arg"}
		}
		all = append(all, field{f, "", once(variables(func(d *Docker) *[]string { return &d.Recipe.Args }))})
	}
	return all
}

// recipePlatform reads a platform into the options of the Dockerfile.
func recipePlatform(l *loader, s setting) error {
	text, err := s.scalar(s.field.Type)
	if err == nil && text != "" {
		l.recipe.platforms, err = s.platforms(nil, text)
	}
	return err
}

// finishRecipe sets what the Dockerfile's options say of the image, whose
// platforms are known.
func (l *loader) finishRecipe() error {
	d := l.docker
	if p := l.recipe.platforms; len(p) > 0 {
		own := d.Platforms
		if d.Platform != "" {
			own = []string{d.Platform}
		}
		if own != nil && !slices.Equal(own, p) {
			return d.FieldError(recipeSection+".build_options.platform", "it is not that of the image, "+strings.Join(own, ", "), "name the same, or remove it")
		}
		if d.Platform, d.Platforms = p[0], nil; len(p) > 1 {
			d.Platform, d.Platforms = "", p
		}
	}
	for k, v := range l.recipe.labels {
		if d.Labels == nil {
			d.Labels = map[string]string{}
		}
		if _, ok := d.Labels[k]; !ok {
			d.Labels[k] = v
		}
	}
	return nil
}
