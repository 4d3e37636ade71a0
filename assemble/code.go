// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/assemble/artifact"
	"inlay/cache"
	"inlay/layers"
	"inlay/resolve/plan"
)

// An Upload is the source of an image in a store.
type Upload struct {
	Name   string // in the store, made of the digest
	Digest v1.Hash
	Size   int64
	Moved  bool // it was not there before
}

// UploadCode puts the source of p into the store that p names. The archive is a
// layer of these files: it is known by them, made once, and searched for secrets
// like any other.
func UploadCode(ctx context.Context, p plan.Plan, o Options, to artifact.Store) (*Upload, error) {
	l, err := archive(ctx, *p.Code.Files, o)
	if err != nil {
		return nil, err
	}
	u := &Upload{}
	if u.Digest, err = l.Digest(); err != nil {
		return nil, fmt.Errorf("uploading the source: %w", err)
	}
	if u.Size, err = l.Size(); err != nil {
		return nil, fmt.Errorf("uploading the source: %w", err)
	}
	u.Name = "code_uploads/" + u.Digest.Hex + ".tar.gz"
	have, err := to.Has(ctx, u.Name)
	if err != nil || have {
		return u, err
	}
	u.Moved = true
	err = put(ctx, to, u, l, o)
	var damaged *layers.DigestError
	if errors.As(err, &damaged) && !o.Anew { // in the cache
		o.Anew = true
		return UploadCode(ctx, p, o, to)
	}
	return u, err
}

// archive returns the layer of files, from the cache if it is there.
func archive(ctx context.Context, files plan.Files, o Options) (v1.Layer, error) {
	p := plan.Plan{Version: plan.Version, Stages: []plan.Stage{{Steps: []plan.Step{{Name: "source for upload", Files: &files}}}}}
	o.Outputs, o.Foreseen, o.Recent = nil, nil, nil
	w, err := begin(p, o)
	if err != nil {
		return nil, err
	}
	if !o.Anew {
		l, err := w.known(ctx, 0)
		if err == nil || !errors.Is(err, cache.ErrMiss) {
			return l.Layer, err
		}
	}
	l, err := w.makeLayer(ctx, 0, o.Tools)
	return l.Layer, err
}

// put copies a layer, by a file, since stores may read it several times. Its
// digest is checked before the store sees it.
func put(ctx context.Context, to artifact.Store, u *Upload, l v1.Layer, o Options) (err error) {
	if o.Progress != nil {
		_, done := o.Progress("upload source", u.Size)
		defer func() { done(err) }()
	}
	f, err := os.CreateTemp("", "inlay-source-")
	if err != nil {
		return fmt.Errorf("uploading the source: %w", err)
	}
	defer f.Close()           //nolint:errcheck // only read
	defer os.Remove(f.Name()) //nolint:errcheck // nobody looks for it
	src, err := l.Compressed()
	if err != nil {
		return fmt.Errorf("uploading the source: %w", err)
	}
	defer src.Close() //nolint:errcheck // only read
	if _, err = io.Copy(f, src); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("uploading the source: %w", err)
	}
	sum, err := hex.DecodeString(u.Digest.Hex)
	if err != nil {
		return fmt.Errorf("uploading the source: %w", err)
	}
	return to.Put(ctx, u.Name, artifact.Blob{ReadSeeker: f, Size: u.Size, SHA256: sum})
}
