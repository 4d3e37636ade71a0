// SPDX-License-Identifier: Apache-2.0

// Package output delivers images to registries, OCI layouts, archives and
// container engines. An image appears at its destination whole or not at all, whenever the delivery
// ends: what names it comes last. Content that is there already is not moved,
// and of what is moved every byte is checked against the digest it goes by.
// Layers can be on their way before the image is complete.
package output

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/cache/disk"
	"inlay/layers"
)

// Delivered tells where an image is and what it took to bring it there. The
// blobs of an image are its layers and its configuration.
type Delivered struct {
	// Reference names the image by its digest: "registry/repository@sha256:…",
	// or a transport, a path and "@sha256:…", or as an engine knows it.
	Reference string
	// Digest is the manifest's, which is not the image's own where a layout
	// or an archive needs another format.
	Digest v1.Hash
	// Engine is the one that was given the image, "" elsewhere.
	Engine string
	// Bytes is the size of the blobs that were moved.
	Bytes int64
	// Moved, Mounted and Present count the blobs that were moved, that the
	// registry took from another of its repositories, and that were there.
	Moved, Mounted, Present int
}

// Progress begins to show a task of total bytes; add tells how many more are
// done, fewer if negative, and done ends it. All may be called by several
// goroutines. A nil Progress shows nothing.
type Progress func(task string, total int64) (add func(n int64), done func(error))

func (p Progress) start(task string, total int64) (add func(int64), done func(error)) {
	if p == nil {
		return func(int64) {}, func(error) {}
	}
	return p(task, total)
}

// A WriteError reports a place on disk that can't be written to.
type WriteError struct {
	Path    string
	Problem string // "" if Err says it
	Err     error
}

func (e *WriteError) Error() string {
	if e.Problem != "" {
		return fmt.Sprintf("writing %s: %s", e.Path, e.Problem)
	}
	return fmt.Sprintf("writing %s: %v", e.Path, e.Err)
}

// Unwrap returns what the system said, if it did.
func (e *WriteError) Unwrap() error { return e.Err }

// Hint says where the image can go instead.
func (e *WriteError) Hint() string {
	return "make room or change the permissions there, or name another place: --output oci:DIR"
}

// pathError returns a WriteError without the name of the path in err, which it
// has itself.
func pathError(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &WriteError{Path: path, Err: err}
}

// writeError tells what went wrong on the way to path. What is wrong with the
// image, or with where it comes from, passes as it is.
func writeError(path string, err error) error {
	var de *disk.DirError
	if errors.As(err, &de) {
		return &WriteError{Path: path, Err: de.Err}
	}
	return err
}

// An item is an image as it is delivered.
type item struct {
	manifest blob
	blobs    []blob // the configuration and the layers, each once
	parsed   *v1.Manifest
	platform *v1.Platform
	diffIDs  []v1.Hash // of the layers
}

// A blob is a part of an image.
type blob struct {
	v1.Descriptor
	layer v1.Layer
}

// blobOf describes a layer that is no part of an image yet.
func blobOf(l v1.Layer) (blob, error) {
	mt, err := l.MediaType()
	if err != nil {
		return blob{}, fmt.Errorf("reading a layer: %w", err)
	}
	digest, err := l.Digest()
	if err != nil {
		return blob{}, fmt.Errorf("reading a layer: %w", err)
	}
	size, err := l.Size()
	if err != nil {
		return blob{}, fmt.Errorf("reading a layer: %w", err)
	}
	return blob{v1.Descriptor{MediaType: mt, Digest: digest, Size: size}, l}, nil
}

// itemOf takes img apart. It reads no layer.
func itemOf(img v1.Image) (*item, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	mt, err := img.MediaType()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	it := &item{}
	if err := it.describe(mt, raw); err != nil {
		return nil, err
	}
	m := it.parsed
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("parsing the configuration: %w", err)
	}
	it.platform, it.diffIDs = c.Platform(), c.RootFS.DiffIDs
	ls, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers: %w", err)
	}
	if len(ls) != len(m.Layers) {
		return nil, fmt.Errorf("the image has %d layers, but %d in its manifest", len(ls), len(m.Layers))
	}
	it.add(blob{m.Config, content(m.Config, config)})
	for i, d := range m.Layers {
		it.add(blob{d, ls[i]})
	}
	return it, nil
}

