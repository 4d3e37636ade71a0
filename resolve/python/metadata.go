// SPDX-License-Identifier: Apache-2.0

package python

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/cache/fetch"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// maxMetadata bounds a METADATA. Real ones, with a README in them, stay below
// 1 MB.
const maxMetadata = 16 << 20

// fetches bounds how many METADATA are fetched at a time.
const fetches = 8

// metadata returns the METADATA of wheels.
func (r *Resolver) metadata(ctx context.Context, wheels []plan.Wheel) ([][]byte, error) {
	all := make([][]byte, len(wheels))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetches)
	for i, w := range wheels {
		g.Go(func() (err error) {
			if all[i], err = r.metadataOf(ctx, w); err != nil {
				return fmt.Errorf("reading what %s requires: %w", w.File, err)
			}
			return nil
		})
	}
	return all, g.Wait()
}

// metadataOf returns the METADATA of w: as it was stored before, as the index
// has it beside the wheel (PEP 658), or else out of the wheel, which a build
// needs anyway.
func (r *Resolver) metadataOf(ctx context.Context, w plan.Wheel) ([]byte, error) {
	name := "metadata-" + strings.TrimPrefix(w.Digest, "sha256:")
	b, err := r.Store.Get(name)
	if err == nil && describes(b, w) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	digest, err := v1.NewHash(w.Digest)
	if err != nil {
		return nil, err
	}
	b = nil
	if !r.Files.Has(digest) && !r.Files.Offline {
		if b, err = r.beside(ctx, w); err != nil {
			return nil, err
		}
	}
	if b == nil {
		if b, err = r.inside(ctx, fetch.File{Name: w.File, URL: w.URL, Digest: digest, Size: w.Size}); err != nil {
			return nil, err
		}
	}
	if !describes(b, w) {
		return nil, fmt.Errorf("it says that it is of another distribution than %s", w.Name)
	}
	return b, r.Store.Put(name, b)
}

// beside returns what the index has beside w, nil if that is nothing of use.
func (r *Resolver) beside(ctx context.Context, w plan.Wheel) ([]byte, error) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil
	}
	u.Path, u.RawPath, u.Fragment = u.Path+".metadata", "", ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil
	}
	resp, err := (&http.Client{Transport: r.Files.Transport}).Do(req)
	if err != nil {
		return nil, ctx.Err() // fetching the wheel says what is wrong with the network
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadata))
	if err != nil || !describes(b, w) {
		return nil, ctx.Err()
	}
	return b, nil
}

// inside returns the METADATA in a wheel.
func (r *Resolver) inside(ctx context.Context, file fetch.File) ([]byte, error) {
	f, err := r.Files.Open(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ReadMetadata(f)
}

// ReadMetadata returns the METADATA in a wheel, which may be open at any place.
func ReadMetadata(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, err
	}
	for _, m := range z.File {
		if dir, ok := strings.CutSuffix(m.Name, ".dist-info/METADATA"); !ok || strings.Contains(dir, "/") {
			continue
		}
		if m.UncompressedSize64 > maxMetadata {
			return nil, fmt.Errorf("its METADATA is longer than %d bytes", maxMetadata)
		}
		in, err := m.Open()
		if err != nil {
			return nil, err
		}
		defer func() { _ = in.Close() }()
		return io.ReadAll(io.LimitReader(in, maxMetadata))
	}
	return nil, errors.New("it has no METADATA")
}

// describes reports whether b is the METADATA of w.
func describes(b []byte, w plan.Wheel) bool {
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return false
		}
		if name, ok := cutField(line, "Name"); ok {
			return reqfile.Normalise(name) == w.Name
		}
	}
	return false
}

func cutField(line, name string) (value string, ok bool) {
	key, value, ok := strings.Cut(line, ":")
	return strings.TrimSpace(value), ok && strings.EqualFold(key, name)
}
