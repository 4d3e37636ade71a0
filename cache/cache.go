// SPDX-License-Identifier: Apache-2.0

// Package cache finds a layer that was already made for the same key, and keeps
// all else that a build can use again in one directory that concurrent builds
// share. What is in it is whole or absent, however a build ended; what was
// damaged since is a miss, or an error of the reader, never another layer.
package cache

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/disk"
	"inlay/layers"
)

// A Key names the inputs of a layer; equal keys mean equal layers.
type Key = [32]byte

// ErrMiss is returned by Get when no layer is cached for a key.
var ErrMiss = errors.New("not in the cache")

// Get returns the layer that was committed for key, or ErrMiss where there is
// none or its entry is damaged. The layer's readers check its digest: where its
// bytes are damaged they fail with *layers.DigestError. Getting a layer counts
// as using it, see Trim.
func (d *Dir) Get(ctx context.Context, key Key) (v1.Layer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name := hex.EncodeToString(key[:])
	b, err := d.keys().Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMiss
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cached layer of key %s: %w", name, err)
	}
	s, err := d.summary(b)
	if err != nil {
		return nil, ErrMiss
	}
	return d.layer(s), nil
}

// Known returns the layer that Get returned for key at another time, and that s
// describes; ok is false where Get has to be asked. It reads nothing. That counts
// as use.
func (d *Dir) Known(key Key, s layers.Summary) (l v1.Layer, ok bool) {
	if !d.keys().Use(hex.EncodeToString(key[:])) || d.missing(s) != nil {
		return nil, false
	}
	return d.layer(s), true
}

// Begin starts a layer. The caller writes the compressed layer to the result,
// then calls Commit; Abort does nothing after that.
func (d *Dir) Begin() (*Pending, error) {
	f, err := disk.Create(d.blobs())
	if err != nil {
		return nil, fmt.Errorf("caching a layer: %w", err)
	}
	return &Pending{file: f, dir: d}, nil
}

// A Pending layer is being written. Nobody sees it before Commit.
type Pending struct {
	file *disk.Pending
	dir  *Dir
	size int64
}

// Write appends to the compressed layer.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.size += int64(n)
	return n, err
}

// Commit stores the layer that s describes under key. That another has stored
// one meanwhile makes no difference.
func (p *Pending) Commit(key Key, s layers.Summary) (v1.Layer, error) {
	if p.size != s.Size {
		return nil, fmt.Errorf("caching layer %s: %d bytes were written, not %d", s.Digest, p.size, s.Size)
	}
	if !isDigest(s.Digest) {
		return nil, fmt.Errorf("caching layer %s: its digest is not a sha256", s.Digest)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("caching layer %s: %w", s.Digest, err)
	}
	// The blob before the key, so that no key is without its blob.
	if _, err := p.file.Commit(s.Digest.Hex); err != nil {
		return nil, fmt.Errorf("caching layer %s: %w", s.Digest, err)
	}
	if err := p.dir.keys().Put(hex.EncodeToString(key[:]), b); err != nil {
		return nil, fmt.Errorf("caching layer %s: %w", s.Digest, err)
	}
	return p.dir.layer(s), nil
}

// Abort drops the layer unless it was committed.
func (p *Pending) Abort() { p.file.Abort() }

// summary decodes the value of a key and makes sure that its blob is there.
func (d *Dir) summary(b []byte) (layers.Summary, error) {
	var s layers.Summary
	if err := json.Unmarshal(b, &s); err != nil {
		return s, err
	}
	return s, d.missing(s)
}

// missing says what is wrong with the blob that s describes, as far as that shows
// without reading it.
func (d *Dir) missing(s layers.Summary) error {
	if !isDigest(s.Digest) {
		return errors.New("names no blob")
	}
	info, err := os.Stat(d.blob(s.Digest.Hex))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the layer is missing")
	case err != nil:
		return err
	case info.Size() != s.Size:
		return fmt.Errorf("the layer has %d bytes, not %d", info.Size(), s.Size)
	}
	return nil
}

func (d *Dir) layer(s layers.Summary) v1.Layer {
	return layers.Blob(s, func() (io.ReadCloser, error) { return os.Open(d.blob(s.Digest.Hex)) })
}

// keys holds the summaries of layers by key, in hex.
func (d *Dir) keys() disk.Values { return disk.Values{Dir: filepath.Join(d.Path(Layers), "keys")} }

// blobs is the directory of compressed layers, named by the hex of their
// sha256.
func (d *Dir) blobs() string { return filepath.Join(d.Path(Layers), "blobs", "sha256") }

func (d *Dir) blob(digest string) string { return filepath.Join(d.blobs(), digest) }

func isDigest(h v1.Hash) bool { return h.Algorithm == "sha256" && isHex(h.Hex) }

// isHex reports whether s is 32 bytes in hex, as digests and keys are.
func isHex(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == len(Key{}) && s == hex.EncodeToString(b)
}
