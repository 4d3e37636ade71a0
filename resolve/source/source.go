// SPDX-License-Identifier: Apache-2.0

// Package source opens images by name, from registries, OCI layouts and
// archives. Every index, manifest and configuration is checked against its
// digest before it is used, and every layer while it is read; opening an image
// reads none of its layers.
package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/registry"
)

// Images opens images.
type Images struct {
	// Platform is the one chosen from an index when none is asked for, such
	// as "linux/amd64".
	Platform string
	// Keychain has the logins for registries; nil has none.
	Keychain authn.Keychain
	// Transport carries requests to registries; nil means ggcr's.
	Transport http.RoundTripper
	// Insecure are the registries (HOST or HOST:PORT) that may be spoken to
	// over plain HTTP where they don't speak TLS. Loopback addresses always
	// may.
	Insecure []string
	// Mirrors are asked for the images of a registry before it is itself, in
	// their order.
	Mirrors []Mirror
	// Note is told of mirrors that don't have what they should; nil drops it.
	Note func(string)
	// UserAgent names the program to registries.
	UserAgent string
	// Wait passes before a failed request is repeated for the first time; 0
	// means half a second.
	Wait time.Duration
	// Store keeps what repositories said of digests, which they aren't asked again,
	// and of tags, to answer without a network; nil keeps nothing.
	Store Store
	// Offline answers for registries from Store alone. The layers of such an
	// image can't be read.
	Offline bool
}

// Anew returns what opens images where they are, whatever is known of them.
func (im Images) Anew() Images {
	im.Store = nil
	return im
}

// An Image is an image of one platform. Its layers are read where they are
// when somebody reads them. Those from a registry can be mounted into other
// repositories of it: they are *remote.MountableLayer.
type Image struct {
	v1.Image
	// Reference names the very image by its digest, as Parse reads it.
	Reference string
	// Platform is what the image is for, such as "linux/arm/v7".
	Platform string
	// Index names by its digest the index that the image was chosen from, "" if
	// it was none, and Platforms those of its images, sorted.
	Index     string
	Platforms []string
}

// Open finds the image that ref names for platform, "OS/ARCH[/VARIANT]". A
// platform of "" takes the only image there is or, from an index, the one for
// im.Platform. The context also bounds the reading of the layers.
//
// Where ref names nothing usable, the error is a *ReferenceError; where it is
// not for the platform, a *PlatformError; registries give the errors of package
// registry, as do their layers later; without a network they give an
// *OfflineError. What lies on disk and isn't what its digest says gives a
// *layers.DigestError.
func (im Images) Open(ctx context.Context, ref Reference, platform string) (*Image, error) {
	img, err := im.open(ctx, ref, platform)
	switch {
	case err == nil:
		return img, nil
	case namesImage(err):
		return nil, err
	default:
		return nil, fmt.Errorf("opening %s: %w", ref, err)
	}
}

// namesImage reports whether err says itself which image it is about.
func namesImage(err error) bool {
	var reference *ReferenceError
	var platform *PlatformError
	var access *registry.AccessError
	var notFound *registry.NotFoundError
	var offline *OfflineError
	return errors.As(err, &reference) || errors.As(err, &platform) || errors.As(err, &access) || errors.As(err, &notFound) || errors.As(err, &offline)
}

func (im Images) open(ctx context.Context, ref Reference, platform string) (*Image, error) {
	f, err := im.finder(ref, platform)
	if err != nil {
		return nil, err
	}
	var n *node
	switch ref.Transport {
	case transportRegistry:
		return im.fromRegistry(ctx, f)
	case transportLayout:
		f.open, n, err = layoutNode(ctx, directory(ref.Name), ref)
	case transportOCIArchive, transportDockerArchive:
		f.open, n, err = archiveNode(ctx, ref)
	case Apt:
		err = &ReferenceError{ref.String(), "it is made by a build, and no image that is somewhere", "make it with `inlay bootstrap -o oci:DIR " + strings.ReplaceAll(ref.Name, "+", " --package ") + "`, and name oci:DIR"}
	default:
		err = &ReferenceError{ref.String(), fmt.Sprintf("unknown transport %q", ref.Transport), "parse the name first"}
	}
	if err != nil {
		return nil, err
	}
	return f.choose(ctx, n)
}

// A node is an index or the manifest of an image.
type node struct {
	v1.Descriptor
	raw   []byte
	image func() (v1.Image, error) // with its configuration checked
}

// An opener returns the manifest or index of a digest.
type opener func(context.Context, v1.Hash) (*node, error)

