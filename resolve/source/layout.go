// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/layers"
)

// The names of an OCI layout (OCI image-spec 1.1, image-layout.md).
const (
	layoutFile    = "oci-layout"
	indexFile     = "index.json"
	refAnnotation = "org.opencontainers.image.ref.name"
)

// Files are what an OCI layout consists of, in a directory or in an archive.
type files interface {
	// open opens the file of a slash-separated name and tells its size. It
	// returns an error that is fs.ErrNotExist where there is none.
	open(name string) (io.ReadCloser, int64, error)
}

// A directory holds files.
type directory string

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	f, err := os.Open(filepath.Join(string(d), filepath.FromSlash(name)))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", f.Name())
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// layoutNode returns what opens the manifests of the layout in fsys, and the
// one that ref names.
func layoutNode(ctx context.Context, fsys files, ref Reference) (opener, *node, error) {
	if err := checkLayout(fsys, ref); err != nil {
		return nil, nil, err
	}
	open := func(_ context.Context, h v1.Hash) (*node, error) { return blobNode(fsys, ref, h) }
	if ref.Digest != "" {
		h, err := v1.NewHash(ref.Digest)
		if err != nil {
			return nil, nil, err
		}
		n, err := open(ctx, h)
		if errors.Is(err, fs.ErrNotExist) {
			err = &ReferenceError{ref.String(), "there is no such digest in it", "check the digest, or name it by its tag"}
		}
		return open, n, err
	}
	entries, err := layoutEntries(fsys, ref)
	if err != nil {
		return nil, nil, err
	}
	if len(entries) == 1 {
		n, err := open(ctx, entries[0].Digest)
		return open, n, err
	}
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: entries})
	return open, &node{Descriptor: v1.Descriptor{MediaType: types.OCIImageIndex}, raw: raw}, err
}

func checkLayout(fsys files, ref Reference) error {
	raw, err := readFile(fsys, layoutFile)
	if errors.Is(err, fs.ErrNotExist) {
		fix := "check the path"
		if ref.Transport == transportOCIArchive {
			fix = "did you mean docker-archive:" + ref.Name + "?"
		}
		return &ReferenceError{ref.String(), "it is no OCI layout: it has no file " + layoutFile, fix}
	}
	if err != nil {
		return err
	}
	var l struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(raw, &l); err != nil || l.Version != "1.0.0" {
		return &ReferenceError{
			ref.String(), fmt.Sprintf("it is a layout of version %q, not 1.0.0", l.Version),
			"write it anew: skopeo copy SOURCE oci:DIR",
		}
	}
	return nil
}

// layoutEntries returns what index.json lists under ref's tag, which may be
// one image for several platforms. No tag will do where only one image is
// listed, or one for several platforms, none of them with a tag.
func layoutEntries(fsys files, ref Reference) ([]v1.Descriptor, error) {
	raw, err := readFile(fsys, indexFile)
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(raw)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", indexFile, err)
	}
	var found []v1.Descriptor
	var tags []string
	for _, d := range index.Manifests {
		tag := d.Annotations[refAnnotation]
		if tag != "" {
			tags = append(tags, tag)
		}
		if ref.Tag == "" || tag == ref.Tag {
			found = append(found, d)
		}
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	found = slices.CompactFunc(found, func(a, b v1.Descriptor) bool { return a.Digest == b.Digest })
	switch {
	case len(found) == 0 && ref.Tag != "":
		return nil, &ReferenceError{ref.String(), fmt.Sprintf("there is no tag %q in it", ref.Tag), namedInstead(tags)}
	case len(found) == 0:
		return nil, &ReferenceError{ref.String(), "it is empty", "put an image into it: skopeo copy SOURCE oci:DIR"}
	case len(found) > 1 && ref.Tag == "" && len(tags) > 0:
		return nil, &ReferenceError{ref.String(), fmt.Sprintf("it holds %d images", len(found)), namedInstead(tags)}
	}
	return found, nil
}

func namedInstead(names []string) string {
	if len(names) == 0 {
		return "leave out the tag, or name a digest after @"
	}
	return "add one of these after a colon: " + strings.Join(names, ", ")
}

