// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/urfave/cli/v2"

	"inlay/cache/registry"
	"inlay/cmd/inlay/login"
	"inlay/cmd/inlay/progress"
	"inlay/resolve/source"
)

// registryFlags are those of commands that talk to image registries.
func registryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name: "insecure-registry", Usage: "talk to the registry `HOST[:PORT]` without checking its certificate, or in the clear; may be given several times",
			EnvVars: []string{"INLAY_INSECURE_REGISTRIES"},
		},
		&cli.StringSliceFlag{
			Name: "registry-mirror", Usage: "ask a mirror for parents first, `REGISTRY=MIRROR[/PATH]`; may be given several times",
			EnvVars: []string{"INLAY_REGISTRY_MIRRORS"},
		},
	}
}

// registries returns how to talk to image registries.
func registries(c *cli.Context, show progress.Display) (source.Images, error) {
	im := source.Images{Keychain: login.Keychain(login.Options{}), UserAgent: userAgent(), Note: show.Note}
	for _, text := range listed(c, "insecure-registry") {
		host, err := source.ParseHost(text)
		if err != nil {
			return source.Images{}, err
		}
		im.Insecure = append(im.Insecure, host)
	}
	for _, text := range listed(c, "registry-mirror") {
		m, err := source.ParseMirror(text)
		if err != nil {
			return source.Images{}, err
		}
		im.Mirrors = append(im.Mirrors, m)
	}
	im.Transport = registry.Plain(registry.Unverified(im.Insecure), im.Insecure)
	return im, nil
}

// listed returns the values of a flag that holds several, separated by commas
// where they come from a variable.
func listed(c *cli.Context, flag string) []string {
	var all []string
	for _, v := range c.StringSlice(flag) {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

// newTag reads a name of an image that was checked before.
func (s *site) newTag(text string) (name.Tag, error) {
	tag, err := name.NewTag(text)
	if err != nil {
		return name.Tag{}, err
	}
	for _, host := range s.images.Insecure {
		if tag.RegistryStr() == host {
			return name.NewTag(text, name.Insecure)
		}
	}
	return tag, nil
}
