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

	"golang.org/x/sync/semaphore"

	"inlay/cache/disk"
)

// A Store is a directory of packages that were unpacked, by the sha256 of their
// .deb. It decompresses a package once, and reads it from then on where it needs
// to. Several goroutines and processes may share it: what they decompress at a
// time is bounded by the memory that it takes.
type Store struct {
	dir string

	mu     sync.Mutex
	recent []frame // plain, the last one used last
	reader frameReader

	busy map[string]*waitingLock // by the sha256 of packages

	processors int
	room       *semaphore.Weighted // bytes that decoders may take
	most       int64               // of them
}

// Bounds of the memory that decoders take: of all at a time, at least and for
// each processor, and what one needs besides its window.
const (
	leastRoom   = 48 << 20
	roomForEach = 12 << 20
	decoderSize = 6 << 20
)

// NewStore returns the store in the directory dir, which need not exist. It
// unpacks with as many processors, from 1.
func NewStore(dir string, processors int) *Store {
	most := max(leastRoom, roomForEach*int64(processors))
	return &Store{dir: dir, busy: map[string]*waitingLock{}, processors: processors, room: semaphore.NewWeighted(most), most: most}
}

// Package returns the package whose .deb has the sha256 hex, from the store if
// it is there. Else it asks source for the .deb, whose digest the caller
// checked, and closes it. Name is for errors.
//
// A package that is damaged or made to harm is a *FormatError.
func (s *Store) Package(ctx context.Context, name, hex string, source func(context.Context) (*os.File, error)) (*Package, error) {
	unlock := s.only(hex)
	defer unlock()
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
	a, err := open(name, file, info.Size())
	if err != nil {
		return nil, err
	}
	if err := s.unpack(ctx, a, hex); err != nil {
		return nil, err
	}
	return s.stored(name, hex)
}

// only waits until nobody else unpacks the package hex here.
func (s *Store) only(hex string) (unlock func()) {
	s.mu.Lock()
	l := s.busy[hex]
	if l == nil {
		l = &waitingLock{}
		s.busy[hex] = l
	}
	l.users++
	s.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.busy, hex)
		}
	}
}

// A waitingLock counts who has it or waits for it.
type waitingLock struct {
	sync.Mutex
	users int
}

// unpack reads a once there is room to.
func (s *Store) unpack(ctx context.Context, a *archive, hex string) error {
	need := min(decoderSize+max(window(a.first), window(a.data)), s.most)
	if err := s.room.Acquire(ctx, need); err != nil {
		return err
	}
	defer s.room.Release(need)
	if err := a.readControl(ctx); err != nil {
		return err
	}
	return s.add(ctx, a, hex)
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
	files, err := a.files(ctx, within, w)
	if err != nil {
		return a.wrap("data.tar", err)
	}
	if err := w.finish(files, a.control); err != nil {
		return fmt.Errorf("keeping package %s unpacked: %w", a.name, err)
	}
	_, err = out.Commit(hex)
	return err
}

// decompress is the package's, but for large members: blocks of them are decoded
// ahead while there is room.
func (s *Store) decompress(ctx context.Context, m member) (io.ReadCloser, error) {
	if filepath.Ext(m.name) == ".xz" {
		if blocks := xzBlocks(m); areApart(blocks) {
			return newAhead(ctx, m, blocks, s), nil
		}
	}
	return decompress(ctx, m)
}

// read fills b with what the segment hex holds from at on.
func (s *Store) read(p *Package, b []byte, at int64) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = s.readFrame(p, b[n:], at+int64(n))
		n += k
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

// readFrame reads from the frame that at lies in.
func (s *Store) readFrame(p *Package, b []byte, at int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := at / frameSize
	if i < 0 || i >= int64(len(p.frames)) {
		return 0, io.EOF
	}
	plain, err := s.frame(p, int(i))
	if err != nil {
		return 0, err
	}
	if at -= i * frameSize; at >= int64(len(plain)) {
		return 0, io.EOF
	}
	return copy(b, plain[at:]), nil
}

// frame returns the content of a frame, which the next call may overwrite.
func (s *Store) frame(p *Package, i int) ([]byte, error) {
	for j, f := range s.recent {
		if f.hex == p.hex && f.i == i {
			s.recent = append(append(s.recent[:j:j], s.recent[j+1:]...), f)
			return f.plain, nil
		}
	}
	var used []byte
	if len(s.recent) == keptFrames {
		used = s.recent[0].plain
		s.recent = append(s.recent[:0], s.recent[1:]...)
	}
	file, err := os.Open(s.path(p.hex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the unpacked package %s is gone: build again", p.Name)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	plain, err := s.reader.read(file, p.frames[i], used)
	if err != nil {
		_ = os.Remove(s.path(p.hex)) // so that the next build unpacks the package anew
		return nil, p.damaged(err)
	}
	s.recent = append(s.recent, frame{p.hex, i, plain})
	return plain, nil
}

// Recheck drops what is damaged of packages, after something went wrong with
// them, and says so; nil if all are whole.
func (s *Store) Recheck(ctx context.Context, packages []*Package) error {
	for _, p := range packages {
		if err := Check(ctx, s.path(p.hex)); err != nil && ctx.Err() == nil {
			_ = os.Remove(s.path(p.hex)) // so that the next build unpacks the package anew
			return p.damaged(err)
		}
	}
	return ctx.Err()
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
	var r frameReader
	var plain []byte
	for _, f := range p.frames {
		if err := ctx.Err(); err != nil {
			return err
		}
		if plain, err = r.read(file, f, plain); err != nil {
			return err
		}
	}
	_, err = p.Files()
	return err
}
