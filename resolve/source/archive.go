// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/layers"
)

// maxMembers bounds how many members an archive may have: an image has a few
// hundred at most.
const maxMembers = 100_000

// archiveNode returns what opens the manifests in the archive that ref names,
// and the one of ref.
func archiveNode(ctx context.Context, ref Reference) (opener, *node, error) {
	a, err := openArchive(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	if ref.Transport == transportOCIArchive {
		return layoutNode(ctx, a, ref)
	}
	open := func(_ context.Context, h v1.Hash) (*node, error) { return blobNode(a, ref, h) }
	n, err := dockerNode(ctx, a, ref)
	return open, n, err
}

// An archive is a tar whose members are read where they stand.
type archive struct {
	file    string
	members map[string]member
}

type member struct {
	offset, size int64
	link         string // the name of the member that has the content
}

// openArchive lists the members of the archive that ref names, reading nothing
// but their headers.
func openArchive(ctx context.Context, ref Reference) (*archive, error) {
	f, err := os.Open(ref.Name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &ReferenceError{ref.String(), "there is no such file", "check the path"}
		}
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if err := checkPlain(f, ref); err != nil {
		return nil, err
	}
	a := &archive{ref.Name, map[string]member{}}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil || len(a.members) == maxMembers {
			return nil, &ReferenceError{ref.String(), fmt.Sprintf("it is no tar archive of an image: %v", err), "check the file: tar tf " + ref.Name}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := a.add(f, h); err != nil {
			return nil, err
		}
	}
}

func (a *archive) add(f *os.File, h *tar.Header) error {
	m := member{size: h.Size}
	var err error
	switch h.Typeflag {
	case tar.TypeReg:
		m.offset, err = f.Seek(0, io.SeekCurrent)
	case tar.TypeSymlink:
		m.link = clean(path.Join(path.Dir(h.Name), h.Linkname))
	case tar.TypeLink:
		m.link = clean(h.Linkname)
	default:
		return nil
	}
	a.members[clean(h.Name)] = m
	return err
}

// clean returns the one form of a member's name.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// checkPlain refuses directories and compressed archives.
func checkPlain(f *os.File, ref Reference) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &ReferenceError{ref.String(), "it is a directory", "did you mean oci:" + ref.Name + "?"}
	}
	switch c, err := compression(f); {
	case err != nil:
		return err
	case c != "":
		return &ReferenceError{ref.String(), "it is compressed, so its parts can't be read in place", "decompress it: " + c + " -d " + ref.Name}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// compression names the program that compressed what r begins with, "" if
// none did.
func compression(r io.Reader) (string, error) {
	b := make([]byte, 6)
	n, err := io.ReadFull(r, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	for program, magic := range map[string]string{
		"gzip": "\x1f\x8b", "zstd": "\x28\xb5\x2f\xfd", "bzip2": "BZh", "xz": "\xfd7zXZ\x00",
	} {
		if strings.HasPrefix(string(b[:n]), magic) {
			return program, nil
		}
	}
	return "", nil
}

// open opens a member. Links are followed, as old versions of docker save
// write a layer that occurs twice as a link.
func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	m, ok := a.members[clean(name)]
	for range 10 {
		if !ok || m.link == "" {
			break
		}
		m, ok = a.members[m.link]
	}
	if !ok || m.link != "" {
		return nil, 0, fmt.Errorf("%s in %s: %w", name, a.file, fs.ErrNotExist)
	}
	f, err := os.Open(a.file)
	if err != nil {
		return nil, 0, err
	}
	return section{io.NewSectionReader(f, m.offset, m.size), f}, m.size, nil
}

type section struct {
	io.Reader
	io.Closer
}

// A dockerImage is an entry of a Docker archive's manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerNode returns the manifest of the image that ref names in a Docker
// archive. As there is none in it, it is made: layers stay as they are stored,
// so those of docker save, which are not compressed, are known by their DiffIDs
// and need not be read. Compressed ones are read once for their digests.
func dockerNode(ctx context.Context, a *archive, ref Reference) (*node, error) {
	raw, err := readFile(a, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ReferenceError{ref.String(), "it is no Docker archive: it has no manifest.json", "did you mean oci-archive:" + ref.Name + "?"}
	}
	if err != nil {
		return nil, err
	}
	var images []dockerImage
	if err := json.Unmarshal(raw, &images); err != nil {
		return nil, fmt.Errorf("parsing manifest.json: %w", err)
	}
	if ref.Digest != "" {
		return a.pinned(ctx, ref, images)
	}
	d, err := selectImage(ref, images)
	if err != nil {
		return nil, err
	}
	return a.node(ctx, ref, d)
}

// pinned returns the image of ref's digest. Archives that inlay wrote hold the
// manifest, the digest of which it printed.
func (a *archive) pinned(ctx context.Context, ref Reference, images []dockerImage) (*node, error) {
	h, err := v1.NewHash(ref.Digest)
	if err != nil {
		return nil, err
	}
	if _, ok := a.members[blobName(h)]; ok {
		return blobNode(a, ref, h)
	}
	var have []string
	for _, d := range images {
		n, err := a.node(ctx, ref, d)
		if err != nil {
			return nil, err
		}
		if n.Digest == h {
			return n, nil
		}
		have = append(have, n.Digest.String())
	}
	return nil, &ReferenceError{ref.String(), "the image in it has another digest: " + strings.Join(have, ", "), "leave out the digest, or plan the build again"}
}

// selectImage finds the image by a name or a tag, or the only one.
func selectImage(ref Reference, images []dockerImage) (dockerImage, error) {
	var names []string
	for _, d := range images {
		for _, t := range d.RepoTags {
			names = append(names, t)
			if ref.Tag != "" && sameTag(ref.Tag, t) {
				return d, nil
			}
		}
	}
	switch {
	case ref.Tag != "":
		return dockerImage{}, &ReferenceError{ref.String(), fmt.Sprintf("there is no %q in it", ref.Tag), namedInstead(names)}
	case len(images) != 1:
		return dockerImage{}, &ReferenceError{ref.String(), fmt.Sprintf("it holds %d images", len(images)), namedInstead(names)}
	}
	return images[0], nil
}

// sameTag reports whether the user's words name the image known as full:
// "latest", "app" or "app:latest" stand for "registry.example/app:latest" only
// where registry.example is the default one.
func sameTag(words, full string) bool {
	f, err := name.NewTag(full)
	if err != nil {
		return words == full
	}
	w, err := name.NewTag(words)
	return err == nil && w.Name() == f.Name() || words == f.TagStr()
}

// node makes the manifest of d.
func (a *archive) node(ctx context.Context, ref Reference, d dockerImage) (*node, error) {
	config, err := readFile(a, d.Config)
	if err != nil {
		return nil, err
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("parsing configuration %s: %w", d.Config, err)
	}
	if len(c.RootFS.DiffIDs) != len(d.Layers) {
		return nil, &ReferenceError{ref.String(), fmt.Sprintf("it has %d layers, but its configuration %d", len(d.Layers), len(c.RootFS.DiffIDs)), "save the image again"}
	}
	m := &v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2}
	m.Config.MediaType = types.DockerConfigJSON
	if m.Config.Digest, m.Config.Size, err = v1.SHA256(bytes.NewReader(config)); err != nil {
		return nil, err
	}
	for i, file := range d.Layers {
		desc, err := a.layer(ctx, file, c.RootFS.DiffIDs[i])
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", file, err)
		}
		m.Layers = append(m.Layers, desc)
	}
	return a.made(ref, d, m, config)
}

