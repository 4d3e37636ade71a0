// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Summary describes a finished layer. It can be kept as JSON.
type Summary struct {
	DiffID    v1.Hash         `json:"diffID"` // digest of the tar
	Digest    v1.Hash         `json:"digest"` // of the compressed tar
	Size      int64           `json:"size"`   // bytes compressed
	MediaType types.MediaType `json:"mediaType"`
}

// Blob returns the layer that s describes and that open opens, compressed, from
// the start. Its readers fail with a *DigestError in place of io.EOF if the
// bytes are not those described.
func Blob(s Summary, open func() (io.ReadCloser, error)) v1.Layer { return &blob{s, open} }

type blob struct {
	s    Summary
	open func() (io.ReadCloser, error)
}

func (b *blob) Digest() (v1.Hash, error)            { return b.s.Digest, nil }
func (b *blob) DiffID() (v1.Hash, error)            { return b.s.DiffID, nil }
func (b *blob) Size() (int64, error)                { return b.s.Size, nil }
func (b *blob) MediaType() (types.MediaType, error) { return b.s.MediaType, nil }

func (b *blob) Compressed() (io.ReadCloser, error) {
	rc, err := b.open()
	if err != nil {
		return nil, err
	}
	return Verify(rc, b.s.Digest), nil
}

func (b *blob) Uncompressed() (io.ReadCloser, error) {
	rc, err := b.Compressed()
	if err != nil {
		return nil, err
	}
	tar, err := Uncompress(rc)
	if err != nil {
		return nil, errors.Join(err, rc.Close())
	}
	return &uncompressed{ReadCloser: tar, src: rc}, nil
}

// uncompressed closes what it decompresses, too.
type uncompressed struct {
	io.ReadCloser
	src io.Closer
}

func (u *uncompressed) Close() error { return errors.Join(u.ReadCloser.Close(), u.src.Close()) }

// Verify returns a reader of src that fails with a *DigestError in place of
// io.EOF if the bytes read don't have the digest want. Closing it closes src.
func Verify(src io.ReadCloser, want v1.Hash) io.ReadCloser {
	return &verifier{src: src, want: want, sum: sha256.New()}
}

type verifier struct {
	src  io.ReadCloser
	want v1.Hash
	sum  hash.Hash
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.src.Read(p)
	v.sum.Write(p[:n])
	if err != io.EOF {
		return n, err
	}
	if got := sum(v.sum); got != v.want {
		return n, &DigestError{Want: v.want, Got: got}
	}
	return n, io.EOF
}

func (v *verifier) Close() error { return v.src.Close() }

// A DigestError reports bytes other than the ones asked for.
type DigestError struct{ Want, Got v1.Hash }

func (e *DigestError) Error() string {
	return fmt.Sprintf("content is %s, not %s", e.Got, e.Want)
}