// blobNode reads a manifest or index and checks its digest.
func blobNode(fsys files, ref Reference, h v1.Hash) (*node, error) {
	raw, err := readBlob(fsys, h)
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", h, err)
	}
	mt, err := kind(raw)
	if err != nil {
		return nil, err
	}
	if err := checkKind(ref, mt); err != nil {
		return nil, err
	}
	n := &node{Descriptor: v1.Descriptor{MediaType: mt, Digest: h, Size: int64(len(raw))}, raw: raw}
	n.image = func() (v1.Image, error) {
		m, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("parsing manifest %s: %w", h, err)
		}
		config, err := readBlob(fsys, m.Config.Digest)
		if err != nil {
			return nil, fmt.Errorf("reading configuration %s: %w", m.Config.Digest, err)
		}
		open := func(i int) (io.ReadCloser, error) { return openBlob(fsys, m.Layers[i]) }
		return newStored(ref, n, m, config, open)
	}
	return n, nil
}

func readFile(fsys files, name string) ([]byte, error) {
	r, _, err := fsys.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	b, err := readJSON(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return b, nil
}

func readBlob(fsys files, h v1.Hash) ([]byte, error) {
	f, _, err := fsys.open(blobName(h))
	if err != nil {
		return nil, err
	}
	r := layers.Verify(f, h)
	defer func() { _ = r.Close() }()
	return readJSON(r)
}

// openBlob opens a layer, which fails to end unless it has its digest.
func openBlob(fsys files, d v1.Descriptor) (io.ReadCloser, error) {
	f, size, err := fsys.open(blobName(d.Digest))
	if err != nil {
		return nil, foreign(d, fmt.Errorf("opening layer %s: %w", d.Digest, err))
	}
	if size != d.Size {
		_ = f.Close()
		return nil, fmt.Errorf("opening layer %s: it has %d bytes and should have %d", d.Digest, size, d.Size)
	}
	return layers.Verify(f, d.Digest), nil
}

// A stored image lies in files.
type stored struct {
	node     *node
	manifest *v1.Manifest
	config   []byte
	diffIDs  []v1.Hash
	open     func(i int) (io.ReadCloser, error) // layer i as it is stored
}

func newStored(ref Reference, n *node, m *v1.Manifest, config []byte, open func(int) (io.ReadCloser, error)) (v1.Image, error) {
	s := &stored{node: n, manifest: m, config: config, open: open}
	img, err := partial.CompressedToImage(s)
	if err != nil {
		return nil, err
	}
	if err := checkImage(ref, img); err != nil {
		return nil, err
	}
	s.diffIDs, err = partial.DiffIDs(img)
	return img, err
}

// MediaType returns the manifest's.
func (s *stored) MediaType() (types.MediaType, error) { return s.node.MediaType, nil }

// RawManifest returns the manifest as it is stored.
func (s *stored) RawManifest() ([]byte, error) { return s.node.raw, nil }

// RawConfigFile returns the configuration as it is stored.
func (s *stored) RawConfigFile() ([]byte, error) { return s.config, nil }

// LayerByDigest returns a layer, or the configuration as one.
func (s *stored) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if h == s.manifest.Config.Digest {
		return partial.ConfigLayer(s)
	}
	for i, d := range s.manifest.Layers {
		if d.Digest == h {
			return &storedLayer{desc: d, diffID: s.diffIDs[i], open: func() (io.ReadCloser, error) { return s.open(i) }}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

type storedLayer struct {
	desc   v1.Descriptor
	diffID v1.Hash
	open   func() (io.ReadCloser, error)
}

// Digest returns what the manifest says.
func (l *storedLayer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }

// DiffID returns what the configuration says.
func (l *storedLayer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size returns what the manifest says.
func (l *storedLayer) Size() (int64, error) { return l.desc.Size, nil }

// MediaType returns what the manifest says.
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Descriptor returns what the manifest says.
func (l *storedLayer) Descriptor() (*v1.Descriptor, error) { return &l.desc, nil }

// Compressed returns the layer as it is stored.
func (l *storedLayer) Compressed() (io.ReadCloser, error) { return l.open() }
