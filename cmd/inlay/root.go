// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache"
	"inlay/resolve"
	"inlay/resolve/apt"
	"inlay/resolve/apt/setup"
	"inlay/resolve/source"
)

// An opener opens images by name, and makes those of Debian packages alone.
type opener struct {
	source.Images
	job *job
}

// Open does what source.Images does, and more.
func (o opener) Open(ctx context.Context, ref source.Reference, platform string) (*source.Image, error) {
	key, index := ref.String()+" "+platform, ref.String()
	img, err := o.open(ctx, o.job.opened.pinned(ref, key, index), platform)
	if err == nil {
		o.job.opened.pin(key, img.Reference)
		o.job.opened.pin(index, img.Index)
		o.job.site.parent.Store(&img.Image)
	}
	return img, err
}

func (o opener) open(ctx context.Context, ref source.Reference, platform string) (*source.Image, error) {
	if ref.Transport != source.Apt {
		return o.Images.Open(ctx, ref, platform)
	}
	suite, packages := ref.Root()
	b, err := o.job.known(ref.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		root := resolve.Root{Suite: suite, Packages: packages, Platform: platform}
		if ref.Digest != "" {
			root.Locked = o.job.locked.Root(ref.Digest)
		}
		b, err = o.job.bootstrap(ctx, root)
	}
	if err != nil {
		return nil, err
	}
	img, err := o.job.root(ctx, b, ref.Digest == "")
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	if ref.Digest != "" && ref.Digest != digest.String() {
		return nil, &source.ReferenceError{Reference: ref.String(), Problem: "its archive has other packages now, and this machine's cache doesn't have it", Fix: "name it without a digest, or lock it anew with `inlay lock --refresh`"}
	}
	return &source.Image{Image: img, Reference: ref.Pinned(digest.String()).String(), Platform: b.Plan.Platform}, o.job.keep(digest, b)
}

// openedImages are the images that a command opened, by name: a name stands for
// one image for all of a pipeline's, even if it moves meanwhile.
type openedImages struct {
	mu  sync.Mutex
	all map[string]string // by digest
}

// pinned returns ref by the digest that one of keys had when it was opened
// first.
func (o *openedImages) pinned(ref source.Reference, keys ...string) source.Reference {
	if o == nil {
		return ref
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		if p, err := source.Parse(o.all[key]); err == nil {
			return p
		}
	}
	return ref
}

func (o *openedImages) pin(key, reference string) {
	if o == nil || reference == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[string]string{}
	}
	o.all[key] = reference
}

// bootstrap decides what an image without a parent is made of.
func (j *job) bootstrap(ctx context.Context, root resolve.Root) (*resolve.Bootstrapped, error) {
	date, err := created()
	if err != nil {
		return nil, err
	}
	return resolve.Bootstrap(ctx, resolve.Request{
		Settings: j.settings,
		Context:  j.context,
		Created:  date,
		Refresh:  j.refresh,
		Packages: j.site.apt,
		Answers:  values(j.site.cache, cache.Resolutions),
		Now:      j.begun,
		Host:     j.hostApt,
		Note:     j.show.Note,
	}, root)
}

// root makes an image without a parent, or finds it in the cache. The first time
// that a command asks for it, it tells what is to be known of its packages.
func (j *job) root(ctx context.Context, b *resolve.Bootstrapped, tell bool) (v1.Image, error) {
	tools := j.tools(b.Plan)
	tools.Context = texts(b.Files)
	if !tell {
		tools.Note = nil
	}
	return j.imageWith(ctx, b.Plan, tools)
}

// rootName names what the cache keeps of an image without a parent.
func rootName(digest string) string { return "root-" + strings.ReplaceAll(digest, ":", "-") }

// known returns what the image of a digest was made of: fs.ErrNotExist if no
// build on this machine made it.
func (j *job) known(digest string) (*resolve.Bootstrapped, error) {
	if digest == "" {
		return nil, fs.ErrNotExist
	}
	text, err := values(j.site.cache, cache.Resolutions).Get(rootName(digest))
	if err != nil {
		return nil, err
	}
	b := &resolve.Bootstrapped{}
	if json.Unmarshal(text, b) != nil {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// madeOf returns what the image of a digest was made of, nil if it isn't known.
func (j *job) madeOf(digest string) *apt.Resolved {
	b, err := j.known(digest)
	if err != nil {
		return nil
	}
	return b.Packages
}

// keep remembers what an image was made of.
func (j *job) keep(digest v1.Hash, b *resolve.Bootstrapped) error {
	if _, err := j.known(digest.String()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return values(j.site.cache, cache.Resolutions).Put(rootName(digest.String()), text)
}

// hostApt reads how apt is set up on this machine, and Debian's keyrings even if
// no source names them.
func (j *job) hostApt() (*setup.Setup, error) {
	s, err := setup.Read(os.DirFS("/"))
	if err != nil {
		return nil, err
	}
	for i := range s.Sources {
		s.Sources[i].URL = j.site.logins.Strip(s.Sources[i].URL)
	}
	names, err := filepath.Glob("/usr/share/keyrings/debian-archive-keyring.[gp]*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading a keyring: %w", err)
		}
		s.Keyrings[strings.TrimPrefix(name, "/")] = b
	}
	return s, nil
}

// texts are files by their paths, as a file system.
type texts map[string]string

// Open opens a file or the directory of one.
func (t texts) Open(name string) (fs.File, error) {
	if text, ok := t[name]; ok {
		return &textFile{Reader: strings.NewReader(text), name: name}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// A textFile is one of texts. It is its own fs.FileInfo.
type textFile struct {
	*strings.Reader
	name string
}

func (f *textFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *textFile) Close() error               { return nil }
func (f *textFile) Name() string               { return filepath.Base(f.name) }
func (f *textFile) Mode() fs.FileMode          { return 0o644 }
func (f *textFile) ModTime() time.Time         { return time.Time{} }
func (f *textFile) IsDir() bool                { return false }
func (f *textFile) Sys() any                   { return nil }