func (it *item) add(b blob) {
	for _, have := range it.blobs {
		if have.Digest == b.Digest {
			return
		}
	}
	it.blobs = append(it.blobs, b)
}

// inOCI returns the image in OCI's format: the same blobs under other names.
// Engines find no others in a layout.
func (it *item) inOCI() (*item, error) {
	if it.manifest.MediaType != types.DockerManifestSchema2 {
		return it, nil
	}
	m := *it.parsed
	m.MediaType = types.OCIManifestSchema1
	m.Config.MediaType = types.OCIConfigJSON
	m.Layers = slices.Clone(m.Layers)
	for i, d := range m.Layers {
		if mt, ok := ociTypes[d.MediaType]; ok {
			m.Layers[i].MediaType = mt
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	next := &item{blobs: it.blobs, platform: it.platform, diffIDs: it.diffIDs}
	return next, next.describe(m.MediaType, raw)
}

var ociTypes = map[types.MediaType]types.MediaType{
	types.DockerLayer:             types.OCILayer,
	types.DockerUncompressedLayer: types.OCIUncompressedLayer,
	types.DockerForeignLayer:      types.OCIRestrictedLayer,
}

// describe sets the manifest.
func (it *item) describe(mt types.MediaType, raw []byte) (err error) {
	if it.parsed, err = v1.ParseManifest(bytes.NewReader(raw)); err != nil {
		return fmt.Errorf("parsing the manifest: %w", err)
	}
	d := v1.Descriptor{MediaType: mt}
	d.Digest, d.Size, err = v1.SHA256(bytes.NewReader(raw))
	it.manifest = blob{d, content(d, raw)}
	return err
}

// all returns the manifest and the blobs.
func (it *item) all() []blob { return append([]blob{it.manifest}, it.blobs...) }

// size returns the bytes of all blobs.
func (it *item) size() (n int64) {
	for _, b := range it.blobs {
		n += b.Size
	}
	return n
}

// delivered returns a report that names the image at a place on disk.
func (it *item) delivered(place string) Delivered {
	return Delivered{Reference: place + "@" + it.manifest.Digest.String(), Digest: it.manifest.Digest}
}

// file returns the name of b in a layout.
func (b blob) file() string { return "blobs/" + b.Digest.Algorithm + "/" + b.Digest.Hex }

// copyTo writes the blob to w, if it is what its digest and size say.
func (b blob) copyTo(ctx context.Context, w io.Writer, add func(int64)) error {
	rc, err := b.layer.Compressed()
	if err != nil {
		return fmt.Errorf("opening blob %s: %w", b.Digest, err)
	}
	rc = layers.Verify(rc, b.Digest)
	defer func() { _ = rc.Close() }()
	n, err := io.Copy(w, io.LimitReader(&watched{ctx, rc, add}, b.Size))
	if err == nil {
		// The digest is compared at the end and not before.
		var more int64
		more, err = io.Copy(io.Discard, io.LimitReader(rc, 1))
		n += more
	}
	if err != nil {
		return fmt.Errorf("copying blob %s: %w", b.Digest, err)
	}
	if n != b.Size {
		return fmt.Errorf("copying blob %s: its size is not %d bytes", b.Digest, b.Size)
	}
	return nil
}

// A watched reader ends with its context, which lives as long as the call that
// makes it, and tells how far it got.
type watched struct {
	ctx context.Context //nolint:containedctx // io.Reader has no place for it
	r   io.Reader
	add func(int64)
}

// Read reads on unless the context has ended.
func (w *watched) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	w.add(int64(n))
	return n, err
}

// bytesLayer is a manifest or configuration in the clothes of a layer.
type bytesLayer struct {
	v1.Descriptor
	b []byte
}

func content(d v1.Descriptor, b []byte) v1.Layer { return &bytesLayer{d, b} }

// Digest returns the content's.
func (l *bytesLayer) Digest() (v1.Hash, error) { return l.Descriptor.Digest, nil }

// DiffID returns the content's digest.
func (l *bytesLayer) DiffID() (v1.Hash, error) { return l.Descriptor.Digest, nil }

// Size returns the content's.
func (l *bytesLayer) Size() (int64, error) { return l.Descriptor.Size, nil }

// MediaType returns the content's.
func (l *bytesLayer) MediaType() (types.MediaType, error) { return l.Descriptor.MediaType, nil }

// Compressed returns the content.
func (l *bytesLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.b)), nil
}

// Uncompressed returns the content.
func (l *bytesLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }
