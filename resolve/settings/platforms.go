// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Where platforms stand: in inlay's field and in docker build's.
const (
	platformsField      = "platforms"
	dockerPlatformField = "build_config.build_options.platform"
)

// For returns the settings of the image for one of the platforms.
func (d *Docker) For(platform string) *Docker {
	out := *d
	out.Platform, out.Platforms = platform, nil
	return &out
}

// platforms reads a list of platforms. The flag may also name several with
// commas, as docker's does.
func platforms(l *loader, s setting) error {
	if s.kind != list {
		return s.wrongType()
	}
	l.platforms = nil
	for i := range s.items {
		item := s.item(i)
		text, err := item.scalar("string")
		if err != nil {
			return err
		}
		if l.platforms, err = item.platforms(l.platforms, text); err != nil {
			return err
		}
	}
	return nil
}

// dockerPlatform reads the option of docker build.
func dockerPlatform(l *loader, s setting) error {
	text, err := s.scalar(s.field.Type)
	if err == nil && text != "" {
		l.dockerPlatforms, err = s.platforms(nil, text)
	}
	return err
}

// platforms adds the platforms in text to all, each once.
func (s setting) platforms(all []string, text string) ([]string, error) {
	for one := range strings.SplitSeq(text, ",") {
		one = strings.TrimSpace(one)
		if reason := isPlatform(one); reason != "" {
			if one == s.text {
				return nil, s.errorf("%s %s", s.shown(), reason)
			}
			return nil, s.errorf("%q in %s %s", one, s.shown(), reason)
		}
		if one = spelled(one); !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all, nil
}

// spelled spells the machine as Go does.
func spelled(platform string) string {
	words := strings.Split(platform, "/")
	words[1] = cmp.Or(map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[words[1]], words[1])
	return strings.Join(words, "/")
}

// choosePlatforms says which of the two fields counts: a flag's before the
// file's.
func (l *loader) choosePlatforms() error {
	d, chosen := l.docker, l.platforms
	switch {
	case len(chosen) == 0:
		chosen = l.dockerPlatforms
	case len(l.dockerPlatforms) == 0 || slices.Equal(chosen, l.dockerPlatforms):
	case d.ByFlag(dockerPlatformField) && !d.ByFlag(platformsField):
		chosen = l.dockerPlatforms
	case d.ByFlag(dockerPlatformField) == d.ByFlag(platformsField):
		return d.FieldError(platformsField, fmt.Sprintf("%s, and %s says %s", strings.Join(chosen, ", "), dockerPlatformField, strings.Join(l.dockerPlatforms, ", ")), "remove one of them")
	}
	if len(chosen) == 1 {
		d.Platform, chosen = chosen[0], nil
	}
	d.Platforms = chosen
	return nil
}