// made returns the node of a manifest that was made.
func (a *archive) made(ref Reference, d dockerImage, m *v1.Manifest, config []byte) (*node, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	n := &node{Descriptor: v1.Descriptor{MediaType: m.MediaType}, raw: raw}
	if n.Digest, n.Size, err = v1.SHA256(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	open := func(i int) (io.ReadCloser, error) {
		r, _, err := a.open(d.Layers[i])
		if err != nil {
			return nil, err
		}
		return layers.Verify(r, m.Layers[i].Digest), nil
	}
	n.image = func() (v1.Image, error) { return newStored(ref, n, m, config, open) }
	return n, nil
}

// layer describes the layer in file.
func (a *archive) layer(ctx context.Context, file string, diffID v1.Hash) (v1.Descriptor, error) {
	r, size, err := a.open(file)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer func() { _ = r.Close() }()
	c, err := compression(r)
	switch {
	case err != nil:
		return v1.Descriptor{}, err
	case c == "":
		return v1.Descriptor{MediaType: types.DockerUncompressedLayer, Size: size, Digest: diffID}, nil
	case c != "gzip":
		return v1.Descriptor{}, fmt.Errorf("it is compressed with %s, which Docker's format has no name for", c)
	}
	whole, _, err := a.open(file)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer func() { _ = whole.Close() }()
	h, size, err := v1.SHA256(&cancellable{ctx, whole})
	return v1.Descriptor{MediaType: types.DockerLayer, Size: size, Digest: h}, err
}

// A cancellable reader ends with its context, which lives as long as the call
// that makes it.
type cancellable struct {
	ctx context.Context //nolint:containedctx // io.Reader has no place for it
	r   io.Reader
}

// Read reads on unless the context has ended.
func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