// A candidate is an image that an index offers.
type candidate struct {
	digest   v1.Hash
	platform v1.Platform
}

// A finder finds the image for a platform.
type finder struct {
	ref      Reference
	open     opener
	asked    bool        // for a certain platform
	platform v1.Platform // asked for, or the default
}

func (im Images) finder(ref Reference, platform string) (finder, error) {
	f := finder{ref: ref, asked: platform != ""}
	if !f.asked {
		platform = im.Platform
	}
	var err error
	f.platform, err = parsePlatform(platform)
	return f, err
}

// choose returns the image that n is or, of an index, the one that fits the
// platform best; the first of several that fit as well.
func (f finder) choose(ctx context.Context, n *node) (*Image, error) {
	if n.MediaType.IsImage() {
		return f.single(n)
	}
	index := n.Digest
	all, err := f.candidates(ctx, n, 0)
	if err != nil {
		return nil, err
	}
	var best candidate
	most := 0
	for _, c := range all {
		if score := fit(f.platform, c.platform); score > most {
			best, most = c, score
		}
	}
	if most == 0 {
		return nil, f.misfit(all)
	}
	if n, err = f.open(ctx, best.digest); err != nil {
		return nil, err
	}
	img, err := n.image()
	if err != nil {
		return nil, err
	}
	result := f.result(img, n.Digest, best.platform)
	result.Platforms = platformsOf(all)
	if index != (v1.Hash{}) { // else what a layout lists without an index of its own
		result.Index = f.ref.pinned(index)
	}
	return result, nil
}

// single returns the image n if it is for the platform that was asked for. One
// that doesn't say what it is for fits any.
func (f finder) single(n *node) (*Image, error) {
	img, err := n.image()
	if err != nil {
		return nil, err
	}
	platform, err := platformOf(img)
	if err != nil {
		return nil, err
	}
	unsaid := platform.OS == "" && platform.Architecture == ""
	if f.asked && !unsaid && fit(f.platform, platform) == 0 {
		return nil, f.misfit([]candidate{{n.Digest, platform}})
	}
	if unsaid {
		platform = f.platform
	}
	return f.result(img, n.Digest, platform), nil
}

func (f finder) result(img v1.Image, h v1.Hash, p v1.Platform) *Image {
	return &Image{Image: img, Reference: f.ref.pinned(h), Platform: p.String()}
}

func (f finder) misfit(all []candidate) error {
	return &PlatformError{Reference: f.ref.String(), Want: f.platform.String(), Have: platformsOf(all)}
}

// platformsOf lists the platforms of candidates, each once.
func platformsOf(all []candidate) (names []string) {
	for _, c := range all {
		names = append(names, c.platform.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// maxNested bounds how deep indexes may stand in indexes.
const maxNested = 4

// candidates returns the images in an index and those in it. An attestation,
// which BuildKit marks as for "unknown/unknown", is no image, nor is anything
// with the manifest of something else.
func (f finder) candidates(ctx context.Context, n *node, depth int) ([]candidate, error) {
	if depth == maxNested {
		return nil, &ReferenceError{f.ref.String(), "its indexes are nested too deep", "name one image by its digest"}
	}
	index, err := parseIndex(n.raw)
	if err != nil {
		return nil, fmt.Errorf("reading index %s: %w", n.Digest, err)
	}
	var all []candidate
	for _, d := range index.Manifests {
		more, err := f.entry(ctx, d, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func (f finder) entry(ctx context.Context, d v1.Descriptor, depth int) ([]candidate, error) {
	switch {
	case d.Platform != nil && d.Platform.OS == "unknown":
		return nil, nil
	case d.MediaType.IsImage() && d.Platform != nil:
		return []candidate{{d.Digest, normal(*d.Platform)}}, nil
	case !d.MediaType.IsImage() && !d.MediaType.IsIndex():
		return nil, nil
	}
	n, err := f.open(ctx, d.Digest)
	if err != nil {
		return nil, err
	}
	if n.MediaType.IsIndex() {
		return f.candidates(ctx, n, depth+1)
	}
	img, err := n.image()
	if err != nil {
		return nil, err
	}
	p, err := platformOf(img)
	return []candidate{{d.Digest, p}}, err
}

// platformOf returns the platform in an image's configuration.
func platformOf(img v1.Image) (v1.Platform, error) {
	c, err := img.ConfigFile()
	if err != nil {
		return v1.Platform{}, err
	}
	return normal(v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}), nil
}
