// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"inlay/cache/disk"
)

// A Store is a directory of packages that were unpacked, by the sha256 of their
// .deb. It decompresses a package once, and reads it from then on where it needs
// to. Several goroutines and processes may share it.
type Store struct {
	dir string

	mu     sync.Mutex
	recent []frame // plain, the last one used last

	// ahead is room for the one package that is decompressed in several parts at
	// a time: each takes much memory.
	ahead chan struct{}
}

// NewStore returns the store in the directory dir, which need not exist.
func NewStore(dir string) *Store { return &Store{dir: dir, ahead: make(chan struct{}, 1)} }

// Package returns the package whose .deb has the sha256 hex, from the store if
// it is there. Else it asks source for the .deb, whose digest the caller
// checked, and closes it. Name is for errors.
//
// A package that is damaged or made to harm is a *FormatError.
func (s *Store) Package(ctx context.Context, name, hex string, source func(context.Context) (*os.File, error)) (*Package, error) {
	if p, err := s.stored(name, hex); err == nil {
		return p, nil
	}
	file, err := source(ctx)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	a, err := open(ctx, name, file, info.Size())
	if err != nil {
		return nil, err
	}
	if err := s.add(ctx, a, hex); err != nil {
		return nil, err
	}
	return s.stored(name, hex)
}

// stored opens what add wrote.
func (s *Store) stored(name, hex string) (*Package, error) {
	file, err := os.Open(s.path(hex))
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	p := &Package{Name: name, store: s, hex: hex}
	if err := p.readTrailer(file); err != nil {
		return nil, fmt.Errorf("reading the unpacked package %s: %w", name, err)
	}
	disk.Touch(s.path(hex))
	return p, nil
}

func (s *Store) path(hex string) string { return filepath.Join(s.dir, hex) }

// add unpacks a. The file of it becomes visible when it is whole.
func (s *Store) add(ctx context.Context, a *archive, hex string) error {
	out, err := disk.Create(s.dir)
	if err != nil {
		return err
	}
	defer out.Abort()
	w, err := newSegment(out)
	if err != nil {
		return err
	}
	defer w.free()
	data, err := s.decompress(ctx, a.data)
	if err != nil {
		return a.wrap("data.tar", err)
	}
	defer data.Close() //nolint:errcheck // only read
	within := &bounded{r: data, left: a.limit, what: "data.tar"}
	files, err := a.files(ctx, io.TeeReader(within, w))
	if err != nil {
		return a.wrap("data.tar", err)
	}
	if err := w.finish(files, a.control); err != nil {
		return fmt.Errorf("keeping package %s unpacked: %w", a.name, err)
	}
	_, err = out.Commit(hex)
	return err
}

// decompress is the package's, but for the blocks of large members, which are
// decoded at the same time if no others are.
func (s *Store) decompress(ctx context.Context, m member) (io.ReadCloser, error) {
	if filepath.Ext(m.name) != ".xz" {
		return decompress(ctx, m)
	}
	blocks := xzBlocks(m)
	if len(blocks) < 2 {
		return decompress(ctx, m)
	}
	select {
	case s.ahead <- struct{}{}:
		return newParallel(ctx, m, blocks, func() { <-s.ahead }), nil
	default:
		return decompress(ctx, m)
	}
}

// read fills b with what the segment hex holds from at on.
func (s *Store) read(p *Package, b []byte, at int64) (n int, err error) {
	for n < len(b) && err == nil {
		var plain []byte
		i := (at + int64(n)) / frameSize
		if plain, err = s.frame(p, int(i)); err == nil {
			from := at + int64(n) - i*frameSize
			if from >= int64(len(plain)) {
				return n, io.EOF
			}
			n += copy(b[n:], plain[from:])
		}
	}
	return n, err
}

// A frame is a part of a segment, decompressed.
type frame struct {
	hex   string
	i     int
	plain []byte
}

// keptFrames is how many frames are kept: contents are mostly read in the order
// in which they lie there.
const keptFrames = 8

func (s *Store) frame(p *Package, i int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for j, f := range s.recent {
		if f.hex == p.hex && f.i == i {
			s.recent = append(append(s.recent[:j:j], s.recent[j+1:]...), f)
			return f.plain, nil
		}
	}
	plain, err := p.decode(s.path(p.hex), i)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the unpacked package %s is gone: build again", p.Name)
	}
	if err != nil {
		return nil, err
	}
	if len(s.recent) == keptFrames {
		s.recent = s.recent[1:]
	}
	s.recent = append(s.recent, frame{p.hex, i, plain})
	return plain, nil
}

// Check returns what is wrong with the file at path of a store.
func Check(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	p := &Package{Name: filepath.Base(path)}
	if err := p.readTrailer(file); err != nil {
		return err
	}
	for i := range len(p.frames) - 1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		packed := make([]byte, p.frames[i+1]-p.frames[i])
		if _, err := file.ReadAt(packed, p.frames[i]); err != nil {
			return errSegment
		}
		if _, err := unzstd(packed, frameSize); err != nil {
			return errSegment
		}
	}
	return nil
}
