// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A bench is what all builders share: a registry and a package index on
// loopback, and the parents in that registry.
type bench struct {
	options
	work     string // for what lives as long as the run
	registry string // HOST:PORT
	pushed   atomic.Int64
	index    *index
	notes    []string
	closers  []func()
}

// registryScript starts Debian's docker-registry.
const registryScript = "testdata/e2e/registry.sh"

// begin makes the directory that all of the run is in.
func begin(o options) (*bench, error) {
	if err := os.MkdirAll(o.dir, 0o755); err != nil { //nolint:gosec // a directory like any other
		return nil, err
	}
	work, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return nil, err
	}
	return &bench{options: o, work: work, closers: []func(){func() { _ = os.RemoveAll(work) }}}, nil
}

// installed returns a copy of a program, written as installers write it: from the
// file that go build leaves each start takes a tenth more of the processor, for how
// its pages lie in memory.
func (b *bench) installed(name string) (string, error) {
	program, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	from, err := os.Open(program) //nolint:gosec // the user's own
	if err != nil {
		return "", err
	}
	defer from.Close() //nolint:errcheck // only read
	name = filepath.Join(b.work, filepath.Base(program))
	to, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // a program for everybody
	if errors.Is(err, fs.ErrExist) {
		return name, nil // of another workload
	}
	if err != nil {
		return "", err
	}
	// Through memory, which the kernel's own copy may not be, in the pieces that cp takes.
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 256<<10))
	return name, errors.Join(err, to.Close())
}

// prepare starts what builds of Python projects share.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.inlay, err = b.installed(b.inlay); err != nil {
		return err
	}
	if b.uv == "" {
		if b.uv, err = exec.LookPath("uv"); err != nil {
			return fmt.Errorf("%w: give -uv FILE, as in `pip install uv`", err)
		}
	}
	if err := b.serveRegistry(ctx); err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	b.index = newIndex(filepath.Join(b.dir, "wheels"))
	b.closers = append(b.closers, b.index.server.Close)
	if err := b.pushParents(ctx); err != nil {
		return fmt.Errorf("pushing the parents: %w", err)
	}
	return nil
}

func (b *bench) close() {
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
}

// serveRegistry starts a registry, and a proxy in front of it that counts what
// is pushed.
func (b *bench) serveRegistry(ctx context.Context) error {
	dir := filepath.Join(b.work, "registry")
	out, err := exec.CommandContext(ctx, registryScript, "start", dir).Output()
	if err != nil {
		return err
	}
	b.closers = append(b.closers, func() { _ = exec.Command(registryScript, "stop", dir).Run() }) //nolint:noctx // also after an interrupt
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: strings.TrimSpace(string(out))})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil {
			r.Body = counted{r.Body, &b.pushed}
		}
		proxy.ServeHTTP(w, r)
	}))
	b.closers = append(b.closers, server.Close)
	b.registry = server.Listener.Addr().String()
	return nil
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// pushParents pushes the parent, with uv in it for those who run it there, and
// a later version of it.
func (b *bench) pushParents(ctx context.Context) error {
	idx, err := layout.ImageIndexFromPath(b.parent)
	if err != nil {
		return err
	}
	m, err := idx.IndexManifest()
	if err != nil || len(m.Manifests) == 0 {
		return fmt.Errorf("%s holds no image: %w", b.parent, err)
	}
	img, err := idx.Image(m.Manifests[0].Digest)
	if err != nil {
		return err
	}
	uv, err := os.ReadFile(b.uv)
	if err != nil {
		return err
	}
	for _, p := range []struct {
		tag, file string
		content   []byte
	}{{"now", "usr/local/bin/uv", uv}, {"later", "etc/motd", []byte("a security update\n")}} {
		if img, err = withFile(img, p.file, p.content); err != nil {
			return err
		}
		ref, err := name.ParseReference(b.parentRef(p.tag))
		if err != nil {
			return err
		}
		if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) parentRef(tag string) string { return b.registry + "/debian:" + tag }

// withFile adds a layer of one program to img.
func withFile(img v1.Image, path string, content []byte) (v1.Image, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	l, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(img, l)
}
