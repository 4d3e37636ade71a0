// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"inlay/cache/disk"
)

// A Problem is a damaged thing in the cache.
type Problem struct {
	Kind Kind
	Name string // of the entry, or of the layer's or download's file: its digest in hex
	Path string // of the file
	What string // what is wrong with it: "has sha256 …", "is damaged", "leads to no layer: …"
}

// Verify reads everything in the cache but Images and UV, which those who use
// them check, reports each thing that is damaged as soon as it is found, and in the
// end removes what it reported: the next build makes it again.
//
// For removing it waits for builds that use the cache; the error is a
// *BusyError if ctx ends first.
func (d *Dir) Verify(ctx context.Context, report func(Problem)) error {
	bad, err := d.suspects(ctx, report)
	if err != nil || len(bad) == 0 {
		return err
	}
	unlock, err := d.lock(ctx, false)
	if err != nil {
		return err
	}
	defer unlock()
	for _, s := range bad {
		// A build may have put a whole one in its place meanwhile.
		what, err := s.check(ctx)
		if err != nil {
			return err
		}
		if what == "" {
			continue
		}
		if err := d.remove(ctx, s.kind, s.path); err != nil {
			return fmt.Errorf("removing damaged %s: %w", s.kind, err)
		}
	}
	if err := newTrimmer(d).unusable(ctx); err != nil {
		return fmt.Errorf("removing what leads to damaged layers: %w", err)
	}
	return nil
}

// suspects checks everything beside running builds, and returns what is
// damaged.
func (d *Dir) suspects(ctx context.Context, report func(Problem)) ([]subject, error) {
	unlock, err := d.lock(ctx, true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	all, err := d.subjects()
	if err != nil {
		return nil, err
	}
	var bad []subject
	for _, s := range all {
		what, err := s.check(ctx)
		if err != nil {
			return nil, err
		}
		if what != "" {
			bad = append(bad, s)
			report(Problem{Kind: s.kind, Name: s.name, Path: s.path, What: what})
		}
	}
	return bad, nil
}

// A subject is one file to check.
type subject struct {
	kind       Kind
	name, path string
	test       func(ctx context.Context) error // what is wrong with it
}

// check returns what is wrong with s, "" if nothing is or it has gone.
func (s subject) check(ctx context.Context) (what string, err error) {
	err = s.test(ctx)
	if ctx.Err() != nil {
		return "", fmt.Errorf("checking cached %s: %w", s.kind, ctx.Err())
	}
	if err == nil {
		return "", nil
	}
	if _, gone := os.Lstat(s.path); errors.Is(gone, fs.ErrNotExist) {
		return "", nil
	}
	return err.Error(), nil
}

// subjects lists all files of the cache that have a checksum.
func (d *Dir) subjects() ([]subject, error) {
	var all []subject
	blobs, err := disk.List(d.blobs())
	if err != nil {
		return nil, fmt.Errorf("listing cached layers: %w", err)
	}
	for _, b := range blobs {
		all = append(all, hashed(Layers, filepath.Join(d.blobs(), b.Name())))
	}
	for _, k := range Kinds() {
		items, err := d.items(k)
		if err != nil {
			return nil, fmt.Errorf("listing cached %s: %w", k, err)
		}
		for _, it := range items {
			all = append(all, d.subject(it))
		}
	}
	return all, nil
}

func (d *Dir) subject(it item) subject {
	switch it.Kind {
	case Wheels, Debs:
		return hashed(it.Kind, it.path)
	case Unpacked:
		return asked(it, d.CheckUnpacked)
	case Trees:
		return asked(it, d.CheckTree)
	}
	values := disk.Values{Dir: filepath.Dir(it.path)}
	return subject{it.Kind, it.Name, it.path, func(context.Context) error {
		b, err := values.Peek(it.Name)
		if errors.Is(err, disk.ErrForm) {
			return nil // of use to that version
		}
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New("is damaged")
		}
		if err == nil && it.Kind == Layers {
			if _, err = d.summary(b); err != nil {
				err = fmt.Errorf("leads to no layer: %w", err)
			}
		}
		return err
	}}
}

// asked returns what those who know the form check, if they were named.
func asked(it item, check func(ctx context.Context, path string) error) subject {
	return subject{it.Kind, it.Name, it.path, func(ctx context.Context) error {
		if check == nil {
			return nil
		}
		return check(ctx, it.path)
	}}
}

// hashed returns a file that is named by its sha256.
func hashed(k Kind, path string) subject {
	name := filepath.Base(path)
	return subject{k, name, path, func(ctx context.Context) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		sum, err := disk.Sum(ctx, f)
		if err == nil && sum != name {
			err = fmt.Errorf("has sha256 %s", sum)
		}
		return err
	}}
}
