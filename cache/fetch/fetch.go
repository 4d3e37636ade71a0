// SPDX-License-Identifier: Apache-2.0

// Package fetch downloads a file once and keeps it by its digest. Every byte of
// a file it hands out was checked against the digest the caller asked for on
// that very call, whether it came from the network or from the store; only what
// Read returns has no digest, and is for callers who check signatures. No
// credential of a URL gets into a file name or an error.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/disk"
)

// A File is what Open is asked for.
type File struct {
	Name   string  // the file's name, for errors and progress
	URL    string  // http, https or file URL, or a path; may hold user and password
	Digest v1.Hash // sha256
	Size   int64   // bytes, 0 if unknown
}

// A Store is a directory of files named by their sha256 in hex. Several
// goroutines and processes may share it.
type Store struct {
	Dir       string
	Transport http.RoundTripper // nil: http.DefaultTransport
	Offline   bool              // true: what isn't in the store is an *OfflineError, unless it is a local file

	// Progress, unless nil, is called when a download begins, with the file's
	// name and size in bytes (0 if unknown). It returns what is called with the
	// number of bytes that came in, and at the end.
	Progress func(task string, total int64) (add func(n int64), done func(error))
}

// Open returns f, opened for reading, from the store, where it is put first if
// need be. Its digest, and its size if known, were checked on this call.
//
// A download is retried with growing pauses after connection errors, cut bodies
// and the statuses 408, 429 and 5xx (RFC 9110; Retry-After counts), and goes on
// where it was cut if the server can tell that the file is still the same.
// Errors that a user can do something about are *StatusError, *MismatchError,
// *ConnectionError, *OfflineError and *disk.DirError.
func (s *Store) Open(ctx context.Context, f File) (*os.File, error) {
	if f.Digest.Algorithm != "sha256" || !isDigest(f.Digest.Hex) {
		return nil, fmt.Errorf("fetching %s: %s is not a sha256", f.Name, f.Digest)
	}
	if file, err := s.stored(ctx, f); file != nil || err != nil {
		return file, err
	}
	src, err := parse(f)
	if err != nil {
		return nil, err
	}
	if s.Offline && src.url != nil {
		return nil, &OfflineError{Name: f.Name, URL: src.shown}
	}
	unlock, err := disk.Only(ctx, s.Dir, f.Digest.Hex)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", f.Name, err)
	}
	defer unlock()
	// While this call waited for the lock, another may have made the file.
	if file, err := s.stored(ctx, f); file != nil || err != nil {
		return file, err
	}
	if err := s.Remove(f.Digest); err != nil { // a damaged one
		return nil, err
	}
	return s.fetch(ctx, f, src)
}

// Has reports whether the store holds a file for digest. Whether it is whole
// shows when it is opened.
func (s *Store) Has(digest v1.Hash) bool {
	if !isDigest(digest.Hex) {
		return false
	}
	info, err := os.Lstat(s.path(digest))
	return err == nil && info.Mode().IsRegular()
}

// Remove drops the file of digest, if there is one. Those who have it open keep
// it.
func (s *Store) Remove(digest v1.Hash) error {
	if !isDigest(digest.Hex) {
		return nil
	}
	if err := os.Remove(s.path(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a stored file: %w", err)
	}
	return nil
}

func (s *Store) path(digest v1.Hash) string { return filepath.Join(s.Dir, digest.Hex) }

// stored returns the whole file from the store, or nil if it is absent or
// damaged.
func (s *Store) stored(ctx context.Context, f File) (*os.File, error) {
	path := s.path(f.Digest)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s from the store: %w", f.Name, err)
	}
	whole, err := isWhole(ctx, file, f)
	if err != nil || !whole {
		_ = file.Close()
		if err != nil {
			err = fmt.Errorf("reading %s from the store: %w", f.Name, err)
		}
		return nil, err
	}
	disk.Touch(path)
	return file, nil
}

// isWhole compares file with what f says and leaves it at its beginning.
func isWhole(ctx context.Context, file *os.File, f File) (bool, error) {
	info, err := file.Stat()
	if err != nil || (f.Size > 0 && info.Size() != f.Size) {
		return false, err
	}
	sum, err := disk.Sum(ctx, file)
	if err != nil || sum != f.Digest.Hex {
		return false, err
	}
	_, err = file.Seek(0, io.SeekStart)
	return true, err
}

// fetch downloads or copies f into the store and opens it. The caller holds the
// lock of f, so the file that is opened is the one that was checked.
func (s *Store) fetch(ctx context.Context, f File, src *source) (file *os.File, err error) {
	dst, err := disk.Create(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("storing %s: %w", f.Name, err)
	}
	defer dst.Abort()
	t := &transfer{file: f, src: src, transport: s.Transport, dst: dst, hash: sha256.New(), report: func(int64) {}}
	if t.transport == nil {
		t.transport = http.DefaultTransport
	}
	if s.Progress != nil {
		add, done := s.Progress(f.Name, f.Size)
		t.report = add
		defer func() { done(err) }()
	}
	if err := t.run(ctx); err != nil {
		return nil, err
	}
	path, err := dst.Commit(f.Digest.Hex)
	if err != nil {
		return nil, fmt.Errorf("storing %s: %w", f.Name, err)
	}
	file, err = os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s from the store: %w", f.Name, err)
	}
	return file, nil
}

// isDigest reports whether s is a sha256 in hex, and so fit for a file name.
func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == hex.EncodeToString(b)
}
