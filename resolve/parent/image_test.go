// SPDX-License-Identifier: Apache-2.0

package parent_test

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"inlay/resolve/parent"
	"inlay/resolve/parent/parenttest"
)

// An item is one entry of a layer.
type item struct {
	tar.Header
	body string
}

func file(name, body string) item {
	return item{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}, body}
}

func exe(name, body string) item {
	it := file(name, body)
	it.Mode = 0o755
	return it
}

func dir(name string, mode int64, uid, gid int) item {
	return item{tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: uid, Gid: gid}, ""}
}

func link(name, target string) item {
	return item{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, ""}
}

// layer returns a layer compressed with gzip.
func layer(tb testing.TB, items ...item) v1.Layer {
	tb.Helper()
	b := makeTar(tb, items...)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func makeTar(tb testing.TB, items ...item) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, it := range items {
		if err := w.WriteHeader(&it.Header); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, it.body); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// image returns an image for linux/amd64 with the given environment.
func image(tb testing.TB, env []string, layers ...v1.Layer) v1.Image {
	tb.Helper()
	return imageFor(tb, "linux", "amd64", "", env, layers...)
}

func imageFor(tb testing.TB, os, arch, variant string, env []string, layers ...v1.Layer) v1.Image {
	tb.Helper()
	cfg, err := empty.Image.ConfigFile()
	if err != nil {
		tb.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Variant, cfg.Config.Env = os, arch, variant, env
	img, err := mutate.ConfigFile(empty.Image, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layers...); err != nil {
		tb.Fatal(err)
	}
	return img
}

func inspect(tb testing.TB, o parent.Options) *parent.Inventory {
	tb.Helper()
	o.Name, o.Reference = "example.com/base:1", "example.com/base@sha256:00"
	inv, err := parent.Inspect(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return inv
}

// A memory is a Store that counts.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	puts   int
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (m *memory) Get(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.values[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Put(name string, b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[name] = bytes.Clone(b)
	m.puts++
	return nil
}

// drop forgets or replaces the values whose names begin with prefix.
func (m *memory) drop(prefix string, with []byte) (n int) {
	for _, name := range slices.Collect(maps.Keys(m.values)) {
		if strings.HasPrefix(name, prefix) {
			if delete(m.values, name); with != nil {
				m.values[name] = with
			}
			n++
		}
	}
	return n
}

// An object is an ELF file.
type object struct {
	machine uint16
	bits    int // 64 unless set
	big     bool
	interp  string
	text    string
	defines []string
}

const (
	emX86   = 62
	emARM64 = 183
	emARM   = 40
	emS390  = 22
	ldLinux = "/lib64/ld-linux-x86-64.so.2"
	ldMusl  = "/lib/ld-musl-x86_64.so.1"
	ldARM64 = "/lib/ld-linux-aarch64.so.1"
	ldARMHF = "/lib/ld-linux-armhf.so.3"
	ldS390  = "/lib/ld64.so.1"
)

func (o object) bytes() string {
	return parenttest.ELF{Machine: o.machine, Bits: o.bits, Big: o.big, Interp: o.interp, Text: o.text, Defines: o.defines}.String()
}

// interpreter is a program for linux/amd64 and glibc.
func interpreter(text string) string {
	return object{machine: emX86, interp: ldLinux, text: text}.bytes()
}

// glibc is a C library with the version definitions of 2.minor and before.
func glibc(name, newest string) item {
	return file(name, object{machine: emX86, defines: []string{"libc.so.6", "GLIBC_2.2.5", "GLIBC_2.9", newest, "GLIBC_PRIVATE"}}.bytes())
}
