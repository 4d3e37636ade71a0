// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"
)

// platformsCommand makes an OCI layout with a parent for several platforms, in
// Docker's format, which has the file etc/platform: "platforms DIR OS/ARCH...".
func platformsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: platforms DIR OS/ARCH...")
	}
	var adds []mutate.IndexAddendum
	for _, name := range args[1:] {
		img, platform, err := platformImage(name)
		ts.Check(err)
		adds = append(adds, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	path, err := layout.Write(ts.MkAbs(args[0]), empty.Index)
	ts.Check(err)
	index := mutate.AppendManifests(empty.Index, adds...)
	ts.Check(path.ReplaceIndex(index, match.Name("latest"), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "latest"})))
}

func platformImage(name string) (v1.Image, *v1.Platform, error) {
	p, err := v1.ParsePlatform(name)
	if err != nil {
		return nil, nil, err
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	text := name + "\n"
	if err := tw.WriteHeader(&tar.Header{Name: "etc/platform", Mode: 0o644, Size: int64(len(text))}); err != nil {
		return nil, nil, err
	}
	if _, err := io.Copy(tw, strings.NewReader(text)); err != nil {
		return nil, nil, err
	}
	if err := tw.Close(); err != nil {
		return nil, nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		return nil, nil, err
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, nil, err
	}
	img, err = mutate.AppendLayers(img, layer)
	return img, p, err
}
