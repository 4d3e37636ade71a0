// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"inlay/cache/registry"
)

// manyLayers is more than an image has.
const manyLayers = 1024

// fromRegistry opens the image that f looks for: what the first mirror has
// that has it, else what the registry itself has.
func (im Images) fromRegistry(ctx context.Context, f finder) (*Image, error) {
	repo, err := im.repository(f.ref.Name)
	if err != nil {
		return nil, err
	}
	mirrors, err := im.mirrored(repo)
	if err != nil {
		return nil, err
	}
	if im.Offline {
		return im.offline(ctx, f, append(mirrors, repo))
	}
	for _, m := range mirrors {
		img, err := im.fromRepository(ctx, f, m)
		if err == nil || ctx.Err() != nil {
			return img, err
		}
		if im.Note != nil {
			im.Note(fmt.Sprintf("note: mirror %s has no %s: %v; asking %s itself", m.RegistryStr(), f.ref, err, repo.RegistryStr()))
		}
	}
	return im.fromRepository(ctx, f, repo)
}

// fromRepository opens the image that f looks for as repo has it. What a tag
// stands for is remembered once that has an image to open.
func (im Images) fromRepository(ctx context.Context, f finder, repo name.Repository) (*Image, error) {
	c, err := im.connect(f.ref, repo)
	if err != nil {
		return nil, err
	}
	f.open = c.open
	n, err := c.named(ctx)
	if err != nil {
		return nil, err
	}
	img, err := f.choose(ctx, n)
	if err != nil || f.ref.Digest != "" || n.Digest == c.before {
		return img, err
	}
	return img, im.put(tagName(f.ref), []byte(n.Digest.String()))
}

// A connection opens manifests of one repository for the reference that names
// them.
type connection struct {
	im     Images
	ref    Reference
	repo   name.Repository
	puller *remote.Puller
	before v1.Hash // what the reference's tag last stood for, if that is known
}

func (im Images) connect(ref Reference, repo name.Repository) (*connection, error) {
	options := registry.Options(registry.Transport(im.Transport, im.Wait), im.Keychain)
	// Callers bound how many layers they read at once. A lower bound of
	// ggcr's own could hold up one layer for another for ever.
	options = append(options, remote.WithJobs(manyLayers))
	if im.UserAgent != "" {
		options = append(options, remote.WithUserAgent(im.UserAgent))
	}
	puller, err := remote.NewPuller(options...)
	return &connection{im: im, ref: ref, repo: repo, puller: puller}, err
}

// named returns what the reference names. Where its tag stood for something
// before, the registry is asked first for the digest alone: some count that less
// than a manifest. One that doesn't answer to that is asked for the manifest.
func (c *connection) named(ctx context.Context) (*node, error) {
	if c.ref.Digest != "" {
		h, err := v1.NewHash(c.ref.Digest)
		if err != nil {
			return nil, err
		}
		return c.open(ctx, h)
	}
	tag := c.repo.Tag(c.ref.Tag)
	var known bool
	if c.before, known = c.im.stoodFor(c.ref); known {
		d, err := c.puller.Head(ctx, tag)
		var broken *url.Error
		switch {
		case errors.As(err, &broken): // so would the next request
			return nil, registry.Explain(err, c.repo, tag.Name())
		case err == nil:
			if n := c.known(ctx, d.Digest); n != nil {
				return n, nil
			}
		}
	}
	return c.get(ctx, tag)
}

// open returns the manifest or index of a digest.
func (c *connection) open(ctx context.Context, h v1.Hash) (*node, error) {
	if n := c.known(ctx, h); n != nil {
		return n, nil
	}
	if c.im.Offline {
		return nil, &OfflineError{c.ref.String()}
	}
	return c.get(ctx, c.repo.Digest(h.String()))
}

// get asks for a manifest or an index, and remembers it.
func (c *connection) get(ctx context.Context, r name.Reference) (*node, error) {
	d, err := c.puller.Get(ctx, r)
	if err != nil {
		return nil, registry.Explain(err, c.repo, r.Name())
	}
	mt, err := kind(d.Manifest)
	if err != nil {
		// A page of a login or of a proxy, most likely.
		return nil, &registry.NetworkError{Registry: c.repo.RegistryStr(), Err: err}
	}
	if mt != "" {
		d.MediaType = mt
	}
	if err := checkKind(c.ref, d.MediaType); err != nil {
		return nil, err
	}
	n := &node{d.Descriptor, d.Manifest, func() (v1.Image, error) { return c.image(d, r) }}
	if d.MediaType.IsImage() {
		return n, nil // it is remembered with its configuration
	}
	return n, c.im.remember(c.repo, d.Digest, said{MediaType: d.MediaType, Manifest: d.Manifest})
}

