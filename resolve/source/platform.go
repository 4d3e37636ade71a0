// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A PlatformError reports an image that there is only for other platforms.
type PlatformError struct {
	Reference string
	Want      string
	Have      []string // sorted
}

func (e *PlatformError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("image %q holds no image that can be run", e.Reference)
	}
	return fmt.Sprintf("image %q is not for %s, but for %s", e.Reference, e.Want, strings.Join(e.Have, ", "))
}

// Hint names the platforms there are.
func (e *PlatformError) Hint() string {
	if len(e.Have) == 0 {
		return "name another image"
	}
	return "name another image, or a platform that it is for: --platform " + e.Have[0]
}

// parsePlatform reads "OS/ARCH[/VARIANT]".
func parsePlatform(s string) (v1.Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return v1.Platform{}, fmt.Errorf("platform %q is not of the form OS/ARCH[/VARIANT], such as linux/amd64", s)
	}
	p := v1.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return normal(p), nil
}

// Platform returns "OS/ARCH[/VARIANT]" in the one form that Image.Platform has.
func Platform(s string) (string, error) {
	p, err := parsePlatform(s)
	return p.String(), err
}

// normal returns p in the one form that engines know it by: the variant that
// goes without saying is left out, and without a variant 32-bit ARM is v7.
func normal(p v1.Platform) v1.Platform {
	n := v1.Platform{OS: strings.ToLower(p.OS), Architecture: strings.ToLower(p.Architecture), Variant: strings.ToLower(p.Variant)}
	switch n.Architecture {
	case "x86_64", "x86-64":
		n.Architecture = "amd64"
	case "aarch64":
		n.Architecture = "arm64"
	case "armhf":
		n.Architecture, n.Variant = "arm", "v7"
	case "armel":
		n.Architecture, n.Variant = "arm", "v6"
	}
	if n.Variant != "" && !strings.HasPrefix(n.Variant, "v") {
		n.Variant = "v" + n.Variant
	}
	switch n.Architecture + "/" + n.Variant {
	case "arm64/v8", "amd64/v1":
		n.Variant = ""
	case "arm/":
		n.Variant = "v7"
	}
	return n
}

// fit says how well an image for have runs where want is: 0 means not at all.
// An image for an older variant of the processor runs on a newer one.
func fit(want, have v1.Platform) int {
	if want.OS != have.OS || want.Architecture != have.Architecture {
		return 0
	}
	w, h := level(want), level(have)
	if w < 0 || h < 0 || h > w {
		if want.Variant == have.Variant {
			return 1
		}
		return 0
	}
	return h + 1
}

// level returns the number in p's variant, -1 if there is none.
func level(p v1.Platform) int {
	if p.Variant == "" {
		if p.Architecture == "arm64" {
			return 8
		}
		return 1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(p.Variant, "v"))
	if err != nil || n < 0 {
		return -1
	}
	return n
}