// image returns the image of a manifest, and remembers it.
func (c *connection) image(d *remote.Descriptor, asked name.Reference) (v1.Image, error) {
	img, err := d.Image()
	if err != nil {
		return nil, err
	}
	r := &remoteImage{img, asked}
	if err := checkImage(c.ref, r); err != nil {
		return nil, err
	}
	config, err := r.RawConfigFile()
	if err != nil {
		return nil, err
	}
	return r, c.im.remember(c.repo, d.Digest, said{d.MediaType, d.Manifest, config})
}

func (im Images) repository(text string) (name.Repository, error) {
	repo, err := name.NewRepository(text)
	if err != nil {
		return name.Repository{}, &ReferenceError{text, "it is no name of a repository", "write HOST/NAME in lower case"}
	}
	if slices.Contains(im.Insecure, repo.RegistryStr()) {
		return name.NewRepository(text, name.Insecure)
	}
	return repo, nil
}

// A remoteImage has layers that begin again when their connection breaks, and
// errors that say what to do.
type remoteImage struct {
	v1.Image
	ref name.Reference
}

// Layers returns mountable layers.
func (i *remoteImage) Layers() ([]v1.Layer, error) {
	ls, err := i.Image.Layers()
	for n, l := range ls {
		if m, ok := l.(*remote.MountableLayer); ok {
			ls[n] = &remote.MountableLayer{Layer: &remoteLayer{m.Layer, i.ref}, Reference: m.Reference}
		}
	}
	return ls, err
}

// RawConfigFile returns the configuration.
func (i *remoteImage) RawConfigFile() ([]byte, error) {
	b, err := i.Image.RawConfigFile()
	return b, registry.ExplainBlob(err, i.ref.Context(), i.ref.Name())
}

type remoteLayer struct {
	v1.Layer
	ref name.Reference
}

// Compressed returns the layer as it is stored.
func (l *remoteLayer) Compressed() (io.ReadCloser, error) { return l.begin(l.Layer.Compressed) }

// Uncompressed returns the layer's tar.
func (l *remoteLayer) Uncompressed() (io.ReadCloser, error) { return l.begin(l.Layer.Uncompressed) }

// Descriptor returns what the manifest says of the layer.
func (l *remoteLayer) Descriptor() (*v1.Descriptor, error) { return partial.Descriptor(l.Layer) }

// Exists asks the registry whether it has the layer.
func (l *remoteLayer) Exists() (bool, error) {
	ok, err := partial.Exists(l.Layer)
	return ok, registry.ExplainBlob(err, l.ref.Context(), l.ref.Name())
}

func (l *remoteLayer) explain(err error) error {
	if offline := (*OfflineError)(nil); errors.As(err, &offline) {
		return err
	}
	d, unknown := l.Descriptor()
	if unknown == nil && !d.MediaType.IsDistributable() {
		return foreign(*d, bare(err))
	}
	return registry.ExplainBlob(err, l.ref.Context(), l.ref.Name())
}

func (l *remoteLayer) begin(open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	rc, err := open()
	if err != nil {
		return nil, l.explain(err)
	}
	return &stubborn{rc: rc, open: open, ref: l.ref, left: maxResumes}, nil
}

// maxResumes bounds how often the reading of one layer begins again.
const maxResumes = 3

// A stubborn reader opens its stream again when it breaks and goes on where it
// stood. As the new stream is checked from its first byte, what is skipped need
// not be compared.
type stubborn struct {
	rc     io.ReadCloser
	open   func() (io.ReadCloser, error)
	ref    name.Reference
	read   int64
	left   int
	broken bool
}

// Read reads on, from a new stream if the old one broke.
func (s *stubborn) Read(p []byte) (int, error) {
	if s.broken {
		s.broken = false
		if err := s.resume(); err != nil {
			return 0, registry.ExplainBlob(err, s.ref.Context(), s.ref.Name())
		}
	}
	n, err := s.rc.Read(p)
	s.read += int64(n)
	switch {
	case err == nil, err == io.EOF:
		return n, err
	case s.left > 0 && registry.Transient(err):
		s.left--
		s.broken = true
		return n, nil
	default:
		return n, registry.ExplainBlob(err, s.ref.Context(), s.ref.Name())
	}
}

func (s *stubborn) resume() error {
	rc, err := s.open()
	if err != nil {
		return err
	}
	_ = s.rc.Close() // it is broken
	s.rc = rc
	_, err = io.CopyN(io.Discard, rc, s.read)
	return err
}

// Close ends the reading.
func (s *stubborn) Close() error { return s.rc.Close() }
